"""Every defense under every attack, all measured alike."""

from __future__ import annotations

from typing import Any

from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("matrix", "Defense against attack", order=70)


def build(shared: Shared) -> dict[str, Any]:
    """Return a grid per data set and budget, and those of attacks without one."""
    return {"grids": shared.grids.matrices()}
