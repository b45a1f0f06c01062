"""Intervals and the paired test against hand-computed values and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, t

from reproof.measuring.intervals import combined, mcnemar_one_sided, paired, seed_spread, wilson


def test_wilson_by_hand():
    # z² = 3.841459; centre (0.8 + 0.192073) / 1.384146, reach 1.959964 * sqrt(0.016 + 0.009604) / 1.384146.
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=2e-6)


@pytest.mark.parametrize("total", [1, 7, 300, 10_000])
def test_wilson_agrees_with_scipy(total):
    for correct in sorted({0, 1, total // 3, total - 1, total}):
        expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
        assert wilson(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_is_exact_at_the_ends():
    assert wilson(0, 30)[0] == 0.0
    assert wilson(30, 30)[1] == 1.0
    assert 0 < wilson(0, 30)[1] < 0.2, "no failure seen is not no failure possible"


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_share(correct, total):
    with pytest.raises(ValueError, match="correct <= total"):
        wilson(correct, total)


def test_spread_over_seeds():
    assert seed_spread([0.5]) is None
    assert seed_spread([0.7, 0.5]) == (0.5, 0.7)
    # sd 0.1, t(2) = 4.302653, reach 4.302653 * 0.1 / sqrt(3)
    assert seed_spread([0.5, 0.6, 0.7]) == pytest.approx((0.6 - 0.248414, 0.6 + 0.248414), abs=1e-6)
    reach = t.ppf(0.975, 4) * 0.1 / 5**0.5
    values = [0.6 + 0.1 * x for x in (-1, -1, 0, 1, 1)]
    assert seed_spread(values) == pytest.approx((0.6 - reach, 0.6 + reach), abs=1e-12)


def test_combined_takes_the_wider_one():
    assert combined(50, 100, [0.5]) == wilson(50, 100)
    assert combined(100, 200, [0.5, 0.5]) == wilson(100, 200), "equal seeds do not make it sure"
    assert combined(10_000, 20_000, [0.4, 0.6]) == (0.4, 0.6), "many images do not hide unlike seeds"
    assert combined(5_400, 9_000, [0.5, 0.6, 0.7]) == pytest.approx((0.351586, 0.848414), abs=1e-6)


def test_combined_stays_a_share():
    assert combined(29_700, 30_000, [1.0, 0.97, 1.0])[1] == 1.0
    assert combined(300, 30_000, [0.0, 0.03, 0.0])[0] == 0.0


def test_one_sided_knows_its_side():
    assert mcnemar_one_sided(8, 1) == 10 / 512
    assert mcnemar_one_sided(1, 8) == 511 / 512
    assert mcnemar_one_sided(0, 0) == 1.0
    with pytest.raises(ValueError, match="not negative"):
        mcnemar_one_sided(-1, 2)


@pytest.mark.parametrize(("first", "second"), [(3, 11), (40, 60), (700, 1300), (0, 4000)])
def test_mcnemar_agrees_with_scipy(first, second):
    total = first + second
    greater = binomtest(first, total, alternative="greater").pvalue
    assert mcnemar_one_sided(first, second) == pytest.approx(greater, rel=1e-9)


def test_paired_by_hand():
    # Of 100 images 3 only by the first, 12 only by the second; half an image more of each kind of four: 3.5, 12.5
    # and 102. Centre 9 / 102; reach 1.959964 * sqrt(16 - 81 / 102) / 102 = 1.959964 * 3.899472 / 102.
    assert paired(3, 12, 100) == pytest.approx((0.088235 - 0.074930, 0.088235 + 0.074930), abs=2e-6)


def test_paired_knows_its_side():
    low, high = paired(12, 3, 100)
    assert (-high, -low) == pytest.approx(paired(3, 12, 100), abs=1e-15)
    assert paired(0, 20, 100)[0] > 0
    assert paired(20, 0, 100)[1] < 0
    low, high = paired(7, 7, 50)
    assert low == pytest.approx(-high)


def test_paired_of_two_that_never_differ_is_not_certain():
    low, high = paired(0, 0, 40)
    assert low == pytest.approx(-high)
    assert 0 < high < 0.06
    narrower = paired(0, 0, 4000)
    assert 0 < narrower[1] < high / 50


def test_paired_stays_a_difference_of_shares():
    assert paired(0, 1, 1)[1] == 1.0
    assert paired(1, 0, 1)[0] == -1.0
    assert paired(0, 30, 30)[1] <= 1.0


def test_paired_of_more_images_is_narrower_and_of_a_higher_level_wider():
    widths = [high - low for low, high in (paired(3 * n, 12 * n, 100 * n) for n in (1, 4, 16, 64))]
    assert all(4 / 1.9 > first / second > 1.9 for first, second in itertools.pairwise(widths))
    assert paired(3, 12, 100, level=0.99)[1] > paired(3, 12, 100)[1]


def test_paired_is_narrower_than_two_intervals_of_their_own():
    """Both are right on 80 to 83 of 100 images, and differ on 5: pairing is what makes the difference visible."""
    low, high = paired(1, 4, 100)
    assert high - low < (wilson(83, 100)[1] - wilson(80, 100)[0]) / 1.5


@pytest.mark.parametrize(("first", "second", "total"), [(0, 0, 0), (-1, 2, 5), (2, -1, 5), (3, 3, 5)])
def test_paired_refuses_counts_that_do_not_fit(first, second, total):
    with pytest.raises(ValueError, match="do not fit"):
        paired(first, second, total)


@pytest.mark.parametrize("total", [30, 100, 1000])
@pytest.mark.parametrize(("first", "second"), [(0.05, 0.05), (0.02, 0.10), (0.2, 0.3), (0.01, 0.02)])
def test_paired_covers_the_true_difference(first, second, total):
    """Of 4,000 experiments 95 % hold it, and never fewer than 93 %."""
    generator = np.random.default_rng(0)
    shares = [first, second, 1 - first - second]
    drawn, times = np.unique(generator.multinomial(total, shares, size=4000), axis=0, return_counts=True)
    held = 0
    for (only_first, only_second, _), count in zip(drawn.tolist(), times.tolist(), strict=True):
        low, high = paired(only_first, only_second, total)
        held += count * (low <= second - first <= high)
    assert held / 4000 > 0.93
    if total == 1000 and first >= 0.05:
        assert held / 4000 < 0.97, "an interval that is too wide holds it too"
