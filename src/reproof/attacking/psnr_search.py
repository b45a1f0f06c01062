"""Attacks at equal peak signal-to-noise ratio: which budget gives an attack's images a given mean PSNR.

Mirzaeian et al. (Gravity, Table IV) compare attacks "at budgets that lead to the same PSNR", whose value they do not
print. No pixel moves by more than epsilon, so an image's PSNR is never below -20 log10(epsilon); that is where the
search starts, and an attack that moves every pixel as far as it may has arrived. An L2 budget is searched as epsilon
over the root of the number of an image's values, of which the same holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from reproof.attacking.engine import AttackEngine, AttackResult
from reproof.errors import StudyError
from reproof.settings.attack import AttackSettings, Point
from reproof.settings.parameters import PSNR

Made = TypeVar("Made")

NEAR = 0.05
"""Decibels from the wanted PSNR at which the search ends."""
RESOLUTION = 1e-4
"""Width of the interval of epsilon, of pixels in [0, 1], at which it ends too, with the nearest budget so far."""


@dataclass(frozen=True)
class Found:
    """The budget at which an attack's images have the wanted mean PSNR, as nearly as the search came."""

    epsilon: float
    psnr: float
    """What they have: decibels, the mean over the images that the attack moved."""
    tries: int


def psnr(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Return each image's 10 log10(1 / MSE) in decibels, float64 (N,); infinite where nothing moved.

    clean, perturbed: (N, C, H, W) in [0, 1], whose peak is 1.
    """
    return -10 * (perturbed.double() - clean.double()).square().flatten(1).mean(dim=1).log10()


def mean_psnr(clean: Tensor, perturbed: Tensor) -> float:
    """Return the mean PSNR of the images that moved, in decibels; infinite where none did."""
    values = psnr(clean, perturbed)
    moved = values[values.isfinite()]
    return float(moved.mean()) if len(moved) else float("inf")


def search(wanted: float, attempt: Callable[[float], tuple[float, Made]], what: str) -> tuple[Found, Made]:
    """Return the budget at which a PSNR, falling with epsilon, is the wanted one, and what was made there.

    attempt: epsilon in (0, 1] to a PSNR in decibels, at least -20 log10(epsilon), and what was made. what: names the
    attack in the message. StudyError where even epsilon = 1 leaves a higher PSNR.
    """
    low, high, bounded = 10 ** (-wanted / 20), 1.0, False
    epsilon, tries = low, 0
    nearest: tuple[float, float, Made] | None = None
    while True:
        reached, made = attempt(epsilon)
        tries += 1
        if nearest is None or abs(reached - wanted) < abs(nearest[1] - wanted):
            nearest = epsilon, reached, made
        if reached > wanted and epsilon == 1:
            raise StudyError(
                f"{what}: cannot reach a PSNR of {wanted:g} dB; at epsilon = 1 it is still {reached:.2f} dB. "
                "Ask for a higher one"
            )
        if reached > wanted:
            low = epsilon
        else:
            high, bounded = epsilon, True
        if abs(nearest[1] - wanted) <= NEAR or (bounded and high - low <= RESOLUTION):
            return Found(nearest[0], nearest[1], tries), nearest[2]
        # As if every pixel's change grew with epsilon; where that leaves the interval, or is slow, it is halved.
        epsilon = low * 10 ** (min(reached - wanted, 40.0) / 20) if reached > wanted else low
        if not bounded:
            epsilon = 1.0 if tries % 3 == 0 else min(epsilon, 1.0)
        elif tries % 3 == 0 or not low < epsilon < high:
            epsilon = (low + high) / 2


def run_all(
    engine: AttackEngine,
    kind: str,
    settings: AttackSettings,
    images: Tensor,
    labels: Tensor,
    clean_predictions: Tensor,
    *,
    what: str,
) -> tuple[AttackResult, dict[str, Found]]:
    """Return an attack's images at all points of its settings, and the budgets found for its PSNRs.

    what: names the attack in messages; the rest as for AttackEngine.run. The mean is taken over the images that moved:
    others were not attacked, or have no gradient, whatever the budget.
    """

    def run(*points: Point) -> AttackResult:
        return engine.run(kind, settings, images, labels, clean_predictions, points)

    wanted = [point for point in settings.points() if point.name == PSNR]
    norm = settings.budget_norm
    if wanted and norm not in ("linf", "l2"):
        raise StudyError(f"{what}: a budget is searched for a PSNR in linf and l2, not in {norm}")
    largest = 1.0 if norm == "linf" else math.sqrt(images[0].numel())
    result = run(*(point for point in settings.points() if point.name != PSNR))
    budgets: dict[str, Found] = {}
    for point in wanted:
        name = point.parameters
        budgets[name], part = _run_at(point, run, images, largest, f"{what} at {name}")
        result.add_points(part)
    return result, budgets


def _run_at(
    point: Point, run: Callable[[Point], AttackResult], images: Tensor, largest: float, what: str
) -> tuple[Found, AttackResult]:
    """Return the budget for a point's PSNR, and the result there, with the seconds of the whole search.

    largest: the budget at which every pixel may change by 1.
    """
    name, seconds = point.parameters, 0.0

    def attempt(epsilon: float) -> tuple[float, AttackResult]:
        nonlocal seconds
        part = run(point.model_copy(update={"epsilon": largest * epsilon}))
        seconds += part.seconds[name]
        return mean_psnr(images, part.images[name]), part

    found, part = search(point.value, attempt, what)
    part.seconds[name] = seconds
    return replace(found, epsilon=largest * found.epsilon), part
