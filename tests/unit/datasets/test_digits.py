"""The digits: pixels, resizing, statistics; and the stratified, nested splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.datasets import load_digits

from reproof import registry
from reproof.data import splits
from reproof.data.dataset import Dataset, Split
from reproof.datasets import digits
from reproof.errors import DataError

NOWHERE = Path("this folder does not exist")


@pytest.fixture(scope="module")
def raw() -> Any:
    return load_digits()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return digits.prepare(digits.Settings(), NOWHERE)


def prepare(**stanza: Any) -> Dataset:
    return digits.prepare(digits.Settings.model_validate(stanza), NOWHERE)


def worst_deviation(order: np.ndarray, labels: np.ndarray) -> float:
    """Return by how much any class in any prefix is off its share of all labels."""
    hot = labels[order][:, None] == np.unique(labels)[None, :]
    shares = hot.mean(axis=0) * np.arange(1, len(labels) + 1)[:, None]
    return float(np.abs(hot.cumsum(axis=0) - shares).max())


class TestPixels:
    def test_shapes_and_types(self, dataset: Dataset) -> None:
        assert dataset.name == "digits"
        assert dataset.images.shape == (1797, 1, 28, 28)
        assert dataset.images.dtype == torch.uint8
        assert dataset.labels.dtype == torch.int64
        assert (dataset.description.channels, dataset.description.classes) == (1, 10)
        assert (dataset.description.height, dataset.description.width) == (28, 28)

    def test_labels_are_those_of_the_files_order(self, dataset: Dataset, raw: Any) -> None:
        assert dataset.labels.tolist() == raw.target.tolist()
        assert dataset.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]

    def test_levels_of_a_known_image(self) -> None:
        """The first image, a zero, whose second row is 0 0 13 15 10 15 5 0 of 16; 10 / 16 * 255 = 159.375."""
        image = prepare(image_size=8).images[0, 0]
        assert image[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
        assert image[1].tolist() == [0, 0, 207, 239, 159, 239, 80, 0]

    def test_every_level_is_mapped(self, raw: Any) -> None:
        stored = prepare(image_size=8).images[:, 0].numpy()
        levels = raw.images.astype(int)
        expected = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
        assert [np.unique(stored[levels == level]).tolist() for level in range(17)] == [[e] for e in expected]

    @pytest.mark.parametrize("size", [9, 28, 32, 64])
    def test_resizing_is_bilinear(self, raw: Any, size: int) -> None:
        """Against the textbook formula: pixel centres aligned, edges repeated."""
        images = raw.images[:60] * 255 / 16
        stored = prepare(image_size=size).images[:60, 0].numpy()
        source = np.clip((np.arange(size) + 0.5) * 8 / size - 0.5, 0, 7)
        lower = np.floor(source).astype(int)
        upper = np.minimum(lower + 1, 7)
        weight = source - lower
        expected = np.empty((60, size, size))
        for y in range(size):
            for x in range(size):
                top = (
                    images[:, lower[y], lower[x]] * (1 - weight[x])
                    + images[:, lower[y], upper[x]] * weight[x]
                )
                low = (
                    images[:, upper[y], lower[x]] * (1 - weight[x])
                    + images[:, upper[y], upper[x]] * weight[x]
                )
                expected[:, y, x] = top * (1 - weight[y]) + low * weight[y]
        assert np.abs(stored - expected).max() <= 0.5 + 1e-6
        assert stored.max() == 255

    def test_last_bits_do_not_decide_how_halves_are_rounded(self) -> None:
        halves = torch.tensor([127.5, 126.5, 0.5, 254.5], dtype=torch.float64)
        for nudge in (-3e-14, 0, 3e-14):
            assert digits.quantise(halves + nudge).tolist() == [128, 126, 0, 254]
        assert digits.quantise(halves - 1e-3).tolist() == [127, 126, 0, 254]
        assert digits.quantise(halves + 1e-3).tolist() == [128, 127, 1, 255]


class TestStatistics:
    @pytest.mark.parametrize("stanza", [{}, {"image_size": 8, "test_images": 1500, "split_seed": 3}])
    def test_mean_and_spread_are_those_of_the_training_split(self, stanza: dict[str, Any]) -> None:
        dataset = prepare(**stanza)
        training = dataset.images.numpy()[dataset.splits["train"].numpy()] / 255
        assert dataset.description.mean == (pytest.approx(training.mean(), abs=1e-12),)
        assert dataset.description.std == (pytest.approx(training.std(), abs=1e-12),)
        everything = dataset.images.numpy() / 255
        assert dataset.description.mean[0] != pytest.approx(everything.mean(), abs=1e-7)


class TestSplits:
    def test_sizes_and_disjointness(self, dataset: Dataset) -> None:
        sizes = {name: len(indices) for name, indices in dataset.splits.items()}
        assert sizes == {"train": 1197, "validation": 200, "test": 400}
        together = torch.cat(list(dataset.splits.values()))
        assert sorted(together.tolist()) == list(range(1797))

    @pytest.mark.parametrize("split", ["train", "validation", "test"])
    def test_every_prefix_is_balanced(self, dataset: Dataset, split: Split) -> None:
        labels = dataset.labels.numpy()
        indices = dataset.splits[split].numpy()
        hot = labels[indices][:, None] == np.arange(10)[None, :]
        of_all = np.bincount(labels) / len(labels)
        off = np.abs(hot.cumsum(axis=0) - of_all * np.arange(1, len(indices) + 1)[:, None])
        assert off.max() <= (1 if split == "test" else 2)

    def test_select_returns_the_beginning_of_the_split(self, dataset: Dataset) -> None:
        images, labels = dataset.select("test", 100)
        first = dataset.splits["test"][:100]
        assert torch.equal(images, dataset.images[first])
        assert labels.bincount(minlength=10).sub(10).abs().max() <= 1

    def test_a_smaller_test_split_begins_a_larger_one(self, dataset: Dataset) -> None:
        small = prepare(test_images=150)
        assert torch.equal(small.splits["test"], dataset.splits["test"][:150])

    def test_images_and_splits_are_the_same_every_time(self, dataset: Dataset) -> None:
        torch.manual_seed(123)
        again = digits.prepare(digits.Settings(), NOWHERE)
        assert torch.equal(again.images, dataset.images)
        assert again.description == dataset.description
        for name, indices in dataset.splits.items():
            assert torch.equal(again.splits[name], indices)

    def test_the_splits_of_seed_0_are_these(self, dataset: Dataset) -> None:
        """Pinned, so that no later change moves a test image into training unseen."""
        assert dataset.splits["test"][:8].tolist() == [448, 548, 90, 929, 1480, 149, 273, 10]
        assert dataset.splits["validation"][:4].tolist() == [1202, 1386, 520, 791]

    def test_another_seed_gives_another_split(self, dataset: Dataset) -> None:
        other = prepare(split_seed=1)
        assert not torch.equal(other.splits["test"], dataset.splits["test"])

    def test_the_size_of_images_does_not_move_the_splits(self, dataset: Dataset) -> None:
        small = prepare(image_size=8)
        assert torch.equal(small.splits["train"], dataset.splits["train"])


class TestSettings:
    @pytest.mark.parametrize(
        ("stanza", "expected"),
        [
            ({"test_images": 1600}, r"1600 \+ 200\) should leave some of the 1797"),
            ({"test_images": 1597}, "should leave some"),
            ({"test_images": 0}, "greater than or equal to 1"),
            ({"validation_images": 1397}, "should leave some"),
            ({"image_size": 7}, "greater than or equal to 8"),
            ({"image_size": 65}, "less than or equal to 64"),
            ({"image_size": 28.5}, "whole number"),
            ({"resize": "nearest"}, "bilinear"),
            ({"split_seed": -1}, "greater than or equal to 0"),
            ({"test_image": 3}, "test_image"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, stanza: dict[str, Any], expected: str) -> None:
        for declared in (digits.Settings, registry.settings_class("datasets", "digits")):
            with pytest.raises(ValidationError, match=expected):
                declared.model_validate(stanza)

    def test_the_smallest_training_split_that_is_allowed(self) -> None:
        dataset = prepare(test_images=1596, image_size=8)
        assert len(dataset.splits["train"]) == 1

    def test_the_declared_number_of_images_is_the_true_one(self, raw: Any) -> None:
        assert digits.Settings.available == len(raw.images)


class TestOrder:
    @given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=9), seed=st.integers(0, 1000))
    @settings(max_examples=150, deadline=None)
    def test_every_prefix_is_within_tijdemans_bound(self, sizes: list[int], seed: int) -> None:
        labels = np.repeat(np.arange(len(sizes)) * 3 + 1, sizes)
        np.random.default_rng(seed + 1).shuffle(labels)
        order = splits.order(labels, np.random.default_rng(seed))
        assert sorted(order) == list(range(len(labels)))
        bound = 1 - 1 / (2 * len(sizes) - 2) if len(sizes) > 1 else 0
        assert worst_deviation(order, labels) <= bound + 1e-9

    def test_a_random_permutation_is_far_from_it(self) -> None:
        labels = np.repeat(np.arange(10), 40)
        assert worst_deviation(np.random.default_rng(0).permutation(400), labels) > 2

    def test_images_within_a_class_are_drawn_at_random(self) -> None:
        """Over many seeds every image of a class is equally often its first."""
        labels = np.repeat(np.arange(2), 4)
        orders = [splits.order(labels, np.random.default_rng(seed)) for seed in range(400)]
        firsts = np.bincount([order[labels[order] == 0][0] for order in orders], minlength=4)
        assert firsts.min() > 70
        leading = np.bincount([labels[order[0]] for order in orders], minlength=2)
        assert leading.min() > 150

    def test_no_labels(self) -> None:
        assert len(splits.order(np.array([], dtype=np.int64), np.random.default_rng(0))) == 0


class TestCarve:
    def test_parts(self) -> None:
        labels = np.repeat(np.arange(3), [30, 60, 10])
        first, second, rest = splits.carve(labels, (10, 20), np.random.default_rng(5))
        assert [np.bincount(labels[part]).tolist() for part in (first, second, rest)] == [
            [3, 6, 1],
            [6, 12, 2],
            [21, 42, 7],
        ]
        assert sorted([*first, *second, *rest]) == list(range(100))

    @pytest.mark.parametrize("sizes", [(100,), (60, 40), (0,), (-1, 5), (200,)])
    def test_impossible_sizes_are_refused(self, sizes: Sequence[int]) -> None:
        with pytest.raises(DataError, match="out of 100"):
            splits.carve(np.zeros(100, dtype=np.int64), tuple(sizes), np.random.default_rng(0))
