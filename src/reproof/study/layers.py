"""Study files laid over each other, and the budget over them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from reproof.errors import StudyError
from reproof.fast_yaml import LOADER
from reproof.settings.values import nearest_hint

COMMAND_LINE = "--config"


class _Loader(LOADER):  # type: ignore[misc,valid-type]  # its base is known at run time only
    """YAML without duplicate keys, which PyYAML would let pass."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, f"no key is {key!r}", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    found: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return found


def _binary(loader: _Loader, node: yaml.ScalarNode) -> str:
    raise yaml.constructor.ConstructorError(None, None, "a study holds no binary values", node.start_mark)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:binary", _binary)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a study file's mapping; StudyError names file, line and column of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"{path}: there is no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from error
    value = read_value(text, str(path))
    if not isinstance(value, dict):
        raise StudyError(f"{path}: a study is a mapping (key: value); this file holds {type(value).__name__}")
    return value


def read_value(text: str, origin: str) -> Any:
    """Return what a YAML text says; StudyError names its origin and, where it has lines, the line that is wrong."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark and "\n" in text else ""
        raise StudyError(f"{origin}{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except (
        ValueError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:  # PyYAML's, of a value with a wrong tag
        raise StudyError(f"{origin}: not valid YAML: {error}") from error


def merge(base: Any, overlay: Any) -> Any:
    """Return `overlay` laid over `base`: mappings key by key, anything else replaced."""
    if not (isinstance(base, Mapping) and isinstance(overlay, Mapping)):
        return overlay
    if "kind" in overlay and overlay["kind"] != base.get("kind"):
        return overlay
    return {**base, **{key: merge(base.get(key), value) for key, value in overlay.items()}}


def lay_budget(merged: Mapping[str, Any], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the study with its budget laid over it. What is no mapping of names is left to `parse`, which says so.

    What a file says of the budget lies over that file, and under later ones: they have the last word.
    """
    budgets, name = merged.get("budgets") or {}, merged.get("budget")
    if not isinstance(budgets, Mapping) or not all(isinstance(key, str) for key in budgets):
        return dict(merged)
    budgets = {key: overlay for key, overlay in budgets.items() if overlay is not None}
    if name is None and not budgets:
        return dict(merged)
    where = [file for file, layer in layers if "budget" in layer or (name is None and "budgets" in layer)][-1]
    if name is None:
        raise StudyError(f"{where}: budget: which of the budgets? there are: {', '.join(budgets)}")
    if not budgets:
        raise StudyError(f"{where}: budget: no budget is called {name!r}; this study has none")
    if not isinstance(name, str) or name not in budgets:
        raise StudyError(f"{where}: budget: no budget is called {name!r}; {nearest_hint(str(name), budgets)}")
    removed = [position for position, (_, layer) in enumerate(layers) if _piece(layer, name) is REMOVED]
    laid: dict[str, Any] = {}
    for position, (file, layer) in enumerate(layers):
        piece = _piece(layer, name) if not removed or position > removed[-1] else None
        parts = [layer, piece] if file != COMMAND_LINE else [piece, layer]
        for part in parts:
            if isinstance(part, Mapping):
                laid = merge(laid, part)
    return laid


REMOVED: Final = "removed"


def _piece(layer: Mapping[str, Any], name: str) -> Any:
    """Return what a layer says of a budget; REMOVED where it sets it to null, None where it says nothing."""
    budgets = layer.get("budgets")
    if not isinstance(budgets, Mapping) or name not in budgets:
        return None
    return REMOVED if budgets[name] is None else budgets[name]
