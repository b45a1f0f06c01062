"""M. Hassanin, I. Radwan, N. Moustafa, M. Tahtali, N. Kumar. Mitigating the Impact of Adversarial Attacks in
Very Deep Networks. arXiv:2012.04750, 2020 ("PCL", the Polarised Contrastive Loss).

Each class owns a learned centroid in the space of the vector that is classified; beside the cross-entropy the
loss pulls features to their own class's centroid (Eq. 3), and pushes them from the others' and the centroids'
directions from one another (Eq. 4). Mustafa's prototype conformity loss, called PCL too, is another one: it
acts at several depths, and compares centroids by their distance instead of their angle.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.defense import DefenseSettings, Undertaking
from reproof.settings.values import Positive, Switch

_COSINE_LIMIT = 1 - 1e-6
"""The arccos has an infinite slope at ±1."""


class Settings(DefenseSettings):
    """Settings of the polarised contrastive loss."""

    title: ClassVar[str] = "polarised contrastive loss"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint", "polarised")
    paper: ClassVar[str] = "hassanin_dfl"

    inter_sign: Literal["minus", "plus"] = "minus"
    """Sign of L_inter in Eq. 5. It prints a plus; Sec. 3.3 wants both of its quantities large, which is a
    minus."""
    weight: Positive = 1.0
    """Weight of L_intra and L_inter beside L_CE; Eq. 5 prints no factor."""
    distance: Literal["euclidean", "squared"] = "euclidean"
    """‖·‖ of Eq. 3 and 4 as printed, or its square, as in the center loss that Eq. 3 follows."""
    margin: Positive | None = None
    """Distances to the other centroids (squared ones where `distance` says so) count only up to this; Eq. 4
    has no bound. The angles have one of their own, π."""
    normalise_centres: Switch = True
    """True divides the centroids by their lengths inside the arccos of Eq. 4 and nowhere else. False: the
    inner product as printed, which most vectors leave outside of the arccos's domain, where it has no slope."""
    centres: Literal["own", "classifier"] = "own"
    """w^c of Eq. 3 and 4: learned vectors of their own, or the rows w_y of the last linear layer (Eq. 2)."""
    centre_learning_rate: Positive = 0.5
    """Rate of centroids of their own, without momentum and weight decay; the paper names none."""
    centre_scale: Positive = 1.0
    """Standard deviation of the normal distribution that they start from; the paper names none."""
    layer: str | None = None
    """Name of the feature f of Eq. 3 and 4; a map is averaged over its area first. None is the vector that
    enters the last linear layer (Eq. 2), behind the defensive features where there are some."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.margin is not None and self.inter_sign == "plus":
            raise ValueError("margin bounds what is pushed apart; with inter_sign plus nothing is")
        if self.centres == "classifier" and self.layer is not None:
            raise ValueError(
                "layer belongs to centres own; the classifier's rows are compared with its input"
            )
        return self

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return a layer that the network lacks."""
        return [("layer", message)] if (message := asked.unknown_feature(self.layer)) else []

    def key(self, name: str) -> str:
        """Return the name, with `[plus]` for the printed sign of L_inter."""
        return name if self.inter_sign == "minus" else f"{name}[plus]"


class Centroids(nn.Module):
    """The classes' centroids w^c: (K, D), where they are vectors of their own."""

    def __init__(self, classes: int, size: int, scale: float):
        super().__init__()
        self.vectors = nn.Parameter(scale * torch.randn(classes, size))


class PolarisedContrastive(Defense[Settings]):
    """Cross-entropy with the attraction of Eq. 3 and the repulsion of Eq. 4."""

    deviations: ClassVar[tuple[str, ...]] = (
        "L_inter is subtracted; Eq. 5 prints a plus (inter_sign), with which features go to wrong centroids and "
        "the centroids together, against the text.",
        "The sum over images of Eq. 3 is a mean like that of Eq. 2, so that the learning rate does not depend "
        "on the batch size.",
        "Both terms of Eq. 4 are averaged over all the other classes; its sum ends at K - 1, and whether it "
        "covers the arccos is left open.",
        "The arccos takes the centroids' cosine, kept 1e-6 off ±1; Eq. 4 prints their inner product "
        "(normalise_centres).",
        "The softmax runs over the classes; the denominator printed in Eq. 2 runs over images.",
        "The last linear layer keeps its bias, which Eq. 2 does not show.",
        "The centroids start from a normal distribution and move by their own rate without momentum and "
        "weight decay; the paper says neither.",
    )

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier with its classes' centroids; StudyError where it lacks what is named."""
        shape = classifier.feature_shapes[self._layer_of(classifier)]
        if self.settings.centres == "classifier":
            _rows_of(classifier)
            return Trainee(classifier)
        return Trainee(classifier, Centroids(classifier.classes, shape[0], self.settings.centre_scale))

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return L_CE + L_intra ± L_inter per image (Eq. 5)."""
        return self.joint(trainee, images, labels)

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return L_CE + L_intra ± L_inter per image (Eq. 5), from one pass. images: (N, C, H, W) in [0, 1]."""
        logits, features = trainee.classifier.logits_and_features(images)
        cross_entropy = nn.functional.cross_entropy(logits, labels, reduction="none")
        return cross_entropy + self._polarised(trainee, features, labels)

    def _polarised(self, trainee: Trainee, features: dict[str, Tensor], labels: Tensor) -> Tensor:
        """Return all of Eq. 5 but L_CE per image. features: the classifier's, by name."""
        feature = features[self._layer_of(trainee.classifier)]
        if feature.dim() == 4:
            feature = feature.mean(dim=(2, 3))
        return self.contrast(feature, labels, self._centres_of(trainee))

    def contrast(self, feature: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
        """Return L_intra ± L_inter (Eq. 3, 4), weighted, per image. feature: (N, D); centres: (K, D)."""
        distances = torch.cdist(feature.float(), centres.float(), compute_mode="donot_use_mm_for_euclid_dist")
        if self.settings.distance == "squared":
            distances = distances.square()
        intra = distances.gather(1, labels.unsqueeze(1)).squeeze(1)
        if self.settings.margin is not None:
            distances = distances.clamp(max=self.settings.margin)
        own = torch.arange(len(centres), device=labels.device)
        inter = _mean_over_others(distances, labels) + _mean_over_others(self._angles(centres), own)[labels]
        sign = -1.0 if self.settings.inter_sign == "minus" else 1.0
        return self.settings.weight * (intra + sign * inter)

    def _angles(self, centres: Tensor) -> Tensor:
        """Return arccos(w_i w_j) in [0, π] (K, K)."""
        centres = centres.float()
        if self.settings.normalise_centres:
            centres = nn.functional.normalize(centres, dim=1)
        with torch.autocast(centres.device.type, enabled=False):
            products = centres @ centres.T
        return products.clamp(-_COSINE_LIMIT, _COSINE_LIMIT).acos()

    def _layer_of(self, classifier: Classifier) -> str:
        known = list(classifier.feature_shapes)
        if self.settings.layer is None:
            return known[-1]
        classifier.require_features([self.settings.layer], "layer")
        return self.settings.layer

    def _centres_of(self, trainee: Trainee) -> Tensor:
        if self.settings.centres == "classifier":
            return _rows_of(trainee.classifier)
        if not isinstance(trainee.auxiliary, Centroids):
            raise TypeError("the trainee was not built by polarised_contrastive")
        return trainee.auxiliary.vectors

    def parameter_groups(self, trainee: Trainee, learning_rate: float) -> Iterable[dict[str, Any]]:
        """Return the network at the study's rate, and centroids of their own at theirs."""
        yield {"params": list(trainee.classifier.parameters()), "lr": learning_rate}
        if self.settings.centres == "own":
            plain = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
            yield {
                "params": list(trainee.auxiliary.parameters()),
                "lr": self.settings.centre_learning_rate,
                **plain,
            }

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, Eq. 5 with the learned centroids, and `polarised`, the same without L_CE."""

        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits, features = trainee.classifier.logits_and_features(images)
            return logits, self._polarised(trainee, features, labels)

        def polarised(images: Tensor, labels: Tensor) -> Tensor:
            return self._polarised(trainee, trainee.classifier.features(images), labels)

        return {"joint": AttackLoss(parts), "polarised": AttackLoss(parts, polarised)}


def _mean_over_others(values: Tensor, own: Tensor) -> Tensor:
    """Return each row's mean without the column `own`. values: (N, K); own: (N,)."""
    return values.scatter(1, own.unsqueeze(1), 0.0).sum(dim=1) / (values.shape[1] - 1)


def _rows_of(classifier: Classifier) -> Tensor:
    """Return the last linear layer's weights (K, D); StudyError where it is not called `classify`."""
    last = getattr(classifier, "classify", None)
    if not isinstance(last, nn.Linear):
        raise StudyError(
            "centres: this network's last linear layer is not called classify; use own centroids"
        )
    return last.weight
