"""Attacks of Foolbox, and a user's own that derive from them, run as ours are."""

from __future__ import annotations

import copy
from typing import Any

import torch
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.base import FixedEpsilonAttack, MinimizationAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.criteria import Misclassification
from foolbox.models.base import Model
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor

from reproof.attacking.batch import Batch
from reproof.errors import StudyError


class FoolboxAttack:
    """An attack of Foolbox by its `run`, which spares the passes that its `__call__` spends to judge.

    Its gradients are not watched: nobody learns whether they were zero where it began.
    """

    def __init__(self, attack: FixedEpsilonAttack | MinimizationAttack):
        self.attack = attack
        self.minimal = isinstance(attack, MinimizationAttack)
        """Whether it goes as far as it must: within a budget the engine counts what lies farther as failed."""

    def perturb(self, batch: Batch) -> Tensor:
        """Return the attack's images; those that a minimisation attack marks as failed, all zero, as they were."""
        model = PyTorchModel(batch.classifier, bounds=(0, 1), device=batch.images.device)
        goal = Misclassification(batch.labels)
        attack = self.attack if batch.attack_loss is None else _redirected(self.attack, batch)
        if isinstance(attack, FixedEpsilonAttack):
            moved: Tensor = attack.run(model, batch.images, goal, epsilon=batch.require_epsilon())
            return moved
        found: Tensor = attack.run(model, batch.images, goal)
        # Such an image may be misclassified without being an example.
        blank = (found == 0).flatten(1).all(dim=1)
        return torch.where(blank[:, None, None, None], batch.images, found)


def adapt(attack: Any, kind: str) -> FoolboxAttack:
    """Return an attack of Foolbox as one of ours; StudyError for anything else."""
    if not isinstance(attack, FixedEpsilonAttack | MinimizationAttack):
        raise StudyError(
            f"attack {kind}: build() should return an object with perturb(batch), or a FixedEpsilonAttack or a "
            "MinimizationAttack of Foolbox"
        )
    return FoolboxAttack(attack)


def _redirected(attack: FixedEpsilonAttack | MinimizationAttack, batch: Batch) -> BaseGradientDescent:
    """Return a copy of a gradient attack that maximises the batch's attack loss; StudyError for other attacks."""
    loss = batch.attack_loss
    if loss is None or not isinstance(attack, BaseGradientDescent):
        raise StudyError(f"{type(attack).__name__} maximises no loss per image; leave `view` out")

    def get_loss_fn(model: Model, labels: EagerTensor) -> Any:
        return lambda inputs: astensor(loss(inputs.raw, labels.raw).sum())

    redirected = copy.copy(attack)
    vars(redirected)["get_loss_fn"] = get_loss_fn  # Foolbox's own name for what users override
    return redirected
