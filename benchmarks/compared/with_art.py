"""ART (adversarial-robustness-toolbox), as its documentation shows it. Its own optimiser of C&W has no Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from art.attacks import evasion as art
from art.estimators.classification import PyTorchClassifier
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
    Run,
    asked,
)

PACKAGE, NAME = "adversarial-robustness-toolbox", "ART"


def call(
    scene: Scene, build: Callable[..., Any], labels: Tensor | None = None, **settings: Any
) -> Callable[[], Tensor]:
    """Return a run of an attack; labels: the true classes, or those to reach, of attacks that want them."""
    pixels = scene.images.numpy()
    classes = None if labels is None else nn.functional.one_hot(labels, 10).numpy()

    def run() -> Tensor:
        classifier = PyTorchClassifier(
            scene.network,
            nn.CrossEntropyLoss(),
            scene.images.shape[1:],
            10,
            clip_values=(0, 1),
            device_type="cpu",
        )
        attack = build(classifier, batch_size=len(pixels), verbose=False, **settings)
        found = torch.from_numpy(attack.generate(pixels, classes)).float()
        scene.network.eval()
        return asked(scene.network, found)

    return run


def runs(scene: Scene) -> dict[str, list[Run]]:
    labels = scene.labels
    found = {}
    for name, (steps, share) in PGD_STEPS.items():
        for suffix, norm, epsilon in (("", "inf", scene.epsilon), ("-l2", 2, scene.radius)):
            work = call(
                scene,
                art.ProjectedGradientDescent,
                labels,
                norm=norm,
                eps=epsilon,
                eps_step=share * epsilon,
                max_iter=steps,
                num_random_init=1,
            )
            found[name + suffix] = [Run(NAME, work)]
    apgd = call(
        scene,
        art.AutoProjectedGradientDescent,
        labels,
        eps=scene.epsilon,
        eps_step=2 * scene.epsilon,
        max_iter=APGD_STEPS,
        nb_random_init=1,
        loss_type="cross_entropy",
    )
    cw = call(
        scene,
        art.CarliniL2Method,
        labels,
        binary_search_steps=1,
        max_iter=CW_STEPS,
        initial_const=CONSTANT,
        learning_rate=CW_RATE,
    )
    deepfool = call(scene, art.DeepFool, max_iter=DEEPFOOL_STEPS, epsilon=OVERSHOOT, nb_grads=10)
    saliency = call(scene, art.SaliencyMapMethod, (labels + 1) % 10, theta=1.0, gamma=GAMMA)
    return {
        **found,
        "apgd": [Run(NAME, apgd, "takes every step")],
        "cw": [Run(NAME, cw, "another optimiser")],
        "deepfool": [Run(NAME, deepfool)],
        "jsma": [Run(NAME, saliency, "another saliency")],
    }
