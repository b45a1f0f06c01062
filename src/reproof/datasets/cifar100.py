"""CIFAR-100 (A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. University of Toronto, 2009):
colour photographs of 32 x 32 pixels in 100 classes (the fine labels), 50,000 to train on and 10,000 to test on.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torchvision.datasets

from reproof.data import published
from reproof.data.dataset import Dataset
from reproof.settings.dataset import PublishedDatasetSettings


class Settings(PublishedDatasetSettings):
    """CIFAR-100, with its fine labels."""

    title: ClassVar[str] = "CIFAR-100"
    key: ClassVar[str] = "cifar100"
    class_names: ClassVar[tuple[str, ...]] = (
        "apple",
        "aquarium_fish",
        "baby",
        "bear",
        "beaver",
        "bed",
        "bee",
        "beetle",
        "bicycle",
        "bottle",
        "bowl",
        "boy",
        "bridge",
        "bus",
        "butterfly",
        "camel",
        "can",
        "castle",
        "caterpillar",
        "cattle",
        "chair",
        "chimpanzee",
        "clock",
        "cloud",
        "cockroach",
        "couch",
        "crab",
        "crocodile",
        "cup",
        "dinosaur",
        "dolphin",
        "elephant",
        "flatfish",
        "forest",
        "fox",
        "girl",
        "hamster",
        "house",
        "kangaroo",
        "keyboard",
        "lamp",
        "lawn_mower",
        "leopard",
        "lion",
        "lizard",
        "lobster",
        "man",
        "maple_tree",
        "motorcycle",
        "mountain",
        "mouse",
        "mushroom",
        "oak_tree",
        "orange",
        "orchid",
        "otter",
        "palm_tree",
        "pear",
        "pickup_truck",
        "pine_tree",
        "plain",
        "plate",
        "poppy",
        "porcupine",
        "possum",
        "rabbit",
        "raccoon",
        "ray",
        "road",
        "rocket",
        "rose",
        "sea",
        "seal",
        "shark",
        "shrew",
        "skunk",
        "skyscraper",
        "snail",
        "snake",
        "spider",
        "squirrel",
        "streetcar",
        "sunflower",
        "sweet_pepper",
        "table",
        "tank",
        "telephone",
        "television",
        "tiger",
        "tractor",
        "train",
        "trout",
        "tulip",
        "turtle",
        "wardrobe",
        "whale",
        "willow_tree",
        "wolf",
        "woman",
        "worm",
    )
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    train_available: ClassVar[int] = 50_000
    test_available: ClassVar[int] = 10_000


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return CIFAR-100 with its splits, from root or downloaded into it."""
    return published.prepare(settings, root, published.cifar_download(torchvision.datasets.CIFAR100))
