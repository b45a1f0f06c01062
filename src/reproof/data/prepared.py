"""A prepared data set's file, `data/{dataset}.safetensors`: written by prepare, read by every later job."""

from __future__ import annotations

from pathlib import Path

from reproof import artifacts
from reproof.data.dataset import DataDescription, Dataset


def read_dataset(path: Path) -> Dataset:
    """Return a prepared data set from its verified file."""
    tensors, metadata = artifacts.read_tensors(path)
    described = metadata["description"]
    return Dataset(
        name=metadata["name"],
        images=tensors["images"],
        labels=tensors["labels"],
        splits={"train": tensors["train"], "validation": tensors["validation"], "test": tensors["test"]},
        description=DataDescription(
            **{**described, "mean": tuple(described["mean"]), "std": tuple(described["std"])}
        ),
    )


def write_dataset(path: Path, dataset: Dataset) -> None:
    """Write a prepared data set: uint8 images, labels, and the splits' fixed indices."""
    artifacts.write_tensors(
        path,
        {
            "images": dataset.images,
            "labels": dataset.labels,
            **{str(split): indices for split, indices in dataset.splits.items()},
        },
        {"name": dataset.name, "description": vars(dataset.description)},
    )
