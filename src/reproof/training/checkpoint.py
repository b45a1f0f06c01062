"""The file from which a training that was stopped goes on to the same weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from reproof import artifacts
from reproof.models.defense import Defense, Trainee
from reproof.settings.training import TrainingSettings

History = list[dict[str, Any]]
"""A row per epoch: epoch (from 1), loss, train_accuracy, validation_accuracy (None: not measured),
learning_rate."""

VERSION = 2
"""Of the file's layout; a checkpoint of another version is of another run."""


def identity(
    defense: Defense[Any],
    trainee: Trainee,
    settings: TrainingSettings,
    seed: int,
    name: str,
    data: tuple[Tensor, Tensor],
    digest: str,
) -> str:
    """Return a digest of all that decides the weights, as far as the loop sees it.

    name: the data set's. data: the training images and labels. digest: what else decides them, such as the code.
    """
    images, labels = (zlib.crc32(tensor.cpu().contiguous().numpy().data) for tensor in data)
    parts = {
        "version": VERSION,
        "defense": f"{type(defense).__module__}.{type(defense).__qualname__}",
        "defense_settings": defense.settings.model_dump(mode="json"),
        "training": settings.model_dump(mode="json", exclude={"checkpoint_seconds"}),
        "seed": seed,
        "data": [name, len(data[0]), images, labels],
        "state": {name: [str(value.dtype), *value.shape] for name, value in trainee.state_dict().items()},
        "digest": digest,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A training's whole state on disk. identity: of the run; a file of another one is not gone on from."""

    path: Path
    identity: str
    defense: Defense[Any]
    trainee: Trainee
    optimizer: torch.optim.Optimizer

    def save(self, history: History, elapsed: float) -> None:
        """Write the whole state beside the checkpoint's place, then put it there in one move.

        Where that fails training goes on, and a warning says so: what it has learned is not lost to a full disk.
        """
        tensors = {f"trainee.{name}": value for name, value in self.trainee.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        tensors |= {f"defense.{name}": value for name, value in self.defense.state().items()}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        body = {"identity": self.identity, "history": history, "elapsed_seconds": elapsed}
        text = json.dumps(body, allow_nan=False)
        metadata = {"reproof": text, "crc32": str(_checksum(text, tensors))}
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            artifacts.save_readable(tensors, aside, metadata)
            aside.replace(self.path)
        except (OSError, safetensors.SafetensorError) as error:
            _warn(
                f"{self.path} could not be written ({error}): a run that is stopped now goes on from an earlier epoch. "
                "Free some space or make the folder writable; training goes on meanwhile"
            )
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)

    def resume(self, epochs: int) -> tuple[History, float]:
        """Restore the state and return its history and seconds; ([], 0) where there is no checkpoint to use.

        epochs: of the whole run, for the message.
        """
        for orphan in self.path.parent.glob(f".{self.path.name}.*.partial"):
            orphan.unlink(missing_ok=True)
        if not self.path.exists():
            return [], 0.0
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            if metadata["crc32"] != str(_checksum(metadata["reproof"], tensors)):
                raise ValueError("its checksum is wrong")
            body = json.loads(metadata["reproof"])
        except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
            _warn(f"{self.path} is damaged ({error}); training starts over")
            return [], 0.0
        if body["identity"] != self.identity:
            _warn(f"{self.path} belongs to another run (settings, data or code differ); training starts over")
            return [], 0.0
        self._restore(tensors)
        history: History = body["history"]
        elapsed: float = body["elapsed_seconds"]
        _warn(f"resuming after epoch {len(history)} of {epochs} ({elapsed:.0f} s), from {self.path}")
        return history, elapsed

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"trainee": {}, "optimizer": {}, "defense": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.trainee.load_state_dict(parts["trainee"])
        self.defense.restore(parts["defense"])
        kept: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            index, _, key = name.partition(".")
            kept.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": kept, "param_groups": groups})
        for parameter, values in self.optimizer.state.items():
            for key, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[key] = torch.empty_like(parameter).copy_(value)


def _checksum(text: str, tensors: dict[str, Tensor]) -> int:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].flatten().view(torch.uint8).numpy().data, value)
    return value


def _warn(message: str) -> None:
    print(f"reproof: {message}", file=sys.stderr)
