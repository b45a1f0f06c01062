"""pyautoattack, the authors' AutoAttack, whose parts ours runs as well; its evaluation asks for the classes itself."""

from __future__ import annotations

from collections.abc import Callable

from networks import Scene
from pyautoattack import AutoAttack
from pyautoattack.autopgd_base import APGDAttack
from torch import Tensor

from .runs import APGD_STEPS, QUERIES, Run, asked

PACKAGE, NAME = "pyautoattack", "pyautoattack"


def evaluation(scene: Scene) -> Callable[[], Tensor]:
    def run() -> Tensor:
        library = AutoAttack(scene.network, eps=scene.epsilon, seed=0)
        library.square.n_queries = QUERIES
        attacked: Tensor = library.run_standard_evaluation(scene.images, scene.labels)[0]
        return attacked.detach()

    return run


def apgd(scene: Scene) -> Callable[[], Tensor]:
    def run() -> Tensor:
        library = APGDAttack(scene.network, n_iter=APGD_STEPS, eps=scene.epsilon, seed=0, device="cpu")
        library.loss = "ce"
        return asked(scene.network, library.perturb(scene.images, scene.labels))

    return run


def runs(scene: Scene) -> dict[str, list[Run]]:
    return {
        "apgd": [Run(NAME, apgd(scene), "takes every step")],
        "autoattack": [Run(NAME, evaluation(scene))],
    }
