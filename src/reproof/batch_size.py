"""How many images go onto the device at once: fewer, from then on, where they had no room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from reproof.errors import ReproofError

T = TypeVar("T")
GPU_IMAGES = 4096
"""Images that a GPU is first shown at once where each is answered for itself: fewer do not keep it busy."""


class BatchSize:
    """A number of images that is halved, and said to be, where the device has no room for their batch."""

    def __init__(self, images: int, what: str):
        self.images = images
        self.halved = False
        self._what = what

    def halve(self, error: torch.OutOfMemoryError, images: int) -> None:
        """Go on with half as many; ReproofError where one has no room. images: in the batch that had none."""
        if images <= 1:
            raise ReproofError(
                f"{self._what}: not even one image has room on the device; let fewer jobs share it"
            ) from error
        self.images, self.halved = images // 2, True
        print(
            f"reproof: {self._what}: {images} images at once have no room on the device; from here on {self.images}",
            file=sys.stderr,
            flush=True,
        )
        torch.cuda.empty_cache()  # does nothing where no GPU is in use


def at_first(size: int, device: torch.device) -> int:
    """Return how many images are first shown at once where results do not depend on it."""
    return max(size, GPU_IMAGES) if device.type == "cuda" else size


def in_batches(
    call: Callable[[Tensor], T], images: Tensor, size: int, device: torch.device | str, what: str
) -> list[T]:
    """Return what a function says of images, batch by batch on the device.

    Of no images it is asked once, too. On a GPU batches are as large as it takes. what: names them where they have no
    room. Not for a function whose answer for an image depends on the others.
    """
    found: list[T] = []
    batch, done = BatchSize(at_first(size, torch.device(device)), what), 0
    while done < len(images) or not found:
        part = images[done : done + batch.images]
        try:
            found.append(call(part.to(device)))
        except torch.OutOfMemoryError as error:
            batch.halve(error, len(part))
            continue
        done += len(part)
    return found
