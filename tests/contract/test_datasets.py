"""What every data set promises; a new file is tested without an edit (if it downloads, its declaration)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from reproof import registry
from reproof.data.dataset import Dataset, to_unit
from reproof.settings.dataset import DatasetSettings

NAMES = registry.names("datasets")


def parse(name: str, **stanza: Any) -> DatasetSettings:
    declared = registry.settings_class("datasets", name)
    settings = declared.model_validate({**getattr(declared, "example", {}), **stanza})
    assert isinstance(settings, DatasetSettings)
    return settings


every_dataset = pytest.mark.parametrize("name", NAMES)
every_embedded = pytest.mark.parametrize("name", [name for name in NAMES if not parse(name).downloads])


def refuse(*_: object) -> None:
    raise AssertionError("a data set that says it downloads nothing opened a connection")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return


def prepare(name: str, root: Path, **stanza: Any) -> Dataset:
    dataset = registry.load("datasets", name).prepare(parse(name, **stanza), root)
    assert isinstance(dataset, Dataset)
    return dataset


def test_the_digits_are_found_and_download_nothing() -> None:
    assert "digits" in NAMES
    assert not parse("digits").downloads


@every_dataset
def test_settings_survive_a_round_trip(name: str) -> None:
    settings = parse(name)
    assert type(settings).model_validate(settings.model_dump()) == settings
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


@every_dataset
def test_settings_are_explained_frozen_and_closed(name: str) -> None:
    settings = parse(name)
    for field_name, schema in type(settings).model_json_schema().get("properties", {}).items():
        assert schema.get("description"), f"{name}: {field_name} has no docstring"
        with pytest.raises(ValidationError):
            setattr(settings, field_name, getattr(settings, field_name))
    with pytest.raises(ValidationError, match="not_a_setting"):
        parse(name, not_a_setting=1)


@every_dataset
def test_shape_sizes_and_classes_are_declared(name: str) -> None:
    """The plan needs them before there is any file."""
    settings = parse(name)
    assert len(settings.shape) == 3
    assert min(settings.shape) >= 1
    assert settings.sizes().keys() == {"train", "validation", "test"}
    assert min(settings.sizes().values()) >= 1
    assert len(set(settings.class_names)) == len(settings.class_names) >= 2


@every_embedded
def test_what_is_declared_is_what_prepare_makes(name: str, tmp_path: Path) -> None:
    settings, dataset = parse(name), prepare(name, tmp_path)
    assert settings.shape == tuple(dataset.images.shape[1:])
    assert settings.sizes() == {split: len(indices) for split, indices in dataset.splits.items()}
    assert len(settings.class_names) == dataset.description.classes


def test_every_key_is_there_once() -> None:
    keys = [parse(name).key for name in NAMES]
    assert all(key.replace("_", "").isalnum() and key == key.lower() for key in keys)
    assert len(set(keys)) == len(keys)


@every_embedded
def test_images_labels_and_description_agree(name: str, tmp_path: Path) -> None:
    dataset = prepare(name, tmp_path)
    described = dataset.description
    assert dataset.name == parse(name).key
    assert dataset.images.dtype == torch.uint8
    assert dataset.images.shape[1:] == (described.channels, described.height, described.width)
    assert dataset.labels.dtype == torch.int64
    assert dataset.labels.shape == (len(dataset.images),)
    assert dataset.labels.unique().tolist() == list(range(described.classes))
    assert dataset.images.min() == 0
    assert dataset.images.max() == 255


@every_embedded
def test_splits_are_disjoint_and_hold_every_class(name: str, tmp_path: Path) -> None:
    dataset = prepare(name, tmp_path)
    assert set(dataset.splits) == {"train", "validation", "test"}
    together = torch.cat(list(dataset.splits.values()))
    assert together.dtype == torch.int64
    assert len(together.unique()) == len(together)
    assert int(together.min()) >= 0
    assert int(together.max()) < len(dataset.images)
    for split in dataset.splits:
        _, labels = dataset.select(split)
        assert labels.unique().tolist() == list(range(dataset.description.classes))


@every_embedded
def test_no_image_stands_in_two_splits(name: str, tmp_path: Path) -> None:
    """Byte for byte: a copy of a test image among the training images would be leakage."""
    dataset = prepare(name, tmp_path)
    seen = {
        split: {image.numpy().tobytes() for image in dataset.select(split)[0]} for split in dataset.splits
    }
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert not seen["validation"] & seen["train"]


@every_embedded
def test_the_beginning_of_the_test_split_is_stratified(name: str, tmp_path: Path) -> None:
    dataset = prepare(name, tmp_path)
    shares = dataset.select("test")[1].bincount().double() / len(dataset.splits["test"])
    for count in (50, 100, 200):
        _, labels = dataset.select("test", count)
        counts = labels.bincount(minlength=dataset.description.classes)
        assert float((counts - count * shares).abs().max()) <= 2


@every_embedded
def test_mean_and_spread_come_from_the_training_split(name: str, tmp_path: Path) -> None:
    dataset = prepare(name, tmp_path)
    training = dataset.select("train")[0].numpy() / 255
    np.testing.assert_allclose(dataset.description.mean, training.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(dataset.description.std, training.std(axis=(0, 2, 3)), rtol=1e-6)
    assert min(dataset.description.std) > 0


@every_embedded
def test_to_unit_keeps_the_images(name: str, tmp_path: Path) -> None:
    images, _ = prepare(name, tmp_path).select("test", 5)
    before = images.clone()
    unit = to_unit(images)
    assert torch.equal(images, before)
    assert unit.dtype == torch.float32
    assert (float(unit.min()), float(unit.max())) == (0, 1)
    assert torch.equal((unit * 255).round().to(torch.uint8), images)


@every_embedded
def test_preparing_twice_gives_the_same(name: str, tmp_path: Path) -> None:
    first, second = prepare(name, tmp_path), prepare(name, tmp_path)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert first.description == second.description
    assert all(torch.equal(first.splits[split], second.splits[split]) for split in first.splits)
