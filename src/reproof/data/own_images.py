"""Images of the user's own: a part to test on and perhaps one to train on, made into one data set with splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from reproof.data import splits, statistics
from reproof.data.dataset import DataDescription, Dataset
from reproof.data.splits import Indices
from reproof.errors import DataError
from reproof.settings.dataset import OwnImagesSettings

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """Labelled images that lie in one place."""

    where: str
    """What messages call the place."""
    labels: Indices
    read: Callable[[Indices], Images]
    """Return the images (N, C, H, W) at some positions."""
    remarks: tuple[str, ...] = ()


def assemble(settings: OwnImagesSettings, key: str, testing: Part, training: Part | None) -> Dataset:
    """Return the data set of these parts; without a part to train on, training images come out of the other one.

    DataError where there are too few images, or a class has none. Without a training split the mean is 0 and the
    spread 1: nothing may be learnt of test images.
    """
    wanted = settings.sizes()
    generator = np.random.default_rng(settings.split_seed)
    of_training = {"validation": wanted["validation"], "train": wanted["train"]}
    orders = {
        "test": _ordered(
            testing, {"test": wanted["test"]} | ({} if training else of_training), settings, generator
        )
    }
    if training is not None:
        orders["train"] = _ordered(training, of_training, settings, generator)
    images, labels, chosen = [], [], {}
    start = 0
    for part, taken in ((testing, orders["test"]), (training, orders.get("train", {}))):
        for split, positions in taken.items():
            assert part is not None
            images.append(part.read(positions))
            labels.append(part.labels[positions])
            chosen[split] = np.arange(start, start + len(positions), dtype=np.int64)
            start += len(positions)
    together = np.concatenate(images)
    channels, height, width = settings.shape
    mean, std = (0.0,) * channels, (1.0,) * channels
    if wanted["train"]:
        mean, std = statistics.mean_and_std(statistics.count_levels(together, chosen["train"]))
    return Dataset(
        name=key,
        images=torch.from_numpy(together),
        labels=torch.from_numpy(np.concatenate(labels)),
        splits={
            "train": torch.from_numpy(chosen["train"]),
            "validation": torch.from_numpy(chosen["validation"]),
            "test": torch.from_numpy(chosen["test"]),
        },
        description=DataDescription(channels, height, width, len(settings.class_names), mean, std),
        remarks=(*testing.remarks, *(training.remarks if training else ())),
    )


def _ordered(
    part: Part, wanted: dict[str, int], settings: OwnImagesSettings, generator: np.random.Generator
) -> dict[str, Indices]:
    """Return the positions of each split's images, one split after the other in a stratified order."""
    asked, there = sum(wanted.values()), len(part.labels)
    if asked > there:
        words = " + ".join(f"{split}_images ({count})" for split, count in wanted.items() if count)
        raise DataError(f"{part.where}: holds {there} image{'s' * (there != 1)}, and {words} ask for {asked}")
    _require_labels(part, settings)
    order, found, start = splits.order(part.labels, generator), {}, 0
    for split, count in wanted.items():
        found[split] = order[start : start + count]
        start += count
    return found


def _require_labels(part: Part, settings: OwnImagesSettings) -> None:
    names = settings.class_names
    low, high = (int(part.labels.min()), int(part.labels.max())) if len(part.labels) else (0, 0)
    if low < 0 or high >= len(names):
        hint = "; subtract 1" if (low, high) == (1, len(names)) else ""
        raise DataError(
            f"{part.where}: labels run from {low} to {high}, and should be 0 to {len(names) - 1} for {len(names)} "
            f"classes{hint}"
        )
    counts = np.bincount(part.labels, minlength=len(names))
    if not counts.all():
        lacking = [names[label] for label in np.flatnonzero(counts == 0)]
        raise DataError(
            f"{part.where}: has no image of {len(lacking)} of the classes: {', '.join(lacking[:10])}"
        )
