"""Adversarial examples that a training makes in its loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reproof.errors import TrainingError
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.training.inner_attacks import Loss, carlini_wagner, crafting_mode, fgsm, pgd


class Batch:
    """What a step trains on: images, labels, and the weight of each image in the mean loss."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images = images
        self.labels = labels
        self.weights: Tensor | None = None
        self.crafted = 0

    def mean(self, losses: Tensor) -> Tensor:
        """Return the weighted mean of the losses per image (Kurakin 2017, Eq. 1); TrainingError for other shapes."""
        if losses.shape != self.labels.shape:
            raise TrainingError(
                f"the defense's loss has the shape {tuple(losses.shape)} for a batch of {len(self.labels)} images; "
                f"it should return one value for each image, {tuple(self.labels.shape)}"
            )
        if self.weights is None:
            return losses.mean()
        return (self.weights * losses).sum() / self.weights.sum()


def mix_in_adversarial(
    batch: Batch,
    adversarial: AdversarialTraining,
    defense: Defense[Any],
    trainee: Trainee,
    progress: Progress,
    generator: torch.Generator,
) -> None:
    """Replace the first `share` of the batch by adversarial examples, or add them to it with `augment`.

    While it warms up on clean images, the batch stays as it is.
    """
    count = round(adversarial.share * len(batch.images))
    if count == 0 or progress.epoch < adversarial.begins(progress.epochs):
        return
    clean, labels = batch.images[:count], batch.labels[:count]
    crafted = craft(clean, labels, adversarial, defense, trainee, progress, generator)
    rest = batch.images if adversarial.augment else batch.images[count:]
    rest_labels = batch.labels if adversarial.augment else batch.labels[count:]
    batch.images = torch.cat([crafted, rest])
    batch.labels = torch.cat([labels, rest_labels])
    batch.crafted = count
    if adversarial.weight != 1:
        batch.weights = torch.ones(len(batch.images), device=batch.images.device)
        batch.weights[:count] = adversarial.weight


def craft(
    images: Tensor,
    labels: Tensor,
    adversarial: AdversarialTraining,
    defense: Defense[Any],
    trainee: Trainee,
    progress: Progress,
    generator: torch.Generator,
) -> Tensor:
    """Return adversarial examples of the images; no parameter, gradient or running statistic of the trainee
    changes.
    """
    with crafting_mode(trainee, training=adversarial.mode == "train"):
        if adversarial.labels == "predicted":
            with torch.no_grad():
                labels = trainee(images).argmax(dim=1)
        if adversarial.attack == "carlini_wagner":
            constant = 0.1 if adversarial.constant is None else adversarial.constant
            rate = adversarial.learning_rate or 10 / adversarial.steps
            return carlini_wagner(
                trainee, images, labels, constant=constant, steps=adversarial.steps, learning_rate=rate
            )
        low, high = _interval(adversarial)
        epsilon = torch.empty(len(images), device=images.device).uniform_(low, high, generator=generator)
        loss = _objective(labels, adversarial, defense, trainee, progress)
        if adversarial.attack == "fgsm":
            return fgsm(loss, images, epsilon)
        step_size = adversarial.step_size if adversarial.step_size is not None else 2.5 / adversarial.steps
        return pgd(
            loss,
            images,
            epsilon,
            steps=adversarial.steps,
            step_size=step_size,
            generator=generator if adversarial.random_start else None,
            convergence=defense.required_convergence(progress),
            criterion_centre=defense.criterion_centre,
        )


def _interval(adversarial: AdversarialTraining) -> tuple[float, float]:
    epsilon = adversarial.epsilon
    if epsilon is None:
        raise ValueError(f"{adversarial.attack} has no budget to draw")
    return epsilon if isinstance(epsilon, tuple) else (epsilon, epsilon)


def _objective(
    labels: Tensor,
    adversarial: AdversarialTraining,
    defense: Defense[Any],
    trainee: Trainee,
    progress: Progress,
) -> Loss:
    if adversarial.objective == "defense":
        return lambda candidates: defense.loss(trainee, candidates, labels, progress)
    return lambda candidates: nn.functional.cross_entropy(trainee(candidates), labels, reduction="none")
