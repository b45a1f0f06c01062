"""Cards of numbers that are no count of correct images."""

from __future__ import annotations

import made_up_study
import pytest

from reproof.report.contents import rows
from reproof.report.numbers import counts


@pytest.mark.parametrize(
    ("correct", "total", "expected"),
    [
        ("27", "48", [("correct", "27 of 48 images")]),
        ("0", "48", [("correct", "0 of 48 images")]),
        ("", "48", [("images", "48")]),  # a mean over an ensemble's members, a number of failed majorities
        ("", "", []),
    ],
)
def test_a_count_is_never_half_a_sentence(correct: str, total: str, expected: list[tuple[str, str]]) -> None:
    (row,) = rows(made_up_study.frame("summary", [{"correct": correct, "total": total}]))
    assert list(counts(row)) == expected
