"""What a section of the page is: one Python file and one template in `sections/`, found by looking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproof import registry
from reproof.report import sections
from reproof.report.shared import Shared


@dataclass(frozen=True)
class Section:
    """What a section declares of itself as `SECTION`; beside it stands `build(shared)`.

    `build` returns what the template of the same name shows. A file may define `entries(shared)` too: ids and words
    of places inside the section, for the navigation.
    """

    id: str
    """Its anchor on the page, unlike any other's."""
    title: str
    """In the navigation."""
    order: int
    """Sections stand by it, the least first."""
    heading: str = ""
    """Over the section; empty takes the title."""
    folded: bool = False
    """Whether the page shows its heading alone until a reader unfolds it."""
    needs: tuple[str, ...] = ()
    """What of `ReportData` may not be empty; without it the section is left out, in page and navigation."""


@dataclass(frozen=True)
class FoundSection:
    """A section's file."""

    declared: Section
    template: str
    build: Callable[[Shared], Mapping[str, Any]]
    entries: Callable[[Shared], Sequence[tuple[str, str]]]


def found_sections(shared: Shared) -> list[FoundSection]:
    """Return the sections whose needs the study meets, in the page's order."""
    found = [
        FoundSection(
            module.SECTION,
            f"{module.__name__.rpartition('.')[2]}.html.j2",
            module.build,
            getattr(module, "entries", lambda _: ()),
        )
        for module in registry.found_in(sections)
    ]
    shown = [one for one in found if all(_is_there(shared, need) for need in one.declared.needs)]
    return sorted(shown, key=lambda one: (one.declared.order, one.declared.id))


def _is_there(shared: Shared, need: str) -> bool:
    return len(getattr(shared.data, need)) > 0
