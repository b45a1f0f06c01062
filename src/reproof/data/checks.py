"""What is true of every data set before anything is trained on it or attacked with it: checked here alone.

`prepare` calls it on whatever a data set's file returns, ours or a user's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from reproof.data.dataset import Dataset, Split
from reproof.errors import DataError
from reproof.settings.dataset import DatasetSettings, OwnImagesSettings

SPLITS = ("train", "validation", "test")
DARKEST_WHITE = 127
"""A split with no brighter level was probably never scaled to levels from 0 to 255."""


def check(dataset: Any, settings: DatasetSettings, name: str) -> dict[str, int]:
    """Return how many test images stand among the training images too; DataError says what is wrong.

    name: the data set's in the study. Only a data set that somebody published (`may_repeat`) may have such images.
    """
    for problem in _problems(dataset, settings):
        raise DataError(f"data set {name!r}: {problem}")
    twins = list(_twins(dataset))
    if twins and not settings.may_repeat:
        test, train = twins[0]
        raise DataError(
            f"data set {name!r}: {len(twins)} of the test images stand among the training or validation images too, "
            f"pixel by pixel (image {test} is image {train}); take them out of one, or accuracy says nothing"
        )
    return {"test_images_among_training": len(twins)}


def _problems(dataset: Any, settings: DatasetSettings) -> Iterator[str]:
    """Yield what is wrong, in the order in which a later question needs the earlier answers."""
    if not isinstance(dataset, Dataset):
        yield f"prepare returned {type(dataset).__name__}, and should return a Dataset"
        return
    yield from _of_images(dataset.images, settings)
    yield from _of_labels(dataset.labels, len(dataset.images), settings)
    yield from _of_splits(dataset, settings)
    yield from _of_description(dataset, settings)
    yield from _of_pixels(dataset, settings)
    yield from _of_classes(dataset, settings)


def _of_images(images: Any, settings: DatasetSettings) -> Iterator[str]:
    if not isinstance(images, Tensor):
        yield f"images are {type(images).__name__}, and should be a tensor"
    elif images.dtype != torch.uint8:
        yield (
            f"images are {images.dtype}, and should be torch.uint8, levels from 0 to 255: multiply floats in [0, 1] "
            "by 255 and round them"
        )
    elif images.ndim != 4 or tuple(images.shape[1:]) != settings.shape:
        declared = " x ".join(map(str, settings.shape))
        yield f"images have the shape {tuple(images.shape)}, and are declared as (N, C, H, W) with {declared}"


def _of_labels(labels: Any, count: int, settings: DatasetSettings) -> Iterator[str]:
    classes = len(settings.class_names)
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        yield f"labels are {kind}, and should be a tensor of torch.int64"
    elif tuple(labels.shape) != (count,):
        yield f"labels have the shape {tuple(labels.shape)}, and there are {count} images: one number for each"
    elif count and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        low, high = int(labels.min()), int(labels.max())
        hint = "; subtract 1" if (low, high) == (1, classes) else ""
        yield f"labels run from {low} to {high}, and should be 0 to {classes - 1} for {classes} classes{hint}"


def _of_splits(dataset: Dataset, settings: DatasetSettings) -> Iterator[str]:
    if set(dataset.splits) != set(SPLITS):
        yield f"splits are {', '.join(sorted(dataset.splits))}, and should be {', '.join(SPLITS)}"
        return
    taken = torch.zeros(len(dataset.images), dtype=torch.int64)
    for split, wanted in settings.sizes().items():
        indices: Any = next(found for key, found in dataset.splits.items() if key == split)
        if not isinstance(indices, Tensor) or indices.dtype != torch.int64 or indices.ndim != 1:
            yield f"the {split} split should be a tensor of torch.int64 indices"
            return
        if len(indices) != wanted:
            yield f"the {split} split has {len(indices)} images, and {wanted} are declared"
            return
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= len(dataset.images)):
            yield f"the {split} split names images that are not there (0 to {len(dataset.images) - 1} are)"
            return
        taken.index_add_(0, indices, torch.ones_like(indices))
    if int((taken > 1).sum()):
        yield f"splits overlap: {int((taken > 1).sum())} images stand in two of them, or twice in one"


def _of_description(dataset: Dataset, settings: DatasetSettings) -> Iterator[str]:
    told, names = dataset.description, settings.class_names
    if not names or len(set(names)) < len(names):
        yield "class_names should give each class a name of its own"
    elif told.classes != len(names):
        yield f"the description says {told.classes} classes, and class_names has {len(names)}"
    elif (told.channels, told.height, told.width) != settings.shape:
        said = (told.channels, told.height, told.width)
        yield f"the description says channels, height and width are {said}, declared are {settings.shape}"
    elif len(told.mean) != told.channels or len(told.std) != told.channels or not min(told.std) > 0:
        yield "the description should have a mean and a positive std for each channel, of pixels in [0, 1]"


def _of_pixels(dataset: Dataset, settings: DatasetSettings) -> Iterator[str]:
    used = dataset.images[torch.cat([dataset.splits[split] for split in dataset.splits])]
    if len(used) and int(used.max()) <= 1:
        yield (
            "no pixel is brighter than 1 of 255: floats in [0, 1] were probably cut to whole numbers; multiply them by "
            "255 first"
        )
    known, remedy = settings.may_be_dark, "Scale them, or let its Settings say that they `may_be_dark`"
    if isinstance(settings, OwnImagesSettings):
        known = settings.range is not None
        remedy = "Say in its entry what black and white are in the files, `range: [BLACK, WHITE]`"
    for split, indices in dataset.splits.items() if not known else ():
        brightest = int(dataset.images[indices].max()) if len(indices) else 255
        if split != "validation" and brightest <= DARKEST_WHITE:
            yield (
                f"the brightest pixel of the {split} split is {brightest} of 255; probably the images were never "
                f"scaled to levels from 0 to 255. {remedy}"
            )


def _of_classes(dataset: Dataset, settings: DatasetSettings) -> Iterator[str]:
    split: Split = "train" if len(dataset.splits["train"]) else "test"
    there = set(dataset.labels[dataset.splits[split]].tolist())
    lacking = [name for label, name in enumerate(settings.class_names) if label not in there]
    if lacking:
        yield f"the {split} split has no image of {len(lacking)} of the classes: {', '.join(lacking[:10])}"


def _twins(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Yield the test images that equal a training or validation image, with that one."""
    seen: dict[bytes, int] = {}
    for index in torch.cat([dataset.splits["train"], dataset.splits["validation"]]).tolist():
        seen[_hash(dataset.images[index])] = index
    for index in dataset.splits["test"].tolist() if seen else ():
        found = seen.get(_hash(dataset.images[index]))
        if found is not None:
            yield index, found


def _hash(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
