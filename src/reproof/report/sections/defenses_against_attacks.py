"""Every defense under every attack, all measured alike."""

from __future__ import annotations

from typing import Any

from reproof.report.numbers import REFUSALS
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("matrix", "Defense against attack", order=42, folded=True)


def build(shared: Shared) -> dict[str, Any]:
    """Return a grid per data set and budget, those of attacks without one, and whether a model refuses images."""
    refuses = bool(shared.data.summary["metric"].isin(list(REFUSALS)).any())
    return {"grids": shared.grids.matrices(), "refuses": refuses}
