"""What we found, per paper."""

from __future__ import annotations

from typing import Any

from reproof.report.conclusions import conclusions
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("found", "What we found", order=30, folded=True, needs=("papers",))


def build(shared: Shared) -> dict[str, Any]:
    """Return each paper's sentences."""
    return {"conclusions": conclusions(shared), "warning": shared.data.warning}
