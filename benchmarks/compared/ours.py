"""Our engine, as a study runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from networks import Scene
from torch import Tensor

from reproof import registry
from reproof.attacking import judge
from reproof.attacking.engine import AttackEngine
from reproof.settings.attack import AttackSettings

from .runs import (
    APGD_STEPS,
    CONSTANT,
    CW_STEPS,
    DEEPFOOL_STEPS,
    EPSILONS,
    FMN_STEPS,
    PGD_STEPS,
    QUERIES,
    Run,
    pairs,
)


def engine(scene: Scene, kind: str, **settings: Any) -> Callable[[], list[Tensor]]:
    """Return the engine's run of an attack at all its points."""
    declared = registry.settings_class("attacks", kind)
    assert issubclass(declared, AttackSettings)
    chosen = declared.model_validate(settings)

    def run() -> list[Tensor]:
        crafted = AttackEngine(
            scene.network, seed=0, batch_size=len(scene.images), device="cpu", skip_misclassified=True
        ).run(kind, chosen, scene.images, scene.labels, scene.labels)
        return list(crafted.images.values())

    return run


def runs(scene: Scene) -> dict[str, list[Run]]:
    """Return the runs of each attack; the first of each is the one that others are compared with."""
    found = {}
    for name, (steps, share) in PGD_STEPS.items():
        rest: dict[str, Any] = {"steps": steps, "step_size": share}
        for suffix, budget in (
            ("", {"epsilons": [scene.epsilon]}),
            ("-l2", {"epsilons": [scene.radius], "norm": "l2"}),
        ):
            found[name + suffix] = [
                Run("ours", engine(scene, "pgd", **budget, **rest)),
                Run(
                    "ours, `early_stop`",
                    engine(scene, "pgd", early_stop=True, **budget, **rest),
                    "leaves fooled images",
                ),
            ]
    nested = engine(scene, "pgd", epsilons=list(EPSILONS), early_stop=True, nested=True)
    deepfool: dict[str, Any] = {"steps": [DEEPFOOL_STEPS]}
    return {
        **found,
        "epsilons": [
            Run("ours", engine(scene, "pgd", epsilons=list(EPSILONS))),
            Run("ours, `early_stop`, `nested`", nested, "leaves fooled images"),
        ],
        "apgd": [Run("ours", engine(scene, "apgd", epsilons=[scene.epsilon], steps=APGD_STEPS))],
        "cw": [Run("ours", engine(scene, "carlini_wagner", constants=[CONSTANT], steps=CW_STEPS))],
        "deepfool": [
            Run("ours", engine(scene, "deepfool", contenders=None, **deepfool)),
            Run("ours, 4 `contenders`", engine(scene, "deepfool", **deepfool), "looks at fewer classes"),
        ],
        "fmn": [Run("ours", engine(scene, "fmn", steps=[FMN_STEPS]))],
        "autoattack": [
            Run("ours", engine(scene, "autoattack", epsilons=[scene.epsilon], queries=QUERIES)),
        ],
        "jsma": _saliency(scene),
    }


def _saliency(scene: Scene) -> list[Run]:
    """JSMA by pixels that rise to 1, towards (y + 1) mod 10, the one target that torchattacks knows."""
    module, scene = registry.load("attacks", "jsma"), scene.towards_next()
    most = pairs(scene.images)

    def targeted(**chosen: Any) -> Callable[[], Tensor]:
        settings = registry.settings_class("attacks", "jsma").model_validate(
            {"steps": [most], "theta": 1.0, "max_changes": 1, "direction": "increase", **chosen}
        )
        attack = module.build(settings, settings.points()[0])

        def run() -> Tensor:
            with judge.frozen(scene.network, channels_last=False):
                found: Tensor = attack.approach(scene.network, scene.images, scene.targets, None)
            judge.predict(scene.network, found, len(found), "cpu")
            return found

        return run

    another = "another saliency"
    return [
        Run("ours, pairs", targeted(variant="pair")),
        Run("ours, pairs, `target_logit`", targeted(variant="pair", saliency="target_logit"), another),
        Run(
            "ours, pairs, `target_probability`",
            targeted(variant="pair", saliency="target_probability"),
            another,
        ),
        Run("ours, single pixels", targeted(steps=[2 * most]), another),
        Run("ours, single pixels, `both`", targeted(steps=[2 * most], direction="both"), another),
    ]
