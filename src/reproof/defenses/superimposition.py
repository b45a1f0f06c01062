"""M. Seiler, H. Trautmann, P. Kerschke. Enhancing Resilience of Deep Learning Networks by Means of Transferable
Adversaries. IJCNN 2020.

A second, randomly chosen picture is laid faintly over each training image (Eq. 4), and the network shall predict the
same of both. Training images so come to lie between the classes, where the decision space becomes flat without an
inner maximisation.
"""

from __future__ import annotations

import functools
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, to_unit
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Stock, Trainee
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Count, Positive, Switch, format_number


class Settings(DefenseSettings):
    """Settings of superimposed training images; the defaults are the variant that the paper examines further."""

    title: ClassVar[str] = "superimposition"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint",)
    paper: ClassVar[str] = "seiler_superimposition"

    method: Literal[1, 2, 3] | None = None
    """The method of Sec. IV. 1: cross-entropy of the superimposed image alone, which inherits the label, α fixed.
    2: cross-entropy of the original and the divergence between both predictions, α fixed. 3: the same with
    α ~ B(p, q). None: 2 where alpha is given, otherwise 3."""
    alpha: Annotated[Positive, Field(lt=0.5)] | None = None
    """Fixed α in (0, 0.5), share of the other image in Eq. 4; None is 0.4 (Table I). Methods 1 and 2."""
    beta: tuple[Positive, Positive] | None = None
    """p and q of α's beta distribution B(p, q) (Sec. IV: p = 2; q = 4, 6, 10); None is (2, 4). Method 3."""
    weight: Positive = 10.0
    """λ of the divergence beside the cross-entropy (Table II: 10); method 1 has no divergence."""
    divergence: Literal["forward", "reverse", "symmetric"] = "forward"
    """Between softmax probabilities. forward: KL(original ‖ superimposed), as printed; reverse: KL(superimposed ‖
    original); symmetric: the mean of the two."""
    stop_gradient: Literal["none", "original", "superimposed"] = "none"
    """Which of the divergence's two predictions is taken as constant. superimposed needs no pass backward, as the
    paper says of its method (Sec. IV and VII)."""
    joint_pass: Switch = False
    """True: originals and superimposed images share a pass, and so their batch statistics (methods 2 and 3)."""
    fold: Switch = False
    """True: a drawn α above 0.5, outside the range of Eq. 4, becomes 1 - α (method 3)."""
    draw: Literal["image", "batch", "epoch"] = "image"
    """How often method 3 draws α: anew for each image shown, for each batch, or for each epoch."""
    partner: Literal["batch", "other_class", "training_set"] = "batch"
    """Where x_r comes from: another image of the batch, of whatever class; one of another class, where the batch
    has any; or any image of the training set, as it is stored."""
    view_partners: Count = 4
    """Training images that the adaptive attacker's view lays over an image; its cost is one pass more for each."""

    @property
    def method_number(self) -> int:
        """Return 1, 2 or 3, the method of Sec. IV."""
        if self.method is not None:
            return self.method
        return 3 if self.alpha is None else 2

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        method = self.method_number
        if self.alpha is not None and (method == 3 or self.beta is not None):
            raise ValueError("alpha belongs to methods 1 and 2; method 3 draws it from a beta distribution")
        if self.beta is not None and method != 3:
            raise ValueError("beta belongs to method 3; methods 1 and 2 have a fixed alpha")
        if method != 3 and (self.fold or self.draw != "image"):
            raise ValueError("fold and draw belong to method 3; methods 1 and 2 have a fixed alpha")
        if method == 1 and (self.joint_pass or self.stop_gradient != "none" or self.divergence != "forward"):
            raise ValueError("joint_pass, stop_gradient and divergence belong to methods 2 and 3")
        return self

    def key(self, name: str) -> str:
        """Return the name with its α, as Tables I and II tell rows apart: `[alpha=0.4]`, `[beta=2,4]`.

        The row α = 0.4 of Table I is read as method 2; method 1 is `[alpha=0.4,method=1]`. Other settings are
        readings of the paper, or its own λ, and do not change the name.
        """
        if self.method_number == 3:
            return f"{name}[beta={','.join(format_number(number) for number in self.shape)}]"
        fixed = f"alpha={format_number(self.fixed_alpha)}"
        return f"{name}[{fixed}{',method=1' if self.method_number == 1 else ''}]"

    @property
    def fixed_alpha(self) -> float:
        """Return α of methods 1 and 2."""
        return 0.4 if self.alpha is None else self.alpha

    @property
    def shape(self) -> tuple[float, float]:
        """Return p and q of method 3."""
        return (2.0, 4.0) if self.beta is None else self.beta

    def relative_cost(self) -> float:
        """Return a step's cost: 1 for method 1, and 2 for the others, whose gradient flows through both passes.

        The paper counts one forward pass more, without a backward pass, and prints epochs 1.02 times as long
        (Table I). That is stop_gradient: superimposed, which is not the default.
        """
        if self.method_number == 1:
            return 1.0
        if self.stop_gradient == "superimposed" and not self.joint_pass:
            return 1 + FORWARD * ADVERSARIAL_STEP
        return 2.0


class Partners(nn.Module):
    """The training images that the adaptive attacker's view lays over an image; black before training."""

    def __init__(self, count: int, data: DataDescription):
        super().__init__()
        self.images: Tensor
        shape = (count, data.channels, data.height, data.width)
        self.register_buffer("images", torch.zeros(shape, dtype=torch.uint8))


class Superimposition(Defense[Settings]):
    """Cross-entropy, and the divergence between the predictions of an image and of its superimposition."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The gradient of the divergence flows through both predictions, at the cost of a second backward pass; the "
        "paper says that its method needs none (stop_gradient: superimposed).",
        "Originals and superimposed images pass one after the other, and batch norm's running statistics gather "
        "both; the paper does not say.",
        "No adaptive attacker appears in the paper; the one here lays a few fixed training images, which are "
        "stored with the network, over the image that it attacks.",
    )

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._epoch_alpha: Tensor | None = None
        self._training_images: Tensor | None = None

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier with room for the view's partners."""
        return Trainee(classifier, Partners(self.settings.view_partners, data))

    def begin_epoch(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Store the view's partners, the first images of the stratified training split, and draw an epoch's α."""
        images, _ = stock.train
        partners = _partners_of(trainee).images
        partners.copy_(images[torch.arange(len(partners)) % len(images)])
        if self.settings.partner == "training_set":
            self._training_images = images
        if self.settings.draw == "epoch":
            self._epoch_alpha = self._drawn(1, images.device)

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return method 1's L(x̃, y), or L(x, y) + λ KL(ŷ ‖ ỹ) of methods 2 and 3, per image (Sec. IV)."""
        mixed = superimpose(images, self.choose(images, labels), self.alphas(len(images), images.device))
        if self.settings.method_number == 1:
            return nn.functional.cross_entropy(trainee(mixed), labels, reduction="none")
        clean, other = self._two_predictions(trainee, images, mixed)
        target = clean.detach() if self.settings.stop_gradient == "original" else clean
        loss = nn.functional.nll_loss(clean, labels, reduction="none")
        return loss + self.settings.weight * self._divergence(target, other)

    def alphas(self, count: int, device: torch.device) -> Tensor:
        """Return α (N,) of a batch: fixed, or drawn from torch's global generator as `draw` says."""
        if self.settings.method_number != 3:
            return torch.full((count,), self.settings.fixed_alpha, device=device)
        if self.settings.draw == "image":
            return self._drawn(count, device)
        if self.settings.draw == "batch":
            return self._drawn(1, device).expand(count)
        if self._epoch_alpha is None:
            raise RuntimeError("superimposition: begin_epoch draws the epoch's α, and was not called")
        return self._epoch_alpha.expand(count)

    def choose(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return x_r (N, C, H, W) for each image, drawn from torch's global generator.

        Within the batch no image is its own partner, unless it is alone.
        """
        count = len(images)
        if self.settings.partner == "training_set":
            stored = self._training_images
            if stored is None:
                raise RuntimeError(
                    "superimposition: begin_epoch hands over the training set, and was not called"
                )
            return to_unit(stored[torch.randint(len(stored), (count,), device=stored.device)])
        order = torch.randperm(count, device=images.device)
        if self.settings.partner == "other_class" and count > 1:
            foreign = labels.unsqueeze(1) != labels
            another = ~torch.eye(count, dtype=torch.bool, device=images.device)
            allowed = torch.where(foreign.any(dim=1, keepdim=True), foreign, another)
            return images[torch.multinomial(allowed.float(), 1).squeeze(1)]
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)
        return images[partner]

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss trained with, over the stored partners instead of drawn ones, per image.

        The mean over the partners; method 3 gives each an α of its own, evenly spread quantiles of B(p, q). Of an
        image, it depends on nothing but the image. Gradients flow through all predictions.
        """
        logits, added = self._parts(trainee, images, labels)
        loss = nn.functional.nll_loss(logits, labels, reduction="none")
        return loss if added is None else added + loss

    def _parts(self, trainee: Trainee, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return log-probabilities (N, K), of method 1 the partners' mean, and the weighted divergence (N,)."""
        partners = to_unit(_partners_of(trainee).images)
        alphas = self.view_alphas(len(partners)).to(images.device)
        others = [
            _log_probabilities(trainee(superimpose(images, partner, alpha)))
            for partner, alpha in zip(partners, alphas, strict=True)
        ]
        if self.settings.method_number == 1:
            return torch.stack(others).mean(dim=0), None
        clean = _log_probabilities(trainee(images))
        terms = [self.settings.weight * self._divergence(clean, other) for other in others]
        return clean, torch.stack(terms).mean(dim=0)

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the loss trained with, over partners that are always the same."""
        return {
            "joint": AttackLoss(
                functools.partial(self._parts, trainee), functools.partial(self.joint, trainee)
            )
        }

    def view_alphas(self, count: int) -> Tensor:
        """Return the α (count,) of the view: the fixed one, or the (k + 1/2) / count quantiles of B(p, q)."""
        if self.settings.method_number != 3:
            return torch.full((count,), self.settings.fixed_alpha)
        p, q = self.settings.shape
        grid = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
        cumulative = (grid ** (p - 1) * (1 - grid) ** (q - 1)).cumsum(dim=0)
        wanted = (torch.arange(count, dtype=torch.float64) + 0.5) / count * cumulative[-1]
        return self._folded(grid[torch.searchsorted(cumulative, wanted)].float())

    def _drawn(self, count: int, device: torch.device) -> Tensor:
        p, q = (torch.tensor(number, device=device) for number in self.settings.shape)
        return self._folded(torch.distributions.Beta(p, q).sample((count,)))

    def _folded(self, alphas: Tensor) -> Tensor:
        return torch.minimum(alphas, 1 - alphas) if self.settings.fold else alphas

    def _two_predictions(self, trainee: Trainee, images: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (N, K) of the originals and of the superimposed images, the originals first."""
        constant = self.settings.stop_gradient == "superimposed"
        if self.settings.joint_pass:
            clean, other = _log_probabilities(trainee(torch.cat([images, mixed]))).chunk(2)
            return clean, other.detach() if constant else other
        clean = _log_probabilities(trainee(images))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not constant):
            return clean, _log_probabilities(trainee(mixed))

    def _divergence(self, clean: Tensor, other: Tensor) -> Tensor:
        """Return the divergence between log-probabilities (N, K), per image."""
        forward, reverse = _kullback_leibler(clean, other), _kullback_leibler(other, clean)
        return {"forward": forward, "reverse": reverse, "symmetric": (forward + reverse) / 2}[
            self.settings.divergence
        ]


def superimpose(images: Tensor, partners: Tensor, alphas: Tensor) -> Tensor:
    """Return x̃ = (1 - α) x + α x_r (Eq. 4). alphas: (N,), or one for all images."""
    share = alphas.view(-1, 1, 1, 1)
    return (1 - share) * images + share * partners


def _log_probabilities(logits: Tensor) -> Tensor:
    """Return log-probabilities (N, K), in single precision at least."""
    return nn.functional.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)


def _kullback_leibler(first: Tensor, second: Tensor) -> Tensor:
    """Return KL(first ‖ second) of log-probabilities (N, K), per row."""
    return (first.exp() * (first - second)).sum(dim=1)


def _partners_of(trainee: Trainee) -> Partners:
    if not isinstance(trainee.auxiliary, Partners):
        raise TypeError("the trainee was not built by superimposition")
    return trainee.auxiliary
