"""What the page carries folded up: blocks of HTML, figures, cards and claims, as text that its script unpacks.

A block stands in the page as one empty element until it is opened: hundreds of tables cost no elements and little time.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

from markupsafe import Markup, escape

NOTE = Markup("<p class=needs>The page’s script builds this part when it is opened.</p>")
"""Stands for a block where no script runs, and nothing shorter was given in its place."""


def packed(content: Any) -> str:
    """Return content as JSON, compressed (gzip) and in base64: the same text for the same content."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


class Blocks:
    """The blocks that are built when they are opened."""

    def __init__(self) -> None:
        self.html: dict[str, str] = {}
        """Block's name -> its HTML, which may hold other blocks inside folds of its own."""

    def later(self, name: str, html: str, static: str = "") -> Markup:
        """Return the place of a block, and keep its HTML.

        static: HTML that stands in its place on paper, and where no script runs. ValueError for a name that is taken.
        """
        if name in self.html:
            raise ValueError(f"two blocks of the page are called {name}")
        self.html[name] = str(html).strip()
        return place("blocks", name, static or NOTE)


def place(pack: str, name: str, static: str) -> Markup:
    """Return where something of a pack will stand."""
    return Markup(
        f'<div class="later" data-pack="{pack}" data-name="{escape(name)}"><noscript>{static}</noscript></div>'
    )


class Pool:
    """Texts and nested tuples, each stored once; what is used once stands where it is used."""

    def __init__(self) -> None:
        self._items: list[str | list[int]] = []
        """A text, or the positions of what a tuple holds."""
        self._positions: dict[Hashable, int] = {}
        self._uses: Counter[int] = Counter()

    def add(self, value: str | Iterable[Any]) -> int:
        """Return the position of a text, or of nested sequences of texts; each call counts as a use."""
        position = self._position(value)
        self._uses[position] += 1
        return position

    def _position(self, value: str | Iterable[Any]) -> int:
        key: Hashable
        item: str | list[int]
        if isinstance(value, str):
            key = item = value
        else:
            item = [self._position(inner) for inner in value]
            key = tuple(item)
        if key not in self._positions:
            self._positions[key] = len(self._items)
            self._items.append(item)
            self._uses.update(() if isinstance(item, str) else item)
        return self._positions[key]

    def packed(self, roots: Iterable[int]) -> tuple[list[Any], list[Any]]:
        """Return what is used more than once, and the roots.

        Each is a text, a position in the former, or a list of such.
        """
        shared = [position for position in range(len(self._items)) if self._uses[position] > 1]
        places = {position: place for place, position in enumerate(shared)}

        def told(position: int) -> Any:
            item = self._items[position]
            return (
                item
                if isinstance(item, str)
                else [places[one] if one in places else told(one) for one in item]
            )

        return [told(position) for position in shared], [
            places[root] if root in places else told(root) for root in roots
        ]
