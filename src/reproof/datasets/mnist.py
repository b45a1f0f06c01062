"""MNIST (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document recognition.
Proceedings of the IEEE 86(11), 1998): handwritten digits of 28 x 28 pixels, grey, 60,000 to train on and 10,000
to test on.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torchvision.datasets

from reproof.data import published
from reproof.data.dataset import Dataset
from reproof.settings.dataset import PublishedDatasetSettings

UNPACKED_MD5S = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""Torchvision checks the packed files alone, and reads the unpacked ones."""


class Settings(PublishedDatasetSettings):
    """MNIST."""

    title: ClassVar[str] = "MNIST"
    key: ClassVar[str] = "mnist"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    train_available: ClassVar[int] = 60_000
    test_available: ClassVar[int] = 10_000


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return MNIST with its splits, from root or downloaded into it."""
    download = published.idx_download(torchvision.datasets.MNIST, UNPACKED_MD5S)
    return published.prepare(settings, root, download)
