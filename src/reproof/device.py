"""Which device a job runs on: a free GPU where there is one, else the processor."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import torch

from reproof import provenance

_held: list[int] = []


def choose(threads: int) -> torch.device:
    """Return the device for this job and tell torch how many processor threads it has.

    Of several GPUs the first that no other job holds is taken, by a lock that dies with the process; when all
    are held (several jobs share a GPU on purpose) the process number decides.
    """
    torch.set_num_threads(threads)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        return torch.device("cpu")
    for index in range(count):
        if _take(index):
            return torch.device("cuda", index)
    return torch.device("cuda", os.getpid() % count)


def _take(index: int) -> bool:
    path = Path(tempfile.gettempdir()) / f"reproof-{os.getuid()}-gpu{index}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True


def words(device: torch.device) -> str:
    """Return the device's name for a record."""
    if device.type == "cuda":
        return f"GPU: {torch.cuda.get_device_name(device)}"
    return f"CPU: {provenance.processor()}"
