"""Statements of the prose on the page: the rule by which each is judged, as a sentence."""

from __future__ import annotations

import pytest

from reproof.claims.paper import Statement
from reproof.report.sections.statements import rule


@pytest.mark.parametrize(
    ("stated", "unit", "words"),
    [
        (
            {"relation": "more"},
            "percent",
            "In every pair the first number is at least as high as the second.",
        ),
        (
            {"relation": "more", "tolerance": 0.005},
            "percent",
            "In every pair the first number is at least as high as the second, 0.5 points allowed.",
        ),
        (
            {"relation": "less", "margin": 0.1, "against": "best", "holds_for": "some"},
            "percent",
            "In at least one pair the first number is lower by at least 10.0 points than the highest it is "
            "compared with.",
        ),
        (
            {"relation": "about", "margin": -0.02, "against": "worst", "holds_for": "mean"},
            "fraction",
            "On average over the pairs the first number lies 0.020 below the lowest it is compared with, "
            "give or take 0.005.",
        ),
        (
            {"relation": "more", "margin": 0.414, "scale": "relative"},
            "percent",
            "In every pair the first number is higher by at least 41.4 % than the second.",
        ),
        (
            {"relation": "more", "value": 0.9, "right": ()},
            "percent",
            "In every pair the first number is at least as high as 90.0 %.",
        ),
    ],
)
def test_rules_of_statements_read_as_sentences(stated: dict[str, object], unit: str, words: str) -> None:
    fields = {"key": "k", "place": "p", "words": "w", "left": ("a",), "right": ("b",)} | stated
    assert rule(Statement.model_validate(fields), unit) == words
