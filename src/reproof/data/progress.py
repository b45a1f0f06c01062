"""Progress on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def bar(what: str, total: int | None = None) -> tqdm[Any]:
    """Return a progress bar, shown on a terminal only."""
    return tqdm(
        total=total, desc=what, unit="", leave=False, file=sys.stderr, disable=not sys.stderr.isatty()
    )
