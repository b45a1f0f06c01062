"""What every attack owes, over all files in the folder: a new file is covered by being there."""

from __future__ import annotations

import functools
from typing import get_args

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.image_noise import ImageNoise
from reproof.claims import vocabulary
from reproof.settings.attack import Access, AttackSettings
from tests.ours import OURS
from tests.smallest import attack_settings as declare

KINDS = registry.names("attacks")


@functools.cache
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5)).eval()


@functools.cache
def pictures():
    """Return images with black, white and grey pixels."""
    return (torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 1.5 - 0.25).clamp(0, 1)


@pytest.fixture(scope="module")
def net():
    return network()


@pytest.fixture(scope="module")
def images():
    return pictures()


@pytest.fixture(scope="module")
def labels(net, images):
    return judge.predict(net, images, 9, "cpu").argmax(1)


def run(net, images, labels, kind, settings, seed=0, batch_size=4):
    attacking = engine.AttackEngine(
        net, seed=seed, batch_size=batch_size, device="cpu", skip_misclassified=True
    )
    return attacking.run(kind, settings, images, labels, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_round_trip_and_reject_unknown_keys(kind):
    settings = declare(kind)
    assert isinstance(settings, AttackSettings)
    assert type(settings).model_validate(settings.model_dump()) == settings
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValueError, match="stepz"):
        type(settings)(**settings.model_dump(), stepz=3)
    assert settings.points()
    budgets = [point for point in settings.points() if point.epsilon is not None]
    assert bool(budgets) == ("epsilon" in {point.name for point in settings.points()})
    assert {point.norm for point in budgets} <= {settings.budget_norm}


@functools.cache
def crafted(kind, count=9):
    """Return what the engine makes of the pictures, all of them right, or of the first ones: of a batch, of four."""
    net, images = network(), pictures()[:count].clone()
    kept = images.clone()
    result = run(net, images, judge.predict(net, images, count, "cpu").argmax(1), kind, declare(kind))
    assert torch.equal(images, kept), "inputs stay as they are"
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_images_stay_inside_and_inputs_stay_as_they_are(net, images, labels, kind):
    settings = declare(kind)
    result = crafted(kind)
    assert list(result.images) == [point.parameters for point in settings.points()]
    for point in settings.points():
        found = result.images[point.parameters]
        threat_model.check(images, found, settings.budget_norm, point.epsilon, kind)
        assert found.min() >= 0
        assert found.max() <= 1
        assert result.unchanged[point.parameters] < len(images), "the attack should move something"
        again = judge.predict(net, found, 9, "cpu").argmax(1)
        assert torch.equal(result.predictions[point.parameters], again)


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_and_layout_of_the_clean_images_change_nothing(net, images, labels, kind):
    """Pixels of 0 and 1 as rounding may leave them, in images that are no block of memory."""
    images = images[:4]
    rounded = torch.where(images == 0, -9e-7, torch.where(images == 1, 1 + 9e-7, images)).mT.contiguous().mT
    assert rounded.min() < 0
    assert rounded.max() > 1
    assert not rounded.is_contiguous()
    expected, found = crafted(kind, 4), run(net, rounded, labels[:4], kind, declare(kind))
    assert same_images(expected, found)
    assert expected.unchanged == found.unchanged
    assert expected.gradients == found.gradients


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_images(kind):
    """The first batch is the same by itself."""
    first, second = crafted(kind).images, crafted(kind, 4).images
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name][:4], second[name]) for name in first)


COMPANY = {
    kind
    for kind in KINDS
    if "what else is in it" in " ".join((registry.load("attacks", kind).__doc__ or "").split())
}
"""Attacks that say that an image's fate can depend on its batch."""


def test_only_these_of_ours_depend_on_their_batch():
    ours = set(OURS["attacks"].split()) & set(KINDS)
    assert COMPANY & ours == ours & {"autoattack", "square", "strongest"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - COMPANY))
def test_an_image_is_attacked_as_if_it_were_alone(net, images, labels, kind):
    """Each by itself, and the fifth among others than in batches of four; its noise is that of its place."""
    settings = declare(kind)
    alone = run(net, images, labels, kind, settings, batch_size=1)
    turned = run(net, images.flip(0), labels.flip(0), kind, settings, batch_size=9)
    for name, found in crafted(kind).images.items():
        # In float32 a batch's size changes the last bit, which may turn a choice (APGD's smaller steps) of an image.
        assert ((alone.images[name] - found).abs() > 1e-5).float().mean() < 0.01
        torch.testing.assert_close(turned.images[name][4], found[4], rtol=0, atol=1e-5)
        assert torch.equal(alone.predictions[name], crafted(kind).predictions[name])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(declare(kind), "epsilons")])
def test_at_epsilon_zero_nothing_moves(net, images, labels, kind):
    declared = type(declare(kind))
    settings = declared.model_validate({**declare(kind).model_dump(), "epsilons": [0]})
    (name,) = (point.parameters for point in settings.points())
    assert name.endswith("epsilon=0")
    result = run(net, images, labels, kind, settings)
    assert torch.equal(result.images[name], images)
    assert torch.equal(result.predictions[name], labels)


def in_each_norm():
    """Yield every attack that can have a budget, in each of its norms but the usual one."""
    for kind in KINDS:
        declared = type(declare(kind))
        chooser = next((name for name in ("norm", "distance") if name in declared.model_fields), None)
        for norm in declared.norms[1:] if chooser else ():
            yield kind, chooser, norm


@pytest.mark.parametrize(("kind", "chooser", "norm"), [*in_each_norm()])
def test_it_keeps_to_a_budget_in_the_norm_that_is_chosen(net, images, labels, kind, chooser, norm):
    budget = 0.8 if norm == "l2" else 0.2
    entry = {**declare(kind).model_dump(), chooser: norm, "epsilons": [budget]}
    settings = type(declare(kind)).model_validate(entry)
    (point,) = settings.points()
    assert settings.budget_norm == point.norm == norm
    assert point.parameters == ("" if norm == "linf" else f"norm={norm} ") + f"epsilon={budget}"
    result = run(net, images, labels, kind, settings)
    found = result.images[point.parameters]
    threat_model.check(images, found, norm, budget, kind)
    assert result.unchanged[point.parameters] < len(images)
    assert threat_model.distances(images, found)[norm].max() > budget / 2
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


class Observed(nn.Module):
    """The network, watched while it is attacked and not while it is judged.

    hardened: answers with its class alone. deaf: has no gradient, and says so where one is taken.
    """

    def __init__(self, net, *, hardened=False, deaf=False):
        super().__init__()
        self.net, self.hardened, self.deaf = net, hardened, deaf
        self.asked = self.differentiated = 0

    def forward(self, images):
        logits = self.net(images)
        if torch.is_inference_mode_enabled():
            return logits
        self.asked += len(images)
        self.differentiated += len(images) if images.requires_grad else 0
        if self.hardened:
            logits = nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).float() + 0 * logits
        return Deaf.apply(logits) if self.deaf else logits


class Deaf(torch.autograd.Function):
    """The identity, which fails where a gradient is asked for."""

    @staticmethod
    def forward(ctx, logits):
        return logits.clone()

    @staticmethod
    def backward(ctx, gradients):
        raise RuntimeError("a gradient was asked for")


def same_images(first, second):
    return all(torch.equal(first.images[name], second.images[name]) for name in first.images)


@pytest.mark.parametrize("kind", KINDS)
def test_each_says_what_it_is_called_how_it_searches_and_what_it_asks(kind):
    declared = registry.settings_class("attacks", kind)
    assert declared.title.strip()
    assert declared.family.strip()
    assert declared.access in get_args(Access)
    assert {type(getattr(declared, name)) for name in ("targeted", "iterative", "randomised")} == {bool}


class Watched(ImageNoise):
    """Noise that notes in `drawn`, for all its parts, which draws were asked for."""

    def __init__(self, key, positions, drawn):
        super().__init__(key, positions)
        self.drawn = drawn

    def uniform(self, like, draw):
        self.drawn.append(draw)
        return super().uniform(like, draw)

    def select(self, rows):
        return Watched(self.key, super().select(rows).positions, self.drawn)


@functools.cache
def observed(kind):
    """Return the images of an attack at its first point, the network as it was watched, and whether numbers were drawn."""
    settings = declare(kind)
    point = settings.points()[0]
    net, images = network(), pictures()
    watched, noise = Observed(net), Watched("key", range(len(images)), [])
    batch = Batch(watched, images, net(images).argmax(1), noise, point.epsilon)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = torch.get_rng_state()
        with judge.frozen(watched, channels_last=False):
            found = registry.load("attacks", kind).build(settings, point).perturb(batch)
        drawn = bool(noise.drawn) or not torch.equal(torch.get_rng_state(), before)
    return found, watched, drawn


@pytest.mark.parametrize("kind", KINDS)
def test_it_draws_where_it_says_so_and_nowhere_else(net, images, labels, kind):
    settings = declare(kind)
    assert observed(kind)[2] == settings.randomised
    if not settings.randomised:
        first, second = (run(net, images, labels, kind, settings, seed=seed) for seed in (0, 1))
        assert same_images(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_it_asks_for_nothing_that_it_does_not_declare(net, images, labels, kind):
    """Without gradients, or with classes alone, an attack that needs no more makes the same images."""
    settings = declare(kind)
    _, watched, _ = observed(kind)
    assert (watched.differentiated > 0) == (settings.access == "gradient")
    assert (watched.asked == 0) == (settings.access == "none")
    if settings.access == "gradient":
        with pytest.raises(RuntimeError, match="a gradient was asked for"):
            run(Observed(net, deaf=True), images, labels, kind, settings)
    else:
        found = run(net, images, labels, kind, settings)
        assert same_images(run(Observed(net, deaf=True), images, labels, kind, settings), found)
        hardened = run(Observed(net, hardened=True), images, labels, kind, settings)
        assert same_images(hardened, found) == (settings.access != "score")


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_several_steps_where_it_says_so(kind):
    """A step goes where the network's last answer sent it: an attack with one gradient, or blind draws, has one."""
    settings = declare(kind)
    _, watched, _ = observed(kind)
    if settings.access == "gradient":
        assert (watched.differentiated > len(pictures())) == settings.iterative
    if settings.access == "none":
        assert not settings.iterative
    if settings.iterative:
        assert watched.asked > len(pictures())


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_says_what_it_does_not_guarantee(kind):
    assert "Not guaranteed" in (registry.load("attacks", kind).__doc__ or "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_has_a_declared_name(kind):
    """Claims may name what an attack declares; its own class says so, or the one that it is derived from."""
    settings = declare(kind)
    more = {"psnrs": (20.0,)} if "psnrs" in type(settings).model_fields else {}
    points = type(settings)(**{**settings.model_dump(), **more}).points()
    assert {point.name for point in points} <= set(settings.swept)
    assert set(settings.swept) <= set(vocabulary.parameters())
