"""DeepFool (Moosavi-Dezfooli, Fawzi and Frossard, 2016; Mirzaeian, DKD, Sec. 4.1).

Step to the nearest boundary of the model's linear approximation, until the class changes: with f_k = Z_k - Z_y
and w_k = ∇x f_k, k the class with the smallest |f_k| / ‖w_k‖₂, the step is |f_k| w_k / ‖w_k‖₂² (Algorithm 2);
for L-infinity it is |f_k| sign(w_k) / ‖w_k‖₁, k with the smallest |f_k| / ‖w_k‖₁ (Sec. 3.3). The image returned
lies beyond the boundary by the overshoot η. One that no step fools comes back as it was, and so does, with `epsilons`,
one that lies farther than the budget.

With `contenders: null` the result is that of Foolbox 3's DeepFool. Images that are fooled leave the batch, one
pass forward serves the gradients of all classes, and after the first step only the classes nearest in it are looked
at, so it costs a fraction.

Not guaranteed: that the distance is the smallest one. The steps follow a linear approximation from where the
last one ended, the image's edges at 0 and 1 are only cut off, and of many classes only the first `candidates`, later
only the first `contenders` are looked at. Accuracy after enough steps is near zero for every model with gradients;
read the distance beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from reproof.attacking.batch import Attack, Batch
from reproof.attacking.jacobian import differentiate_each
from reproof.settings.attack import Access, Point, SteppedMinimalAttackSettings
from reproof.settings.cost import FORWARD
from reproof.settings.values import Count, NonNegative, Norm, Whole

MARGIN = 1e-4  # added to each step's length, as in the authors' own code, so that it crosses the boundary
SMALL = 1e-8  # keeps a gradient of zero from dividing by zero


class Settings(SteppedMinimalAttackSettings):
    """DeepFool's steps, its norm and how far beyond the boundary it goes."""

    title: ClassVar[str] = "DeepFool"
    family: ClassVar[str] = "nearest boundary"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"steps": [50]}
    takes_view: ClassVar[bool] = False
    swept: ClassVar[tuple[str, ...]] = ("steps", "epsilon")
    usual_steps: ClassVar[int | None] = 6

    distance: Literal["l2", "linf"] = "l2"
    """Norm of the perturbation that the steps minimise (Sec. 3.3 for L-infinity)."""
    overshoot: NonNegative = 0.02
    """How much farther than to the boundary, as a share of the way: η in Sec. 3.2. Foolbox 2.3.0 has 0.05, of each
    step instead of their sum, which is the same but where an image is cut off at 0 or 1."""
    candidates: Whole | None = Field(10, ge=2)
    """Look only at the so many most likely classes, the image's own among them; null: at all."""
    contenders: Count | None = 4
    """After the first step, look only at the so many of them whose boundaries were nearest; null: at all."""

    @property
    def budget_norm(self) -> Norm | None:
        """Return the norm of its budgets; None without any."""
        return self.distance if self.epsilons else None

    def passes(self) -> float:
        """Return the passes that an image usually takes, averaged over the points; it stops when fooled.

        A step is one pass forward and one back for each class that is looked at, of ten classes.
        """
        candidates = (self.candidates or 10) - 1
        contenders = min(self.contenders or candidates, candidates)
        first, later = (FORWARD + (1 - FORWARD) * classes for classes in (candidates, contenders))
        usual = sum(min(steps, self.usual_steps or steps) for steps in self.steps) / len(self.steps)
        return first + later * (usual - 1)


@dataclass(frozen=True)
class ActiveSetDeepFool:
    """DeepFool that works on the images that are left, each as if it were alone."""

    steps: int
    distance: Literal["l2", "linf"] = "l2"
    overshoot: float = 0.02
    candidates: int | None = 10
    contenders: int | None = 4

    def perturb(self, batch: Batch) -> Tensor:
        """Return each image where it first fools, or the image itself."""
        clean, labels = batch.images, batch.labels
        best = clean.clone()
        left = torch.arange(len(best), device=best.device)
        moved, total = clean, torch.zeros_like(clean)
        classes: Tensor | None = None
        for step in range(self.steps + 1):
            leaf = moved.detach().requires_grad_(step < self.steps)
            logits = batch.logits(leaf)
            stays = logits.argmax(dim=1) == labels
            if not stays.all():
                best[left[~stays]] = moved[~stays]
                left, clean, moved, labels, total = (x[stays] for x in (left, clean, moved, labels, total))
                classes = None if classes is None else classes[stays]
            if step == self.steps or not len(left):
                break
            if not stays.all():  # a pass back costs more than another one forward without the fooled
                leaf = moved.detach().requires_grad_()
                logits = batch.logits(leaf)
            if classes is None:
                # The image's own class stands first: it is the most likely one until it is fooled.
                classes = logits.detach().argsort(dim=1, descending=True, stable=True)[:, : self.candidates]
            differences = logits.gather(1, classes[:, 1:]) - logits.gather(1, classes[:, :1])
            direction, ranks = self._nearest(differences.detach(), differentiate_each(differences, leaf))
            if step == 0 and self.contenders is not None:
                classes = torch.cat(
                    [classes[:, :1], classes[:, 1:].gather(1, ranks[:, : self.contenders])], 1
                )
            total = total + direction
            moved = (clean + (1 + self.overshoot) * total).clamp(0, 1)
        return best

    def _nearest(self, differences: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the step to the nearest of the linear boundaries (n, C, H, W), and all by distance (n, K - 1).

        differences: (n, K - 1), each class's logit less the own class's. gradients: theirs, (n, K - 1, C, H, W).
        """
        flat = gradients.flatten(2)
        lengths = flat.norm(dim=2) if self.distance == "l2" else flat.abs().sum(dim=2)
        away, ranks = (differences.abs() / (lengths + SMALL)).sort(dim=1, stable=True)
        rows, nearest = torch.arange(len(ranks), device=ranks.device), ranks[:, 0]
        gradient = gradients[rows, nearest]
        scale = away[:, 0] + MARGIN
        if self.distance == "linf":
            return scale[:, None, None, None] * gradient.sign(), ranks
        return (scale / (lengths[rows, nearest] + SMALL))[:, None, None, None] * gradient, ranks


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack with the point's number of steps, or with the one there is."""
    return ActiveSetDeepFool(
        steps=int(point.value) if point.name == "steps" else settings.steps[0],
        distance=settings.distance,
        overshoot=settings.overshoot,
        candidates=settings.candidates,
        contenders=settings.contenders,
    )
