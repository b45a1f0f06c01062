"""How verdicts are made: words, grades of evidence and margins, in one short table."""

from __future__ import annotations

from typing import Any

from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.verdict_words import GRADES, MARGINS, VERDICTS

SECTION = Section("verdicts", "How verdicts are made", order=64, folded=True)


def build(shared: Shared) -> dict[str, Any]:
    """Return what words, grades and margins mean, whatever the study."""
    return {"words": VERDICTS, "grades": GRADES, "margins": MARGINS}
