"""Images of the user's own in a folder: one folder a class, an image file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reproof.data import array_files, image_files, own_images
from reproof.data.dataset import Dataset
from reproof.data.own_images import Part
from reproof.data.splits import Indices
from reproof.errors import DataError
from reproof.settings.dataset import OwnImagesSettings
from reproof.settings.values import Switch


class Settings(OwnImagesSettings):
    """A folder with one folder a class."""

    title: ClassVar[str] = "images in a folder"
    key: ClassVar[str] = "folder"
    example: ClassVar[dict[str, Any]] = {
        "path": "images",
        "classes": ["cat", "dog"],
        "image_shape": [3, 32, 32],
        "test_images": 10,
        "validation_images": 4,
        "train_images": 20,
    }

    path: str
    """The folder with the test images, relative to the project's folder: in it one folder for each of `classes`."""
    train_path: str | None = None
    """A folder with images to train on; null: what training and validation need comes out of `path`."""
    resize: Switch = False
    """True: images of another size are scaled until their shorter side fits, and their middle is cut out."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the folders."""
        return (self.path, *([self.train_path] if self.train_path else []))


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return the images with their splits. root is not used: the folder is named."""
    training = _part(settings, Path(settings.train_path)) if settings.train_path else None
    return own_images.assemble(settings, settings.key, _part(settings, Path(settings.path)), training)


def _part(settings: Settings, folder: Path) -> Part:
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder")
    seen = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if set(seen) != set(settings.classes):
        raise DataError(
            f"{folder}: has the folders {', '.join(seen) or '(none)'}, and the classes are "
            f"{', '.join(settings.classes)}: one folder for each"
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(settings.classes):
        for path in sorted((folder / name).iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir() or path.suffix.lower() not in image_files.SUFFIXES:
                raise DataError(f"{path}: is no image file ({', '.join(image_files.SUFFIXES)})")
            files.append(path)
            labels.append(label)

    def read(positions: Indices) -> own_images.Images:
        pixels = np.empty((len(positions), *settings.shape), dtype=np.uint8)
        for place, position in enumerate(positions.tolist()):
            pixels[place] = image_files.read(files[position], settings.shape, resize=settings.resize)
        return (
            pixels
            if settings.range is None
            else array_files.to_levels(str(folder), pixels, settings.range)[0]
        )

    taken = settings.range and f"{folder}: levels taken as [{settings.range[0]:g}, {settings.range[1]:g}]"
    return Part(str(folder), np.array(labels, dtype=np.int64), read, (taken,) if taken else ())
