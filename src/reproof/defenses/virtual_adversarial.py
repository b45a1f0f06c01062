"""T. Miyato, S. Maeda, M. Koyama, K. Nakae, S. Ishii. Distributional Smoothing with Virtual Adversarial Training.
ICLR 2016.

The network's prediction shall not change in the direction in which it would change most; how much it changes there,
the local distributional smoothness (LDS), is added to the loss. A power iteration finds the direction, and no label
is needed for it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reproof.models.attack_loss import AttackLoss
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.cost import ADVERSARIAL_STEP
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Count, Positive, Switch, format_number
from reproof.training.inner_attacks import crafting_mode, image_gradient


class Settings(DefenseSettings):
    """Settings of virtual adversarial training (VAT); the defaults are those of Seiler et al. (Sec. VI)."""

    title: ClassVar[str] = "virtual adversarial training"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint",)

    epsilon: Positive = 15.0
    """ε, length of the perturbation: L2, of images in [0, 1]; with norm linf in levels of 0 to 255 (Seiler, Table II:
    5, 15 and 25)."""
    norm: Literal["l2", "linf"] = "l2"
    """Norm of ε. l2 as in the method's paper (Eq. 2); linf takes the sign of the direction that L2 finds."""
    steps: Count = 3
    """I, power iterations, each a gradient to the images (Seiler: 3; Miyato: 1)."""
    weight: Positive = 1.0
    """λ of the smoothness beside the cross-entropy (Eq. 4); 1 in both papers."""
    xi: Positive = 1e-6
    """ξ, length of the finite difference along a unit vector, as in the authors' public code. In float32 so short a
    step is mostly rounding: on 28 x 28 digits the direction found had a cosine of 0.4 with the exact one, and 0.99
    with 0.1."""
    stop_gradient: Switch = True
    """True: the clean prediction is a constant target (Miyato, Eq. 5)."""

    def key(self, name: str) -> str:
        """Return the name with its ε, as Seiler's Table II tells rows apart: `[epsilon=15]`.

        Where they are not Seiler's L2 and 3 iterations, norm and steps follow: `[epsilon=8,norm=linf,steps=1]`.
        """
        parts = [f"epsilon={format_number(self.epsilon)}"]
        if self.norm != "l2":
            parts.append(f"norm={self.norm}")
        if self.steps != 3:
            parts.append(f"steps={self.steps}")
        return f"{name}[{','.join(parts)}]"

    def relative_cost(self) -> float:
        """Return a step's cost: a gradient to the images for each iteration, and the perturbed images' own pass."""
        return 2 + self.steps * ADVERSARIAL_STEP


class VirtualAdversarial(Defense[Settings]):
    """Cross-entropy, and the divergence between the predictions of an image and of its virtual adversary."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The smoothness is measured on the labelled images of the batch; the paper's further images without labels "
        "have no place here.",
        "Batch norm gathers its running statistics from the images as they are, and uses the batch's own in the "
        "other passes, as the authors' public code does; mixed precision is off while the direction is sought.",
        "The perturbed images are not clipped to [0, 1], as in the authors' public code.",
    )

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return L_CE + λ KL(p(x) ‖ p(x + r)) per image (Eq. 4); r starts from torch's global generator."""
        start = torch.randn_like(images)
        clean, added = self._parts(trainee, images, start, constant=self.settings.stop_gradient)
        return nn.functional.nll_loss(clean, labels, reduction="none") + added

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the loss trained with, every image's iteration starting from the same direction.

        Gradients flow through both predictions, since an attacker maximises the value; r is constant.
        """

        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            generator = torch.Generator().manual_seed(0)
            start = torch.randn(images.shape[1:], generator=generator).to(images).expand_as(images)
            return self._parts(trainee, images, start, constant=False)

        def joint(images: Tensor, labels: Tensor) -> Tensor:
            clean, added = parts(images, labels)
            return nn.functional.nll_loss(clean, labels, reduction="none") + added

        return {"joint": AttackLoss(parts, joint)}

    def _parts(
        self, trainee: Trainee, images: Tensor, start: Tensor, *, constant: bool
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (N, K) and λ KL(p(x) ‖ p(x + r)) per image (N,)."""
        clean = _log_probabilities(trainee(images))
        with crafting_mode(trainee, training=trainee.training):
            perturbation = self.perturbation(trainee, images, clean, start)
            other = _log_probabilities(trainee(images + perturbation))
        smoothness = _kullback_leibler(clean.detach() if constant else clean, other)
        return clean, self.settings.weight * smoothness

    def perturbation(self, classify: nn.Module, images: Tensor, clean: Tensor, start: Tensor) -> Tensor:
        """Return r (N, C, H, W) of length ε in the direction that a power iteration finds (Miyato, Sec. 3.3).

        classify: images -> logits (N, K). clean: log-probabilities (N, K) of the images. start: any vectors but 0.
        An image whose gradient vanishes keeps the direction that it has.
        """
        target = clean.detach()
        kind = images.device.type
        mixed_precision = torch.is_autocast_enabled(kind)

        def divergence(candidates: Tensor) -> Tensor:
            return _kullback_leibler(target, _log_probabilities(classify(candidates)))

        direction = _unit(start, start)
        with torch.autocast(kind, enabled=False):
            if mixed_precision:  # its error exceeds what a step of ξ changes
                with torch.no_grad():
                    target = _log_probabilities(classify(images))
            for _ in range(self.settings.steps):
                gradient = image_gradient(divergence, images.detach() + self.settings.xi * direction)
                direction = _unit(gradient, direction)
        if self.settings.norm == "linf":
            return self.settings.epsilon / 255 * direction.sign()
        return self.settings.epsilon * direction


def _unit(vectors: Tensor, otherwise: Tensor) -> Tensor:
    """Return each image's vector at L2 length 1, and of those that are 0 the other one."""
    largest = vectors.abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1)  # squares of gradients near 1e-20 would vanish
    length = scaled.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return torch.where(largest > 0, scaled / torch.where(length > 0, length, 1), otherwise)


def _log_probabilities(logits: Tensor) -> Tensor:
    """Return log-probabilities (N, K), in single precision at least."""
    return nn.functional.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)


def _kullback_leibler(first: Tensor, second: Tensor) -> Tensor:
    """Return KL(first ‖ second) of log-probabilities (N, K), per row."""
    return (first.exp() * (first - second)).sum(dim=1)
