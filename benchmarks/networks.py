"""Networks that are attacked: trained on scikit-learn's digits in seconds, or with random weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import judge
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.models import build as models_build
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train


@dataclass(frozen=True)
class Network:
    """An architecture, and budgets that leave some of its images right."""

    architecture: dict[str, Any]
    epsilon: float
    """L-infinity."""
    radius: float
    """L2."""


NETWORKS = {
    "LeNet": Network({"kind": "lenet"}, epsilon=0.07, radius=0.7),
    "CNN-6": Network({"kind": "cnn6", "width": 0.25}, epsilon=0.07, radius=0.7),
    "ResNet-20": Network({"kind": "resnet", "depth": 20, "width": 0.5}, epsilon=0.02, radius=0.2),
}


@dataclass(frozen=True)
class Scene:
    """A network in evaluation mode, and images that it classifies as labelled."""

    network: nn.Module
    images: Tensor
    labels: Tensor
    epsilon: float
    radius: float
    targets: Tensor | None = None
    """Classes that alone count as reached; None counts every wrong class."""

    def first(self, count: int, budget: float = 1) -> Scene:
        """Return the scene of some images, at a share of the L-infinity budget."""
        return replace(
            self, images=self.images[:count], labels=self.labels[:count], epsilon=budget * self.epsilon
        )

    def towards_next(self) -> Scene:
        """Return the scene with the class after the true one as each image's target."""
        return replace(self, targets=(self.labels + 1) % 10)


def prepare(chosen: Network, data: Dataset, epochs: int, images: int) -> Scene:
    """Train a network on the digits; take the first test images that it classifies as labelled."""
    declared = {"architecture": chosen.architecture, "defense": {"kind": "undefended"}}
    defense, trainee = models_build.build(declared, data.description, seed=0)
    rehearsal = TrainingSettings(
        epochs=epochs,
        batch_size=64,
        optimizer="adam",
        learning_rate=2e-3,
        schedule="cosine",
        validation=False,
    )
    train(defense, trainee, data, rehearsal, seed=0, progress=False)
    stored, labels = data.select("test", 2 * images)
    unit = to_unit(stored)
    right = (judge.predict(trainee, unit, len(unit), "cpu").argmax(1) == labels).nonzero().squeeze(1)[:images]
    return Scene(trainee.eval(), unit[right], labels[right], chosen.epsilon, chosen.radius)


def untrained(classes: int, images: Tensor) -> Scene:
    """Return CNN-6 with random weights and so many classes, and its own answers as labels."""
    size = images.shape[-1]
    data = DataDescription(channels=1, height=size, width=size, classes=classes, mean=(0.3,), std=(0.3,))
    settings = registry.settings_class("architectures", "cnn6")(width=0.25)
    torch.manual_seed(0)
    network = registry.load("architectures", "cnn6").build(settings, data).eval()
    answers = judge.predict(network, images, len(images), "cpu").argmax(1)
    return Scene(network, images, answers, epsilon=0.1, radius=0.7)
