"""Handwritten digits that come inside scikit-learn (E. Alpaydin and C. Kaynak 1998, UCI).

They are the test part of "Optical Recognition of Handwritten Digits": 1,797 real digits of 8 x 8 pixels with
17 grey levels; no download. Levels 0 to 16 become 0 to 255, and images are resized by
`torch.nn.functional.interpolate(mode="bilinear", align_corners=False, antialias=False)` on the exact levels,
rounded once at the end, half to even. Images only ever grow, so that antialiasing would change nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from reproof.data import splits
from reproof.data.dataset import DataDescription, Dataset
from reproof.settings.dataset import DatasetSettings
from reproof.settings.values import Count, Whole

LEVELS = 16


class Settings(DatasetSettings):
    """The digits inside scikit-learn."""

    title: ClassVar[str] = "digits"
    key: ClassVar[str] = "digits"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    available: ClassVar[int] = 1797
    """Images that there are."""

    image_size: Annotated[Count, Field(ge=8, le=64)] = 28
    """Height and width in pixels; 8 is the original, 28 is MNIST's."""
    resize: Literal["bilinear"] = "bilinear"
    """How images grow: bilinear, corners not aligned."""
    test_images: Count = 400
    """Size of the test split, the beginning of a fixed stratified order of all images."""
    validation_images: Count = 200
    """Size of the validation split, for every choice that must not see the test split."""
    split_seed: Annotated[Whole, Field(ge=0)] = 0
    """Seed of the splits; it has nothing to do with the seeds of training."""

    @model_validator(mode="after")
    def _some_left(self) -> Settings:
        if self.test_images + self.validation_images >= self.available:
            raise ValueError(
                f"test_images + validation_images ({self.test_images} + {self.validation_images}) "
                f"should leave some of the {self.available} images to train on"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return an image's channels, height and width."""
        return 1, self.image_size, self.image_size

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        rest = self.available - self.test_images - self.validation_images
        return {"train": rest, "validation": self.validation_images, "test": self.test_images}


def resize(images: torch.Tensor, size: int, method: str) -> torch.Tensor:
    """Return float images (N, C, H, W) as (N, C, size, size); unchanged where they have that size."""
    if images.shape[-2:] == (size, size):
        return images
    return torch.nn.functional.interpolate(images, size=(size, size), mode=method, align_corners=False)


def quantise(images: torch.Tensor) -> torch.Tensor:
    """Return float64 images in [0, 255] as uint8, the same on every machine.

    Level 8 is 127.5, and interpolation leaves it a few last bits off, not alike everywhere: those go first.
    """
    return images.round(decimals=6).round().to(torch.uint8)


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return the digits with their splits. root is not used: nothing is downloaded."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    exact = torch.from_numpy(raw.images)[:, None] * (255 / LEVELS)
    stored = quantise(resize(exact, settings.image_size, settings.resize))
    labels = raw.target.astype(np.int64)
    sizes = (settings.test_images, settings.validation_images)
    test, validation, train = splits.carve(labels, sizes, np.random.default_rng(settings.split_seed))
    seen = stored[torch.from_numpy(train)].double() / 255
    size = settings.image_size
    description = DataDescription(
        channels=1,
        height=size,
        width=size,
        classes=len(raw.target_names),
        mean=(float(seen.mean()),),
        std=(float(seen.std(correction=0)),),
    )
    return Dataset(
        name=settings.key,
        images=stored,
        labels=torch.from_numpy(labels),
        splits={
            "train": torch.from_numpy(train),
            "validation": torch.from_numpy(validation),
            "test": torch.from_numpy(test),
        },
        description=description,
    )
