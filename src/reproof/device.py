"""Which device a job runs on, a free GPU where there is one, and all that is done otherwise on a GPU.

| on a GPU | decided by | switch |
|---|---|---|
| images and kernels lie channels-last | `channels_last` | `training.channels_last` |
| training and crafting in bfloat16, predictions never | `mixed_precision` | `training.precision` |
| float32 is float32: no TensorFloat-32 | `settle` | none |
| kernels that repeat to the bit | `settle` | `deterministic` in a study |
| batches that do not fit are halved (batch_size.py) | `BatchSize` | `attack_batch_size`, where it begins |
| peak memory, and whether the GPU was shared, are recorded | `facts` | none |

What is not done, and why:

- Page-locked transfers: training images lie on the device, and others are sent once, in large batches, and used at
  once. Page-locking is one more copy on the processor, and pays where the next batch is sent during this one's work.
- CUDA graphs and torch.compile, though launches of kernels are what holds small networks up. A graph replays the same
  kernels on tensors of the same shape at the same addresses, and nothing in it may wait for the device. Here images
  leave as soon as they are fooled, broken gradients are counted (attacking/gradient.py), losses index by class, last
  batches are smaller, and layers of a frozen network are changed while an attack lasts. One that is replayed against
  these rules is wrong in silence, and no processor can run one to show that it is right. Other kernels, too, would end
  what holds now: the same seed, the same bits. Fewer launches an image come from a larger `attack_batch_size`, from
  larger batches where answers do not depend on them (`batch_size.at_first`), and from several trainings side by side
  (`--resources gpu=N`). On a GPU, `benchmarks/device.py` says first which share of an epoch kernels take.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from reproof import provenance
from reproof.errors import TrainingError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Environment variable that cuBLAS wants to be set where its sums are to repeat."""


class _Users:
    """Who uses a GPU, told by a file that all its jobs lock: the locks die with their processes."""

    def __init__(self, folder: Path, index: int):
        path = folder / f"reproof-{os.getuid()}-gpu{index}.lock"
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        self._before = 0
        self._alone = False

    def enter(self, *, only_alone: bool) -> bool:
        """Begin to use it; return False, and do not, where only_alone is asked for and others do."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._alone = True
        except BlockingIOError:
            if only_alone:
                os.close(self._descriptor)
                return False
        self._tell()
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)  # for a moment it is free: somebody may have come
        if self.shared:
            self._alone = False
            self._tell()
        return True

    def _tell(self) -> None:
        """Let the file grow, by which those who use the GPU read that somebody came."""
        os.write(self._descriptor, b".")
        self._before = os.fstat(self._descriptor).st_size

    @property
    def shared(self) -> bool:
        """Say whether somebody else has used it since."""
        return not self._alone or os.fstat(self._descriptor).st_size > self._before


_users: list[_Users] = []


def claim(run: provenance.Run) -> torch.device:
    """Return the device for a job's run, and see that its record says which, and what was done there."""
    chosen = choose(run.threads)
    run.device = words(chosen)
    deterministic = bool(run.job.get("job", {}).get("deterministic"))
    settle(chosen, deterministic=deterministic)
    run.device_facts = functools.partial(facts, chosen, deterministic)
    return chosen


def choose(threads: int) -> torch.device:
    """Return the device for this job and tell torch how many processor threads it has.

    Of several GPUs the first that no other job uses is taken; when all are used (several jobs share a GPU on purpose)
    the process number decides.
    """
    torch.set_num_threads(threads)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return torch.device("cuda", enter(count)) if count else torch.device("cpu")


def enter(count: int, folder: Path | None = None) -> int:
    """Begin to use one of so many GPUs and return its number. folder: of the locks; None: of temporary files."""
    folder = folder or Path(tempfile.gettempdir())
    for index in range(count):
        users = _Users(folder, index)
        if users.enter(only_alone=True):
            _users.append(users)
            return index
    index = os.getpid() % count
    users = _Users(folder, index)
    users.enter(only_alone=False)
    _users.append(users)
    return index


def settle(device: torch.device, *, deterministic: bool) -> None:
    """Let a GPU compute in the precision that settings name, and, where it is asked for, to the same bits each time.

    Operations that cannot repeat warn in the job's log.
    """
    if device.type != "cuda":
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if deterministic:
        os.environ.setdefault(WORKSPACE, ":4096:8")
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)


def channels_last(device: torch.device, choice: bool | Literal["auto"]) -> torch.memory_format:
    """Return how images and kernels lie in memory: auto means channels-last on processors and NVIDIA GPUs."""
    chosen = device.type in ("cpu", "cuda") if choice == "auto" else choice
    return torch.channels_last if chosen else torch.contiguous_format


def mixed_precision(
    device: torch.device, precision: Literal["float32", "bfloat16"]
) -> contextlib.AbstractContextManager[Any]:
    """Return the context for forward passes of training and crafting; TrainingError where a GPU has no bfloat16."""
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise TrainingError("training.precision: this GPU has no bfloat16; write precision: float32")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def slow_precision(
    device: torch.device,
    precision: Literal["float32", "bfloat16"],
    capabilities: Mapping[str, Any] | None = None,
) -> str | None:
    """Return what to say of a processor that computes bfloat16 more slowly than float32, else None.

    That is every x86 processor without AMX's unit for it (benchmarks/README.md). Training goes on in the precision
    that was asked for, so that the same study gives the same network everywhere. capabilities: None asks torch.
    """
    if device.type != "cpu" or precision != "bfloat16":
        return None
    found = torch.cpu.get_capabilities() if capabilities is None else capabilities
    if found.get("architecture") != "x86_64" or found.get("amx_bf16"):
        return None
    return (
        "training.precision is bfloat16: this processor has no AMX, so that float32 would be faster (and train "
        "another network)"
    )


def words(device: torch.device) -> str:
    """Return the device's name for a record."""
    if device.type == "cuda":
        return f"GPU: {torch.cuda.get_device_name(device)}"
    return f"CPU: {provenance.processor()}"


def facts(device: torch.device, deterministic: bool) -> dict[str, Any]:
    """Return what a record says of a GPU when its job ends: nothing of a processor.

    device_memory_bytes: the most that tensors took. device_shared: other jobs used it meanwhile, so that times are no
    measurements. deterministic_kernels: whether another run gives the same bits.
    """
    if device.type != "cuda":
        return {}
    return {
        "device_memory_bytes": torch.cuda.max_memory_reserved(device),
        "device_total_bytes": torch.cuda.get_device_properties(device).total_memory,
        "device_shared": any(users.shared for users in _users),
        "deterministic_kernels": deterministic,
    }
