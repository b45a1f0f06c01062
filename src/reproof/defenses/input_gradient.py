"""A. S. Ross, F. Doshi-Velez. Improving the Adversarial Robustness and Interpretability of Deep Neural Networks
by Regularizing their Input Gradients. AAAI 2018.

Double backpropagation: beside the cross-entropy, its squared gradient with respect to the image is minimised.
Where that gradient is small, a small change of the image changes the loss little, to first order.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reproof.models.attack_loss import AttackLoss
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Positive


class Settings(DefenseSettings):
    """Settings of input gradient regularisation."""

    title: ClassVar[str] = "input gradient regularisation"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint",)

    weight: Positive = 1.0
    """λ: weight of the squared L2 norm of an image's gradient, in pixels' [0, 1], beside its cross-entropy. The
    public code sweeps 100 to 100,000, and its penalty is of the batch's mean loss, halved: with its 256 images
    that is 0.2 to 195 here."""
    target: Literal["labels", "uniform"] = "labels"
    """Whose cross-entropy's gradient is penalised: with the `labels` (double backpropagation), or with the
    `uniform` distribution over the classes (the public code's certainty sensitivity), which needs no labels."""

    def key(self, name: str) -> str:
        """Return the name, with `[uniform]` for that target."""
        return name if self.target == "labels" else f"{name}[{self.target}]"

    def relative_cost(self) -> float:
        """Return a step's cost: the way back to the images comes on top, and is itself differentiated.

        Measured on CNN-6, whose PReLUs are slow to differentiate twice; it is 2.4 on LeNet.
        """
        return 2.9


class InputGradient(Defense[Settings]):
    """Cross-entropy, and λ times the squared norm of its gradient to the image."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The sums over images of the objective are means, so that the learning rate does not depend on the batch "
        "size.",
        "The paper chooses λ per data set out of a range that its public code sweeps; the default here is one "
        "value of that range, converted to a mean over images.",
        "In training mode batch norm couples the images of a batch, and an image's gradient is then that of the "
        "batch's summed loss, as in the public code.",
    )

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the cross-entropy plus λ times the squared L2 norm of the input gradient, per image."""
        return self.joint(trainee, images, labels)

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return the whole loss per image (N,); its gradient reaches the images if they ask for one."""
        return self._attack_loss(trainee)(images, labels)

    def _attack_loss(self, trainee: Trainee) -> AttackLoss:
        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            if not images.requires_grad:
                images = images.detach().requires_grad_(True)
            logits = trainee(images).float()
            if self.settings.target == "labels":
                penalised = nn.functional.cross_entropy(logits, labels, reduction="none")
            else:
                penalised = -logits.log_softmax(dim=1).mean(dim=1)
            (gradient,) = torch.autograd.grad(penalised.sum(), images, create_graph=True)
            return logits, self.settings.weight * gradient.float().square().flatten(1).sum(dim=1)

        return AttackLoss(parts)

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the loss trained with: maximising it takes third derivatives of the network."""
        return {"joint": self._attack_loss(trainee)}
