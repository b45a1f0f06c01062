"""How large a difference must be for a sanity check to notice it: what an unraised check is worth.

Of each comparison: the smallest true difference that raises its check with probability POWER, at the check's own level
and corrected for its number of comparisons. Exact for nested survivors: every image that withstands the stronger attack
withstands the weaker one too, so that the images that tell the two apart are binomial, and from some number of them on
the check is raised. Where the stronger attack also leaves images that the weaker one takes, more is needed.

No difference can be larger than what the weaker attack leaves: where the one-sided 95 % bound of that is smaller, it
counts instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from reproof.diagnostics.comparison import ALPHA, Comparison, Side
from reproof.diagnostics.sanity_check import Power
from reproof.measuring.intervals import clopper_pearson

POWER = 0.8
"""How often the difference that is told would be noticed: the usual choice (Cohen 1988, Sec. 2.4)."""
Rule = Callable[[Comparison, int], bool]
"""Tells whether a comparison raises its check, which has so many of them."""
_NOBODY = Side("", "", False, {})


def of_comparisons(comparisons: Sequence[Comparison], rule: Rule) -> Power | None:
    """Return what a check of these comparisons notices in each of them; None without any."""
    found = [
        Power(min(_noticed(rule, len(comparisons), one.total), _room(one)), one.total) for one in comparisons
    ]
    return max(found, default=None)


def of_share(harmless: float, total: int, raises: Callable[[int], bool]) -> Power:
    """Return what a check of a share of images notices beyond what is harmless. raises: so many images do it."""
    return Power(max(0.0, noticed_share(least_count(raises, total), total) - harmless), total)


def noticed_share(least: int | None, total: int) -> float:
    """Return the share of images of which `least` of `total`, or more, are seen with probability POWER.

    least: None where no number of images raises the check; the share is 1 then.
    """
    if not least:
        return 1.0 if least is None else 0.0
    from scipy.special import betaincinv  # see intervals.seed_spread

    return float(betaincinv(least, total - least + 1, POWER))


def least_count(raises: Callable[[int], bool], total: int) -> int | None:
    """Return the smallest number of images that raises a check; None where not even all do.

    Every rule here that is raised by some number of images is raised by every larger one.
    """
    return next((count for count in range(total + 1) if raises(count)), None)


@functools.cache
def _noticed(rule: Rule, comparisons: int, total: int) -> float:
    def raises(count: int) -> bool:
        return rule(Comparison(_NOBODY, _NOBODY, count, 0, count, 0, total), comparisons)

    return noticed_share(least_count(raises, total), total)


def _room(one: Comparison) -> float:
    """Return the one-sided 95 % bound of what the first attack leaves."""
    return clopper_pearson(one.first_correct, one.total, 1 - 2 * ALPHA)[1]
