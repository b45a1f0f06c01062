"""What the page carries folded up: blocks of HTML, figures, cards and claims, as text that its script unpacks.

A block stands in the page as one empty element until it is opened: hundreds of tables cost no elements and little time.
"""

from __future__ import annotations

import base64
import gzip
import json
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
    """Texts and nested tuples, each stored once and referred to by its position."""

    def __init__(self) -> None:
        self.items: list[str | list[int]] = []
        """A text, or the positions of what a tuple holds."""
        self._positions: dict[Hashable, int] = {}

    def add(self, value: str | Iterable[Any]) -> int:
        """Return the position of a text, or of nested sequences of texts."""
        if isinstance(value, str):
            key: Hashable = value
            item: str | list[int] = value
        else:
            item = [self.add(inner) for inner in value]
            key = tuple(item)
        if key not in self._positions:
            self._positions[key] = len(self.items)
            self.items.append(item)
        return self._positions[key]
