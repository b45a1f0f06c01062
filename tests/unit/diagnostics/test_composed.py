"""What one part of a composed attack takes of what another left: masked gradients and unconverged ones show in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reproof.diagnostics import red_flags
from reproof.diagnostics.sanity_check import CHECKS, RedFlag
from tests.ours import needs
from tests.unit.diagnostics.made_up_trials import outcomes, trial

PARTS = {
    "cross-entropy": "gradient",
    "AutoAttack": "ensemble",
    "Square": "score",
    "transfer from other": "transfer",
}


def flags(
    taken: Mapping[str, int], images: int = 100, parts: Mapping[str, str] = PARTS
) -> dict[str, RedFlag]:
    """Return the checks of a model whose composed attack took so many images by each of its parts."""
    by = [part for part, count in taken.items() for _ in range(count)]
    left = images - len(by)
    made = replace(
        trial("strongest", left, images=images, kind="strongest"), taken_by=("",) * left + tuple(by)
    )
    seen = replace(
        outcomes(made), notes={"white_box": {"net": {"strongest": {"parts": list(parts.items())}}}}
    )
    return {flag.check: flag for flag in red_flags.find([seen])}


@pytest.mark.parametrize("part", ["Square", "transfer from other"])
def test_a_search_that_takes_many_after_the_gradients_is_a_red_flag(part: str) -> None:
    """Five images of a hundred are usual; 25 are none that gradients could not see."""
    assert flags({"cross-entropy": 40, part: 5})["search_after_gradients"].raised is False
    found = flags({"cross-entropy": 40, part: 25})["search_after_gradients"]
    assert found.raised is True
    assert "60 of 100" in found.evidence
    assert "35" in found.evidence


@needs("attacks/autoattack", "attacks/strongest")
def test_what_the_gradients_take_is_no_red_flag() -> None:
    found = flags({"cross-entropy": 80})
    assert found["search_after_gradients"].raised is False
    assert found["autoattack_vs_gradients"].raised is False


@needs("attacks/autoattack", "attacks/strongest")
def test_autoattack_that_takes_many_after_our_gradients_is_another_one() -> None:
    """What the search took is no part of it: with it, or without, AutoAttack took 25 of what gradients left."""
    found = flags({"cross-entropy": 40, "AutoAttack": 25, "Square": 2})
    assert found["autoattack_vs_gradients"].raised is True
    assert "60 of 100" in found["autoattack_vs_gradients"].evidence
    assert found["search_after_gradients"].raised is False
    hidden = flags({"cross-entropy": 40, "AutoAttack": 2, "Square": 25})
    assert hidden["autoattack_vs_gradients"].raised is False
    assert hidden["search_after_gradients"].raised is True


def test_without_such_a_part_nothing_is_checked() -> None:
    found = flags({"cross-entropy": 40}, parts={"cross-entropy": "gradient"})
    assert found["search_after_gradients"].raised is None
    assert found["autoattack_vs_gradients"].raised is None
    assert "search_after_gradients" in CHECKS
