"""Find architectures, attacks, data sets and defenses by looking in their folders; no list to edit.

A plugin is one file. The plan reads only its `Settings` (and imports no torch); the job imports all of it.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import inspect
import itertools
import pkgutil
import sys
import types
from pathlib import Path
from typing import Any, Literal

from reproof.errors import StudyError
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.attack import AttackSettings
from reproof.settings.dataset import DatasetSettings
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Settings

Family = Literal["architectures", "attacks", "datasets", "defenses"]
FAMILIES: tuple[Family, ...] = ("architectures", "attacks", "datasets", "defenses")
BASES: dict[Family, type[Settings]] = {
    "architectures": ArchitectureSettings,
    "attacks": AttackSettings,
    "datasets": DatasetSettings,
    "defenses": DefenseSettings,
}
PACKAGE = Path(__file__).parent
_LIGHT = {"__future__", "typing", "pydantic", "math"}


def names(family: Family) -> list[str]:
    """Return the names of a family's plugins, sorted: its files that do not begin with an underscore."""
    return sorted(path.stem for path in (PACKAGE / family).glob("*.py") if not path.stem.startswith("_"))


def require(family: Family, name: str) -> Path:
    """Return the plugin's file; StudyError with the nearest name where there is none."""
    known = names(family)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise StudyError(f"no {family[:-1]} is called {name!r}; {hint}")
    return PACKAGE / family / f"{name}.py"


@functools.cache
def settings_class(family: Family, name: str) -> type[Settings]:
    """Return the plugin's `Settings` without running the rest of its file.

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
    found = getattr(module, "Settings", None)
    if not (isinstance(found, type) and issubclass(found, BASES[family])):
        raise StudyError(f"{path}: defines no class Settings({BASES[family].__name__}) (see CONTRIBUTING.md)")
    return found


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
    """Import the plugin's whole file (and with it torch)."""
    require(family, name)
    return importlib.import_module(f"reproof.{family}.{name}")


def load_class(family: Family, name: str, base: type) -> Any:
    """Return the one class of the plugin's file that derives from `base`; StudyError when there are 0 or 2."""
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


def found_in(package: types.ModuleType) -> list[types.ModuleType]:
    """Import every module of a package's folder, by name: plug-ins of the page, which have no `Settings`."""
    return [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
