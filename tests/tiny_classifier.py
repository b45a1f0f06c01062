"""A classifier, data and defenses small enough that a test trains them in a fraction of a second."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.defense import DefenseSettings
from reproof.training.adversarial import Batch, mix_in_adversarial
from reproof.training.randomness import generator_for

DESCRIPTION = DataDescription(channels=1, height=8, width=8, classes=3, mean=(0.4,), std=(0.3,))


class TinyClassifier(Classifier):
    """One convolution (a map, `layer3`) and two linear layers (`layer4`, `layer5`), with batch norm where
    asked.
    """

    def __init__(self, data: DataDescription = DESCRIPTION, *, batch_norm: bool = False, size: int = 6):
        super().__init__(data)
        self.layer3 = nn.Sequential(
            nn.Conv2d(data.channels, size, 3, padding=1),
            nn.BatchNorm2d(size) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        height, width = data.height // 2, data.width // 2
        self.layer4 = nn.Sequential(
            nn.Linear(size * height * width, 2 * size),
            nn.BatchNorm1d(2 * size) if batch_norm else nn.Identity(),
            nn.ReLU(),
        )
        self.layer5 = nn.Sequential(nn.Linear(2 * size, size), nn.PReLU())
        self.classify = nn.Linear(size, data.classes)
        self.feature_shapes = {"layer3": (size, height, width), "layer4": (2 * size,), "layer5": (size,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        layer3 = self.layer3(self.normalise(images))
        layer4 = self.layer4(layer3.flatten(1))
        layer5 = self.layer5(layer4)
        return self.classify(layer5), {"layer3": layer3, "layer4": layer4, "layer5": layer5}


class LinearClassifier(Classifier):
    """Logits W x + b with given weights: attacks on it have a closed form."""

    def __init__(self, data: DataDescription, weights: Tensor, bias: Tensor):
        super().__init__(data)
        self.weights = nn.Parameter(weights)
        self.bias = nn.Parameter(bias)
        self.feature_shapes = {"pixels": (weights.shape[1],)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = images.flatten(1)
        return pixels @ self.weights.T + self.bias, {"pixels": pixels}


class PlainSettings(DefenseSettings):
    pass


class PlainDefense(Defense[PlainSettings]):
    """Cross-entropy, and a place to look into: `seen` keeps each step's progress and batch."""

    deviations: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: PlainSettings | None = None):
        super().__init__(settings or PlainSettings())
        self.seen: list[tuple[Progress, Tensor, Tensor]] = []

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        self.seen.append((progress, images.detach().clone(), labels.clone()))
        return nn.functional.cross_entropy(trainee(images), labels, reduction="none")


def make_data(train: int = 90, validation: int = 30, test: int = 60, *, seed: int = 0) -> Dataset:
    """Return images of three classes: noise, with one bright third of the rows each, so that all can be
    learned.
    """
    generator = torch.Generator().manual_seed(seed)
    count = train + validation + test
    labels = torch.arange(count) % DESCRIPTION.classes
    images = torch.randint(0, 120, (count, 1, 8, 8), generator=generator)
    for row in range(8):
        images[:, 0, row] += 100 * (row * 3 // 8 == labels).long().unsqueeze(1)
    splits = torch.arange(count).split([train, validation, test])
    return Dataset(
        name="stripes",
        images=images.to(torch.uint8),
        labels=labels,
        splits={"train": splits[0], "validation": splits[1], "test": splits[2]},
        description=DESCRIPTION,
    )


def build_tiny(defense: Defense, *, seed: int = 0, batch_norm: bool = False) -> Trainee:
    """Return the defense's trainee on a tiny classifier drawn from the seed."""
    torch.manual_seed(seed)
    members = [TinyClassifier(batch_norm=batch_norm) for _ in range(defense.settings.networks)]
    classifier = members[0] if len(members) == 1 else defense.join(members, DESCRIPTION)
    return defense.build(classifier, DESCRIPTION)


def mix(defense: Defense[Any], count: int = 32) -> tuple[Batch, Tensor]:
    """Return a batch with the adversarial examples that a method trains on, and each image's L-infinity distance."""
    trainee = build_tiny(defense).train()
    images, labels = make_data().select("train", count)
    clean = to_unit(images)
    batch = Batch(clean.clone(), labels)
    asked = defense.adversarial_training()
    assert asked is not None
    mix_in_adversarial(
        batch, asked, defense, trainee, Progress(0, 1, 0), generator_for(torch.device("cpu"), 0)
    )
    return batch, (batch.images - clean).flatten(1).abs().amax(dim=1)
