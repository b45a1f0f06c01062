"""The page: one self-contained HTML file, rendered from plain data. Imports no torch."""

from __future__ import annotations

from reproof.report.contents import (
    DrawnFigure,
    ReportData,
    ShownAttack,
    ShownModel,
    ShownThreat,
    Trail,
    TrailFile,
)
from reproof.report.page import render

__all__ = [
    "DrawnFigure",
    "ReportData",
    "ShownAttack",
    "ShownModel",
    "ShownThreat",
    "Trail",
    "TrailFile",
    "render",
]
