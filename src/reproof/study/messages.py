"""Where a mistake in a study stands, in words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from reproof.errors import StudyError
from reproof.settings.values import nearest_hint
from reproof.study.layers import COMMAND_LINE

Mistake = tuple[Sequence[Any], str]
"""A key path, and what is wrong there in one sentence."""


def unknown(path: Sequence[Any], name: str, known: Mapping[str, Any], what: str) -> Iterator[Mistake]:
    """Yield a mistake where a name is none of the known ones."""
    if name not in known:
        yield path, f"no {what} is called {name!r}; {nearest_hint(name, known)}"


@dataclass(frozen=True)
class Origins:
    """The files that a study was laid together from, to tell which of them says what."""

    layers: Sequence[tuple[str, Mapping[str, Any]]]
    """Name and content of each, later ones over earlier ones; the command line's comes last."""
    budget: str | None
    """The chosen budget."""

    def mistake(self, path: Sequence[Any], message: str, unknown: Sequence[Any] = ()) -> StudyError:
        """Return an error that names the file and the key path there. unknown: the wrong key after the path."""
        file, there = self._find([*path, *unknown])
        there = there[: len(there) - len(unknown)]
        return StudyError(f"{file}: {dotted(there)}: {message}" if there else f"{file}: {message}")

    def refusal(self, base: Sequence[Any], data: Any, errors: Sequence[ErrorDetails]) -> StudyError:
        """Return pydantic's first error. base: the path of what was read; data: what the files say there."""
        first = errors[0]
        unknown = [ast.literal_eval(first["ctx"]["key"])] if first["type"] == "unknown_key" else []
        return self.mistake([*base, *real_path(data, first["loc"])], sentence(first), unknown)

    def _find(self, path: Sequence[Any]) -> tuple[str, list[Any]]:
        """Return the file that a key came from, and the key's path there: in the file, or in its chosen budget."""
        chosen = ["budgets", self.budget] if isinstance(self.budget, str) else []
        for length in range(len(path), 0, -1):
            found = []
            for position, (name, layer) in enumerate(self.layers):
                if reaches(layer, path[:length]):
                    found.append((position, 2 if name == COMMAND_LINE else 0, name, list(path)))
                if chosen and reaches(layer, [*chosen, *path[:length]]):
                    found.append((position, 1, name, [*chosen, *path]))
            if found:
                return max(found, key=lambda entry: entry[:2])[2:]
        files = [name for name, _ in self.layers if name != COMMAND_LINE]
        return (files or ["study"])[-1], list(path)


def reaches(layer: Any, path: Sequence[Any]) -> bool:
    """Tell whether a layer of the study has a key path."""
    for key in path:
        if (isinstance(layer, Mapping) and key in layer) or (
            isinstance(layer, list) and isinstance(key, int) and key < len(layer)
        ):
            layer = layer[key]
        else:
            return False
    return True


def dotted(path: Sequence[Any]) -> str:
    """Return a key path as text: `models.a.members[0]`."""
    return re.sub(r"\.\[", "[", ".".join(f"[{key}]" if isinstance(key, int) else str(key) for key in path))


def real_path(data: Any, loc: Sequence[Any]) -> list[Any]:
    """Return pydantic's location without the tags that its unions add: only keys that the data has.

    A key that is missing from the data stands last and is kept.
    """
    path: list[Any] = []
    for position, key in enumerate(loc):
        if (isinstance(data, Mapping) and key in data and key != "[key]") or (
            isinstance(data, list | tuple) and isinstance(key, int) and key < len(data)
        ):
            data = data[key]
            path.append(key)
        elif (
            position == len(loc) - 1
            and isinstance(data, Mapping)
            and isinstance(key, str)
            and key.isidentifier()
        ):
            path.append(key)
    return path


SHOWN = 100
"""So many characters of a wrong value are shown: it may be a whole study."""


def sentence(error: ErrorDetails) -> str:
    """Return one plain sentence for a pydantic error."""
    if error["type"] == "missing":
        return "this key is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] in ("value_error", "unknown_key", "unknown_kind"):
        return message
    given = repr(error["input"])
    return f"{message} (it is {given if len(given) <= SHOWN else given[: SHOWN - 3] + '...'})"
