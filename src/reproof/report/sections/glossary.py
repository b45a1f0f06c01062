"""What the page's words and signs mean."""

from __future__ import annotations

from typing import Any

from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.verdict_words import CERTAINTIES

SECTION = Section("glossary", "Glossary", order=66, folded=True)


def build(shared: Shared) -> dict[str, Any]:
    """Return the marks, whatever the study; verdicts have a section of their own."""
    return {"certainties": CERTAINTIES}
