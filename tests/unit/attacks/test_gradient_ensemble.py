"""The gradient ensemble attack (Seiler, Eq. 2 and 3) against its closed form, BIM, and a loop written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge
from reproof.attacking.source_networks import SourceNetworks, fooled, members_of
from reproof.attacks.gradient_ensemble import normalise
from tests.ours import needs


class Linear(nn.Module):
    """Two classes, whose gradients all point along one direction, and are the longer the surer the wrong class."""

    def __init__(self, direction, scale=1.0):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.stack([-direction, direction]))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


class Flat(nn.Module):
    """Answers that do not depend on the image; its gradient is zero, not absent."""

    def forward(self, images):
        return 0 * images.flatten(1)[:, :2] + torch.tensor([1.0, 0.0])


def curved(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3)).eval()


@pytest.fixture
def images():
    return 0.35 + 0.3 * torch.rand(7, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def craft(model, kind, images, labels, *, seed=0, batch_size=100, **settings):
    declared = registry.settings_class("attacks", kind)(**settings)
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    return engine.AttackEngine(
        model, seed=seed, batch_size=batch_size, device="cpu", skip_misclassified=False
    ).run(kind, declared, images, labels, clean)


def made(model, images, labels, **settings):
    options = {"epsilons": [0.1], "steps": 4, "step_size": 0.4} | settings
    (found,) = craft(model, "gradient_ensemble", images, labels, **options).images.values()
    return found


def directions():
    """Return three directions of which the plain sum, the sum of signs and the sum at unit length all differ."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 16, generator=generator) * torch.tensor([[1.0], [1.0], [0.1]])


def test_each_network_has_the_same_say_image_by_image(images):
    """Linear networks: x + ε sign(Σ d_n / ‖d_n‖), whatever the scale of a network and its confidence in an image."""
    first, second, third = directions()
    labels = torch.arange(7) % 2
    networks = SourceNetworks([Linear(first, 5.0), Linear(second, 0.2), Linear(third)])
    units = torch.stack([d / d.norm() for d in (first, second, third)])
    signs = units.sum(0).sign()
    away = torch.where(labels == 0, 1.0, -1.0)[:, None]
    expected = images + 0.1 * (away * signs).view_as(images)
    found = made(networks, images, labels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (signs != units.sign().sum(0).sign()).any(), "the sum of signs would be another attack"
    assert (signs != torch.stack([5 * first, 0.2 * second, third]).sum(0).sign()).any(), (
        "so would the plain sum"
    )


def test_curved_networks_by_a_loop_written_out(images):
    labels = torch.arange(7) % 3
    networks = [curved(seed) for seed in range(3)]
    x = images
    for _ in range(4):
        total = torch.zeros_like(images)
        for network in networks:
            for row in range(len(images)):
                leaf = x[row : row + 1].clone().requires_grad_()
                nn.functional.cross_entropy(network(leaf), labels[row : row + 1]).backward()
                total[row] += leaf.grad[0] / leaf.grad.norm()
        x = torch.clamp(x + 0.04 * total.sign(), images - 0.1, images + 0.1).clamp(0, 1)
    torch.testing.assert_close(made(SourceNetworks(networks), images, labels), x, rtol=0, atol=1e-6)


@needs("attacks/bim")
def test_one_network_is_bim_to_the_bit(images):
    labels = torch.arange(7) % 3
    net = curved(0)
    settings = {"epsilons": [0.05, 0.1], "steps": 6, "step_size": 0.3}
    bim = craft(net, "bim", images, labels, **settings)
    for model in (net, SourceNetworks([net])):
        mine = craft(model, "gradient_ensemble", images, labels, **settings)
        assert all(torch.equal(mine.images[name], bim.images[name]) for name in bim.images)
    two = craft(SourceNetworks([net, curved(1)]), "gradient_ensemble", images, labels, **settings)
    assert not torch.equal(two.images["epsilon=0.1"], bim.images["epsilon=0.1"])


def test_two_copies_of_a_network_are_one(images):
    labels = torch.arange(7) % 3
    net = curved(0)
    alone = made(net, images, labels)
    assert torch.equal(made(SourceNetworks([net, curved(0)]), images, labels), alone)


def test_a_network_without_a_gradient_has_no_say(images):
    labels = torch.arange(7) % 2
    net = Linear(directions()[0])
    assert torch.equal(made(SourceNetworks([Flat(), net]), images, labels), made(net, images, labels))
    crafted = craft(SourceNetworks([Flat(), Flat()]), "gradient_ensemble", images, labels, epsilons=[0.1])
    assert torch.equal(crafted.images["epsilon=0.1"], images)
    assert crafted.gradient_zero_share == 1
    assert crafted.unchanged == {"epsilon=0.1": 7}


def test_a_gradient_whose_squares_underflow_still_counts():
    gradients = torch.tensor([3e-30, -4e-30, 0.0, 0.0]).view(1, 1, 2, 2)
    expected = torch.tensor([0.6, -0.8, 0.0, 0.0]).view(1, 1, 2, 2)
    torch.testing.assert_close(normalise(gradients), expected)
    assert torch.equal(normalise(torch.zeros(2, 1, 2, 2)), torch.zeros(2, 1, 2, 2))
    both = torch.cat([gradients, 1e20 * expected])
    torch.testing.assert_close(normalise(both), torch.cat([expected, expected]))


def test_the_batch_decides_nothing(images):
    labels = torch.arange(7) % 3
    model = SourceNetworks([curved(0), curved(1)])
    for random_start in (False, True):
        whole = made(model, images, labels, random_start=random_start)
        torch.testing.assert_close(
            made(model, images, labels, random_start=random_start, batch_size=2), whole, rtol=0, atol=1e-6
        )


def test_it_starts_at_the_clean_image_unless_asked(images):
    """One step no longer than half of the ball from the image; from a random point it may end anywhere in it."""
    labels = torch.arange(7) % 3
    net = curved(0)
    one = {"steps": 1, "step_size": 0.5}
    assert (made(net, images, labels, **one) - images).abs().max() == pytest.approx(0.05, abs=1e-6)
    started = made(net, images, labels, random_start=True, **one)
    moved = (started - images).abs()
    assert 0.05 < moved.max() <= 0.1 + 1e-6
    assert len(moved.flatten().unique()) > 50
    assert torch.equal(made(net, images, labels, random_start=True, **one), started)
    assert not torch.equal(made(net, images, labels, random_start=True, seed=1, **one), started)


def test_it_stays_in_the_ball_and_among_images():
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(9, 1, 4, 4, generator=generator).round()
    found = made(SourceNetworks([curved(0), curved(1)]), images, torch.arange(9) % 3, steps=20, step_size=0.3)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - images).abs().max() <= 0.1 + 1e-6
    assert not torch.equal(found, images)


@needs("attacks/bim")
def test_the_papers_protocol_is_what_is_left_out():
    """ε = 16 of 255: 20 steps of one level (Sec. III), from the clean image, all sources right on it."""
    settings = registry.settings_class("attacks", "gradient_ensemble")(epsilons=["16/255"])
    assert settings.step_size * 16 == 1
    assert settings.steps == min(16 + 4, 1.25 * 16)
    assert (settings.random_start, settings.clean_correct, settings.fooling_set) == (False, True, True)
    assert settings.passes() == 20
    assert not registry.settings_class("attacks", "bim").fooling_set


class TestSources:
    def test_together_they_answer_with_the_mean_softmax(self, images):
        networks = [curved(seed) for seed in range(3)]
        expected = torch.stack([network(images).softmax(1) for network in networks]).mean(0)
        torch.testing.assert_close(SourceNetworks(networks)(images).exp(), expected)

    def test_other_attacks_climb_the_mean_softmax(self, images):
        networks = [curved(0), curved(1)]
        labels = torch.arange(7) % 3
        leaf = images.clone().requires_grad_()
        mean = torch.stack([network(leaf).softmax(1) for network in networks]).mean(0)
        (-mean.gather(1, labels[:, None]).log()).sum().backward()
        expected = (images + 0.1 * leaf.grad.sign()).clamp(0, 1)
        found = craft(SourceNetworks(networks), "fgsm", images, labels, epsilons=[0.1]).images["epsilon=0.1"]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)

    def test_members(self):
        networks = [curved(0), curved(1)]
        assert members_of(SourceNetworks(networks)) == tuple(networks)
        assert members_of(networks[0]) == (networks[0],)
        with pytest.raises(ValueError, match="no network"):
            SourceNetworks([])

    def test_an_image_fools_if_all_are_wrong_and_were_right(self):
        labels = torch.tensor([0, 0, 0, 0, 0, 0])
        clean = [torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 0])]
        after = [torch.tensor([1, 1, 0, 1, 2, 0]), torch.tensor([1, 0, 0, 2, 2, 2])]
        assert fooled(clean, after, labels, clean_correct=True).tolist() == [True] + [False] * 5
        both = fooled(clean, after, labels, clean_correct=False)
        assert both.tolist() == [True, False, False, True, True, False]
        disagree = fooled([labels, labels], [labels + 1, labels + 2], labels, clean_correct=True)
        assert disagree.all(), "networks need not agree on the wrong class"
        with pytest.raises(ValueError, match="each network"):
            fooled(clean, after[:1], labels, clean_correct=True)
