"""The images under attack, with all that an attack may ask about them, and what an attack is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from reproof.attacking.decisions import decided
from reproof.attacking.gradient import mean_gradient
from reproof.attacking.image_noise import ImageNoise
from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss, Loss
from reproof.models.classifier import REFUSED


class Attack(Protocol):
    """What an attack's file builds: settings in, changed images out.

    `build` may return an attack of Foolbox's instead (foolbox_adapter).
    """

    def perturb(self, batch: Batch) -> Tensor:
        """Return adversarial versions of the batch's images, in their order; images that it failed on as they were.

        The batch's own tensors stay as they are, and the attack itself, which meets all batches and points. Nobody but
        the engine decides what counts.
        """
        ...


@dataclass
class FirstGradients:
    """What is kept of the gradients where the attacks on a batch begin."""

    at_clean: Tensor | None = None
    """The attack loss's gradient at the clean images: where FGSM ends and BIM and MIM begin, whatever the epsilon."""
    zero: int | None = None
    """Images whose gradient was exactly zero where the first point's attack began; None where nobody took any."""


@dataclass
class Taken:
    """Which part of a composed attack took which image."""

    parts: dict[str, str] = field(default_factory=dict)
    """The parts that were tried, in their order, and how each searches: `gradient`, `ensemble`, `score`, `transfer`."""
    by: dict[int, str] = field(default_factory=dict)
    """An image's position (ImageNoise.positions) -> the part that fooled the deployed classifier first."""

    def note(self, part: str, access: str, positions: Iterable[int]) -> None:
        """Note which images a part took of those that were left to it."""
        self.parts[part] = access
        self.by.update(dict.fromkeys(positions, part))


@dataclass(frozen=True)
class Batch:
    """Images to attack at one point."""

    classifier: nn.Module
    """Images (N, C, H, W) in [0, 1] to logits (N, K), in evaluation mode, without gradients of parameters."""
    images: Tensor
    """float32 (N, C, H, W) in [0, 1]."""
    labels: Tensor
    """int64 (N,), on the images' device."""
    noise: ImageNoise
    epsilon: float | None = None
    """The budget in pixels' [0, 1]; None for attacks without one."""
    attack_loss: Loss | None = None
    """What to maximise in place of the attack's own loss; None for that one."""
    first_gradients: FirstGradients = field(default_factory=FirstGradients)
    random: bool = False
    """Whether two passes over the same images differ: then one of them decides nothing for good."""

    attack_losses: Mapping[str, Loss] = field(default_factory=dict)
    """All attack losses of the model's defense, for attacks that are composed of ways to use them."""
    networks: Mapping[str, nn.Module] = field(default_factory=dict)
    """Other networks, frozen, on which such an attack may make images too."""
    taken: Taken = field(default_factory=Taken)
    past_refusals: bool = False
    """Whether only a wrong answer counts as won, whatever the attack loss: a refused image is then attacked on."""
    refused: Tensor | None = None
    """Of a composed attack: which images are refused as they are, bool (N,); None where none is known to be."""

    def logits(self, images: Tensor) -> Tensor:
        """Return the classifier's logits (n, K) on any images; they have a graph only if the images want a gradient."""
        with torch.set_grad_enabled(images.requires_grad):
            logits: Tensor = self.classifier(images)
        return logits

    def predict(self, images: Tensor) -> Tensor:
        """Return the deployed classifier's classes (n,), which decide whether an attack leaves an image as fooled."""
        with torch.no_grad():
            return decided(self.classifier, images)

    @property
    def accepted(self) -> bool:
        """Say whether the attacker wants a wrong answer; any other has won where an image is refused, too."""
        declared = isinstance(self.attack_loss, AttackLoss) and self.attack_loss.accepted
        return self.past_refusals or declared

    def won(self, classes: Tensor, labels: Tensor) -> Tensor:
        """Return which of the deployed classifier's classes (n,) are what the attacker wants, bool (n,)."""
        wrong = classes != labels
        return wrong & (classes != REFUSED) if self.accepted else wrong

    def require_epsilon(self) -> float:
        """Return the budget; StudyError where the point has none."""
        if self.epsilon is None:
            raise StudyError("the attack stays in a ball around each image, and the point names no epsilon")
        return self.epsilon

    def gradient(
        self, loss: Loss, images: Tensor, labels: Tensor, *, samples: int = 1, shared: bool = False
    ) -> Tensor:
        """Return each image's gradient of its loss, the mean over `samples` passes, shaped like the images.

        shared: take it once for all points where the images are the clean ones, of an attack that has one loss at them.
        Of a network that draws at random the points then begin with the same draw.
        """
        kept, shared = self.first_gradients, shared and images is self.images
        if shared and kept.at_clean is not None:
            return kept.at_clean
        found = mean_gradient(loss, images, labels, samples)
        if kept.zero is None:
            kept.zero = int((found == 0).flatten(1).all(dim=1).sum())
        if shared:
            kept.at_clean = found
        return found

    def select(self, rows: Tensor) -> Batch:
        """Return the batch of some of the images. rows: bool or indices."""
        kept = self.first_gradients
        gradients = FirstGradients(None if kept.at_clean is None else kept.at_clean[rows], kept.zero)
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            noise=self.noise.select(rows),
            first_gradients=gradients,
            refused=None if self.refused is None else self.refused[rows],
        )
