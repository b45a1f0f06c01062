"""What an attack job has done, kept while it runs, so that one that was stopped goes on and ends as if it never was.

On a CPU, with as many threads, its images are the very same. The work falls into steps: an attack on a batch at one
budget, and inside of it what the attack itself calls a step, such as each run of a composed one. A step is named by
where it stands (attack, point, images, number), since all else is decided by the job. One that is kept is not done
again: its images come back, and the global generators, the count of gradients, the first gradient and what a composed
attack notes are as it left them. What is cheap, such as judging, is done again.
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
Facts = dict[str, Any]
"""What is kept of a step beside tensors, as JSON takes it."""


@dataclass
class Checkpoint:
    """The steps of one job on disk, in a folder of files that are written once each. identity: of the job's run."""

    folder: Path
    identity: str
    spared: float = 0.0
    """Seconds that the steps took which were not done again."""
    _known: dict[str, tuple[Path, Facts]] = field(default_factory=dict)
    _pending: dict[str, tuple[dict[str, Tensor], Facts]] = field(default_factory=dict)
    _place: list[str] = field(default_factory=list)
    _numbers: list[Iterator[int]] = field(default_factory=lambda: [itertools.count()])
    _saved: float = field(default_factory=time.monotonic)
    _open: tuple[Path, Any] | None = None

    def load(self) -> None:
        """Find out what is kept; files of another run are removed, damaged ones too, and a message says so."""
        foreign = False
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                steps = self._read(path)
            except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                _warn(f"{path} is damaged ({error}); what it kept is done again")
                steps = None
            else:
                foreign |= steps is None
            if steps is None:
                _remove(path)
            else:
                self._known |= {name: (path, facts) for name, facts in steps.items()}
        if foreign:
            _warn(
                f"{self.folder} holds another run's steps (settings, inputs, code or packages differ); not used"
            )
        whole = [facts for name, (_, facts) in self._known.items() if not _inside(name, self._known)]
        if whole:
            took = duration(sum(facts["seconds"] for facts in whole))
            _warn(f"going on after {counted(len(whole), 'step')} of attacks ({took}), from {self.folder}")

    def _read(self, path: Path) -> dict[str, Facts] | None:
        """Return a file's steps; None where they are another run's."""
        with safetensors.safe_open(path, framework="pt") as file:
            body = json.loads(file.metadata()["reproof"])
            names = file.keys()
            kept = {name: file.get_tensor(name) for name in names}
        steps: dict[str, Facts] = body["steps"]
        if body["checksum"] != _checksum(body["identity"], steps, kept):
            raise ValueError("its checksum is wrong")
        return steps if body["identity"] == self.identity else None

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
            kept = self._kept(name, batch)
            if kept is not None:
                return self._take_up(*kept, batch)
            first, tally, began = batch.first_gradients, gradient.tally(), time.monotonic()
            taken, broken, had = tally.taken, tally.broken, first.at_clean is not None
            already = self.spared
            found = make(batch)
            tensors = {"images": found, "generator": torch.get_rng_state()}
            if batch.images.is_cuda:
                tensors["cuda"] = torch.cuda.get_rng_state(batch.images.device)
            if first.at_clean is not None and not had:
                tensors["at_clean"] = first.at_clean
            copies = {key: tensor.detach().cpu().clone() for key, tensor in tensors.items()}
            facts = {
                "seconds": time.monotonic() - began + self.spared - already,
                "taken": tally.taken - taken,
                "broken": tally.broken - broken,
                "zero": first.zero,
                "positions": list(batch.noise.positions),
                "parts": list(batch.taken.parts.items()),
                "by": list(batch.taken.by.items()),
                "strides": {key: tensor.stride() for key, tensor in copies.items()},
            }
            for inner in [key for key in self._pending if key.startswith(f"{name}/")]:
                del self._pending[inner]
            self._pending[name] = copies, facts
            if time.monotonic() - self._saved >= SECONDS:
                self._save()
            return found

    def _kept(self, name: str, batch: Batch) -> tuple[dict[str, Tensor], Facts] | None:
        """Return what is kept of a step; None where there is nothing of this very batch, or no more."""
        path, facts = self._known.get(name, (None, {}))
        if path is None or facts["positions"] != list(batch.noise.positions):
            return None  # kernels that are not deterministic left other images
        try:
            if self._open is None or self._open[0] != path:
                self._open = path, safetensors.safe_open(path, framework="pt")
            return {key: self._open[1].get_tensor(f"{name}:{key}") for key in facts["strides"]}, facts
        except (safetensors.SafetensorError, OSError):
            return None

    def _take_up(self, kept: Mapping[str, Tensor], facts: Facts, batch: Batch) -> Tensor:
        """Return a kept step's images, with all else as the step left it."""
        place, tally = batch.images.device, gradient.tally()
        torch.set_rng_state(kept["generator"].clone())
        if "cuda" in kept:
            torch.cuda.set_rng_state(kept["cuda"].clone(), place)
        tally.taken += facts["taken"]
        tally.broken += facts["broken"]
        batch.first_gradients.zero = facts["zero"]
        if "at_clean" in kept:
            batch.first_gradients.at_clean = _laid_out(kept["at_clean"], facts["strides"]["at_clean"]).to(
                place
            )
        batch.taken.parts.update(facts["parts"])
        batch.taken.by.update(facts["by"])
        self.spared += facts["seconds"]
        return _laid_out(kept["images"], facts["strides"]["images"]).to(place)

    def _save(self) -> None:
        """Write the steps that no file holds yet, and remove files of steps that these hold.

        Where that fails the attack goes on, and a message says so; what could not be kept is forgotten, for memory's
        sake.
        """
        pending, self._pending, self._saved = self._pending, {}, time.monotonic()
        steps = {name: facts for name, (_, facts) in pending.items()}
        tensors = {f"{name}:{key}": one for name, (kept, _) in pending.items() for key, one in kept.items()}
        checksum = _checksum(self.identity, steps, tensors)
        body = {"identity": self.identity, "steps": steps, "checksum": checksum}
        numbers = [int(path.stem) for path in self.folder.glob("*.safetensors") if path.stem.isdecimal()]
        path = self.folder / f"{max(numbers, default=0) + 1:04d}.safetensors"
        try:
            artifacts.write_tensors(path, tensors, body)
        except ArtifactError as error:
            _warn(
                f"{path} could not be written ({error.__cause__}): a run that is stopped now goes on from an earlier "
                "step. Free some space or make the folder writable; the attack goes on meanwhile"
            )
            return
        self._known |= {name: (path, facts) for name, facts in steps.items()}
        held = {name for name in self._known if _inside(name, self._known)}
        for file in {path for path, _ in self._known.values()}:
            names = {name for name, (where, _) in self._known.items() if where == file}
            if names <= held:
                _remove(file)
                self._known = {name: kept for name, kept in self._known.items() if name not in names}


_CURRENT: ContextVar[Checkpoint | None] = ContextVar("checkpoint", default=None)


@contextlib.contextmanager
def going_on(folder: Path, *decides: Any) -> Iterator[None]:
    """Keep the steps that are done meanwhile in a folder, and take up those that it has. The caller removes it.

    decides: all that decides the images, as JSON takes it.
    """
    text = json.dumps([VERSION, *decides], sort_keys=True)
    checkpoint = Checkpoint(folder, hashlib.sha256(text.encode()).hexdigest())
    checkpoint.load()
    token = _CURRENT.set(checkpoint)
    try:
        yield
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

    It may draw from torch's global generators, ask the batch for gradients and note what was taken; it changes nothing
    else.
    """
    checkpoint = _CURRENT.get()
    return make(batch) if checkpoint is None else checkpoint.step(make, batch)


def spared() -> float:
    """Return the seconds of the steps that were not done again so far."""
    checkpoint = _CURRENT.get()
    return 0.0 if checkpoint is None else checkpoint.spared


def remove(folder: Path) -> None:
    """Remove all that is kept in a folder."""
    shutil.rmtree(folder, ignore_errors=True)


def _inside(name: str, names: Mapping[str, Any]) -> bool:
    """Say whether a step is part of another one that is kept."""
    while "/" in name:
        name = name.rpartition("/")[0]
        if name in names:
            return True
    return False


def _laid_out(tensor: Tensor, strides: list[int]) -> Tensor:
    """Return a tensor laid out in memory as it was: kernels may round otherwise in another layout."""
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _checksum(identity: str, steps: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int:
    value = zlib.crc32(json.dumps([identity, steps], sort_keys=True).encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data, value)
    return value


def _warn(message: str) -> None:
    print(f"reproof: {message}", file=sys.stderr, flush=True)
