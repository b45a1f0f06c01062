"""Folders outside the package where a study's own plug-ins lie (`plugins:` in the study)."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reproof.errors import StudyError

PACKAGES = {
    "architectures": "reproof.architectures",
    "attacks": "reproof.attacks",
    "datasets": "reproof.datasets",
    "defenses": "reproof.defenses",
    "sections": "reproof.report.sections",
}
"""Sub-folder of such a folder -> the package that its files become modules of."""
_PLACE = Path(__file__).parent
_used: tuple[Path, ...] = ()
_added: set[str] = set()
"""Folders that were put on a package's path, so that they can be taken off it."""


def used() -> tuple[Path, ...]:
    """Return the folders of the study that was read last."""
    return _used


def use(named: Sequence[str]) -> None:
    """Let the plug-ins of these folders, and no others, stand beside the package's.

    StudyError where there is no such folder, it holds none of PACKAGES, a plug-in has the name of another one, or a
    section of the page is no Python: no study chooses sections, and the page comes last.
    """
    global _used
    chosen = tuple(dict.fromkeys(map(_resolved, named)))
    if chosen != _used:
        for place in chosen:
            _require(place)
        _forget(_used)
        _used = chosen
        importlib.invalidate_caches()
    for family, package in PACKAGES.items() if chosen else ():
        _require_other_names(family, package)
    for folder in folders("sections"):
        for file in sorted(folder.glob("[!_]*.py")):
            if file.stem.isidentifier():
                read_python(file)


def folders(family: str) -> list[Path]:
    """Return the folders outside the package that hold plug-ins of a family."""
    return [folder / family for folder in _used if (folder / family).is_dir()]


def read_python(file: Path) -> ast.Module:
    """Return a file's syntax; StudyError with its line where it is no Python."""
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except (OSError, SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise StudyError(f"{file}{line}: cannot be read as Python: {error}") from error


def import_plug_in(name: str) -> None:
    """Let Python find a module of one of PACKAGES in these folders too. name: `reproof.attacks.mine`."""
    package = name.rpartition(".")[0]
    for family, found in PACKAGES.items():
        if found == package:
            module = importlib.import_module(package)
            own = [path for path in module.__path__ if path not in _added]
            outside = [str(folder) for folder in folders(family)]
            _added.update(outside)
            module.__path__ = own + outside


def file_of(name: str) -> Path | None:
    """Return the file of an own plug-in's module, `reproof.attacks.mine`; None where it is none of these folders'."""
    package, _, stem = name.rpartition(".")
    for family, found in PACKAGES.items():
        for folder in folders(family) if found == package else ():
            if (folder / f"{stem}.py").is_file():
                return folder / f"{stem}.py"
    return None


def _inside(package: str) -> Path:
    return _PLACE.joinpath(*package.split(".")[1:])


def _resolved(folder: str) -> Path:
    if not folder:
        raise StudyError("plugins: '' is no folder")
    try:
        return Path(folder).resolve()
    except (ValueError, RuntimeError) as error:  # a NUL in its name; links that lead to each other
        raise StudyError(f"plugins: {folder!r} is no folder: {error}") from error


def _require(place: Path) -> None:
    if not os.path.isdir(place):  # noqa: PTH112  # Path's raises OSError for a name that is too long
        raise StudyError(f"plugins: {place} is no folder")
    if not any((place / family).is_dir() for family in PACKAGES):
        raise StudyError(f"plugins: {place} holds none of the folders {', '.join(PACKAGES)}")


def _require_other_names(family: str, package: str) -> None:
    seen: dict[str, Path] = {}
    for folder in (_inside(package), *folders(family)):
        for file in sorted(folder.glob("[!_]*.py")):
            if file.stem in seen:
                raise StudyError(f"plugins: {file} has the name of {seen[file.stem]}; give it another one")
            seen[file.stem] = file


def _forget(gone: Sequence[Path]) -> None:
    """Take the modules of folders that are used no more out of Python's memory."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).is_relative_to(place) for place in gone):
            del sys.modules[name]
