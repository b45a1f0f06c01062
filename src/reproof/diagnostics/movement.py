"""The sanity check whether attacks move images at all."""

from __future__ import annotations

from collections.abc import Sequence

from reproof.diagnostics.sanity_check import RedFlag, unchecked
from reproof.diagnostics.trials import Results, named, trial_of
from reproof.measuring.outcomes import Outcomes, Trial

LEAST = 1 / 510
"""The smallest L2 distance that counts as a move: half of one of 255 levels, in one pixel."""


def unmoved_images(model: str, attacked: Sequence[Results]) -> RedFlag:
    """Check that each attack moves an image. attacked: white-box and adaptive attacks by gradients.

    An attack that hands back every image as it was, ten steps of C&W that no image is fooled by among them, has
    measured clean accuracy. No chance is in it: one image that moves by LEAST (half of the budget, where that is
    less) clears the attack. One that meets no image that is right without it is not counted.
    """
    check = "unmoved_images"
    counted = [results for results in attacked if any(_right(trial, one) for trial, one in results)]
    if not counted:
        return unchecked(
            model, check, "the study has no attack by gradients on images that this model gets right"
        )
    idle = [results for results in counted if not any(_moves(trial) for trial, _ in results)]
    if not idle:
        return RedFlag(model, check, False, f"Each of {len(counted)} attacks by gradients moves images.", ())
    first = trial_of(idle[0])
    words = named(first)
    others = f", and {len(idle) - 1} more do the same" if len(idle) > 1 else ""
    images = sum(len(trial.images) for trial, _ in idle[0])
    evidence = (
        f"{words[0].upper()}{words[1:]} leaves all of {images} images as they were{others}: what it measures is "
        "clean accuracy."
    )
    return RedFlag(model, check, True, evidence, tuple(sorted(trial_of(results).name for results in idle)))


def _right(trial: Trial, one: Outcomes) -> bool:
    return bool(one.clean_on(trial.images).any())


def _moves(trial: Trial) -> bool:
    least = LEAST if trial.epsilon is None else min(LEAST, trial.epsilon / 2)
    return bool((trial.l2 >= least).any())
