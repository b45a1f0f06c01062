"""D. Meng, H. Chen. MagNet: a Two-Pronged Defense against Adversarial Examples. CCS 2017.

An autoencoder that was trained on clean images moves an image towards them, and the classifier is asked about the
reconstruction. Images that the autoencoder reconstructs badly, or whose reconstruction is classified otherwise, are
refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, to_unit
from reproof.errors import StudyError, TrainingError
from reproof.models.attack_loss import AttackLoss, excess, on_logits
from reproof.models.classifier import REFUSED, Answers, Classifier
from reproof.models.defense import Progress, Stock, Trainee
from reproof.models.purifier import Purified, PurifiedDefense
from reproof.settings.defense import PurifierSettings, Undertaking
from reproof.settings.values import Count, NonNegative, Positive, Switch, UnitInterval
from reproof.training.inner_attacks import crafting_mode

WEIGHT = 0.25
"""Of the detectors against the margin, in the attack loss that evades them."""
CLEARANCE = 0.02
"""How far that attacker goes beyond a boundary: of the logits' spread, and of a detector's threshold."""
SLOPE = 0.01
"""What is left there of the margin's gradient: none at all would look like a masked one."""
SMALLEST = 1e-6  # keeps a threshold of 0, above which everything is refused, from dividing by zero


class Settings(PurifierSettings):
    """Settings of MagNet; the defaults are what the paper does on MNIST."""

    title: ClassVar[str] = "MagNet"
    attack_losses: ClassVar[tuple[str, ...]] = ("bpda", "joint", "detectors")
    endings: ClassVar[Mapping[str, str]] = {**PurifierSettings.endings, "detectors": "past the detectors"}

    pooled: Switch = True
    """True: the reformer pools once, and the error in the L1 norm is that of a second autoencoder that does not
    (on MNIST). False: one autoencoder without pooling does everything (on CIFAR-10)."""
    channels: Count = 3
    """Channels of every hidden convolution."""
    noise: NonNegative = 0.1
    """Standard deviation of the Gaussian noise on the autoencoders' training images, which are clipped to [0, 1]."""
    epochs: Count = 100
    """Passes of the autoencoders over the training images (the authors' code, MNIST: 100)."""
    batch_size: Count = 256
    """Images in a batch of the autoencoders' training (the authors' code: 256)."""
    learning_rate: Positive = 0.001
    """Rate of the autoencoders' Adam."""
    detector: Switch = True
    """Whether suspicious images are refused; false leaves the reformer alone."""
    error_norms: tuple[Literal[1, 2], ...] = (2, 1)
    """Norms of the reconstruction error, a detector for each: L2 and L1 on MNIST, L1 on CIFAR-10."""
    temperatures: tuple[Positive, ...] = ()
    """T of the softmax whose divergence between an image and its reconstruction is a detector, one for each:
    none on MNIST, 10 and 40 on CIFAR-10."""
    false_positives: Annotated[UnitInterval, Field(lt=1)] = 0.001
    """Largest share of the validation images that a detector may refuse: 0.001 on MNIST, 0.005 on CIFAR-10. Below
    one image, none of them is refused."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.detector and not self.error_norms and not self.temperatures:
            raise ValueError("detector needs error_norms or temperatures; write detector: false for none")
        for name, values in (("error_norms", self.error_norms), ("temperatures", self.temperatures)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} should name each detector once")
        return self

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return that images of an odd height or width cannot be pooled and restored."""
        if not self.pooled or not (asked.height % 2 or asked.width % 2):
            return []
        images = f"images of {asked.height} x {asked.width} pixels"
        return [("pooled", f"{images} do not survive pooling by two; set pooled: false")]


class Autoencoder(nn.Sequential):
    """Convolutions of 3 x 3 with sigmoids, from images (N, C, H, W) in [0, 1] to such images."""

    def __init__(self, data: DataDescription, channels: int, *, pooled: bool):
        layers = [*_convolution(data.channels, channels)]
        if pooled:
            layers += [nn.AvgPool2d(2), *_convolution(channels, channels)]
            layers += [*_convolution(channels, channels), nn.Upsample(scale_factor=2)]
        layers += [*_convolution(channels, channels), *_convolution(channels, data.channels)]
        super().__init__(*layers)


def _convolution(before: int, after: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(before, after, 3, padding=1)
    nn.init.xavier_uniform_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution, nn.Sigmoid()


class Reformed(Purified):
    """A classifier that sees reconstructions, with detectors that refuse what is far from clean images.

    A detector refuses an image whose score is above its threshold; before training every threshold is infinite.
    The autoencoders' parameters take no gradient: they are trained apart.
    """

    def __init__(self, classifier: Classifier, data: DataDescription, settings: Settings):
        super().__init__(classifier, data)
        self.settings = settings
        self.reformer = Autoencoder(data, settings.channels, pooled=settings.pooled)
        second = settings.pooled and settings.detector and 1 in settings.error_norms
        self.second = Autoencoder(data, settings.channels, pooled=False) if second else None
        for autoencoder in self.autoencoders:
            autoencoder.requires_grad_(False)
        detectors = len(settings.error_norms) + len(settings.temperatures) if settings.detector else 0
        self.thresholds: Tensor
        self.register_buffer("thresholds", torch.full((detectors,), torch.inf))

    @property
    def autoencoders(self) -> list[Autoencoder]:
        """Return the reformer and, where there is one, the second autoencoder."""
        return [self.reformer] if self.second is None else [self.reformer, self.second]

    def purify(self, images: Tensor) -> Tensor:
        """Return the reformer's reconstructions."""
        reformed: Tensor = self.reformer(images)
        return reformed

    def joint_logits(self, images: Tensor) -> Tensor:
        """Return the reconstructions' logits (N, K), with their true gradient, through the reformer."""
        logits: Tensor = self.classifier(self.reformer(images))
        return logits

    def answers(self, images: Tensor) -> Answers:
        """Return the classes of the reconstructions; REFUSED where a detector's score is above its threshold."""
        answers = super().answers(images)
        if not len(self.thresholds):
            return answers
        refused = (self.scores(images) > self.thresholds).any(dim=1)
        return replace(answers, classes=answers.classes.masked_fill(refused, REFUSED))

    def suspicion(self, images: Tensor, reformed: Tensor) -> Tensor:
        """Return by how much images are above the detectors' thresholds (N,), a sum of shares of each threshold.

        With its true gradient. It ends a little below each threshold, where it is 0. reformed: the reformer's
        reconstructions of the images.
        """
        if not len(self.thresholds):
            return torch.zeros(len(images), device=images.device, dtype=images.dtype)
        shares = self._scores(images, reformed) / self.thresholds.clamp(min=SMALLEST)
        return nn.functional.relu(shares - (1 - CLEARANCE)).sum(dim=1)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Return what the detectors look at (N, detectors): the norms of the error first, then the divergences."""
        return self._scores(images, self.reformer(images))

    def _scores(self, images: Tensor, reformed: Tensor) -> Tensor:
        columns = []
        for norm in self.settings.error_norms:
            other = norm == 1 and self.second is not None
            rebuilt = self.second(images) if other and self.second is not None else reformed
            columns.append(torch.linalg.vector_norm((images - rebuilt).flatten(1), ord=norm, dim=1))
        if self.settings.temperatures:
            before, after = self.classifier(images), self.classifier(reformed)
            columns += [jensen_shannon(before / t, after / t) for t in self.settings.temperatures]
        return torch.stack(columns, dim=1)


class MagNet(PurifiedDefense[Settings]):
    """A reformer in front of the classifier, and detectors beside it."""

    deviations: ClassVar[tuple[str, ...]] = (
        "A refused image counts as an error, adversarial or not; the paper counts a refused adversarial example as a "
        "success.",
        "The noise on a training image is drawn anew each time that it is shown; the authors' code draws it once.",
        "The autoencoders' weights and activations are not penalised; the authors' code adds 1e-9 times the squared "
        "activations.",
        "A detector's threshold is the highest score of the validation images that may not be refused.",
        "One fixed reformer is used; the paper's diversity, an autoencoder drawn from a collection against an "
        "attacker who knows the collection, is left out.",
        "The adaptive attackers differentiate through that reformer. One is content with a refused image, another, "
        "after Carlini and Wagner (arXiv:1711.08478), evades the detectors; the paper has neither.",
    )

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier behind its reformer; StudyError where images cannot be pooled and restored."""
        if self.settings.pooled and (data.height % 2 or data.width % 2):
            raise StudyError(
                f"magnet: images of {data.height} x {data.width} pixels do not survive pooling by two; "
                "set pooled: false"
            )
        return Trainee(Reformed(classifier, data, self.settings))

    def begin_epoch(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Train the autoencoders before the first epoch; the classifier's loss and optimiser leave them alone.

        TrainingError where there are detectors, and no validation images for their thresholds.
        """
        if progress.epoch > 0:
            return
        if self.settings.detector and len(stock.validation[0]) == 0:
            raise TrainingError(
                "magnet: the validation split is empty, and the detectors' thresholds come from it; give the data "
                "set validation images, or set detector: false"
            )
        for autoencoder in reformed_of(trainee).autoencoders:
            self.fit(autoencoder, stock.train[0])

    def fit(self, autoencoder: Autoencoder, images: Tensor) -> None:
        """Train to give images back as they were before noise, by the mean squared error. images: uint8."""
        autoencoder.requires_grad_(True)
        optimizer = torch.optim.Adam(autoencoder.parameters(), lr=self.settings.learning_rate)
        for _ in range(self.settings.epochs):
            order = torch.randperm(len(images), device=images.device)
            for indices in torch.split(order, self.settings.batch_size):
                clean = to_unit(images[indices])
                noisy = (clean + self.settings.noise * torch.randn_like(clean)).clamp(0, 1)
                loss = nn.functional.mse_loss(autoencoder(noisy), clean)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        autoencoder.requires_grad_(False)

    def finish(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Set each detector's threshold by the scores of the validation images."""
        reformed = reformed_of(trainee)
        if not len(reformed.thresholds):
            return
        with crafting_mode(trainee, training=False):
            batches = torch.split(stock.validation[0], stock.batch_size)
            scores = torch.cat([reformed.scores(to_unit(batch)) for batch in batches])
        reformed.thresholds.copy_(highest_allowed(scores, self.settings.false_positives))

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `bpda`, which takes the reformer for the identity, `joint`, which differentiates it, and `detectors`.

        The last one's images should be wrong and accepted (Carlini and Wagner 2017, MagNet and "Efficient Defenses
        Against Adversarial Attacks" are Not Robust to Adversarial Examples): the margin through the reformer less
        `Reformed.suspicion`, in units of the logits' spread, so that their scale does not matter. Once the answer is
        wrong a larger margin adds hardly anything, and what is left of the budget goes into evading the detectors.
        """
        reformed = reformed_of(trainee)

        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            seen = reformed.reformer(images)
            logits = reformed.classifier(seen)
            return logits, -WEIGHT * _spread(logits) * reformed.suspicion(images, seen)

        def own(images: Tensor, labels: Tensor) -> Tensor:
            logits, penalty = parts(images, labels)
            lead = excess(logits, labels) + CLEARANCE * _spread(logits)
            return penalty - nn.functional.leaky_relu(lead, SLOPE)

        return {
            **super().attack_losses(trainee),
            "joint": on_logits(reformed.joint_logits),
            "detectors": AttackLoss(parts, own, accepted=True),
        }


def _spread(logits: Tensor) -> Tensor:
    """Return the standard deviation of each image's logits (N,), as a constant."""
    return logits.detach().std(dim=1)


def highest_allowed(scores: Tensor, share: float) -> Tensor:
    """Return thresholds (D,) that at most `share` of the scores (N, D) exceed, as low as they can be.

    They are scores themselves. share: in [0, 1).
    """
    above = math.floor(round(share * len(scores), 6))
    return scores.sort(dim=0, descending=True).values[above]


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of two softmaxes per image (N,), in nats: 0 to log 2.

    first, second: logits (N, K). Half the sum of both divergences from their mean.
    """
    one, two = (nn.functional.log_softmax(logits.float(), dim=1) for logits in (first, second))
    middle = torch.logaddexp(one, two) - math.log(2)
    each = one.exp() * (one - middle) + two.exp() * (two - middle)
    return each.sum(dim=1) / 2


def reformed_of(trainee: Trainee) -> Reformed:
    """Return the trainee's classifier; TypeError where this method did not build it."""
    if not isinstance(trainee.classifier, Reformed):
        raise TypeError("the trainee was not built by magnet")
    return trainee.classifier
