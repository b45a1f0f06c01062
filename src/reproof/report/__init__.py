"""The page: one self-contained HTML file, rendered from plain data. Imports no torch."""

from __future__ import annotations

from reproof.report.contents import Attack, Figure, Flag, Model, ReportData, Row, Step, Threat, Trail
from reproof.report.page import render, sentences

__all__ = [
    "Attack",
    "Figure",
    "Flag",
    "Model",
    "ReportData",
    "Row",
    "Step",
    "Threat",
    "Trail",
    "render",
    "sentences",
]
