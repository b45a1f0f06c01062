"""What an attack of pyautoattack needs around it: a seed, silence, logits of its own, generators put back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from reproof.attacking.gradient import usable
from reproof.settings.values import Norm

LIBRARY_NORMS: Mapping[Norm, str] = {"linf": "Linf", "l2": "L2"}
"""What the library calls the norms."""


@contextmanager
def secluded() -> Iterator[int]:
    """Yield a seed drawn from torch's global generator, which goes on afterwards as if nothing else had drawn.

    The library seeds all global generators with it, its own default being the clock, and talks to a logger.
    """
    seed = int(torch.randint(2**31, ()))
    logger = logging.getLogger("auto-attack")
    disabled = logger.disabled
    awake: Callable[[], bool] = torch.cuda.is_initialized
    devices = range(torch.cuda.device_count()) if awake() else ()
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        logger.disabled = True
        try:
            yield seed
        finally:
            logger.disabled = disabled


def safely(logits: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return logits as the library may ask for them: images (N, C, H, W) to (N, K), a new tensor each time.

    The library writes into the logits. It also asks for none at all, when a tie is all that is left, and for a
    gradient where the model has none: no images have no logits, and such a gradient is zero. One with a NaN in it would
    make images of NaN, which it takes for a failure in silence: `gradient.usable` mends and counts it.
    """
    classes = 0

    def ask(images: Tensor) -> Tensor:
        nonlocal classes
        if not len(images):
            return images.new_zeros(0, classes)
        if images.requires_grad and torch.is_grad_enabled():
            seen = images.view_as(images)
            seen.register_hook(usable)  # type: ignore[no-untyped-call]
            answer = logits(seen) + 0 * images.flatten(1).sum(dim=1, keepdim=True)
        else:
            answer = logits(images) + 0
        classes = answer.shape[1]
        return answer

    return ask
