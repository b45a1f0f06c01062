"""Square Attack (Andriushchenko et al., 2020): random search that asks for scores only.

Start from vertical stripes of ±ε; then, at each query, change a square of every channel by ±2ε, put the result back
into the ball and into [0, 1], and keep it where the margin Z_y - max_{k≠y} Z_k falls (Algorithms 1 and 2). With
`norm: l2` start from a grid of small peaks, and at each query move the budget of one square into another (Algorithm 3).
The square's share of the pixels falls from `share` by halves, a schedule that is stretched to the number of queries
(Sec. 5). The attack is pyautoattack's, AutoAttack's fourth. No gradient is asked for, so that one that is masked hides
nothing.

An image leaves when it is fooled and keeps that query; one that survives keeps its smallest margin, so that it can be
shown to another model.

Not guaranteed: that it is as strong as an attack with gradients; where it is stronger, the gradients mislead. Squares
are drawn once for a whole batch, so an image's fate can depend on what else is in it, and, as in the authors' code, no
square smaller than the image reaches the last row or column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pyautoattack.square import SquareAttack
from pydantic import Field
from torch import Tensor

from reproof.attacking.batch import Attack, Batch
from reproof.attacking.seclusion import LIBRARY_NORMS, safely, secluded
from reproof.settings.attack import Access, BallSettings, Point
from reproof.settings.cost import FORWARD
from reproof.settings.values import Count, Norm, UnitInterval


class Settings(BallSettings):
    """Square's budgets and queries."""

    title: ClassVar[str] = "Square"
    family: ClassVar[str] = "random search by scores"
    access: ClassVar[Access] = "score"
    iterative: ClassVar[bool] = True
    randomised: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"epsilons": [0.1], "queries": 100}
    takes_view: ClassVar[bool] = False
    queries: Count = 5000
    """Squares tried on each image, a pass forward each: N in Algorithm 1; AutoAttack takes 5,000."""
    share: Annotated[UnitInterval, Field(gt=0)] = 0.8
    """Share of the pixels that the first squares change, in (0, 1]: p in Algorithm 1; AutoAttack's is 0.8."""
    restarts: Count = 1
    """Searches from other stripes; later ones only for images that are still classified correctly."""

    def passes(self) -> float:
        """Return the passes forward of an image that survives: an upper bound, as the others leave early."""
        return FORWARD * self.restarts * (self.queries + 2)


@dataclass(frozen=True)
class RandomSquaresAttack:
    """pyautoattack's search on what is left."""

    queries: int
    share: float = 0.8
    restarts: int = 1
    norm: Norm = "linf"

    def perturb(self, batch: Batch) -> Tensor:
        """Return images inside the ball around the batch's; those misclassified at the start as they were."""
        clean, labels, epsilon = batch.images.detach().contiguous(), batch.labels, batch.require_epsilon()
        best = clean.clone()
        if epsilon == 0:
            return best
        with secluded() as seed:
            ask = safely(batch.logits)
            search = SquareAttack(
                ask,
                norm=LIBRARY_NORMS[self.norm],
                eps=epsilon,
                n_queries=self.queries,
                p_init=self.share,
                seed=seed,
                loss="margin",
                resc_schedule=True,
                device=clean.device,
            )
            search.init_hyperparam(clean)
            # Its `perturb` would seed the generator with this and give survivors their originals back.
            torch.manual_seed(seed)
            left = (ask(clean).argmax(dim=1) == labels).nonzero().squeeze(1)
            for restart in range(self.restarts):
                if restart:
                    left = left[ask(best[left]).argmax(dim=1) == labels[left]]
                if not len(left):
                    break
                _, best[left] = search.attack_single_run(clean[left], labels[left])
        return best


def build(settings: Settings, point: Point) -> Attack:
    """Return Square with its queries."""
    return RandomSquaresAttack(settings.queries, settings.share, settings.restarts, settings.norm)
