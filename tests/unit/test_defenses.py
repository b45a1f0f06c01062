"""The two methods that are adversarial training and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from reproof.data import to_unit
from reproof.defense import Progress
from reproof.defenses import fgsm_training, pgd_training, undefended
from reproof.training import Batch, generator_for, mix_in_adversarial
from tests.tiny_classifier import build_tiny, make_data

START = Progress(0, 1, 0)


def mixed(defense: Any, count: int = 32) -> tuple[Batch, torch.Tensor]:
    trainee = build_tiny(defense).train()
    images, labels = make_data().select("train", count)
    clean = to_unit(images)
    batch = Batch(clean.clone(), labels)
    generator = generator_for(torch.device("cpu"), 0)
    mix_in_adversarial(batch, defense.adversarial_training(), defense, trainee, START, generator)
    return batch, (batch.images - clean).flatten(1).abs().amax(dim=1)


def test_undefended_trains_on_clean_images() -> None:
    defense = undefended.Undefended(undefended.Settings())
    assert defense.adversarial_training() is None
    assert defense.settings.trains_on == "clean"


def test_kurakin_s_batch_is_half_adversarial_and_weighs_it_three_tenths() -> None:
    batch, distance = mixed(fgsm_training.FgsmTraining(fgsm_training.Settings()))
    assert ((distance > 0).tolist()) == [True] * 16 + [False] * 16
    assert 0.1 - 1e-6 <= float(distance[:16].min()) < float(distance[:16].max()) <= 0.5 + 1e-6
    losses = torch.rand(32, generator=torch.Generator().manual_seed(0))
    expected = (losses[16:].sum() + 0.3 * losses[:16].sum()) / (16 + 0.3 * 16)
    torch.testing.assert_close(batch.mean(losses), expected)


def test_madry_s_batch_is_all_adversarial_and_forty_steps_reach_the_edge() -> None:
    batch, distance = mixed(pgd_training.PgdTraining(pgd_training.Settings()))
    assert batch.weights is None
    assert float(distance.min()) > 0.29
    assert float(distance.max()) <= 0.3 + 1e-6
    chosen = pgd_training.PgdTraining(pgd_training.Settings()).adversarial_training()
    assert chosen.step_size is not None
    assert (chosen.steps, chosen.step_size * 0.3) == (40, pytest.approx(0.01))
    assert chosen.random_start


@pytest.mark.parametrize("labels", ["true", "predicted"])
def test_label_leaking_is_an_option(labels: str) -> None:
    settings = fgsm_training.Settings(labels=labels, epsilon="8/255")
    chosen = fgsm_training.FgsmTraining(settings).adversarial_training()
    assert (chosen.labels, chosen.epsilon) == (labels, 8 / 255)


@pytest.mark.parametrize("settings", [fgsm_training.Settings, pgd_training.Settings])
def test_an_interval_from_high_to_low_is_refused(settings: Any) -> None:
    with pytest.raises(ValidationError, match="low to high"):
        settings(epsilon=[0.3, 0.1])


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "pgd_training"),
        ({"epsilon": "8/255", "steps": 7, "step_size": "2/8"}, "pgd_training"),
        ({"epsilon": "8/255", "steps": 3, "step_size": "2/8", "label_steps": True}, "pgd_training[steps=3]"),
        ({"epsilon": "8/255", "steps": 7, "step_size": "2/8", "label_steps": True}, "pgd_training[steps=7]"),
    ],
)
def test_pgd_training_names_its_steps_where_asked(options: dict[str, Any], key: str) -> None:
    settings = pgd_training.Settings(**options)
    assert settings.key("pgd_training") == key
    if options:
        chosen = pgd_training.PgdTraining(settings).adversarial_training()
        assert (chosen.epsilon, chosen.steps) == (8 / 255, options["steps"])
        assert chosen.step_size is not None
        assert chosen.step_size * 8 / 255 == pytest.approx(2 / 255)
