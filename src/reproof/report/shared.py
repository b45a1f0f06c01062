"""What the page's sections share: the study's data, its cards, and builders that more than one of them uses."""

from __future__ import annotations

import functools

from reproof.report.budgets import ShownBudgets
from reproof.report.cards import Cards
from reproof.report.contents import ReportData
from reproof.report.contradictions import Contradictions
from reproof.report.grids import Grids
from reproof.report.inlined_svg import InlinedFigures
from reproof.report.packing import Blocks
from reproof.report.paper_tables import PaperTables
from reproof.report.reference_claims import ReferenceClaims


class Shared:
    """Each builder is made once, when a section first asks for it; cards are numbered as sections ask for them."""

    def __init__(self, data: ReportData):
        self.data = data
        self.cards = Cards(data)
        self.blocks = Blocks()
        self.inlined = InlinedFigures()
        self.figures: list[dict[str, str]] = []
        """Figures that are built when they are opened, kind by kind: name -> SVG."""
        self.shown_sections: frozenset[str] = frozenset()
        """The ids of the sections on the page: into no other can a link lead."""

    @functools.cached_property
    def grids(self) -> Grids:
        """Return the builder of tables of measurements."""
        return Grids(self.data, self.cards)

    @functools.cached_property
    def paper_tables(self) -> PaperTables:
        """Return the builder of the papers' tables, and of words about claims."""
        return PaperTables(self.data, self.cards)

    @functools.cached_property
    def contradictions(self) -> Contradictions:
        """Return what does not agree in and between the papers."""
        return Contradictions(self.data, self.paper_tables)

    @functools.cached_property
    def references(self) -> ReferenceClaims:
        """Return what reference runs measured of the claims."""
        return ReferenceClaims(self.data)

    @functools.cached_property
    def budgets(self) -> ShownBudgets:
        """Return the budgets at which each data set is shown in short."""
        return ShownBudgets(self.data, self.grids)
