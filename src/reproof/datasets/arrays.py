"""Images of the user's own as arrays: .npz, .npy or safetensors, of uint8 or of floats in [0, 1] or [0, 255]."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from reproof.data import array_files, own_images
from reproof.data.dataset import Dataset
from reproof.data.own_images import Part
from reproof.errors import DataError
from reproof.settings.dataset import OwnImagesSettings


class Settings(OwnImagesSettings):
    """Files with an array of images and one of labels."""

    title: ClassVar[str] = "images as arrays"
    key: ClassVar[str] = "arrays"
    example: ClassVar[dict[str, Any]] = {
        "path": "images.npz",
        "classes": ["cat", "dog"],
        "image_shape": [3, 32, 32],
        "test_images": 10,
        "validation_images": 4,
        "train_images": 20,
    }

    path: str = Field(pattern=r"\.(npz|npy|safetensors)$")
    """The file with the test images, relative to the project's folder."""
    labels_path: str | None = Field(None, pattern=r"\.(npz|npy|safetensors)$")
    """The file with their labels; null: the same file."""
    train_path: str | None = Field(None, pattern=r"\.(npz|npy|safetensors)$")
    """A file with images to train on; null: what training and validation need comes out of `path`."""
    train_labels_path: str | None = Field(None, pattern=r"\.(npz|npy|safetensors)$")
    """The file with their labels; null: the same file."""
    images_key: str = "images"
    """Name of the array of images, in a file of several."""
    labels_key: str = "labels"
    """Name of the array of labels, in a file of several."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files."""
        named = (self.path, self.labels_path, self.train_path, self.train_labels_path)
        return tuple(dict.fromkeys(file for file in named if file))


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return the images with their splits. root is not used: the files are named."""
    testing = _part(settings, settings.path, settings.labels_path)
    training = (
        _part(settings, settings.train_path, settings.train_labels_path) if settings.train_path else None
    )
    return own_images.assemble(settings, settings.key, testing, training)


def _part(settings: Settings, path: str, labels_path: str | None) -> Part:
    if labels_path is None and path.endswith(".npy"):
        raise DataError(f"{path}: holds images alone; name the file of their labels too (labels_path)")
    for file in (path, labels_path or path):
        if not Path(file).is_file():
            raise DataError(f"{file}: there is no such file")
    images, words = array_files.levels(
        path, array_files.read(Path(path), settings.images_key), settings.shape, settings.range
    )
    where = labels_path or path
    labels = array_files.classes(where, array_files.read(Path(where), settings.labels_key), len(images))
    return Part(path, labels, lambda positions: images[positions], (words,))
