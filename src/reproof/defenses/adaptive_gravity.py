"""A. Mirzaeian, Z. Tian, S. Manoj P D, B. S. Latibari, I. Savidis, H. Homayoun, A. Sasan. Adaptive-Gravity: A
Defense Against Adversarial Samples. ISQED 2022.

In each of many rounds, every class's centroid in two layers is pushed away from the other classes' by a force
that grows with their spread and nearness, and a student of the round before is trained to bring its features
to the moved centroids. One round is chosen by its accuracy, by how compact and how far apart its classes are,
and by what PGD leaves of it on validation images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, to_unit
from reproof.errors import StudyError, TrainingError
from reproof.geometry import latent_space
from reproof.geometry.gravity_rounds import LAYERS, Rounds, Student, Weights, copy_weights
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Row, Stock, Trainee
from reproof.settings.cost import FORWARD
from reproof.settings.defense import DefenseSettings, Undertaking
from reproof.settings.values import Count, NonNegative, Positive, UnitInterval
from reproof.training.inner_attacks import Loss, crafting_mode, pgd


class Settings(DefenseSettings):
    """Settings of Adaptive-Gravity."""

    title: ClassVar[str] = "adaptive gravity"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint", "centroids")
    paper: ClassVar[str] = "mirzaeian_gravity"
    training_log: ClassVar[tuple[str, ...]] = ("rounds", "centroids")

    rounds: Count = 50
    """Rounds of Gravity (Sec. III-A); where fewer epochs are left for them, as many, of one epoch each."""
    warmup_epochs: NonNegative = 0.3
    """Training of the model of round 0, by cross-entropy: below 1 a fraction of the study's epochs, otherwise a
    number of epochs."""
    epochs_per_round: Count | None = None
    """Epochs of a student; None shares those after the first model's equally. Epochs that no round takes go to
    the first model."""
    layers: tuple[str, str] | None = None
    """Features of head and tail (Eq. 6, Table I); None: the last before the logits, and the one before it."""
    maps: Literal["flattened", "averaged"] = "flattened"
    """A feature that is a map is one long vector, or is averaged over its area. Averaged, the last map of a
    ResNet is its head again."""
    gravity: tuple[Positive, Positive] = (100.0, 200.0)
    """G of head and tail (Algorithm 1): the furthest that a centroid moves in a round. Fig. 5: [100, 200] for
    LeNet, [200, 300] for ResNet-110."""
    gravity_unit: Literal["feature", "distance"] = "feature"
    """Unit of `gravity`: that of the features, or the mean distance between the classes' centroids in the model
    of round 0, which fits any network."""
    force: Literal["eq2", "eq3"] = "eq2"
    """eq2: Eq. 2 inside the sum. eq3: as printed, without 1/d², so that far classes push harder."""
    spread: Literal["scalar", "per_coordinate"] = "scalar"
    """σ of Eq. 2: the root of the mean squared distance, or one per coordinate."""
    centroids_per_class: Count = 1
    """More than one are found by K-means (Sec. II-A); an image is drawn to the nearest of its class."""
    centroid_images: Count | None = None
    """Centroids and spreads are taken from the first so many training images; None: all."""
    target: Literal["moved", "teacher"] = "moved"
    """Features are drawn to the moved centroids, or (Eq. 6, literally) to the teacher's own."""
    distance: Literal["mean", "sum"] = "mean"
    """Squared differences of Eq. 6, over a layer's features."""
    cross_entropy_reduction: Literal["mean", "sum"] = "mean"
    """Eq. 5 over the images of a batch; a sum weighs it by the batch size."""
    gamma: UnitInterval | None = None
    """γ of Eq. 4; None: the teacher's accuracy."""
    accuracy_split: Literal["validation", "train"] = "validation"
    """Images of the accuracy that gives γ and that meets the threshold; train: those of `centroid_images`."""
    student_start: Literal["teacher", "initial"] = "teacher"
    """A student's first weights: its teacher's, or those that the run began with. The optimiser goes on."""
    threshold: UnitInterval = 0.9965
    """Least accuracy of a round that can be chosen (Sec. III-A: MNIST; 0.92 for CIFAR-10). Where no round
    reaches it, those of the highest accuracy can."""
    separation: Literal["smallest", "mean", "largest"] = "smallest"
    """Which distance between classes is the ICD of the Pareto front (Sec. III-A)."""
    selection_split: Literal["validation", "train"] = "validation"
    """Images on which PGD chooses among the rounds of the Pareto front."""
    selection_images: Count = 1000
    """How many of them."""
    selection_epsilon: Annotated[UnitInterval, Field(gt=0)] = 0.15
    """L-infinity budget of that PGD, in [0, 1]: the largest of Table III (MNIST); 0.02 for CIFAR-10."""
    selection_steps: Count = 10
    """Its steps, each of epsilon / steps, from a random start."""
    round: Count | None = None
    """Keep this round, counted from 1, instead of choosing (Sec. III-A: 10 for LeNet, 8 for ResNet-110)."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.layers is not None and self.layers[0] == self.layers[1]:
            raise ValueError("layers should name two different features, head and tail")
        if self.round is not None and self.round > self.rounds:
            raise ValueError(f"round should be at most rounds ({self.rounds})")
        return self

    def resolved(self, features: Sequence[str] = (), epochs: int = 0) -> dict[str, Any]:
        """Return the layers that null stands for, head and tail, and the rounds that the epochs leave room for."""
        layers = {"layers": [*features[-1:], *features[-2:-1]]} if self.layers is None else {}
        return {**layers, "rounds": len(self.round_starts(epochs))}

    def relative_cost(self) -> float:
        """Return a step's cost with one pass forward per round, and rounds of four epochs if not stated."""
        return 1 + FORWARD / (self.epochs_per_round or 4)

    def round_starts(self, epochs: int) -> list[int]:
        """Return the epoch, from 0, with which each round begins; none where the warm-up takes all epochs."""
        start = self.warmup_epochs
        left = epochs - math.ceil(start * epochs if start < 1 else start)
        if self.epochs_per_round is None:
            count = min(self.rounds, left)
        else:
            count = min(self.rounds, left // self.epochs_per_round)
            left = count * self.epochs_per_round
        return [epochs - left + index * left // count for index in range(count)]

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return features that the network lacks, rounds that no epoch is left for, and images too few to cluster."""
        found = [
            ("layers", message) for name in self.layers or () if (message := asked.unknown_feature(name))
        ]
        rounds = len(self.round_starts(asked.epochs))
        if not rounds:
            found.append(
                (
                    "warmup_epochs",
                    "leaves no epoch for a round; raise training.epochs, or lower warmup_epochs or epochs_per_round",
                )
            )
        elif self.round is not None and self.round > rounds:
            found.append(
                (
                    "round",
                    f"is {self.round}, and the epochs after the warm-up make {rounds}; raise training.epochs, or lower "
                    "round, warmup_epochs or epochs_per_round",
                )
            )
        images = min(asked.train_images, self.centroid_images or asked.train_images)
        if images < asked.classes * self.centroids_per_class:
            key = "centroid_images" if self.centroid_images else "centroids_per_class"
            found.append(
                (
                    key,
                    f"{images} training images are too few for {self.centroids_per_class} centroids of each class",
                )
            )
        return found


class Targets(nn.Module):
    """Where the features of a round are drawn to, and how the two terms of Eq. 4 weigh."""

    def __init__(self, settings: Settings, classifier: Classifier):
        super().__init__()
        self.layers = _head_and_tail(settings, classifier)
        count = classifier.classes * settings.centroids_per_class
        self.averaged = settings.maps == "averaged"
        self.head: Tensor
        self.tail: Tensor
        self.gamma: Tensor
        self.cross_entropy_weight: Tensor
        self.gravity: Tensor
        for name, layer in zip(LAYERS, self.layers, strict=True):
            shape = classifier.feature_shapes[layer]
            self.register_buffer(name, torch.zeros(count, shape[0] if self.averaged else math.prod(shape)))
        self.register_buffer("gamma", torch.zeros(()))
        self.register_buffer("cross_entropy_weight", torch.ones(()))
        self.register_buffer("gravity", torch.zeros(2))

    def embed(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return φ of head and tail, (N, D) each, in float32."""
        head, tail = (features[layer] for layer in self.layers)
        return self._vectors(head), self._vectors(tail)

    def _vectors(self, feature: Tensor) -> Tensor:
        if feature.dim() == 4 and self.averaged:
            feature = feature.mean(dim=(2, 3))
        return feature.flatten(1).float()


class AdaptiveGravity(Defense[Settings]):
    """Rounds of relocating centroids and training a student towards them (Eq. 2 to 6, Algorithm 1)."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The sum of Eq. 3 runs over the forces of Eq. 2, with 1/d²; as printed it lacks them (force).",
        "The standard deviation in Eq. 2 is one number per class; as printed it is a vector (spread).",
        "The features of Eq. 6 are drawn to the moved centroids; as printed, to the teacher's (target).",
        "The cross-entropy of Eq. 5 is a mean over the images, as Eq. 6 is (cross_entropy_reduction).",
        "γ, the threshold and the choice of the round use the validation split, never test images.",
        "The choice is among the rounds of Gravity; the model of round 0, which is undefended, is not in it.",
        "Where no round reaches the threshold, the rounds of the highest accuracy take part in the choice.",
        "PGD attacks the rounds of the Pareto front alone, and none where the front is one round; of equals "
        "the first is chosen.",
        "The mean of the ICD is over the pairs of classes; as printed the sum is divided by the number of "
        "classes.",
        "The rounds share one run of the optimiser, whose momentum and schedule go on from student to student.",
    )

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._forget()

    def _forget(self) -> None:
        self.rounds = Rounds(
            threshold=self.settings.threshold,
            separation=self.settings.separation,
            fixed=self.settings.round,
            centroids_per_class=self.settings.centroids_per_class,
        )
        self._initial: Weights = {}

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier with its targets; StudyError where it has no such layers."""
        return Trainee(classifier, Targets(self.settings, classifier))

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the cross-entropy per image in round 0, and Eq. 4 in the rounds after it."""
        if all(progress.epoch < start for start in self.settings.round_starts(progress.epochs)):
            return nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        return self.joint(trainee, images, labels)

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return (1 - γ) L_ce + γ (L_head + L_tail) per image (Eq. 4), from one pass."""
        logits, features = trainee.classifier.logits_and_features(images)
        targets = _targets_of(trainee)
        cross_entropy = nn.functional.cross_entropy(logits, labels, reduction="none")
        accurate = (1 - targets.gamma) * targets.cross_entropy_weight * cross_entropy
        return accurate + targets.gamma * self.pull(targets, features, labels)

    def pull(self, targets: Targets, features: dict[str, Tensor], labels: Tensor) -> Tensor:
        """Return L_head + L_tail per image (Eq. 6): squared distance to the class's nearest target."""
        head, tail = targets.embed(features)
        return self._pull(head, labels, targets.head) + self._pull(tail, labels, targets.tail)

    def _pull(self, feature: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        own = targets.view(-1, self.settings.centroids_per_class, targets.shape[1])[labels]
        squared = (feature.unsqueeze(1) - own).square()
        reduced: Tensor = squared.mean(dim=2) if self.settings.distance == "mean" else squared.sum(dim=2)
        return reduced.amin(dim=1)

    def begin_epoch(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Measure the model where a round begins, and move its centroids: the targets of the next student.

        TrainingError where the study has no epoch for a round, or a split has too few images.
        """
        starts = self.settings.round_starts(progress.epochs)
        if progress.epoch == 0:
            self._forget()
            self._check(stock, starts, trainee.classifier.classes)
            if self.settings.student_start == "initial":
                self._initial = copy_weights(trainee.classifier)
        if progress.epoch not in starts:
            return
        student = self._measure(trainee, stock)
        self._record(trainee, student, progress.epoch)
        targets = _targets_of(trainee)
        targets.gamma.fill_(self._gamma(student.accuracy))
        if self.settings.cross_entropy_reduction == "sum":
            targets.cross_entropy_weight.fill_(stock.batch_size)
        if progress.epoch == starts[0]:
            targets.gravity.copy_(self._gravity(student))
        for index, name in enumerate(LAYERS):
            moved = self._moved(student.masses[index], targets.gravity[index].item())
            targets.get_buffer(name).copy_(moved)
        if self._initial:
            trainee.classifier.load_state_dict(self._initial)

    def _check(self, stock: Stock, starts: Sequence[int], classes: int) -> None:
        if not starts:
            raise TrainingError(
                "adaptive_gravity: the warm-up leaves no epoch for a round; raise training.epochs, or lower "
                "warmup_epochs or epochs_per_round"
            )
        chosen = self.settings.round
        if chosen is not None and chosen > len(starts):
            raise TrainingError(
                f"adaptive_gravity: round is {chosen}, and the epochs after the warm-up make {len(starts)}; "
                "raise training.epochs, or lower round, warmup_epochs or epochs_per_round"
            )
        needed = ["accuracy_split"] if self.settings.accuracy_split == "validation" else []
        if self.settings.selection_split == "validation" and chosen is None:
            needed.append("selection_split")
        if needed and len(stock.validation[0]) == 0:
            raise TrainingError(
                "adaptive_gravity: the validation split is empty; give the data set validation images, or set "
                f"{' and '.join(needed)} to train"
            )
        least = self.settings.centroids_per_class
        labels = self._clean(stock)[1]
        counts = torch.bincount(labels, minlength=classes)
        if int(counts.min()) < least:
            raise TrainingError(
                f"adaptive_gravity: class {int(counts.argmin())} has {int(counts.min())} of {len(labels)} "
                f"training images, and needs {least} for its centroids"
            )

    def _clean(self, stock: Stock) -> tuple[Tensor, Tensor]:
        count = self.settings.centroid_images
        return stock.train[0][:count], stock.train[1][:count]

    def _measure(self, trainee: Trainee, stock: Stock) -> Student:
        """Return centroids, spreads and accuracy from one pass over the clean training images."""
        targets = _targets_of(trainee)
        images, labels = self._clean(stock)
        heads, tails, right = [], [], 0
        with crafting_mode(trainee, training=False), torch.no_grad():
            for batch, truth in _batches(images, labels, stock.batch_size):
                logits, features = trainee.classifier.logits_and_features(to_unit(batch))
                head, tail = targets.embed(features)
                heads.append(head)
                tails.append(tail)
                right += int((logits.argmax(dim=1) == truth).sum())
            accuracy = right / len(labels)
            if self.settings.accuracy_split == "validation":
                right = sum(
                    int((trainee(to_unit(batch)).argmax(dim=1) == truth).sum())
                    for batch, truth in _batches(*stock.validation, stock.batch_size)
                )
                accuracy = right / len(stock.validation[1])
        classes, per_class = trainee.classifier.classes, self.settings.centroids_per_class
        in_head = latent_space.masses(torch.cat(heads), labels, classes, per_class)
        in_tail = latent_space.masses(torch.cat(tails), labels, classes, per_class)
        return Student((in_head, in_tail), accuracy)

    def _gravity(self, first: Student) -> Tensor:
        """Return G of head and tail in the unit of the features."""
        gravity = torch.tensor(self.settings.gravity)
        if self.settings.gravity_unit == "feature":
            return gravity
        return gravity * torch.stack([latent_space.divergence(mass)[1] for mass in first.masses]).float()

    def _gamma(self, accuracy: float) -> float:
        return accuracy if self.settings.gamma is None else self.settings.gamma

    def _moved(self, mass: latent_space.Masses, gravity: float) -> Tensor:
        if self.settings.target == "teacher":
            return mass.centroids
        forces = latent_space.anti_gravity(
            mass, self.settings.force, per_coordinate=self.settings.spread == "per_coordinate"
        )
        return latent_space.relocate(mass.centroids, forces, gravity)

    def _record(self, trainee: Trainee, student: Student, epoch: int) -> None:
        rows = self.rounds.rows
        self.rounds.record(student, epoch, self._gamma(rows[-1]["accuracy"]) if rows else None, trainee)

    def finish(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Measure the last student, choose a round, and give the trainee its weights and targets."""
        self._record(trainee, self._measure(trainee, stock), progress.epoch)
        rows, held, front = self.rounds.rows, self.rounds.held, sorted(self.rounds.front())
        for number in front:
            rows[number]["pareto"] = 1
        chosen = self.settings.round or front[0]
        if self.settings.round is None and len(front) > 1:
            for number in front:
                trainee.load_state_dict(held[number])
                rows[number]["pgd_accuracy"] = self._accuracy_under_pgd(trainee, stock)
            chosen = max(front, key=lambda number: float(rows[number]["pgd_accuracy"]))
        trainee.load_state_dict(held[chosen])
        rows[chosen]["chosen"] = 1
        held.clear()

    def _accuracy_under_pgd(self, trainee: Trainee, stock: Stock) -> float:
        """Return the share of the selection's images that are classified correctly clean and under PGD."""
        settings = self.settings
        images, labels = stock.validation if settings.selection_split == "validation" else stock.train
        images, labels = images[: settings.selection_images], labels[: settings.selection_images]
        generator = torch.Generator(device=images.device).manual_seed(torch.initial_seed())
        kept = 0
        with crafting_mode(trainee, training=False):
            for batch, truth in _batches(images, labels, stock.batch_size):
                clean = to_unit(batch)
                attacked = pgd(
                    _cross_entropy(trainee, truth),
                    clean,
                    torch.full((len(clean),), settings.selection_epsilon, device=clean.device),
                    steps=settings.selection_steps,
                    step_size=1 / settings.selection_steps,
                    generator=generator,
                )
                with torch.no_grad():
                    right = [trainee(one).argmax(dim=1) == truth for one in (clean, attacked)]
                kept += int((right[0] & right[1]).sum())
        return kept / len(labels)

    def state(self) -> dict[str, Tensor]:
        """Return the rounds so far, their centroids, and the weights of those that may still be chosen."""
        return {**{f"initial.{name}": value for name, value in self._initial.items()}, **self.rounds.state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self._forget()
        first = "initial."
        self._initial = {n.removeprefix(first): value for n, value in state.items() if n.startswith(first)}
        self.rounds.restore({n: value for n, value in state.items() if not n.startswith(first)})

    def training_log(self) -> dict[str, list[Row]]:
        """Return `rounds`, from 0, and `centroids`, in the plane of each layer's principal components."""
        return self.rounds.log()

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, Eq. 4 with the chosen round's targets and γ, and `centroids`, Eq. 6 alone.

        Another form takes the cross-entropy's place in Eq. 4; beside Eq. 6 alone it has the weight 1.
        """
        targets = _targets_of(trainee)

        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits, features = trainee.classifier.logits_and_features(images)
            return logits, self.pull(targets, features, labels)

        def weighted(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits, pull = parts(images, labels)
            return (1 - targets.gamma) * targets.cross_entropy_weight * logits, targets.gamma * pull

        centroids = AttackLoss(parts, own=lambda images, labels: parts(images, labels)[1])
        return {"joint": AttackLoss(weighted, functools.partial(self.joint, trainee)), "centroids": centroids}


def _head_and_tail(settings: Settings, classifier: Classifier) -> tuple[str, str]:
    known = list(classifier.feature_shapes)
    if settings.layers is None:
        if len(known) < 2:
            raise StudyError(f"adaptive_gravity needs two features, head and tail; found {', '.join(known)}")
        return known[-1], known[-2]
    classifier.require_features(settings.layers, "layers")
    return settings.layers


def _targets_of(trainee: Trainee) -> Targets:
    if not isinstance(trainee.auxiliary, Targets):
        raise TypeError("the trainee was not built by adaptive_gravity")
    return trainee.auxiliary


def _cross_entropy(trainee: Trainee, labels: Tensor) -> Loss:
    return lambda images: nn.functional.cross_entropy(trainee(images), labels, reduction="none")


def _batches(images: Tensor, labels: Tensor, batch_size: int) -> zip[tuple[Tensor, Tensor]]:
    return zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
