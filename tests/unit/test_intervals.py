"""Intervals and the paired test against hand-computed values and scipy."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, t

from reproof.intervals import combined, mcnemar, mcnemar_one_sided, seed_spread, wilson


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


def test_mcnemar_by_hand():
    # 9 discordant images, 1 against 8: 2 * (1 + 9) / 2⁹.
    assert mcnemar(1, 8) == mcnemar(8, 1) == 20 / 512
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1.0


def test_one_sided_knows_its_side():
    assert mcnemar_one_sided(8, 1) == 10 / 512
    assert mcnemar_one_sided(1, 8) == 511 / 512
    assert mcnemar_one_sided(0, 0) == 1.0
    with pytest.raises(ValueError, match="not negative"):
        mcnemar_one_sided(-1, 2)


@pytest.mark.parametrize(("first", "second"), [(3, 11), (40, 60), (700, 1300), (0, 4000)])
def test_mcnemar_agrees_with_scipy(first, second):
    total = first + second
    assert mcnemar(first, second) == pytest.approx(binomtest(first, total).pvalue, rel=1e-9)
    greater = binomtest(first, total, alternative="greater").pvalue
    assert mcnemar_one_sided(first, second) == pytest.approx(greater, rel=1e-9)
