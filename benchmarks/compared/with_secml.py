"""secml-torch, as its documentation shows it: its own attacks where there are, else those of Foolbox that it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from networks import Scene
from secmlt.adv.backends import Backends
from secmlt.adv.evasion.cw import CW
from secmlt.adv.evasion.ddn import DDN
from secmlt.adv.evasion.deepfool import DeepFool
from secmlt.adv.evasion.fmn import FMN
from secmlt.adv.evasion.pgd import PGD
from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from .runs import (
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

PACKAGE, NAME = "secml-torch", "secml-torch"


def call(scene: Scene, build: Callable[..., Any], **settings: Any) -> Callable[[], Tensor]:
    """Return a run of an attack, made anew: one that has run keeps the radii of its last batch."""
    own = settings.get("backend") == Backends.NATIVE

    def run() -> Tensor:
        loader = DataLoader(TensorDataset(scene.images, scene.labels), batch_size=len(scene.images))
        attacked = build(**settings)(BasePyTorchClassifier(scene.network), loader).dataset.tensors[0]
        return asked(scene.network, attacked) if own else attacked.detach()

    return run


def runs(scene: Scene) -> dict[str, list[Run]]:
    native = {"backend": Backends.NATIVE}
    found = {}
    for name, (steps, share) in PGD_STEPS.items():
        for suffix, norm, epsilon in (("", "linf", scene.epsilon), ("-l2", "l2", scene.radius)):
            work = call(
                scene,
                PGD,
                perturbation_model=norm,
                epsilon=epsilon,
                num_steps=steps,
                step_size=share * epsilon,
                random_start=True,
                **native,
            )
            found[name + suffix] = [Run(NAME, work)]
    cw = call(
        scene,
        CW,
        binary_search_steps=1,
        num_steps=CW_STEPS,
        step_size=CW_RATE,
        initial_const=CONSTANT,
        abort_early=False,
    )
    deepfool = call(scene, DeepFool, num_steps=DEEPFOOL_STEPS, overshoot=OVERSHOOT, candidates=10)
    fmn = call(
        scene,
        FMN,
        perturbation_model="l2",
        num_steps=FMN_STEPS,
        step_size=FMN_STEP,
        gamma=FMN_GAMMA,
        **native,
    )
    ddn = call(scene, DDN, num_steps=FMN_STEPS, eps_init=1.0, **native)
    return {
        **found,
        "cw": [Run(f"{NAME}, by Foolbox", cw)],
        "deepfool": [Run(f"{NAME}, by Foolbox", deepfool)],
        "fmn": [Run(NAME, fmn), Run(f"{NAME}, DDN", ddn, "another attack")],
    }
