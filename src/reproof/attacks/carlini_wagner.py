"""Carlini and Wagner's L2 attack with a fixed constant (Carlini and Wagner 2017; Mustafa 2019, Eq. 14, 15).

Minimise ‖x(ζ) - x‖₂² + c f(x(ζ)) over ζ with Adam, where x(ζ) = (tanh ζ + 1) / 2 and
f(x') = max(Z(x')_y - max_{k≠y} Z(x')_k + κ, 0), which is Eq. 15 up to the constant κ. (Eq. 14 prints the norm
unsquared; Carlini and Wagner square it.) Each image keeps its closest iterate that fools; one that has none
comes back as it was, where Foolbox's attack returns an all-zero image. All steps are taken: nothing stops
early, so that an image's result does not depend on the rest of its batch.

Not guaranteed: that an image resists because the attack failed. With one search, c decides how much
distortion a wrong answer is worth, so accuracy at a small c is high for every model; read it beside the L2
distance. More `binary_search_steps` make it another, stronger attack. The distance has no upper limit but that of
`epsilons`: what lies farther has failed, though another search might have ended nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Discriminator, Field, Tag, model_validator
from torch import Tensor

from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient import differentiate
from reproof.models.attack_loss import excess
from reproof.settings.attack import Access, MinimalAttackSettings, Point
from reproof.settings.values import Count, NonNegative, Norm, Positive

FIRST_MOMENT, SECOND_MOMENT, ADAM_EPSILON = 0.9, 0.999, 1e-8
SHRINK = 0.999999  # keeps arctanh finite at pixels of exactly 0 and 1


class Settings(MinimalAttackSettings):
    """C&W's constants and its optimisation."""

    title: ClassVar[str] = "C&W"
    family: ClassVar[str] = "optimised distance"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    example: ClassVar[dict[str, Any]] = {"constants": [1.0], "steps": 20}
    """Settings with which a short run makes sense; the contract tests use them."""
    takes_view: ClassVar[bool] = False
    swept: ClassVar[tuple[str, ...]] = ("c", "steps", "epsilon")
    constants: tuple[Positive, ...] = Field(min_length=1)
    """Weights of a wrong answer against distortion: c in Eq. 14. Each is an attack of its own."""
    steps: Annotated[
        Annotated[Count, Tag("number")] | Annotated[tuple[Count, ...], Field(min_length=1), Tag("list")],
        Discriminator(lambda given: "list" if isinstance(given, list | tuple) else "number"),
    ] = 1000
    """Adam's steps in each search. Each number of a list is an attack of its own, at one constant (DKD, Table 2)."""
    learning_rate: Positive = 0.01
    """Adam's rate, above 0, in the space of ζ."""
    confidence: NonNegative = 0.0
    """Margin by which another class must win: κ in Eq. 15."""
    binary_search_steps: Count = 1
    """Searches, each from a constant moved towards the smallest that fools; the papers' protocol has one."""

    @model_validator(mode="after")
    def _one_list(self) -> Settings:
        if isinstance(self.steps, tuple) and len(self.constants) != 1:
            raise ValueError(
                f"steps is a list, so constants should hold one number, not {len(self.constants)}; "
                "constants or steps is swept, not both"
            )
        if self.epsilons and (isinstance(self.steps, tuple) or len(self.constants) != 1):
            raise ValueError(
                "epsilons are given, so constants should hold one number, and steps be one; only epsilons are swept"
            )
        return self

    def points(self) -> tuple[Point, ...]:
        """Return one point per constant (`c=0.1`), number of steps where they are a list (`steps=200`), or budget."""
        if self.epsilons:
            return self.budgets()
        if isinstance(self.steps, tuple):
            return tuple(Point(name="steps", value=steps, epsilon=None) for steps in self.steps)
        return tuple(Point(name="c", value=c, epsilon=None) for c in self.constants)

    def passes(self) -> float:
        """Return the steps of all searches, averaged over the points."""
        steps = self.steps if isinstance(self.steps, tuple) else (self.steps,)
        return sum(steps) / len(steps) * self.binary_search_steps


@dataclass(frozen=True)
class FixedConstantAttack:
    """Eq. 14 and 15 with gradients taken to the image only; the rest of the chain is written out."""

    constant: float
    """c of the first search, the same for every image."""
    steps: int
    learning_rate: float
    confidence: float = 0.0
    binary_search_steps: int = 1

    def perturb(self, batch: Batch) -> Tensor:
        """Return each image's closest iterate that fools, or the image itself."""
        best = batch.images.clone()
        best_norm = torch.full((len(best),), torch.inf, dtype=best.dtype, device=best.device)
        constants = torch.full_like(best_norm, self.constant)
        lower, upper = torch.zeros_like(constants), torch.full_like(constants, torch.inf)
        for _ in range(self.binary_search_steps):
            found = self._search(batch, constants, best, best_norm)
            upper = torch.where(found, constants, upper)
            lower = torch.where(found, lower, constants)
            constants = torch.where(upper.isinf(), constants * 10, (lower + upper) / 2)
        return best

    def _search(self, batch: Batch, constants: Tensor, best: Tensor, best_norm: Tensor) -> Tensor:
        """Minimise at one constant per image, put closer iterates into `best`; return who was fooled (N,)."""
        clean, labels = batch.images, batch.labels
        start = ((2 * clean - 1) * SHRINK).arctanh()
        origin = (start.tanh() + 1) / 2
        variable = start.clone()
        first, second = torch.zeros_like(start), torch.zeros_like(start)
        fooled = torch.zeros_like(labels, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            tanh = variable.tanh()
            images = (tanh + 1).div_(2).requires_grad_()
            margins = excess(batch.logits(images), labels) + self.confidence
            gradient = differentiate((constants * margins.clamp(min=0)).sum(), images)
            images = images.detach()
            with torch.no_grad():
                norm = (images - clean).square_().sum(dim=(1, 2, 3)).sqrt_()
                wins = margins < 0
                closer = wins & (norm < best_norm)
                fooled |= wins
                torch.where(closer[:, None, None, None], images, best, out=best)
                torch.where(closer, norm, best_norm, out=best_norm)
                # d loss / d ζ = (c ∇f + 2 (x(ζ) - x)) (1 - tanh²ζ) / 2, then one step of Adam
                gradient = (
                    images.sub_(origin).mul_(2).add_(gradient).mul_(tanh.square_().neg_().add_(1)).div_(2)
                )
                first.lerp_(gradient, 1 - FIRST_MOMENT)
                second.mul_(SECOND_MOMENT).addcmul_(gradient, gradient, value=1 - SECOND_MOMENT)
                scale = (second / (1 - SECOND_MOMENT**step)).sqrt_().add_(ADAM_EPSILON)
                variable.addcdiv_(first, scale, value=-self.learning_rate / (1 - FIRST_MOMENT**step))
        return fooled


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack at the point's constant, or at the one constant, with the point's steps or the only ones."""
    return FixedConstantAttack(
        constant=point.value if point.name == "c" else settings.constants[0],
        steps=settings.steps if isinstance(settings.steps, int) else int(point.value),
        learning_rate=settings.learning_rate,
        confidence=settings.confidence,
        binary_search_steps=settings.binary_search_steps,
    )
