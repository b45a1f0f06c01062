"""What the page and the tables stand on that no module imports by name: claims, templates, sections, reference runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reproof import plugin_folders

PACKAGE = Path(__file__).parents[1]
REFERENCES = PACKAGE.parents[1] / "reference"
"""Large runs that are committed with the code; every page shows them."""


def paper_files() -> tuple[Path, ...]:
    """Return the files that hold what the papers claim: all in their folders, nothing of what others found."""
    return tuple(path for path in _data_files(PACKAGE / "papers") if path.parent != PACKAGE / "papers")


def files() -> tuple[Path, ...]:
    """Return all data that the page shows or is made with."""
    own = (path for folder in plugin_folders.folders("sections") for path in _data_files(folder))
    return (
        *_data_files(PACKAGE / "papers"),
        *_data_files(PACKAGE / "report"),
        *_data_files(REFERENCES),
        *own,
    )


def sections() -> Iterator[str]:
    """Yield the modules of the page's sections, which are plug-ins."""
    for folder in (PACKAGE / "report" / "sections", *plugin_folders.folders("sections")):
        for path in sorted(folder.glob("[!_]*.py")):
            yield f"reproof.report.sections.{path.stem}"


def _data_files(folder: Path) -> tuple[Path, ...]:
    return tuple(
        sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    )
