"""Adversarial training does what it is for: on real digits it outlasts an undefended network under PGD."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from reproof import registry
from reproof.attacking import engine, judge
from reproof.data.dataset import Dataset, to_unit
from reproof.models import build
from reproof.settings.attack import AttackSettings
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train

MARGIN = 0.3
"""By how much more of the images an adversarially trained network classifies correctly under PGD."""


@functools.cache
def digits() -> Dataset:
    module = registry.load("datasets", "digits")
    found: Dataset = module.prepare(module.Settings(image_size=16), Path("unused"))
    return found


@functools.cache
def left_under_pgd(kind: str, **settings: object) -> tuple[float, float]:
    """Return clean accuracy, and accuracy under 20 steps of PGD at ε = 0.1, on 100 test images."""
    data = digits()
    network = {"architecture": {"kind": "cnn6", "width": 0.125}, "defense": {"kind": kind, **settings}}
    defense, trainee = build.build(network, data.description, seed=0)
    rehearsal = TrainingSettings(
        epochs=8, batch_size=64, optimizer="adam", learning_rate=2e-3, schedule="cosine", validation=False
    )
    train(defense, trainee, data, rehearsal, seed=0, progress=False)
    stored, labels = data.select("test", 100)
    images = to_unit(stored)
    clean = judge.predict(trainee, images, 100, "cpu").argmax(1)
    declared = registry.settings_class("attacks", "pgd")
    assert issubclass(declared, AttackSettings)
    pgd = declared.model_validate({"epsilons": [0.1], "steps": 20})
    crafted = engine.AttackEngine(trainee, seed=0, batch_size=100, device="cpu", skip_misclassified=True).run(
        "pgd", pgd, images, labels, clean
    )
    (predictions,) = crafted.predictions.values()
    return (clean == labels).double().mean().item(), (predictions == labels).double().mean().item()


TRAINED = [name for name in ("pgd_training", "dynamic_training") if name in registry.names("defenses")]


@pytest.mark.release
@pytest.mark.parametrize("kind", TRAINED)
def test_an_adversarially_trained_network_outlasts_an_undefended_one(kind: str) -> None:
    clean, attacked = left_under_pgd("undefended")
    trained_clean, trained_attacked = left_under_pgd(kind, epsilon=(0, 0.2), steps=2, step_size=0.8)
    assert clean > 0.9
    assert trained_clean > 0.8
    assert trained_attacked > attacked + MARGIN
