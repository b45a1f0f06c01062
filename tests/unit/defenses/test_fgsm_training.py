"""FGSM training: what is made of a batch."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from reproof.claims.claim import TransferSource
from reproof.defenses.fgsm_training import FgsmTraining, Settings
from tests.tiny_classifier import mix


def test_kurakin_s_batch_is_half_adversarial_and_weighs_it_three_tenths() -> None:
    batch, distance = mix(FgsmTraining(Settings()))
    assert ((distance > 0).tolist()) == [True] * 16 + [False] * 16
    assert 0.1 - 1e-6 <= float(distance[:16].min()) < float(distance[:16].max()) <= 0.5 + 1e-6
    losses = torch.rand(32, generator=torch.Generator().manual_seed(0))
    expected = (losses[16:].sum() + 0.3 * losses[:16].sum()) / (16 + 0.3 * 16)
    torch.testing.assert_close(batch.mean(losses), expected)


@pytest.mark.parametrize("labels", ["true", "predicted"])
def test_label_leaking_is_an_option(labels: str) -> None:
    settings = Settings(labels=labels, epsilon="8/255")
    chosen = FgsmTraining(settings).adversarial_training()
    assert (chosen.labels, chosen.epsilon) == (labels, 8 / 255)


def test_an_interval_from_high_to_low_is_refused() -> None:
    with pytest.raises(ValidationError, match="low to high"):
        Settings(epsilon=[0.3, 0.1])


@pytest.mark.parametrize("networks", [1, 2])
def test_a_transfer_source_so_trained_met_fgsm_examples(networks: int) -> None:
    text = "vgg19:fgsm_training" + (f"*{networks}" if networks > 1 else "")
    (source,) = TransferSource.read(text)
    assert source == TransferSource("vgg19", "fgsm_training", "fgsm", networks)
    assert str(source) == ("2 " if networks > 1 else "") + "vgg19 with fgsm_training"
