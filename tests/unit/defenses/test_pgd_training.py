"""PGD training: what is made of a batch, and what it is called."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reproof.claims.claim import TransferSource
from reproof.defenses.pgd_training import PgdTraining, Settings
from tests.tiny_classifier import mix


def test_madry_s_batch_is_all_adversarial_and_forty_steps_reach_the_edge() -> None:
    batch, distance = mix(PgdTraining(Settings()))
    assert batch.weights is None
    assert float(distance.min()) > 0.29
    assert float(distance.max()) <= 0.3 + 1e-6
    chosen = PgdTraining(Settings()).adversarial_training()
    assert chosen.step_size is not None
    assert (chosen.steps, chosen.step_size * 0.3) == (40, pytest.approx(0.01))
    assert chosen.random_start


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
    settings = Settings(**options)
    assert settings.key("pgd_training") == key
    if options:
        chosen = PgdTraining(settings).adversarial_training()
        assert (chosen.epsilon, chosen.steps) == (8 / 255, options["steps"])
        assert chosen.step_size is not None
        assert chosen.step_size * 8 / 255 == pytest.approx(2 / 255)


def test_an_interval_from_high_to_low_is_refused() -> None:
    with pytest.raises(ValidationError, match="low to high"):
        Settings(epsilon=[0.3, 0.1])


def test_a_transfer_source_so_trained_met_pgd_examples() -> None:
    (source,) = TransferSource.read("vgg19:pgd_training[steps=3]")
    assert source == TransferSource("vgg19", "pgd_training[steps=3]", "pgd")
    assert str(source) == "vgg19 with pgd_training[steps=3]"
