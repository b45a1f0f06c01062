"""A. Mustafa, S. Khan, M. Hayat, R. Goecke, J. Shen, L. Shao. Adversarial Defense by Restricting the Hidden
Space of Deep Neural Networks. ICCV 2019.

Each class owns a trainable prototype at several depths of the network; the prototype conformity loss (Eq. 5)
pulls features to their own class's prototype, and pushes them from the others' and the prototypes from one
another. The classes' regions in the hidden space thus end far apart, which should leave a small perturbation
no way across.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.defense import DefenseSettings, Undertaking
from reproof.settings.values import NonNegative, Positive, Switch, Whole

T = TypeVar("T")


class Settings(DefenseSettings):
    """Settings of the prototype conformity loss (PCL); None means the variant's own value."""

    title: ClassVar[str] = "prototype conformity"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint", "prototypes")
    paper: ClassVar[str] = "mustafa_pcl"

    variant: Literal["paper", "released_code"] = "paper"
    """`paper`: Eq. 5. `released_code`: the authors' public code: squared distances, one set of centres to be
    near and another to be far from, no distance between centres, weights 1 and 1e-4, two layers."""
    layers: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Features that the loss acts on. paper: layer3, layer4, layer5 (Table 1); released_code: the last two of
    them."""
    branch_sizes: tuple[Annotated[Whole, Field(ge=0)], ...] = ()
    """Size of G_φ's fully connected layer on each of `layers`, 0 for none (ResNet-110: [512, 0, 0], Table 1);
    maps are averaged over their area first. Empty: none on any."""
    warmup_epochs: NonNegative = 1 / 7
    """T' of Algorithm 1, cross-entropy only: below 1 a fraction of the study's epochs (50 of 350 for MNIST,
    200 of 500 for CIFAR-10), otherwise a number of epochs."""
    weight: Positive = 1.0
    """Weight of L_PC beside L_CE (Eq. 7); in the released code, of its proximity term."""
    contrast_weight: NonNegative | None = None
    """Weight of the released code's contrastive term, 1e-4; the paper has the one weight."""
    distance: Literal["euclidean", "squared"] | None = None
    """paper: euclidean (Eq. 5); released_code: squared."""
    centre_learning_rate: Positive = 0.5
    """Rate of the prototypes, without momentum or weight decay; the paper names none, the released code has
    0.5."""
    contrast_learning_rate: Positive | None = None
    """Rate of the released code's second set of centres, 1e-4."""
    centre_scale: Positive = 1.0
    """Standard deviation of the normal distribution that the prototypes start from (released code: 1)."""
    auxiliary_cross_entropy: Switch = False
    """True adds L_CE, through a linear classifier, on every feature before the last (Eq. 8). Algorithm 1,
    line 6, which is followed otherwise, has one L_CE."""
    margin: Positive | None = None
    """Distances that are pushed apart count only up to this; Eq. 5 has no such bound and no minimum."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.variant == "paper":
            for name in ("contrast_weight", "contrast_learning_rate"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} belongs to variant released_code")
        if self.branch_sizes and self.layers is not None and len(self.branch_sizes) != len(self.layers):
            raise ValueError(f"branch_sizes should have one size for each of the {len(self.layers)} layers")
        if self.layers is not None and len(set(self.layers)) != len(self.layers):
            raise ValueError("layers should name each layer once")
        return self

    def resolved(self, features: Sequence[str] = (), epochs: int = 0) -> dict[str, Any]:
        """Return the variant's own values; branches without any fully connected layer are none."""
        usual = [name for name in features if name in ("layer3", "layer4", "layer5")]
        own: dict[str, Any] = {"layers": usual, "distance": "euclidean"}
        if self.variant == "released_code":
            own = {
                "layers": usual[-2:],
                "distance": "squared",
                "contrast_weight": 1e-4,
                "contrast_learning_rate": 1e-4,
            }
        found = {name: value for name, value in own.items() if getattr(self, name) is None}
        return found if any(self.branch_sizes) else {**found, "branch_sizes": []}

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return layers that the network lacks, sizes of branches that are not as many, a warm-up without end."""
        usual = [name for name in asked.features if name in ("layer3", "layer4", "layer5")]
        if self.layers is None and asked.features and not usual:
            return [
                (
                    "layers",
                    f"say where the loss acts; this network's features are {', '.join(asked.features)}",
                )
            ]
        layers = self.layers or tuple(usual if self.variant == "paper" else usual[-2:])
        if asked.features and self.branch_sizes and len(self.branch_sizes) != len(layers):
            return [("branch_sizes", f"should have one size for each of {', '.join(layers)}")]
        if self.warmup_epochs >= max(1, asked.epochs):
            return [("warmup_epochs", f"leaves no epoch to the loss; there are {asked.epochs}")]
        return [("layers", message) for name in layers if (message := asked.unknown_feature(name))]

    def key(self, name: str) -> str:
        """Return the name; a variant has it in brackets: `[layer=4,5]`, `[released_code]`.

        layers: None and the variant's own three or two of Table 1 have none; any others are named, those of
        Table 1 by number (Table 7).
        """
        parts: list[str] = [] if self.variant == "paper" else [self.variant]
        usual = {"layer3", "layer4", "layer5"} if self.variant == "paper" else {"layer4", "layer5"}
        if self.layers is not None and set(self.layers) != usual:
            parts.append("layer=" + ",".join(sorted(layer.removeprefix("layer") for layer in self.layers)))
        return f"{name}[{','.join(parts)}]" if parts else name


class Prototypes(nn.Module):
    """Auxiliary branches G_φ, class prototypes w^c and, where asked for, classifiers of the auxiliary
    features.
    """

    def __init__(self, settings: Settings, classifier: Classifier):
        super().__init__()
        self.layers = _loss_points(settings, classifier)
        self.branches = nn.ModuleDict()
        self.centres = nn.ParameterDict()
        self.contrast_centres = nn.ParameterDict()
        self.heads = nn.ModuleDict()
        sizes = settings.branch_sizes or (0,) * len(self.layers)
        if len(sizes) != len(self.layers):
            raise StudyError(f"branch_sizes should have one size for each of {', '.join(self.layers)}")
        for layer, branch_size in zip(self.layers, sizes, strict=True):
            size = classifier.feature_shapes[layer][0]
            if branch_size:
                self.branches[layer] = nn.Linear(size, branch_size)
                size = branch_size
            self.centres[layer] = nn.Parameter(settings.centre_scale * torch.randn(classifier.classes, size))
            if settings.variant == "released_code":
                start = settings.centre_scale * torch.randn(classifier.classes, size)
                self.contrast_centres[layer] = nn.Parameter(start)
            if settings.auxiliary_cross_entropy and layer != list(classifier.feature_shapes)[-1]:
                self.heads[layer] = nn.Linear(size, classifier.classes)

    def embed(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return f^l = G_φ(F^l(x)) (Eq. 9) of each layer: (N, D)."""
        embedded = {}
        for layer in self.layers:
            feature = features[layer]
            if feature.dim() == 4:
                feature = feature.mean(dim=(2, 3))
            embedded[layer] = self.branches[layer](feature) if layer in self.branches else feature
        return embedded


class PrototypeConformity(Defense[Settings]):
    """Cross-entropy jointly with the prototype conformity loss at several depths (Eq. 7, Algorithm 1)."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The sum over images of Eq. 1 and 5 is a mean, so that the learning rate does not depend on the "
        "batch size.",
        "The auxiliary branches carry the prototype loss only, as Algorithm 1, line 6, says; Eq. 8 adds a "
        "cross-entropy to each (auxiliary_cross_entropy).",
        "The prototypes start from a normal distribution and move by their own rate without momentum and "
        "weight decay, as in the authors' public code; the paper says neither.",
        "Prediction is by softmax, as in the paper's experiments; what the nearest prototype (Eq. 6) of the last "
        "layer says is measured beside it, and no image is left without a class for lying outside every decision "
        "region.",
        "Adversarial examples, where trained on, are made before the update rather than after it; after T', as in "
        "Algorithm 1, where training.adversarial.warmup_epochs says so.",
        "released_code: the schedule lowers every rate; in the public code it has no effect, because it "
        "writes to keys that the optimiser does not read.",
        "released_code: the public code starts from a network trained by a script of its own; here the first "
        "T' epochs of the same run take its place.",
    )

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier with prototypes at its loss points; StudyError where it has none of that
        name.
        """
        return Trainee(classifier, Prototypes(self.settings, classifier))

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return L_CE per image for the first T' epochs and L_CE + Σ L_PC after them (Algorithm 1)."""
        start = self.settings.warmup_epochs
        if progress.epoch < (start * progress.epochs if start < 1 else start):
            return nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        return self.joint(trainee, images, labels)

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return L_CE + Σ L_PC per image (Eq. 7), from one pass."""
        logits, features = trainee.classifier.logits_and_features(images)
        prototypes = _prototypes_of(trainee)
        embedded = prototypes.embed(features)
        loss = nn.functional.cross_entropy(logits, labels, reduction="none")
        loss = self._with_heads(loss, prototypes, embedded, labels)
        return loss + self.conformity(prototypes, embedded, labels)

    def _with_heads(
        self, loss: Tensor, prototypes: Prototypes, embedded: dict[str, Tensor], labels: Tensor
    ) -> Tensor:
        for layer, head in prototypes.heads.items():
            loss = loss + nn.functional.cross_entropy(head(embedded[layer]), labels, reduction="none")
        return loss

    def conformity(self, prototypes: Prototypes, embedded: dict[str, Tensor], labels: Tensor) -> Tensor:
        """Return Σ L_PC over the layers, weighted, per image. embedded: f^l (N, D) of each layer."""
        terms = []
        for layer, feature in embedded.items():
            centres = prototypes.centres[layer]
            if self.settings.variant == "released_code":
                terms.append(
                    self._released_term(feature, labels, centres, prototypes.contrast_centres[layer])
                )
            else:
                terms.append(self._paper_term(feature, labels, centres))
        return torch.stack(terms).sum(dim=0)

    def _paper_term(self, feature: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
        """Return one layer's Eq. 5 per image."""
        to_own, to_others = self._own_and_others(self._distances(feature, centres), labels)
        own = torch.arange(len(centres), device=labels.device)
        _, between = self._own_and_others(self._distances(centres, centres), own)
        return self.settings.weight * (to_own - to_others - between[labels])

    def _released_term(self, feature: Tensor, labels: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """Return one layer's loss as in the public code, whose centres move at rates free of the weights."""
        contrast_weight = _or(self.settings.contrast_weight, 1e-4)
        near = _with_gradient_times(near, 1 / self.settings.weight)
        far = _with_gradient_times(far, 1 / contrast_weight if contrast_weight else 0.0)
        to_own, _ = self._own_and_others(self._distances(feature, near), labels)
        _, to_others = self._own_and_others(self._distances(feature, far), labels)
        return self.settings.weight * to_own - contrast_weight * to_others

    def _distances(self, points: Tensor, centres: Tensor) -> Tensor:
        """Return distances (N, K); the gradient at distance zero is zero, not infinite."""
        distances = torch.cdist(points.float(), centres.float(), compute_mode="donot_use_mm_for_euclid_dist")
        default = "euclidean" if self.settings.variant == "paper" else "squared"
        return distances.square() if _or(self.settings.distance, default) == "squared" else distances

    def _own_and_others(self, distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return each row's distance to its own centre, and the mean of those to the k - 1 others."""
        own = distances.gather(1, labels.unsqueeze(1)).squeeze(1)
        if self.settings.margin is not None:
            distances = distances.clamp(max=self.settings.margin)
        others = distances.scatter(1, labels.unsqueeze(1), 0.0).sum(dim=1) / (distances.shape[1] - 1)
        return own, others

    def parameter_groups(self, trainee: Trainee, learning_rate: float) -> Iterable[dict[str, Any]]:
        """Return the network and its branches at the study's rate, and each set of centres at its own."""
        prototypes = _prototypes_of(trainee)
        network = [
            *trainee.classifier.parameters(),
            *prototypes.branches.parameters(),
            *prototypes.heads.parameters(),
        ]
        plain = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
        yield {"params": network, "lr": learning_rate}
        yield {"params": list(prototypes.centres.values()), "lr": self.settings.centre_learning_rate, **plain}
        if self.settings.variant == "released_code":
            rate = _or(self.settings.contrast_learning_rate, 1e-4)
            yield {"params": list(prototypes.contrast_centres.values()), "lr": rate, **plain}

    def nearest_prototype(self, trainee: Trainee, features: dict[str, Tensor]) -> Tensor | None:
        """Return the class of the nearest prototype of the last loss layer (Eq. 6), int64 (N,)."""
        prototypes = _prototypes_of(trainee)
        last = prototypes.layers[-1]
        return self._distances(prototypes.embed(features)[last], prototypes.centres[last]).argmin(dim=1)

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the loss of Table 3 with the learned prototypes, and `prototypes`, L_PC alone."""

        def parts(images: Tensor, labels: Tensor, *, heads: bool) -> tuple[Tensor, Tensor]:
            logits, features = trainee.classifier.logits_and_features(images)
            prototypes = _prototypes_of(trainee)
            embedded = prototypes.embed(features)
            added = self.conformity(prototypes, embedded, labels)
            return logits, self._with_heads(added, prototypes, embedded, labels) if heads else added

        def joint(images: Tensor, labels: Tensor) -> Tensor:
            return self.joint(trainee, images, labels)

        def conformity(images: Tensor, labels: Tensor) -> Tensor:
            prototypes = _prototypes_of(trainee)
            return self.conformity(prototypes, prototypes.embed(trainee.classifier.features(images)), labels)

        return {
            "joint": AttackLoss(functools.partial(parts, heads=True), joint),
            "prototypes": AttackLoss(functools.partial(parts, heads=False), conformity),
        }


def _loss_points(settings: Settings, classifier: Classifier) -> tuple[str, ...]:
    known = list(classifier.feature_shapes)
    if settings.layers is None:
        points = [name for name in known if name in ("layer3", "layer4", "layer5")]
        if not points:
            raise StudyError(
                f"layers: say where the loss acts; this network's features are {', '.join(known)}"
            )
        return tuple(points if settings.variant == "paper" else points[-2:])
    classifier.require_features(settings.layers, "layers")
    return settings.layers


def _prototypes_of(trainee: Trainee) -> Prototypes:
    if not isinstance(trainee.auxiliary, Prototypes):
        raise TypeError("the trainee was not built by prototype_conformity")
    return trainee.auxiliary


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _with_gradient_times(centres: Tensor, factor: float) -> Tensor:
    """Return the centres; the gradient that flows back to them is multiplied."""
    return centres.detach() + factor * (centres - centres.detach())
