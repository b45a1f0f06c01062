"""Where a mistake in a study stands, in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any


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


def sentence(error: Any) -> str:
    """Return one plain sentence for a pydantic error."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "this key is missing"
    if kind == "union_tag_not_found":
        return f"the key 'kind' is missing; it is one of {context.get('discriminator', '')}".replace(
            "'kind'", "kind", 1
        )
    if kind == "union_tag_invalid":
        expected = [word.strip("' ") for word in context["expected_tags"].split(",")]
        near = difflib.get_close_matches(str(context["tag"]), expected, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(expected)}"
        return f"no kind is called {context['tag']!r}; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if kind in ("value_error", "unknown_key"):
        return str(message)
    return f"{message} (it is {error['input']!r})"
