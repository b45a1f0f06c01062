"""Foolbox, as its documentation shows it: parameters not frozen, all images; its call asks for the classes itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from networks import Scene
from torch import Tensor

from .runs import (
    CONSTANT,
    CW_RATE,
    CW_STEPS,
    DEEPFOOL_STEPS,
    EPSILONS,
    FMN_GAMMA,
    FMN_STEP,
    FMN_STEPS,
    OVERSHOOT,
    PGD_STEPS,
    Run,
)

with warnings.catch_warnings():  # Foolbox 3.3.4 imports SciPy's old name of gaussian_filter
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

PACKAGE, NAME = "foolbox", "Foolbox"


def call(scene: Scene, attack: Any, epsilons: Sequence[float | None] = (None,)) -> Callable[[], list[Tensor]]:
    def run() -> list[Tensor]:
        model = foolbox.PyTorchModel(scene.network, bounds=(0, 1), device="cpu")
        _, clipped, _ = attack(model, scene.images, scene.labels, epsilons=list(epsilons))
        for parameter in scene.network.parameters():
            parameter.grad = None
        return list(clipped)

    return run


def runs(scene: Scene) -> dict[str, list[Run]]:
    attacks = foolbox.attacks
    found = {}
    for name, (steps, share) in PGD_STEPS.items():
        linf = attacks.LinfPGD(rel_stepsize=share, steps=steps)
        l2 = attacks.L2PGD(rel_stepsize=share, steps=steps)
        found[name] = [Run(NAME, call(scene, linf, [scene.epsilon]))]
        found[f"{name}-l2"] = [Run(NAME, call(scene, l2, [scene.radius]))]
    cw = attacks.L2CarliniWagnerAttack(
        binary_search_steps=1, steps=CW_STEPS, initial_const=CONSTANT, stepsize=CW_RATE, abort_early=False
    )
    deepfool = attacks.L2DeepFoolAttack(steps=DEEPFOOL_STEPS, candidates=10, overshoot=OVERSHOOT)
    fmn = attacks.L2FMNAttack(steps=FMN_STEPS, max_stepsize=FMN_STEP, gamma=FMN_GAMMA)
    ten = attacks.LinfPGD(rel_stepsize=0.1, steps=10)
    return {
        **found,
        "epsilons": [Run(f"{NAME}, six epsilons", call(scene, ten, EPSILONS))],
        "cw": [Run(NAME, call(scene, cw))],
        "deepfool": [Run(NAME, call(scene, deepfool))],
        "fmn": [Run(NAME, call(scene, fmn))],
    }
