"""How sure a share is: Wilson and exact intervals, the spread over seeds, and the exact paired test."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

LEVEL = 0.95
Interval = tuple[float, float]


def wilson(correct: int, total: int, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval of correct / total; ValueError unless 0 <= correct <= total > 0."""
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"a share needs 0 <= correct <= total and total > 0, not {correct} of {total}")
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    share = correct / total
    scale = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the formula is exact only in real numbers; rounding would leave 1e-17 instead of 0.
    low = 0.0 if correct == 0 else centre - reach
    high = 1.0 if correct == total else centre + reach
    return low, high


def clopper_pearson(correct: int, total: int, level: float = LEVEL) -> Interval:
    """Return the exact interval of correct / total, which misses a share at most as often as it says.

    Clopper and Pearson 1934. ValueError unless 0 <= correct <= total > 0.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"a share needs 0 <= correct <= total and total > 0, not {correct} of {total}")
    from scipy.special import betaincinv  # see seed_spread

    tail = (1 - level) / 2
    low = 0.0 if correct == 0 else float(betaincinv(correct, total - correct + 1, tail))
    high = 1.0 if correct == total else float(betaincinv(correct + 1, total - correct, 1 - tail))
    return low, high


def seed_spread(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return the interval of the mean over seeds: Student's t for three or more, min to max for two."""
    if len(values) < 2:
        return None
    if len(values) == 2:
        return min(values), max(values)
    # scipy.stats costs a second to import; its quantile function alone a tenth.
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(values) - 1, (1 + level) / 2))
    mean = statistics.fmean(values)
    reach = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def combined(correct: int, total: int, values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the wider of the pooled counts' Wilson interval and the spread over seeds, within [0, 1]."""
    pooled = wilson(correct, total, level)
    spread = seed_spread(values, level)
    if spread is None or spread[1] - spread[0] <= pooled[1] - pooled[0]:
        return pooled
    return max(spread[0], 0.0), min(spread[1], 1.0)


def paired(only_first: int, only_second: int, total: int, level: float = LEVEL) -> Interval:
    """Return the interval of how much more often the second of two classifiers is right on the same images.

    only_first, only_second: images of which only the one, only the other is right. Wald's interval after half an
    image more of each kind of pair (Agresti and Min 2005), within [-1, 1]. ValueError unless the counts fit.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > total or total == 0:
        raise ValueError(f"{only_first} and {only_second} discordant images do not fit in {total}")
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    first, second, count = only_first + 0.5, only_second + 0.5, total + 2
    centre = (second - first) / count
    reach = z * math.sqrt(first + second - (second - first) ** 2 / count) / count
    return max(centre - reach, -1.0), min(centre + reach, 1.0)


def widened(interval: Interval, level: float) -> Interval:
    """Return a paired interval of confidence LEVEL at another one, about the same centre, within [-1, 1]."""
    if level == LEVEL:
        return interval
    normal = statistics.NormalDist()
    scale = normal.inv_cdf((1 + level) / 2) / normal.inv_cdf((1 + LEVEL) / 2)
    centre, reach = (interval[0] + interval[1]) / 2, scale * (interval[1] - interval[0]) / 2
    return max(centre - reach, -1.0), min(centre + reach, 1.0)


def mcnemar_one_sided(only_first: int, only_second: int) -> float:
    """Return the exact probability that so many discordant images, or more, fall to the first by chance (McNemar).

    only_first, only_second: images on which only the one, only the other is right; the rest says nothing.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts of images are not negative: {only_first}, {only_second}")
    discordant = only_first + only_second
    # At least only_first on one side is at most only_second on the other: Binomial(n, 1/2) in whole numbers.
    term, ways = 1, 0
    for index in range(only_second + 1):
        ways += term
        term = term * (discordant - index) // (index + 1)
    return ways / (1 << discordant)
