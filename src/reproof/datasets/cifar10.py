"""CIFAR-10 (A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. University of Toronto, 2009):
colour photographs of 32 x 32 pixels in 10 classes, 50,000 to train on and 10,000 to test on.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torchvision.datasets

from reproof.data import published
from reproof.data.dataset import Dataset
from reproof.settings.dataset import PublishedDatasetSettings


class Settings(PublishedDatasetSettings):
    """CIFAR-10."""

    title: ClassVar[str] = "CIFAR-10"
    key: ClassVar[str] = "cifar10"
    class_names: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    train_available: ClassVar[int] = 50_000
    test_available: ClassVar[int] = 10_000


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return CIFAR-10 with its splits, from root or downloaded into it."""
    return published.prepare(settings, root, published.cifar_download(torchvision.datasets.CIFAR10))
