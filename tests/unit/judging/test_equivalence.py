"""Margins and words: hand-computed values, and how often each word is wrong over simulated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reproof.claims.claim import Claim
from reproof.judging import equivalence
from reproof.judging.equivalence import Measurement, level, margin, supported, together, word
from reproof.measuring import intervals
from tests.hand_made_papers import claim as hand_made_claim


def claim(value: float, metric: str = "accuracy", unit: str = "fraction", printed: str = "") -> Claim:
    return hand_made_claim(value=value, metric=metric, unit=unit, printed=printed or str(value))


@pytest.mark.parametrize(
    ("value", "metric", "unit", "share", "expected"),
    [
        (0.0, "accuracy", "fraction", 0.0, 0.02),  # an error of 1: two points
        (0.5, "accuracy", "fraction", 0.5, 0.02),
        (0.96, "accuracy", "fraction", 0.96, 0.02),  # half of 4 points of error
        (0.97, "accuracy", "fraction", 0.97, 0.015),
        (0.985, "accuracy", "fraction", 0.985, 0.0075),
        (0.99, "accuracy", "fraction", 0.99, 0.005),
        (0.9965, "accuracy", "fraction", 0.9965, 0.005),  # never below half a point
        (1.0, "accuracy", "fraction", 1.0, 0.005),
        (0.003, "train_error", "fraction", 0.003, 0.005),  # an error is its own error
        (0.03, "train_error", "fraction", 0.03, 0.015),
        (0.5, "refused", "fraction", 0.5, 0.02),
        (576, "failed_majorities", "images", 0.0576, 0.02),
        (15, "failed_majorities", "images", 0.0015, 0.005),
        (0.0012, "accuracy_gain", "points", 0.0012, 0.0006),  # half of the gain
        (-0.002, "accuracy_gain", "points", -0.002, 0.001),
        (1.5, "epoch_seconds", "min:s", 1.5, 0.375),  # a ratio of times, within 25 %
        (7.0, "chosen_round", "rounds", 7.0, 0.7),
        (0.8, "confidence", "fraction", 0.8, 0.08),
    ],
)
def test_margin(value: float, metric: str, unit: str, share: float, expected: float) -> None:
    assert margin(claim(value, metric, unit), share) == pytest.approx(expected)


def test_a_gain_of_nothing_has_the_margin_of_its_print() -> None:
    assert margin(claim(0.0, "accuracy_gain", "points", "0.00"), 0.0) == pytest.approx(0.5e-4)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ((0.50, 0.49, 0.51), "reproduced"),
        ((0.50, 0.48, 0.52), "reproduced"),  # to the very edge
        ((0.50, 0.47, 0.53), "undecided"),  # as near as can be, and too few images
        ((0.53, 0.521, 0.54), "higher"),
        ((0.53, 0.519, 0.54), "undecided"),
        ((0.45, 0.43, 0.479), "lower"),
        ((0.45, 0.43, 0.481), "undecided"),
        ((0.50, 0.0, 1.0), "undecided"),  # a wide interval reproduces nothing
    ],
)
def test_word(measured: tuple[float, float, float], expected: str) -> None:
    assert word(0.5, Measurement(*measured), 0.02) == expected


def test_fifty_images_reproduce_no_middling_accuracy() -> None:
    """On the last version an interval of 14 points each way contained whatever was claimed."""
    for correct in range(51):
        low, high = intervals.clopper_pearson(correct, 50)
        for claimed in np.linspace(0.1, 0.9, 81):
            assert word(claimed, Measurement(correct / 50, low, high), 0.02) != "reproduced"


def test_seeds_speak_for_themselves() -> None:
    assert together(["lower", "lower", "lower"]) == "lower"
    assert together(["lower", "lower", "reproduced"]) == "undecided"
    assert together(["lower", "higher"]) == "undecided"
    assert together(["undecided", "undecided"]) == "undecided"


def test_seeds_that_each_contradict_a_claim_never_reproduce_it_together() -> None:
    """BIM at 0.15 against Gravity: 0.883, 0.920 and 0.937 of 1,000 images, 0.9754 claimed."""
    words = []
    for correct in (883, 920, 937):
        low, high = intervals.clopper_pearson(correct, 1000)
        words.append(word(0.9754, Measurement(correct / 1000, low, high), margin(claim(0.9754), 0.9754)))
    assert together(words) == "lower"


@pytest.mark.parametrize("gain", [-0.015, 0.02])
def test_a_gain_ten_times_as_large_does_not_reproduce_a_small_one(gain: float) -> None:
    """Two points of tolerance once reproduced 0.12 points by -1.5 and by +2.0."""
    within = margin(claim(0.0012, "accuracy_gain", "points"), 0.0012)
    assert word(0.0012, Measurement(gain, gain - 1e-4, gain + 1e-4), within) in ("lower", "higher")


@pytest.mark.parametrize(
    ("found", "weaker", "stronger", "other"),
    [
        ("reproduced", False, True, False),
        ("higher", False, True, False),
        ("lower", True, False, False),
        ("undecided", True, True, True),
    ],
)
def test_an_attack_s_strength_is_one_sided(
    found: equivalence.Word, weaker: bool, stronger: bool, other: bool
) -> None:
    assert supported(found, "same")
    assert (supported(found, "weaker"), supported(found, "stronger"), supported(found, "other")) == (
        weaker,
        stronger,
        other,
    )


def test_each_of_two_looks_has_half_the_error() -> None:
    assert (level(1), level(2)) == (pytest.approx(0.95), pytest.approx(0.975))


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (0, 20, 0.0, 1 - 0.025 ** (1 / 20)),  # closed forms at the ends
        (20, 20, 0.025 ** (1 / 20), 1.0),
        (1, 1, 0.025, 1.0),
        (5, 10, 0.18708603, 0.81291397),
    ],
)
def test_exact_interval(correct: int, total: int, low: float, high: float) -> None:
    assert intervals.clopper_pearson(correct, total) == pytest.approx((low, high), abs=1e-7)


@pytest.mark.parametrize(
    ("correct", "total", "level"), [(3, 50, 0.95), (981, 1000, 0.975), (17, 10_000, 0.9)]
)
def test_exact_interval_is_scipy_s(correct: int, total: int, level: float) -> None:
    found = stats.binomtest(correct, total).proportion_ci(confidence_level=level, method="exact")
    assert intervals.clopper_pearson(correct, total, level) == pytest.approx(
        (found.low, found.high), abs=1e-9
    )


@pytest.mark.parametrize(("correct", "total"), [(-1, 5), (6, 5), (0, 0)])
def test_exact_interval_refuses_what_is_no_share(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="a share needs"):
        intervals.clopper_pearson(correct, total)


# How often a word is wrong. The true accuracy of the weights at hand is known; at the margin's edge, where a word
# is wrong most easily, the claim is neither reproduced nor missed.

CLAIMS = (0.0, 0.02, 0.3, 0.55, 0.9, 0.985, 1.0)
SIZES = (20, 50, 100, 300, 1000, 3000, 10_000)


def words_of(claimed: float, counts: np.ndarray, total: int, confidence: float) -> dict[int, str]:
    """Return the word of each count."""
    within = margin(claim(claimed), claimed)
    found = {}
    for count in np.unique(counts).tolist():
        low, high = intervals.clopper_pearson(count, total, confidence)
        found[count] = word(claimed, Measurement(count / total, low, high), within)
    return found


def edges(claimed: float) -> list[float]:
    within = margin(claim(claimed), claimed)
    return [edge for edge in (claimed - within, claimed + within) if 0 < edge < 1]


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("total", SIZES)
def test_words_are_wrong_in_at_most_five_of_a_hundred(total: int, looks: int) -> None:
    """The exact probability of each word at the edge, summed over all counts that can happen."""
    for claimed in CLAIMS:
        for edge in edges(claimed):
            reach = 8 * math.sqrt(total * edge * (1 - edge)) + 8
            counts = np.arange(
                max(0, math.floor(total * edge - reach)), min(total, math.ceil(total * edge + reach)) + 1
            )
            found = words_of(claimed, counts, total, level(looks))
            chance = dict(zip(counts.tolist(), stats.binom.pmf(counts, total, edge).tolist(), strict=True))
            reproduced = sum(chance[count] for count in chance if found[count] == "reproduced")
            missed = sum(chance[count] for count in chance if found[count] in ("lower", "higher"))
            assert reproduced <= 0.05 / looks
            assert missed <= 0.05 / looks


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("total", [20, 100, 1000, 10_000])
def test_several_seeds_are_wrong_no_more_often(total: int, seeds: int) -> None:
    """Every seed's weights lie at the edge; their word together is wrong more rarely than that of one."""
    draw = np.random.default_rng(5)
    for claimed in CLAIMS:
        for edge in edges(claimed):
            counts = draw.binomial(total, edge, size=(2000, seeds))
            found = words_of(claimed, counts, total, level(1))
            decided = [together([found[count] for count in row]) for row in counts.tolist()]  # type: ignore[misc]
            assert decided.count("reproduced") <= 0.05 * len(decided)
            assert decided.count("lower") + decided.count("higher") <= 0.05 * len(decided)


@pytest.mark.parametrize(("first", "second"), [(20, 100), (100, 1000), (1000, 10_000)])
def test_two_looks_are_wrong_no_more_often_together(first: int, second: int) -> None:
    """A thousand images first; ten thousand, these among them, where the first look leaves a claim undecided."""
    draw = np.random.default_rng(6)
    for claimed in CLAIMS:
        for edge in edges(claimed):
            at_first = draw.binomial(first, edge, size=4000)
            in_all = at_first + draw.binomial(second - first, edge, size=4000)
            early = words_of(claimed, at_first, first, level(2))
            late = words_of(claimed, in_all, second, level(2))
            words = [
                early[one] if early[one] != "undecided" else late[other]
                for one, other in zip(at_first.tolist(), in_all.tolist(), strict=True)
            ]
            assert words.count("reproduced") <= 0.05 * len(words)
            assert words.count("lower") + words.count("higher") <= 0.05 * len(words)


@pytest.mark.parametrize("claimed", [0.0, 0.3, 0.9, 0.985])
def test_ten_thousand_images_decide_where_the_truth_is_not_at_the_edge(claimed: float) -> None:
    """Words that are never wrong because nothing is ever decided would be worth nothing."""
    draw = np.random.default_rng(7)
    within = margin(claim(claimed), claimed)
    for truth, expected in ((claimed, "reproduced"), (claimed + 3 * within, "higher")):
        if truth <= 1:
            counts = draw.binomial(10_000, truth, size=500)
            found = words_of(claimed, counts, 10_000, level(1))
            assert [found[count] for count in counts.tolist()].count(expected) >= 475
