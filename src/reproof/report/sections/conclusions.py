"""What this run found, per paper."""

from __future__ import annotations

from typing import Any

from reproof.reference import OWN_ATTACKS
from reproof.report.conclusions import conclusions
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("found", "What this run found", order=30, folded=True, needs=("papers",))


def build(shared: Shared) -> dict[str, Any]:
    """Return each paper's sentences, but for those that the answer says already, of all evidence."""
    return {
        "conclusions": conclusions(shared),
        "warning": shared.data.warning,
        "said": OWN_ATTACKS if "answer" in shared.shown_sections else "",
    }
