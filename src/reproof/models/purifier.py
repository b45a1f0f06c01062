"""Classifiers that clean an image before they look at it, and what an attacker makes of them.

The classifier inside is trained as if alone. What is deployed answers with its logits for the cleaned image.
Cleaning mostly has no useful gradient: a plain attack differentiates the classifier alone, an adaptive one says
how it goes through the cleaning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from reproof.data.dataset import DataDescription
from reproof.models.attack_loss import AttackLoss, on_logits
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Trainee
from reproof.settings.defense import DefenseSettings

S = TypeVar("S", bound=DefenseSettings)


class Purified(Classifier, ABC):
    """A classifier that answers for purified images; in training mode it answers for the images themselves.

    Its features are those of the classifier inside. The purifier's modules and buffers belong into the
    subclass, so that they are stored with the network.
    """

    def __init__(self, classifier: Classifier, data: DataDescription):
        super().__init__(data)
        self.classifier = classifier
        self.feature_shapes = classifier.feature_shapes

    @abstractmethod
    def purify(self, images: Tensor) -> Tensor:
        """Return the images cleaned: float32 (N, C, H, W) in [0, 1], as they came.

        Called without gradient, in evaluation mode, with one image at least. An image's result depends on the
        image alone: on nothing drawn, and on no other image of the batch.
        """

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits (N, K) and features of the purified images; of the images themselves where a gradient is asked.

        Who differentiates this network attacks the classifier and does not know of the purifier, as in the papers;
        what is made so is judged with it. In training mode nothing is purified.
        """
        if self.training or (torch.is_grad_enabled() and images.requires_grad):
            return self.classifier.logits_and_features(images)
        with torch.no_grad():
            return self.classifier.logits_and_features(self._cleaned(images))

    def _cleaned(self, images: Tensor) -> Tensor:
        return self.purify(images) if len(images) else images

    def bpda_logits(self, images: Tensor) -> Tensor:
        """Return the purified images' logits (N, K), differentiated as if purifying changed nothing.

        Backward pass differentiable approximation by the identity (Athalye 2018, Sec. 4.1.1): the classifier's
        gradient at the purified image is taken for the gradient at the image.
        """
        with torch.no_grad():
            purified = self._cleaned(images)
        logits: Tensor = self.classifier(_with_gradient_of(purified, images))
        return logits


class PurifiedDefense(Defense[S]):
    """A method whose `build` returns a trainee with a `Purified` classifier; its Settings name the attack loss `bpda`.

    The inherited loss, the cross-entropy of the classifier inside, is one part of the method's; the purifier's
    own loss per image is the other. They share no parameters, so each trains as if alone.
    """

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `bpda`: the cross-entropy of the logits that `bpda_logits` gives."""
        return {"bpda": on_logits(purified_of(trainee).bpda_logits, stands_in=True)}


def purified_of(trainee: Trainee) -> Purified:
    """Return the trainee's classifier; TypeError where it purifies nothing."""
    if not isinstance(trainee.classifier, Purified):
        raise TypeError("the trainee's classifier purifies nothing")
    return trainee.classifier


def _with_gradient_of(value: Tensor, source: Tensor) -> Tensor:
    """Return `value` to the last bit, with the gradient of `source`, which has its shape and is finite."""
    return value.detach() + (source - source.detach())
