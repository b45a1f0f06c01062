"""Find architectures, attacks, data sets and defenses by looking in their folders; no list to edit.

A plug-in is one file. The plan reads only its `Settings` (and imports no torch); the job imports all of it.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import sys
import types
from pathlib import Path
from typing import Any, Literal

from reproof.errors import StudyError
from reproof.settings.values import Settings, nearest_hint

Family = Literal["architectures", "attacks", "datasets", "defenses"]
FAMILIES: tuple[Family, ...] = ("architectures", "attacks", "datasets", "defenses")
PACKAGE = Path(__file__).parent
_LIGHT = {"__future__", "typing", "pydantic", "math"}


def names(family: Family) -> list[str]:
    """Return the names of a family's plug-ins, sorted: its files that do not begin with an underscore."""
    return sorted(path.stem for path in (PACKAGE / family).glob("*.py") if not path.stem.startswith("_"))


def require(family: Family, name: str) -> Path:
    """Return the plug-in's file; StudyError with the nearest name where there is none."""
    known = names(family)
    if name not in known:
        raise StudyError(f"no {family[:-1]} is called {name!r}; {nearest_hint(name, known)}")
    return PACKAGE / family / f"{name}.py"


@functools.cache
def settings_class(family: Family, name: str) -> type[Settings]:
    """Return the plug-in's `Settings` without running the rest of its file.

    Only imports of typing, pydantic, math and reproof.settings and the classes named *Settings are executed,
    so a Settings class can use nothing else. StudyError names the file when it does.
    """
    path = require(family, name)
    source = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    body = [node for node in source.body if _is_declaration(node)]
    module = types.ModuleType(f"reproof._declared.{family}.{name}")
    sys.modules[module.__name__] = module
    try:
        exec(compile(ast.Module(body, type_ignores=[]), str(path), "exec"), module.__dict__)
    except NameError as error:
        raise StudyError(
            f"{path}: Settings uses {error.name!r}; it may use only typing, pydantic, math and reproof.settings, "
            "because the plan reads it without importing the rest of the file"
        ) from error
    for node in body:
        if isinstance(node, ast.ClassDef):
            _describe(vars(module)[node.name], node)
    base, found = base_of(family), getattr(module, "Settings", None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise StudyError(f"{path}: defines no class Settings({base.__name__}) (see CONTRIBUTING.md)")
    return found


def base_of(family: Family) -> type[Settings]:
    """Return the class that the Settings of a family's plug-ins derive from.

    Found by its name: jobs import this module, and what the bases of other families declare is no part of their code.
    """
    member = family[:-1]
    base: type[Settings] = getattr(
        importlib.import_module(f"reproof.settings.{member}"), f"{member.title()}Settings"
    )
    return base


def _describe(declared: type[Settings], node: ast.ClassDef) -> None:
    """Give the fields their docstrings: pydantic looks for them in the module's file; this one has none."""
    for statement, following in itertools.pairwise(node.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=field)), ast.Expr(value=ast.Constant(value=str(text))):
                if field in declared.model_fields:
                    declared.model_fields[field].description = inspect.cleandoc(text)
    declared.model_rebuild(force=True)


def _is_declaration(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(alias.name in _LIGHT for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in _LIGHT or (node.module or "").startswith("reproof.settings.")
    return isinstance(node, ast.ClassDef) and node.name.endswith("Settings")


def load(family: Family, name: str) -> types.ModuleType:
    """Import the plug-in's whole file (and with it torch)."""
    require(family, name)
    return importlib.import_module(f"reproof.{family}.{name}")


def load_class(family: Family, name: str, base: type) -> Any:
    """Return the one class of the plug-in's file that derives from `base`; StudyError when there are 0 or 2."""
    module = load(family, name)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise StudyError(
            f"{module.__file__}: expected one class derived from {base.__name__}, found {len(found)}"
        )
    return found[0]


def deviations(defense: str) -> tuple[str, ...]:
    """Return the Deviations list of a defense's file, read without importing it (and with it torch)."""
    tree = ast.parse(require("defenses", defense).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == "deviations" for target in targets)
        if named and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            return tuple(ast.literal_eval(node.value))
    return ()
