"""Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms. arXiv:1708.07747, 2017): articles of clothing, 28 x 28 pixels, grey, 60,000 to train on and
10,000 to test on.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torchvision.datasets

from reproof.data import published
from reproof.data.dataset import Dataset
from reproof.settings.dataset import PublishedDatasetSettings

UNPACKED_MD5S = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""Torchvision checks the packed files alone, and reads the unpacked ones."""


class Settings(PublishedDatasetSettings):
    """Fashion-MNIST."""

    title: ClassVar[str] = "Fashion-MNIST"
    key: ClassVar[str] = "fashion_mnist"
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    train_available: ClassVar[int] = 60_000
    test_available: ClassVar[int] = 10_000


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return Fashion-MNIST with its splits, from root or downloaded into it."""
    download = published.idx_download(torchvision.datasets.FashionMNIST, UNPACKED_MD5S)
    return published.prepare(settings, root, download)
