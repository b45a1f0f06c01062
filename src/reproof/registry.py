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
import sys
import types
from pathlib import Path
from typing import Any, Literal, cast

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
DECLARED: dict[Family, tuple[str, ...]] = {
    "architectures": ("title",),
    "attacks": ("title", "family", "access"),
    "datasets": ("title", "key"),
    "defenses": ("title",),
}
"""What a plugin's Settings must say of itself, by family."""
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


def settings_class(family: Family, name: str) -> type[Settings]:
    """Return the plugin's `Settings` without running the rest of its file.

    Only imports of typing, pydantic, math and reproof.settings and the classes named *Settings are executed,
    so a Settings class can use nothing else. StudyError names the file when it does, and when it does not say
    of itself what it must (DECLARED).
    """
    return _declaration(family, require(family, name))


@functools.cache
def _declaration(family: Family, path: Path) -> type[Settings]:
    name = path.stem
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
    for declared in DECLARED[family]:
        if not hasattr(found, declared):
            raise StudyError(
                f'{path}: Settings declares no {declared}, such as {declared}: ClassVar[str] = "..." '
                "(see CONTRIBUTING.md)"
            )
    return found


def attack(kind: str) -> type[AttackSettings] | None:
    """Return what an attack's file declares; None where there is no such file."""
    return cast(type[AttackSettings], settings_class("attacks", kind)) if kind in names("attacks") else None


def defense(kind: str) -> type[DefenseSettings] | None:
    """Return what a defense's file declares; None where there is no such file."""
    return (
        cast(type[DefenseSettings], settings_class("defenses", kind)) if kind in names("defenses") else None
    )


def keys(family: Family) -> tuple[str, ...]:
    """Return the names by which claims know a family's plugins; of an architecture of many depths, the usual one."""
    return _keys(PACKAGE, family)


def title(family: Family, key: str) -> str | None:
    """Return what people call the plugin that claims know by a key: `resnet110` is `ResNet-110`; None where none is."""
    return _title(PACKAGE, family, key)


@functools.cache
def _keys(package: Path, family: Family) -> tuple[str, ...]:
    found = []
    for name in names(family):
        declared = settings_class(family, name)
        if issubclass(declared, ArchitectureSettings):
            found.append(declared().key(name))
        else:
            found.append(declared.key if issubclass(declared, DatasetSettings) else name)
    return tuple(found)


@functools.cache
def _title(package: Path, family: Family, key: str) -> str | None:
    if family in ("attacks", "defenses"):
        declared = attack(key) if family == "attacks" else defense(key)
        return declared.title if declared else None
    for name in names(family):
        known = settings_class(family, name)
        if issubclass(known, ArchitectureSettings) and (words := known.title_of(key, name)) is not None:
            return words
        if issubclass(known, DatasetSettings) and known.key == key:
            return known.title
    return None


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


def terms(family: Family) -> dict[str, str]:
    """Return what the papers call the things of a family: the first term of the first paper that has one."""
    return _terms(PACKAGE)[family]


@functools.cache
def _terms(package: Path) -> dict[Family, dict[str, str]]:
    import yaml

    found: dict[Family, dict[str, str]] = {family: {} for family in FAMILIES}
    for path in sorted(package.glob("papers/*/paper.yaml")):
        stated = yaml.safe_load(path.read_text(encoding="utf-8")).get("terms", {})
        for family in FAMILIES:
            for key, words in stated.get(family, {}).items():
                found[family].setdefault(key, words if isinstance(words, str) else words[0])
    return found


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
