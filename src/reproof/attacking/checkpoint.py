"""What an attack job has done, kept while it runs, so that one that was stopped goes on to the very same images.

The work falls into steps: an attack on a batch at one budget; of a composed attack each of its runs. A step is named by
where it stands (attack, point, images, number), since all else is decided by the job. One that is kept is not done
again: its images come back, and the global generators, the count of gradients and the first gradient are as it left
them. What is cheap, such as judging, is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from reproof import artifacts
from reproof.attacking import gradient
from reproof.attacking.batch import Batch
from reproof.errors import ArtifactError
from reproof.wording import counted, duration

VERSION = 1
"""Of the files' layout; those of another version are of another run."""
SECONDS = 60.0
"""Work that a kill may cost at most, but for the step that is under way."""


@dataclass
class Checkpoint:
    """The steps of one job on disk, in a folder of files that are written once each. identity: of the job's run."""

    folder: Path
    identity: str
    spared: float = 0.0
    """Seconds that the steps took which were not done again."""
    _known: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    _pending: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = field(default_factory=dict)
    _place: list[str] = field(default_factory=list)
    _numbers: list[Iterator[int]] = field(default_factory=list)
    _saved: float = field(default_factory=time.monotonic)

    def load(self) -> None:
        """Find out what is kept; files of another run are removed, damaged ones too, and a message says so."""
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                steps = self._read(path)
            except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
                _warn(f"{path} is damaged ({error}); what it kept is done again")
                path.unlink(missing_ok=True)
                continue
            if steps is None:
                _warn(
                    f"{self.folder} belongs to another run (settings, inputs or code differ); attacks start over"
                )
                self.discard()
                return
            self._known |= {name: (path, facts) for name, facts in steps.items()}
        if self._known:
            took = sum(facts["seconds"] for _, facts in self._known.values())
            _warn(
                f"going on after {counted(len(self._known), 'step')} of attacks ({duration(took)}), from {self.folder}"
            )

    def _read(self, path: Path) -> dict[str, dict[str, Any]] | None:
        """Return a file's steps; None where they are another run's."""
        with safetensors.safe_open(path, framework="pt") as file:
            body = json.loads(file.metadata()["reproof"])
            names = file.keys()
            kept = {name: file.get_tensor(name) for name in names}
        if body["checksum"] != _checksum(body["steps"], kept):
            raise ValueError("its checksum is wrong")
        steps: dict[str, dict[str, Any]] = body["steps"]
        return steps if body["identity"] == self.identity else None

    def discard(self) -> None:
        """Remove all that is kept."""
        self._known.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[str]:
        """Yield the full name of a part of the work; steps inside are counted from 0."""
        self._place.append(name)
        self._numbers.append(itertools.count())
        try:
            yield "/".join(self._place)
        finally:
            self._place.pop()
            self._numbers.pop()

    def step(self, make: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        """Return a step's images (n, C, H, W): the kept ones, or what `make` makes, kept from then on."""
        with self.within(str(next(self._numbers[-1]))) as name:
            if (found := self._take_up(name, batch)) is not None:
                return found
            first, tally, began = batch.first_gradients, gradient.tally(), time.monotonic()
            taken, broken, had = tally.taken, tally.broken, first.at_clean is not None
            already = self.spared
            found = make(batch)
            for inner in [key for key in self._pending if key.startswith(f"{name}/")]:
                del self._pending[inner]
            tensors = {"images": found, "generator": torch.get_rng_state()}
            if found.is_cuda:
                tensors["cuda"] = torch.cuda.get_rng_state(found.device)
            if first.at_clean is not None and not had:
                tensors["at_clean"] = first.at_clean
            self._pending[name] = (
                {key: tensor.detach().cpu().clone() for key, tensor in tensors.items()},
                {
                    "seconds": time.monotonic() - began + self.spared - already,
                    "taken": tally.taken - taken,
                    "broken": tally.broken - broken,
                    "zero": first.zero,
                    "positions": list(batch.noise.positions),
                    "tensors": list(tensors),
                    "channels_last": [key for key, tensor in tensors.items() if _channels_last(tensor)],
                },
            )
            if time.monotonic() - self._saved >= SECONDS:
                self._save()
            return found

    def _take_up(self, name: str, batch: Batch) -> Tensor | None:
        """Return a kept step's images, with all else as the step left it; None where none of this batch is kept."""
        path, facts = self._known.get(name, (None, {}))
        if path is None or facts["positions"] != list(batch.noise.positions):
            return None  # kernels that are not deterministic left other images
        with safetensors.safe_open(path, framework="pt") as file:
            kept = {key: file.get_tensor(f"{name}:{key}") for key in facts["tensors"]}
        for key in facts["channels_last"]:
            kept[key] = kept[key].contiguous(memory_format=torch.channels_last)
        torch.set_rng_state(kept["generator"])
        if batch.images.is_cuda and "cuda" in kept:
            torch.cuda.set_rng_state(kept["cuda"], batch.images.device)
        tally = gradient.tally()
        tally.taken += facts["taken"]
        tally.broken += facts["broken"]
        batch.first_gradients.zero = facts["zero"]
        if "at_clean" in kept:
            batch.first_gradients.at_clean = kept["at_clean"].to(batch.images.device)
        self.spared += facts["seconds"]
        images: Tensor = kept["images"]
        return images.to(batch.images.device)

    def _save(self) -> None:
        """Write the steps that no file holds yet; where that fails the attack goes on, and a message says so."""
        self._saved = time.monotonic()
        steps = {name: facts for name, (_, facts) in self._pending.items()}
        tensors = {
            f"{name}:{key}": tensor
            for name, (kept, _) in self._pending.items()
            for key, tensor in kept.items()
        }
        body = {"identity": self.identity, "steps": steps, "checksum": _checksum(steps, tensors)}
        numbers = [int(path.stem) for path in self.folder.glob("*.safetensors") if path.stem.isdecimal()]
        path = self.folder / f"{max(numbers, default=0) + 1:04d}.safetensors"
        try:
            artifacts.write_tensors(path, tensors, body)
        except ArtifactError as error:
            _warn(f"{error} The attack goes on meanwhile; stopped now, it goes on from an earlier step")
            return
        self._pending.clear()


_CURRENT: ContextVar[Checkpoint | None] = ContextVar("checkpoint", default=None)


@contextlib.contextmanager
def going_on(folder: Path, *decides: Any) -> Iterator[Checkpoint]:
    """Keep the steps that are done meanwhile in a folder, and take up those that it has. The caller discards them.

    decides: all that decides the images, as JSON takes it.
    """
    text = json.dumps([VERSION, *decides], sort_keys=True)
    checkpoint = Checkpoint(folder, hashlib.sha256(text.encode()).hexdigest())
    checkpoint.load()
    token = _CURRENT.set(checkpoint)
    try:
        yield checkpoint
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def within(name: str) -> Iterator[None]:
    """Name a part of the work, for the steps inside."""
    checkpoint = _CURRENT.get()
    with checkpoint.within(name) if checkpoint is not None else contextlib.nullcontext():
        yield


def step(make: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """Return the images (n, C, H, W), one for each of the batch's, that `make` makes of it, or has made before.

    It may draw from torch's global generators and ask the batch for gradients; it changes nothing else.
    """
    checkpoint = _CURRENT.get()
    return make(batch) if checkpoint is None else checkpoint.step(make, batch)


def spared() -> float:
    """Return the seconds of the steps that were not done again so far."""
    checkpoint = _CURRENT.get()
    return 0.0 if checkpoint is None else checkpoint.spared


def _channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _checksum(steps: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int:
    value = zlib.crc32(json.dumps(steps, sort_keys=True).encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data, value)
    return value


def _warn(message: str) -> None:
    print(f"reproof: {message}", file=sys.stderr, flush=True)
