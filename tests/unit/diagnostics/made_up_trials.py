"""Attacks on a model whose every image is known to withstand them or not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from reproof.measuring.outcomes import Outcomes, Trial


def trial(
    attack: str,
    standing: int | Iterable[int],
    *,
    images: int,
    setting: str = "white_box",
    kind: str = "pgd",
    view: str = "logits",
    source: str = "net",
    norm: str = "linf",
    epsilon: float | None = 0.1,
    parameters: str = "",
) -> Trial:
    """Return an attack that leaves the given images: a count (the first ones), or a set of them."""
    left = range(standing) if isinstance(standing, int) else standing
    correct = np.zeros(images, dtype=bool)
    correct[list(left)] = True
    return Trial(
        setting=setting,
        threat=setting,
        source=source,
        attack=attack,
        kind=kind,
        view=view,
        norm=norm,
        parameters=parameters or f"epsilon={epsilon}",
        epsilon=epsilon,
        images=np.arange(images),
        correct=correct,
        refused=np.zeros(images, dtype=bool),
        failed=None,
        l2=np.ones(images),
        model="net",
    )


def outcomes(*trials: Trial) -> Outcomes:
    """Return what was seen of a model that gets every image right without an attack."""
    images = np.arange(max(len(one.images) for one in trials))
    whose = {"study": "s", "dataset": "d", "architecture": "a", "defense": "x", "training": "clean"}
    clean = np.ones(len(images), dtype=bool)
    return Outcomes(**whose, model="net", seed=0, images=images, clean=clean, trials=trials)
