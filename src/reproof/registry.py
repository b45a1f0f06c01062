"""Find architectures, attacks, data sets and defenses by looking in their folders; no list to edit.

A plug-in is one file. The plan reads only its `Settings` (and imports no torch); the job imports all of it.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import pkgutil
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from reproof import plugin_folders
from reproof.errors import ReproofError, StudyError
from reproof.settings.values import Settings, nearest_hint

if TYPE_CHECKING:
    from reproof.settings.architecture import ArchitectureSettings
    from reproof.settings.attack import AttackSettings
    from reproof.settings.dataset import DatasetSettings
    from reproof.settings.defense import DefenseSettings

Family = Literal["architectures", "attacks", "datasets", "defenses"]
FAMILIES: tuple[Family, ...] = ("architectures", "attacks", "datasets", "defenses")
TOLD: dict[Family, tuple[str, ...]] = {
    "architectures": ("title",),
    "attacks": (
        *("title", "family", "access", "targeted", "iterative", "randomised"),
        *("baseline", "ensemble", "transforms"),
    ),
    "datasets": ("title",),
    "defenses": ("title", "trains_on"),
}
"""What a plug-in's Settings say of itself that tables, figures and the page tell people or go by."""
DECLARED: dict[Family, tuple[str, ...]] = {
    "architectures": ("title",),
    "attacks": ("title", "family", "access"),
    "datasets": ("title", "key"),
    "defenses": ("title",),
}
"""What a plug-in's Settings must say of itself, by family."""
PACKAGE = Path(__file__).parent
_LIGHT = {"__future__", "typing", "pydantic", "math"}


def names(family: Family) -> list[str]:
    """Return the names of a family's plug-ins, sorted: its files that do not begin with an underscore.

    One whose Settings cannot be read is left out, and said once: whoever does not choose it works on without it.
    """
    files = (path for folder in folders(family) for path in folder.glob("*.py"))
    return sorted(
        path.stem for path in files if not path.stem.startswith(("_", ".")) and _reads(family, path)
    )


@functools.cache
def _reads(family: Family, path: Path) -> bool:
    try:
        if not path.stem.isidentifier():
            raise StudyError(f"{path}: its name should be of letters, digits and _, such as my_attack.py")
        _declaration(family, path)
    except StudyError as error:
        print(f"reproof: left out, so whatever is about it counts as not built: {error}", file=sys.stderr)
        return False
    return True


def folders(family: Family) -> list[Path]:
    """Return the folders where a family's plug-ins lie: the package's, then those that the study names."""
    return [PACKAGE / family, *plugin_folders.folders(family)]


def places() -> tuple[Path, ...]:
    """Return the package and the folders of own plug-ins: answers about all plug-ins hold as long as these do."""
    return (PACKAGE, *plugin_folders.used())


def is_here(family: Family, name: str) -> bool:
    """Say whether a family has a plug-in of this name."""
    return _file(family, name) is not None


def is_broken(family: Family, name: str) -> bool:
    """Say whether a family has a plug-in of this name whose Settings cannot be read."""
    path = _file(family, name)
    return path is not None and not _reads(family, path)


def _file(family: Family, name: str) -> Path | None:
    if name.isidentifier() and not name.startswith("_"):
        for folder in folders(family):
            file = folder / f"{name}.py"
            if os.path.isfile(file):  # noqa: PTH113  # Path's raises OSError for a name that is too long
                return file
    return None


def require(family: Family, name: str) -> Path:
    """Return the plug-in's file; StudyError with the nearest name where there is none."""
    path = _file(family, name)
    if path is None:
        raise StudyError(f"no {family[:-1]} is called {name!r}; {nearest_hint(name, names(family))}")
    return path


def settings_class(family: Family, name: str) -> type[Settings]:
    """Return the plug-in's `Settings` without running the rest of its file.

    Only imports of typing, pydantic, math and reproof.settings and the classes named *Settings are executed,
    so a Settings class can use nothing else. StudyError names the file when it does, and when it does not say
    of itself what it must (DECLARED).
    """
    return _declaration(family, require(family, name))


@functools.cache
def _declaration(family: Family, path: Path) -> type[Settings]:
    name = path.stem
    source = plugin_folders.read_python(path)
    body = [node for node in source.body if _is_declaration(node)]
    module = types.ModuleType(f"reproof._declared.{family}.{name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(ast.Module(body, type_ignores=[]), str(path), "exec"), module.__dict__)
        for node in body:
            if isinstance(node, ast.ClassDef):
                vars(module)[node.name].model_rebuild()  # says of an annotation that is no type which one
    except NameError as error:
        raise StudyError(
            f"{path}: Settings uses {error.name!r}; it may use only typing, pydantic, math and reproof.settings, "
            "because the plan reads it without importing the rest of the file"
        ) from error
    except (Exception, SystemExit) as error:
        raise StudyError(f"{path}: its Settings cannot be read: {type(error).__name__}: {error}") from error
    base, found = base_of(family), getattr(module, "Settings", None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise StudyError(f"{path}: defines no class Settings({base.__name__}) (see CONTRIBUTING.md)")
    for declared in DECLARED[family]:
        if not hasattr(found, declared):
            raise StudyError(
                f'{path}: Settings declares no {declared}, such as {declared}: ClassVar[str] = "..." '
                "(see CONTRIBUTING.md)"
            )
    if family == "architectures":
        try:
            _key_of(family, name, found), cast("type[ArchitectureSettings]", found).title_of(name, name)
        except Exception as error:
            raise StudyError(f"{path}: its name cannot be told: {type(error).__name__}: {error}") from error
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


def attack(kind: str) -> type[AttackSettings] | None:
    """Return what an attack's file declares; None where there is no such file."""
    return cast("type[AttackSettings]", settings_class("attacks", kind)) if is_here("attacks", kind) else None


def defense(kind: str) -> type[DefenseSettings] | None:
    """Return what a defense's file declares; None where there is no such file."""
    return (
        cast("type[DefenseSettings]", settings_class("defenses", kind)) if is_here("defenses", kind) else None
    )


def told(family: Family, kinds: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what these plug-ins say of themselves, as plain JSON values: {"pgd": {"title": "PGD", ...}}."""
    return {
        kind: {word: getattr(settings_class(family, kind), word) for word in TOLD[family]}
        for kind in sorted(set(kinds))
    }


def keys(family: Family) -> tuple[str, ...]:
    """Return the names by which claims know a family's plug-ins; of an architecture of many depths, the usual one."""
    return _keys(places(), family)


def title(family: Family, key: str) -> str | None:
    """Return what people call the plug-in that claims know by a key, `ResNet-110` of resnet110; None without one."""
    return _title(places(), family, key)


@functools.cache
def _keys(_places: tuple[Path, ...], family: Family) -> tuple[str, ...]:
    return tuple(_key(family, name) for name in names(family))


def _key(family: Family, name: str) -> str:
    return _key_of(family, name, settings_class(family, name))


def _key_of(family: Family, name: str, declared: type[Settings]) -> str:
    if family == "datasets":
        return cast("type[DatasetSettings]", declared).key
    if family == "architectures" and not any(field.is_required() for field in declared.model_fields.values()):
        return cast("ArchitectureSettings", declared()).key(name)
    return name


@functools.cache
def _title(_places: tuple[Path, ...], family: Family, key: str) -> str | None:
    for name in names(family):
        if family == "architectures":
            network = cast("type[ArchitectureSettings]", settings_class(family, name))
            if (words := network.title_of(key, name)) is not None:
                return words
        elif (family == "datasets" or name == key) and _key(family, name) == key:
            return cast("type[AttackSettings]", settings_class(family, name)).title
    return None


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

    from reproof.fast_yaml import LOADER

    found: dict[Family, dict[str, str]] = {family: {} for family in FAMILIES}
    for path in sorted(package.glob("papers/*/paper.yaml")):
        stated = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER).get("terms", {})
        for family in FAMILIES:
            for key, words in stated.get(family, {}).items():
                found[family].setdefault(key, words if isinstance(words, str) else words[0])
    return found


def load(family: Family, name: str) -> types.ModuleType:
    """Import the plug-in's whole file (and with it torch); StudyError where one of the user's own cannot be."""
    path = require(family, name)
    plugin_folders.import_plug_in(f"reproof.{family}.{name}")
    try:
        return importlib.import_module(f"reproof.{family}.{name}")
    except (Exception, SystemExit) as error:
        if path.is_relative_to(PACKAGE) or isinstance(error, ReproofError):
            raise
        words = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise StudyError(f"{path}: importing it raised {words}") from error


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


def found_in(package: types.ModuleType) -> list[types.ModuleType]:
    """Import every module of a package's folder, by name: plug-ins of the page, which have no `Settings`."""
    plugin_folders.import_plug_in(f"{package.__name__}.")
    return [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
