"""adversarial-library (adv-lib), as its documentation shows it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from typing import Any

from networks import Scene
from torch import Tensor

from .runs import (
    APGD_STEPS,
    CONSTANT,
    CW_RATE,
    CW_STEPS,
    DEEPFOOL_STEPS,
    FMN_GAMMA,
    FMN_STEP,
    FMN_STEPS,
    OVERSHOOT,
    PGD_STEPS,
    Run,
    asked,
)

sys.modules.setdefault("visdom", module_from_spec(ModuleSpec("visdom", None)))  # it draws curves; empty here
from adv_lib import attacks  # noqa: E402

PACKAGE, NAME = "adv-lib", "adv-lib"


def call(scene: Scene, attack: Callable[..., Tensor], **settings: Any) -> Callable[[], Tensor]:
    return lambda: asked(scene.network, attack(scene.network, scene.images, scene.labels, **settings))


def runs(scene: Scene) -> dict[str, list[Run]]:
    found = {}
    for name, (steps, share) in PGD_STEPS.items():
        work = call(scene, attacks.pgd_linf, ε=scene.epsilon, steps=steps, relative_step_size=share)
        found[name] = [Run(NAME, work)]
    apgd = call(scene, attacks.apgd, eps=scene.epsilon, norm=math.inf, n_iter=APGD_STEPS, loss_function="ce")
    cw = call(
        scene,
        attacks.carlini_wagner_l2,
        initial_const=CONSTANT,
        learning_rate=CW_RATE,
        max_iterations=CW_STEPS,
        binary_search_steps=1,
        abort_early=False,
    )
    deepfool = call(scene, attacks.df, steps=DEEPFOOL_STEPS, overshoot=OVERSHOOT)
    fmn = call(scene, attacks.fmn, norm=2, steps=FMN_STEPS, α_init=FMN_STEP, γ_init=FMN_GAMMA)
    ddn = call(scene, attacks.ddn, steps=FMN_STEPS, levels=None)
    return {
        **found,
        "apgd": [Run(NAME, apgd, "takes every step")],
        "cw": [Run(NAME, cw)],
        "deepfool": [Run(NAME, deepfool)],
        "fmn": [Run(NAME, fmn), Run(f"{NAME}, DDN", ddn, "another attack")],
    }
