"""Learning rate, batches and optimizer of a training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from reproof.models.defense import Defense, Trainee
from reproof.settings.training import TrainingSettings


def learning_rate_factor(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """Return what every rate is multiplied by at a step of the whole run: warm-up, then the schedule."""
    epoch = step / steps_per_epoch
    if epoch < settings.warmup_epochs:
        return min(1.0, (step + 1) / (settings.warmup_epochs * steps_per_epoch))
    if settings.schedule == "step":
        return math.prod(settings.gamma for milestone in settings.milestones if epoch >= milestone)
    if settings.schedule == "cosine":
        done = (epoch - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def split_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Return the epoch's batches of indices; a last batch of one image joins the one before it."""
    batches = list(torch.split(order, batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def make_optimizer(
    defense: Defense[Any], trainee: Trainee, settings: TrainingSettings
) -> torch.optim.Optimizer:
    """Return the optimizer over the trainee's parameters, with the rates that the defense gives some of them."""
    groups = list(defense.parameter_groups(trainee, settings.learning_rate))
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            groups,
            lr=settings.learning_rate,
            betas=(settings.momentum, 0.999),
            weight_decay=settings.weight_decay,
        )
    return torch.optim.SGD(
        groups,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )


def clip_gradients(optimizer: torch.optim.Optimizer, bound: float) -> None:
    """Scale each parameter group's gradient, by itself, to an L2 norm of at most `bound`.

    Groups apart: the gradients of class centres, which a loss of squared distances makes hundreds of times as
    long as the network's, would take nearly all of a common norm, and the network would hardly learn.
    """
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], bound)
