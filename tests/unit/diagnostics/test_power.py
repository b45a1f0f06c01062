"""What an unraised check would have noticed, against the binomial distribution and against made-up studies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from reproof.diagnostics import power
from reproof.diagnostics.comparison import ALPHA, MARGIN, Comparison, Side
from reproof.diagnostics.red_flags import find, table_rows
from reproof.diagnostics.sanity_check import TOO_COARSE, Power, RedFlag, at_least, state
from reproof.measuring.outcomes import Trial
from tests.ours import needs
from tests.unit.diagnostics.made_up_trials import outcomes, trial

NOBODY = Side("", "", False, {})
DRAWS = 10_000
RULES = (Comparison.is_weaker, Comparison.is_far_weaker)
ATTACKS: dict[str, dict[str, Any]] = {
    "pgd": {"kind": "pgd", "steps": 10},
    "pgd_longer": {"kind": "pgd", "steps": 40},
    "square": {"kind": "square", "queries": 100},
    "square_longer": {"kind": "square", "queries": 1000},
}


def comparison(only_first: int, only_second: int, total: int, both: int = 0) -> Comparison:
    return Comparison(NOBODY, NOBODY, only_first, only_second, both + only_first, both + only_second, total)


@pytest.mark.parametrize(
    ("rule", "comparisons", "total", "least"),
    [
        # 2^-5 = 0.031 < 0.05; of ten comparisons 2^-8 = 0.0039 < 0.005
        (Comparison.is_weaker, 1, 48, 5),
        (Comparison.is_weaker, 10, 48, 8),
        # (d - 1.645 sqrt(d + 1 - d² / 50)) / 50: 0.038 of 6 images and 0.053 of 7
        (Comparison.is_far_weaker, 1, 48, 7),
        # (d - 1.645 sqrt(d + 1 - d² / 102)) / 102: 0.047 of 10 images and 0.055 of 11
        (Comparison.is_far_weaker, 1, 100, 11),
    ],
)
def test_what_is_noticed_is_seen_four_times_in_five(
    rule: power.Rule, comparisons: int, total: int, least: int
) -> None:
    several = [comparison(0, 0, total, both=total)] * comparisons
    found = power.of_comparisons(several, rule)
    assert found is not None
    assert found.images == total
    assert binom.sf(least - 1, total, found.difference) == pytest.approx(power.POWER, abs=1e-9)


def test_every_larger_number_of_images_raises_a_check_too() -> None:
    """Without which the smallest one would not tell the power."""
    for rule in RULES:
        for comparisons in (1, 7, 200):
            for total in (1, 5, 24, 48, 300):
                raised = [rule(comparison(count, 0, total), comparisons) for count in range(total + 1)]
                assert raised == sorted(raised)
    for share in (0.05, 0.5):
        raised = [at_least(count, 100, share) < ALPHA for count in range(101)]
        assert raised == sorted(raised)


def drawn(rule: power.Rule, difference: float, reverse: float, total: int, comparisons: int) -> float:
    """Return how often DRAWS made-up comparisons raise a check. reverse: share that only the second leaves."""
    generator = np.random.default_rng(7)
    rest = 1 - difference - 2 * reverse
    counts = generator.multinomial(total, [difference + reverse, reverse, rest], size=DRAWS)
    raised = {
        tuple(pair): rule(comparison(*pair, total), comparisons)
        for pair in np.unique(counts[:, :2], axis=0).tolist()
    }
    return float(np.mean([raised[tuple(pair)] for pair in counts[:, :2].tolist()]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("total", "comparisons"), [(24, 1), (48, 1), (48, 5), (100, 20), (1000, 3)])
def test_made_up_comparisons_notice_what_is_told_and_no_less(
    rule: power.Rule, total: int, comparisons: int
) -> None:
    """Three standard deviations of 10,000 draws are 0.012."""
    several = [comparison(0, 0, total, both=total)] * comparisons
    found = power.of_comparisons(several, rule)
    assert found is not None
    assert drawn(rule, found.difference, 0, total, comparisons) == pytest.approx(power.POWER, abs=0.012)
    assert drawn(rule, 0.8 * found.difference, 0, total, comparisons) < power.POWER - 0.1
    # Where the stronger one leaves some images that the weaker takes, a little less often.
    reversed_too = drawn(rule, found.difference, 0.02, total, comparisons)
    assert reversed_too < power.POWER
    if total <= 100 and rule is Comparison.is_far_weaker:
        assert reversed_too > 0.6


def test_no_difference_is_larger_than_what_the_weaker_attack_leaves() -> None:
    """Of none among 24 images the one-sided bound is 1 - 0.05^(1/24) = 11.7 %."""
    nothing_left = comparison(0, 0, 24)
    found = power.of_comparisons([nothing_left], Comparison.is_far_weaker)
    assert found == Power(pytest.approx(1 - ALPHA ** (1 / 24)), 24)
    assert found.difference < TOO_COARSE
    left = power.of_comparisons([nothing_left, comparison(0, 0, 24, both=20)], Comparison.is_far_weaker)
    assert left is not None
    assert left.difference > TOO_COARSE


def test_the_comparison_that_notices_least_is_told() -> None:
    several = [comparison(0, 0, total, both=total) for total in (1000, 48, 200)]
    found = power.of_comparisons(several, Comparison.is_far_weaker)
    alone = power.of_comparisons([several[1]] * 3, Comparison.is_far_weaker)
    assert found == alone
    assert power.of_comparisons([], Comparison.is_far_weaker) is None


def test_so_few_images_notice_nothing() -> None:
    found = power.of_comparisons([comparison(0, 0, 4, both=4)], Comparison.is_weaker)
    assert found == Power(1.0, 4)
    assert found.words == "Would notice no difference at 4 images."
    assert Power(0.149, 1480).words == "Would notice 15 points at 1,480 images."


@pytest.mark.parametrize(
    ("raised", "difference", "expected"),
    [
        (None, None, "not checked"),
        (True, 0.6, "raised"),
        (False, 0.254, "passed"),
        (False, 0.256, "too few images to tell"),
        (False, None, "passed"),
    ],
)
def test_a_check_that_may_miss_much_is_not_passed(
    raised: bool | None, difference: float | None, expected: str
) -> None:
    assert state(raised, difference) == expected
    seen = None if difference is None else Power(difference, 48)
    flag = RedFlag("net", "more_steps", raised, "It says so.", (), seen)
    assert flag.state == expected
    assert flag.told.endswith("at 48 images.") == (raised is False and difference is not None)


@pytest.mark.parametrize(
    ("total", "comparisons", "expected"),
    [
        (24, 1, "too few images to tell"),
        (48, 8, "passed"),
        (48, 9, "too few images to tell"),
        (100, 300, "passed"),
    ],
)
def test_as_many_images_are_enough_as_is_said(total: int, comparisons: int, expected: str) -> None:
    several = [comparison(0, 0, total, both=total)] * comparisons
    found = power.of_comparisons(several, Comparison.is_far_weaker)
    assert found is not None
    assert state(False, found.difference) == expected


def test_shares_are_held_against_what_is_harmless() -> None:
    """P(X >= 10) = 0.028 of Binomial(100, 0.05): ten images raise it."""
    assert at_least(10, 100, 0.05) < ALPHA <= at_least(9, 100, 0.05)
    found = power.of_share(0.05, 100, lambda count: at_least(count, 100, 0.05) < ALPHA)
    assert binom.sf(9, 100, 0.05 + found.difference) == pytest.approx(power.POWER, abs=1e-9)


def test_the_table_tells_it() -> None:
    pair = trial("pgd", 30, images=48), trial("pgd_longer", 28, images=48)
    rows = {row["gate"]: row for row in table_rows(find([outcomes(*pair)], ATTACKS))}
    assert (rows["more_steps"]["images"], round(rows["more_steps"]["detectable"], 3)) == (48, 0.183)
    assert (rows["more_restarts"]["images"], rows["more_restarts"]["detectable"]) == (None, None)


# Honest models: how often chance alone raises each check.


@pytest.mark.parametrize(
    ("rule", "honest"), [(Comparison.is_weaker, 0.0), (Comparison.is_far_weaker, MARGIN)]
)
@pytest.mark.parametrize("total", [24, 48, 100, 1000])
@pytest.mark.parametrize("comparisons", [1, 6])
def test_honest_models_raise_a_check_in_five_of_a_hundred_studies_at_most(
    rule: power.Rule, honest: float, total: int, comparisons: int
) -> None:
    """At the largest difference that an honest model has, and with images that go both ways."""
    once = drawn(rule, honest, 0.04, total, comparisons)
    assert 1 - (1 - once) ** comparisons <= ALPHA + 3 * (comparisons * ALPHA / DRAWS) ** 0.5


STUDIES, IMAGES = 100, 48


def honest_study(generator: np.random.Generator) -> tuple[list[Trial], dict[str, dict[str, Any]]]:
    """Return runs of six lengths on each of three losses and of Square, all equally strong but for chance."""
    trials, attacks = [], {}
    for kind, length, views in (
        ("pgd", "steps", ("logits", "joint", "votes")),
        ("square", "queries", ("logits",)),
    ):
        for view in views:
            base = generator.random(IMAGES) < 0.5
            for number in range(6):
                name = f"{kind}_{view}_{number}"
                left = np.where(generator.random(IMAGES) < 0.3, ~base, base)
                setting = "white_box" if view == "logits" else "adaptive"
                trials.append(
                    trial(name, np.flatnonzero(left), images=IMAGES, kind=kind, view=view, setting=setting)
                )
                attacks[name] = {"kind": kind, length: 10 * 2**number}
    return trials, attacks


@needs("attacks/square")
def test_many_runs_of_honest_models_raise_no_more() -> None:
    """Were the weakest of six runs held against the strongest, a fifth of these studies would (77 of 400)."""
    generator = np.random.default_rng(11)
    raised = dict.fromkeys(("more_steps", "more_queries"), 0)
    for _ in range(STUDIES):
        trials, attacks = honest_study(generator)
        for flag in find([outcomes(*trials)], attacks):
            if flag.check in raised:
                raised[flag.check] += bool(flag.raised)
    assert max(raised.values()) <= ALPHA * STUDIES, raised
