"""Copies of the package's plugins and papers, with files less or more, to point the registry at."""

from __future__ import annotations

import shutil
from pathlib import Path

from reproof import registry


def copy_without(folder: Path, *gone: str, **added: str) -> Path:
    """Return a copy of the plugins' folders and the papers'. gone: files left out; added: file -> text."""
    copy = folder / "reproof"
    for name in (*registry.FAMILIES, "papers"):
        shutil.copytree(registry.PACKAGE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in gone:
        (copy / name).unlink()
    for name, text in added.items():
        (copy / f"{name.replace('__', '/')}.py").write_text(text, encoding="utf-8")
    return copy
