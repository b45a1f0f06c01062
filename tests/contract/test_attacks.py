"""What every attack owes, over all files in the folder: a new file is covered by being there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.settings.attack import AttackSettings

KINDS = registry.names("attacks")


def declare(kind, epsilon=0.1):
    """Return the least settings: the `example` of a class that has one, with the epsilon where it takes one."""
    declared = registry.settings_class("attacks", kind)
    budget = {"epsilons": [epsilon]} if "epsilons" in declared.model_fields else {}
    return declared(**{**getattr(declared, "example", {}), **budget})


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5)).eval()


@pytest.fixture(scope="module")
def images():
    """Images with black, white and grey pixels."""
    return (torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 1.5 - 0.25).clamp(0, 1)


@pytest.fixture(scope="module")
def labels(net, images):
    return judge.predict(net, images, 9, "cpu").argmax(1)


def craft(net, images, labels, kind, settings, seed=0):
    return engine.AttackEngine(net, seed=seed, batch_size=4, device="cpu", skip_misclassified=True).run(
        kind, settings, images, labels, labels
    )


def test_there_are_attacks():
    strong = {"autoattack", "square"}
    assert {"fgsm", "bim", "mim", "pgd", "carlini_wagner", "random_noise"} | strong <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_round_trip_and_reject_unknown_keys(kind):
    settings = declare(kind)
    assert isinstance(settings, AttackSettings)
    assert type(settings).model_validate(settings.model_dump()) == settings
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValueError, match="stepz"):
        type(settings)(**settings.model_dump(), stepz=3)
    assert settings.points()
    assert all((point.epsilon is None) == (settings.norm != "linf") for point in settings.points())


@pytest.mark.parametrize("kind", KINDS)
def test_images_stay_inside_and_inputs_stay_as_they_are(net, images, labels, kind):
    settings = declare(kind)
    kept = images.clone()
    result = craft(net, images, labels, kind, settings)
    assert torch.equal(images, kept)
    assert list(result.images) == [point.parameters for point in settings.points()]
    for point in settings.points():
        found = result.images[point.parameters]
        threat_model.check(images, found, settings.norm, point.epsilon, kind)
        assert found.min() >= 0
        assert found.max() <= 1
        assert result.unchanged[point.parameters] < len(images), "the attack should move something"
        again = judge.predict(net, found, 9, "cpu").argmax(1)
        assert torch.equal(result.predictions[point.parameters], again)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_images(net, images, labels, kind):
    first, second = (craft(net, images, labels, kind, declare(kind)).images for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "epsilons" in type(declare(kind)).model_fields])
def test_at_epsilon_zero_nothing_moves(net, images, labels, kind):
    result = craft(net, images, labels, kind, declare(kind, epsilon=0))
    assert torch.equal(result.images["epsilon=0"], images)
    assert torch.equal(result.predictions["epsilon=0"], labels)


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_says_what_it_does_not_guarantee(kind):
    assert "Not guaranteed" in (registry.load("attacks", kind).__doc__ or "")
