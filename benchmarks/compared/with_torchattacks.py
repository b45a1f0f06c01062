"""torchattacks, as its documentation shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torchattacks
from networks import Scene
from torch import Tensor, nn

from .runs import (
    APGD_STEPS,
    CONSTANT,
    CW_RATE,
    CW_STEPS,
    DEEPFOOL_STEPS,
    GAMMA,
    OVERSHOOT,
    PGD_STEPS,
    QUERIES,
    Run,
    asked,
)

PACKAGE, NAME = "torchattacks", "torchattacks"


def call(scene: Scene, build: Callable[[nn.Module], Any]) -> Callable[[], Tensor]:
    return lambda: asked(scene.network, build(scene.network)(scene.images, scene.labels))


def auto_attack(model: nn.Module, epsilon: float) -> Any:
    """Return its AutoAttack, with as many queries of Square as the others'."""
    attack = torchattacks.AutoAttack(model, eps=epsilon, seed=0)
    attack._autoattack.attacks[-1].n_queries = QUERIES
    return attack


def runs(scene: Scene) -> dict[str, list[Run]]:
    epsilon, radius = scene.epsilon, scene.radius
    found = {}
    for name, (steps, share) in PGD_STEPS.items():
        linf = {"eps": epsilon, "alpha": share * epsilon, "steps": steps}
        l2 = {"eps": radius, "alpha": share * radius, "steps": steps}
        found[name] = [Run(NAME, call(scene, lambda model, a=linf: torchattacks.PGD(model, **a)))]
        found[f"{name}-l2"] = [Run(NAME, call(scene, lambda model, a=l2: torchattacks.PGDL2(model, **a)))]
    cw = {"c": CONSTANT, "steps": CW_STEPS, "lr": CW_RATE}
    return {
        **found,
        "apgd": [
            Run(
                NAME,
                call(scene, lambda model: torchattacks.APGD(model, eps=epsilon, steps=APGD_STEPS, loss="ce")),
                "takes every step",
            )
        ],
        "cw": [
            Run(
                NAME,
                call(scene, lambda model: torchattacks.CW(model, **cw)),
                "leaves pixels of 0 and 1 alone; may stop early",
            )
        ],
        "deepfool": [
            Run(
                NAME,
                call(
                    scene,
                    lambda model: torchattacks.DeepFool(model, steps=DEEPFOOL_STEPS, overshoot=OVERSHOOT),
                ),
            )
        ],
        "autoattack": [
            Run(
                NAME,
                call(scene, lambda model: auto_attack(model, epsilon)),
                "has 10 steps where others have 100",
            )
        ],
        "jsma": [Run(NAME, call(scene, lambda model: torchattacks.JSMA(model, theta=1.0, gamma=GAMMA)))],
    }
