"""Whatever a data set's file returns is checked at one place: each wrong thing is refused in words, a right one is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from reproof.data import checks
from reproof.data.dataset import DataDescription, Dataset
from reproof.errors import DataError
from reproof.settings.dataset import DatasetSettings


class Settings(DatasetSettings):
    """Three classes of grey images of 4 x 4 pixels."""

    title: ClassVar[str] = "tiny"
    key: ClassVar[str] = "tiny"
    class_names: ClassVar[tuple[str, ...]] = ("a", "b", "c")
    shape: ClassVar[tuple[int, int, int]] = (1, 4, 4)

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        return {"train": 6, "validation": 3, "test": 3}


class Published(Settings):
    """The same, as somebody published it."""

    may_repeat: ClassVar[bool] = True


def dataset(**changes: Any) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    right = Dataset(
        name="tiny",
        images=torch.randint(0, 256, (12, 1, 4, 4), generator=generator, dtype=torch.uint8),
        labels=torch.arange(12) % 3,
        splits={
            "train": torch.arange(6),
            "validation": torch.arange(6, 9),
            "test": torch.arange(9, 12),
        },
        description=DataDescription(1, 4, 4, 3, (0.5,), (0.2,)),
    )
    return dataclasses.replace(right, **changes)


def described(**changes: Any) -> Dataset:
    right = dataset()
    return dataclasses.replace(right, description=dataclasses.replace(right.description, **changes))


def split(**changes: Any) -> Dataset:
    return dataset(splits={**dataset().splits, **changes})


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "something else": (lambda: "images", "prepare returned str"),
    "floats": (lambda: dataset(images=dataset().images / 255), r"images are torch.float32, .*multiply floats"),
    "another size": (lambda: dataset(images=dataset().images[..., :3]), r"\(12, 1, 4, 3\)"),
    "channels last": (lambda: dataset(images=dataset().images[:, 0]), r"\(12, 4, 4\)"),
    "int32 labels": (lambda: dataset(labels=dataset().labels.int()), r"labels are torch.int32"),
    "a list of labels": (lambda: dataset(labels=[0] * 12), "labels are list"),
    "labels in a column": (lambda: dataset(labels=dataset().labels[:, None]), "one number for each"),
    "labels from 1": (lambda: dataset(labels=dataset().labels + 1), "run from 1 to 3.*subtract 1"),
    "a label too many": (lambda: dataset(labels=torch.arange(12) % 4), "run from 0 to 3, and should be 0 to 2"),
    "no validation split": (lambda: dataset(splits={"train": torch.arange(6), "test": torch.arange(3)}), "splits are"),
    "indices of int32": (lambda: split(test=torch.arange(9, 12).int()), "the test split should be a tensor of torch.int64"),
    "fewer than declared": (lambda: split(test=torch.arange(9, 11)), "test split has 2 images, and 3 are declared"),
    "an index too large": (lambda: split(test=torch.tensor([9, 10, 12])), "names images that are not there"),
    "an index below 0": (lambda: split(test=torch.tensor([9, 10, -1])), "names images that are not there"),
    "overlapping splits": (lambda: split(test=torch.tensor([9, 10, 5])), "splits overlap: 1 images"),
    "an index twice": (lambda: split(test=torch.tensor([9, 10, 10])), "splits overlap: 1 images"),
    "another number of classes": (lambda: described(classes=4), "says 4 classes, and class_names has 3"),
    "another size described": (lambda: described(height=5), r"\(1, 5, 4\)"),
    "no spread": (lambda: described(std=(0.0,)), "positive std"),
    "a mean too many": (lambda: described(mean=(0.5, 0.5)), "a mean and a positive std"),
    "cut floats": (lambda: dataset(images=dataset().images // 200), "no pixel is brighter than 1"),
    "levels up to 15": (lambda: dataset(images=dataset().images // 17), r"brightest pixel of the train split is 1\d of 255.*`may_be_dark`"),
    "a test split of levels up to 15": (lambda: dataset(images=torch.cat([dataset().images[:9], dataset().images[9:] // 17])), r"brightest pixel of the test split is 1\d of 255"),
    "a class without training images": (lambda: dataset(labels=torch.tensor([0, 1, 0, 1, 0, 1, 2, 2, 2, 0, 1, 2])), "no image of 1 of the classes: c"),
    "a test image among training images": (lambda: dataset(images=dataset().images.index_copy(0, torch.tensor([10]), dataset().images[2:3])), "1 of the test images.*image 10 is image 2"),
    "a test image among validation images": (lambda: dataset(images=dataset().images.index_copy(0, torch.tensor([11]), dataset().images[7:8])), "1 of the test images.*image 11 is image 7"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name: str) -> None:
    make, words = WRONG[name]
    with pytest.raises(DataError, match=f"^data set 'mine': .*{words}"):
        checks.check(make(), Settings(), "mine")


def test_what_is_right_passes() -> None:
    assert checks.check(dataset(), Settings(), "mine") == {"test_images_among_training": 0}


def test_dark_images_pass_where_somebody_says_that_they_are() -> None:
    class Dark(Settings):
        may_be_dark: ClassVar[bool] = True

    checks.check(dataset(images=dataset().images // 17), Dark(), "mine")
    cut = dataset(images=dataset().images // 200)
    with pytest.raises(DataError, match="no pixel is brighter than 1"):
        checks.check(cut, Dark(), "mine")


def test_images_that_no_split_uses_may_repeat() -> None:
    right = dataset()
    more = dataset(images=torch.cat([right.images, right.images[:2]]), labels=torch.arange(14) % 3)
    assert checks.check(more, Settings(), "mine") == {"test_images_among_training": 0}


def test_what_somebody_published_may_repeat_and_is_counted() -> None:
    images = dataset().images.index_copy(0, torch.tensor([10, 11]), dataset().images[[2, 7]])
    assert checks.check(dataset(images=images), Published(), "theirs") == {"test_images_among_training": 2}
