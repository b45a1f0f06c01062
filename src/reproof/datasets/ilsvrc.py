"""Objects of ILSVRC 2017 DET (O. Russakovsky et al. ImageNet Large Scale Visual Recognition Challenge. IJCV 115,
2015), cut out along their boxes and scaled to one size, as M. Seiler et al. 2020 do (Sec. V-A).

The licence leaves the download to the user. Images pass from the archive's folder to the prepared file in pieces,
so that memory does not grow with them. A run that was stopped goes on: what is finished is kept beside the file
(about as much again as the file holds, removed at the end).
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from PIL import features
from pydantic import Field, model_validator

from reproof import artifacts
from reproof.data import object_crops, object_index
from reproof.data import photographs as data_photographs
from reproof.data import splits as data_splits
from reproof.data.dataset import DataDescription
from reproof.data.object_index import ObjectIndex
from reproof.data.progress import bar
from reproof.data.splits import Indices
from reproof.data.workers import Workers
from reproof.errors import DataError
from reproof.plan import code_digest
from reproof.settings.dataset import DatasetSettings
from reproof.settings.values import Count, UnitInterval, Whole

ANNOTATIONS = "ILSVRC/Annotations/DET/train"
IMAGES = "ILSVRC/Data/DET/train"
WORDS = "ILSVRC/devkit/data/map_det.txt"
"""Lines such as `n02672831 1 accordion`, from ILSVRC2017_devkit.tar.gz; may be missing."""

NO_PART = "objects left out because the rest of their photograph is in another split"
_MARKS = (object_crops.CUT, object_crops.WRONG_SIZE)

_BYTES_AT_ONCE = 1 << 23
"""Pixels that a worker, or the writing of the file, holds."""


class Settings(DatasetSettings):
    """Objects cut out of the photographs of ILSVRC 2017 DET, the same number of each class."""

    title: ClassVar[str] = "ILSVRC"
    key: ClassVar[str] = "ilsvrc"
    downloads: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    classes: Annotated[Count, Field(ge=2)] = 100
    """Number of classes: those with the most objects, and of equal ones the first by name."""
    wnids: tuple[Annotated[str, Field(pattern=r"^n\d{8}$")], ...] | None = None
    """WordNet numbers of the classes, in the order of the labels; null: the `classes` with the most objects."""
    images_per_class: Annotated[Count, Field(ge=3)] = 900
    """Objects of each class, drawn at random; the median class of DET has about a thousand that can be used."""
    image_size: Annotated[Count, Field(ge=8, le=512)] = 128
    """Height and width in pixels to which objects are stretched."""
    resize: Literal["bilinear", "bicubic", "lanczos", "box"] = "bilinear"
    """Pillow's filter; all of them average over the pixels that become one."""
    smallest_box: Count = 8
    """Shortest side in pixels of a box that is used; below, there is nothing to be recognised."""
    test_share: Annotated[UnitInterval, Field(gt=0, lt=1)] = 0.2
    """Share of each class that is the test split (the paper's 20 % for validation, on which it reports)."""
    validation_share: Annotated[UnitInterval, Field(gt=0, lt=1)] = 0.05
    """Share of each class for every choice that must not see the test split, out of the paper's 80 %."""
    split_by: Literal["photograph", "object"] = "photograph"
    """`photograph`: all objects of a photograph are in one split; `object`: each is drawn by itself."""
    split_seed: Annotated[Whole, Field(ge=0)] = 0
    """Seed of the choice of objects and of the splits; it has nothing to do with the seeds of training."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.wnids is not None and len(set(self.wnids)) != len(self.wnids):
            raise ValueError("wnids should name each class once")
        if self.wnids is not None and len(self.wnids) != self.classes:
            raise ValueError(
                f"wnids ({len(self.wnids)} of them) should be as many as classes ({self.classes})"
            )
        if min(self.shares()) < 1:
            raise ValueError(
                f"test_share and validation_share should leave at least one of images_per_class "
                f"({self.images_per_class}) in each split, not {self.shares()} (train, validation, test)"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return names for the labels; which classes they are is known once the images were counted."""
        return self.wnids or tuple(f"class {label}" for label in range(self.classes))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return an image's channels, height and width."""
        return 3, self.image_size, self.image_size

    def shares(self) -> tuple[int, int, int]:
        """Return how many images of each class are for training, validation and test."""
        test = round(self.images_per_class * self.test_share)
        validation = round(self.images_per_class * self.validation_share)
        return self.images_per_class - validation - test, validation, test

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        train, validation, test = self.shares()
        return {
            "train": self.classes * train,
            "validation": self.classes * validation,
            "test": self.classes * test,
        }


def prepare_to(
    settings: Settings, root: Path, path: Path, working_folder: Path, processes: int
) -> dict[str, Any]:
    """Write the prepared file from the archive's folders under root; return notes for the record.

    The same images give the same bytes with any number of processes, in one go or in several. What is finished
    is kept in working_folder until all is; settings or code that change it begin anew.
    """
    _require(root)
    words = _words(root / WORDS)
    scans, crops = _working_folders(settings, root, working_folder)
    faults: Counter[str] = Counter()
    with Workers(processes) as workers:
        index = object_index.scan(
            workers, root / ANNOTATIONS, scans, settings.smallest_box, _known(words), faults
        )
        wnids = _choose_classes(settings, index)
        drawn = _draw(settings, workers, root / IMAGES, crops, index, wnids, faults)
    labels = drawn.labels
    generator = np.random.default_rng([settings.split_seed, 1])
    splits: dict[str, Indices] = {}
    for part, split in enumerate(("train", "validation", "test")):
        mine = np.flatnonzero(drawn.parts == part)
        splits[split] = mine[data_splits.order(labels[mine], generator)]
    mean, std = _statistics(settings, [drawn.crops[position][1] for position in splits["train"].tolist()])
    size = settings.image_size
    description = DataDescription(3, size, size, settings.classes, mean, std)
    artifacts.stream_tensors(
        path,
        {
            "images": artifacts.Pieces(torch.uint8, (len(labels), 3, size, size), _pixels(settings, drawn)),
            "labels": torch.from_numpy(labels),
            **{split: torch.from_numpy(indices) for split, indices in splits.items()},
        },
        {"name": settings.key, "description": vars(description)},
    )
    shutil.rmtree(working_folder, ignore_errors=True)
    counted = {fault: count for fault, count in sorted(faults.items()) if count}
    if counted:
        print(f"{settings.key}: {_told(counted)}", file=sys.stderr, flush=True)
    return {
        "images": len(labels),
        "splits": {split: len(indices) for split, indices in splits.items()},
        "classes": settings.classes,
        "height": size,
        "width": size,
        "wnids": wnids,
        "class_names": [(words or {}).get(wnid, wnid) for wnid in wnids],
        "annotations": index.annotations,
        "objects": len(index.codes),
        "photographs": len({crop.photograph for _, crop in drawn.crops}),
        "faults": {fault: count for fault, count in counted.items() if fault not in _MARKS},
        "mended": {mark: counted[mark] for mark in _MARKS if mark in counted},
    }


def _told(faults: Mapping[str, int]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()) if count)


# The archive.


def _require(root: Path) -> None:
    for folder, ending in ((ANNOTATIONS, "xml"), (IMAGES, "JPEG")):
        try:
            there = (root / folder).is_dir() and any((root / folder).iterdir())
        except OSError as error:
            raise DataError(
                f"{root / folder} cannot be read ({error.strerror}). Make it readable."
            ) from error
        if not there:
            raise DataError(
                f"{root / folder} is missing or empty. The licence of ILSVRC 2017 leaves the download to you: "
                "register at https://image-net.org, download ILSVRC2017_DET.tar.gz (55 GB), unpack it with "
                f"`tar -xzf ILSVRC2017_DET.tar.gz -C {root}`, and run the same command again. It looks for "
                f"{ANNOTATIONS}/**.xml and {IMAGES}/**.JPEG under data_root ({root}), here for *.{ending}; "
                "if they are elsewhere, change data_root in the study."
            )


def _words(path: Path) -> dict[str, str] | None:
    """Return the classes' names by their WordNet numbers; None when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.findall(r"^(n\d{8})\s+(?:\d+\s+)?(\S.*?)\s*$", text, re.MULTILINE)
    return dict(found) or None


def _known(words: Mapping[str, str] | None) -> Callable[[str], bool]:
    """Return what says whether a text is a class's WordNet number: of those that have a name, if any have."""
    return lambda wnid: re.fullmatch(r"n\d{8}", wnid) is not None and (words is None or wnid in words)


def _working_folders(settings: Settings, root: Path, folder: Path) -> tuple[Path, Path]:
    """Return the folders of what is kept for just these settings and this code; others' are removed."""
    source = {"root": str(root.resolve()), "code": code_digest.digest(("reproof.data.object_crops",))}
    pixels = {
        **settings.model_dump(include={"image_size", "resize", "smallest_box"}),
        "pillow": features.version("pil"),
        "jpeg": features.version("jpg"),
    }
    keys = [object_crops.key(source), object_crops.key(source, pixels)]
    scans, crops = folder / f"annotations-{keys[0]}", folder / f"objects-{keys[1]}"
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry not in (scans, crops):
                shutil.rmtree(entry, ignore_errors=True)
    return scans, crops


def _choose_classes(settings: Settings, index: ObjectIndex) -> list[str]:
    """Return the classes' WordNet numbers in the order of the labels; DataError when there are not enough."""
    counts = dict.fromkeys(settings.wnids or (), 0)
    numbers = np.bincount(index.codes[index.codes >= 0], minlength=len(index.wnids)).tolist()
    counts.update(zip(index.wnids, numbers, strict=True))
    ranked = sorted(settings.wnids or counts, key=lambda wnid: (-counts[wnid], wnid))[: settings.classes]
    enough = sum(counts[wnid] >= settings.images_per_class for wnid in ranked)
    if enough < settings.classes:
        last = f"the one with the fewest, {ranked[-1]}, has {counts[ranked[-1]]}. " if ranked else ""
        remedies = [f"smallest_box ({settings.smallest_box}) lower"]
        if len(ranked) == settings.classes and counts[ranked[-1]] >= 3:
            remedies.insert(0, f"images_per_class to at most {counts[ranked[-1]]}")
        if settings.wnids:
            remedies.insert(0, "wnids to other classes")
        elif enough >= 2:
            remedies.insert(0, f"classes to at most {enough}")
        raise DataError(
            f"only {enough} of the {settings.classes} classes have {settings.images_per_class} objects that can be "
            f"used ({len(index.wnids)} classes and {len(index.codes)} objects were found in "
            f"{index.annotations} annotations): {last}Set {', or '.join(remedies)}; "
            "or see whether all of the archive was unpacked"
        )
    return list(settings.wnids or sorted(ranked))


# Objects.


@dataclass
class _Drawn:
    """The objects of the data set, in the order of the archive's photographs."""

    labels: Indices
    parts: Indices
    """0 to train on, 1 for validation, 2 for test."""
    crops: list[tuple[Path, object_crops.Crop]]
    """The file with each object's pixels, and what is known of it."""


def _draw(
    settings: Settings,
    workers: Workers,
    images: Path,
    folder: Path,
    index: ObjectIndex,
    wnids: list[str],
    faults: Counter[str],
) -> _Drawn:
    """Draw each class's objects, cut them out, and give each a split; what cannot be used is drawn again."""
    code = {wnid: number for number, wnid in enumerate(index.wnids)}
    queues = []
    for wnid in wnids:
        generator = np.random.default_rng([settings.split_seed, *wnid.encode()])
        queues.append(generator.permutation(np.flatnonzero(index.codes == code[wnid])))
    taken = [settings.images_per_class] * len(wnids)
    chosen: dict[int, int] = {
        number: label
        for label, queue in enumerate(queues)
        for number in queue[: settings.images_per_class].tolist()
    }
    crops: dict[int, tuple[Path, object_crops.Crop]] = {}
    todo = sorted(chosen)
    missing: Counter[int] = Counter()
    while True:
        lost = _cut(settings, workers, images, folder, index, todo, crops, faults)
        if not lost and not missing:
            numbers = sorted(chosen)
            labels = np.array([chosen[number] for number in numbers], dtype=np.int64)
            parts = _divide(settings, labels, [crops[number][1].photograph for number in numbers])
            lost = [numbers[position] for position in np.flatnonzero(parts < 0).tolist()]
            faults[NO_PART] += len(lost)
            if not lost:
                break
        todo = []
        for number in lost:
            label = chosen.pop(number)
            if taken[label] < len(queues[label]):
                following = int(queues[label][taken[label]])
                taken[label] += 1
                chosen[following] = label
                todo.append(following)
            else:
                missing[label] += 1
        if missing and not todo:
            raise _too_few(settings, wnids, missing, faults)
        todo.sort()
    for number in numbers:
        faults.update(crops[number][1].marks)
    return _Drawn(labels, parts, [crops[number] for number in numbers])


def _too_few(settings: Settings, wnids: list[str], missing: Counter[int], faults: Counter[str]) -> DataError:
    label, most = max(missing.items(), key=lambda item: (item[1], -item[0]))
    have = settings.images_per_class - most
    told = _told(faults) or "no fault"
    others = f" ({len(missing)} classes fall short, this one most)" if len(missing) > 1 else ""
    smaller = f"images_per_class to at most {have}, or " if have >= 3 else ""
    by_object = "split_by to object, or " if faults[NO_PART] else ""
    return DataError(
        f"class {wnids[label]}: {have} of the {settings.images_per_class} objects that images_per_class asks for "
        f"can be used{others}. Found: {told}. Set {smaller}{by_object}wnids to other classes; or see whether all "
        "of the archive was unpacked"
    )


def _cut(
    settings: Settings,
    workers: Workers,
    images: Path,
    folder: Path,
    index: ObjectIndex,
    todo: list[int],
    crops: dict[int, tuple[Path, object_crops.Crop]],
    faults: Counter[str],
) -> list[int]:
    """Cut out the objects of these numbers, which rise; return those that cannot be used."""
    lost = []
    numbers = iter(todo)
    with bar("objects", len(todo)) as shown:
        for done in workers.spread(object_crops.crop, _crop_tasks(settings, images, folder, index, todo)):
            for crop in done.crops:
                number = next(numbers)
                if crop.fault is None:
                    crops[number] = (done.pixels, crop)
                else:
                    faults.update((crop.fault, *crop.marks))
                    lost.append(number)
            shown.update(len(done.crops))
    return lost


def _crop_tasks(
    settings: Settings, images: Path, folder: Path, index: ObjectIndex, todo: list[int]
) -> Iterator[object_crops.CropTask]:
    wanted = index.wanted(todo)
    while chosen := tuple(islice(wanted, _at_once(settings))):
        yield object_crops.CropTask(
            images, chosen, settings.image_size, settings.resize, settings.smallest_box, folder
        )


def _divide(settings: Settings, labels: Indices, digests: list[str]) -> Indices:
    """Return each object's part; -1 where its photograph fits into none."""
    photographs = np.arange(len(labels), dtype=np.int64)
    if settings.split_by == "photograph":
        numbers: dict[str, int] = {}
        photographs = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests])
    generator = np.random.default_rng([settings.split_seed, 0])
    return data_photographs.divide(labels, photographs, settings.shares(), generator)


# The file.


def _statistics(
    settings: Settings, crops: Sequence[object_crops.Crop]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each channel's mean and standard deviation in [0, 1], exact until the last rounding."""
    means, deviations = [], []
    count = len(crops) * settings.image_size**2
    for channel in range(3):
        mean = Fraction(sum(crop.sums[channel] for crop in crops), count)
        variance = Fraction(sum(crop.squares[channel] for crop in crops), count) - mean**2
        means.append(float(mean / 255))
        deviations.append(sqrt(variance / 255**2))
    return tuple(means), tuple(deviations)


def _pixels(settings: Settings, drawn: _Drawn) -> Iterator[torch.Tensor]:
    """Yield all images in order, some at a time."""
    bytes_of_one = 3 * settings.image_size**2
    with bar("images", len(drawn.crops)) as shown:
        for start in range(0, len(drawn.crops), _at_once(settings)):
            some = drawn.crops[start : start + _at_once(settings)]
            images = np.empty((len(some), *settings.shape), dtype=np.uint8)
            for image, (pixels, crop) in zip(images, some, strict=True):
                row = np.fromfile(pixels, np.uint8, bytes_of_one, offset=crop.row * bytes_of_one)
                if len(row) < bytes_of_one:
                    raise DataError(f"{pixels} was changed while it was in use. Run the same command again")
                image[...] = row.reshape(settings.shape)
            yield torch.from_numpy(images)
            shown.update(len(some))


def _at_once(settings: Settings) -> int:
    """Return how many images are in memory together."""
    return max(1, _BYTES_AT_ONCE // (3 * settings.image_size**2))
