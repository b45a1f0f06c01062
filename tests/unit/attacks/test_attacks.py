"""Every attack against a closed form on a linear model, or against an independent implementation."""

from __future__ import annotations

import copy

import foolbox
import numpy as np
import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.gradient_ascent import momentum_sign
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks.carlini_wagner import FixedConstantAttack
from tests.ours import cases_here, here, needs

EPSILON = 0.1


class LinearModel(nn.Module):
    def __init__(self, classes=2, shape=(1, 4, 4), seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, *shape, generator=generator))
        self.bias = nn.Parameter(torch.randn(classes, generator=generator) * 0.1)
        self.passes = 0

    def forward(self, images):
        self.passes += len(images) if torch.is_grad_enabled() else 0
        return images.flatten(1) @ self.weight.flatten(1).T + self.bias

    def direction(self, labels):
        """Return w_other - w_label for two classes: the way that every attack should go."""
        return (self.weight[1 - labels] - self.weight[labels]).detach()


@pytest.fixture
def linear():
    return LinearModel()


@pytest.fixture
def inside():
    """Images that no attack within 0.1 can push to 0 or 1."""
    return 0.3 + 0.4 * torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def curved():
    """A small net that was trained a little, and images that it gets right: gradients that turn."""
    generator = torch.Generator().manual_seed(3)
    means = torch.rand(5, 1, 5, 5, generator=generator) * 0.6 + 0.2
    labels = torch.arange(200) % 5
    images = (means[labels] + 0.12 * torch.randn(200, 1, 5, 5, generator=generator)).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(25, 16), nn.Tanh(), nn.Linear(16, 5))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    net.zero_grad()
    right = net(images).argmax(1) == labels
    assert right.float().mean() > 0.9
    return net.eval(), images[right][:60], labels[right][:60]


def attack(model, kind, images, labels, seed=0, view=None, **settings):
    """Run an attack from its stanza by the engine, on every image."""
    declared = registry.settings_class("attacks", kind)(**settings)
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    return engine.AttackEngine(
        model, attack_loss=view, seed=seed, batch_size=100, device="cpu", skip_misclassified=False
    ).run(kind, declared, images, labels, clean)


def only(images_by_point):
    (images,) = images_by_point.values()
    return images


@pytest.mark.parametrize("classes", [2, 5])
def test_fgsm_takes_one_step_along_the_gradients_sign(inside, classes):
    model = LinearModel(classes)
    labels = model(inside).argmax(1).detach()
    probabilities = model(inside).softmax(1).detach()
    probabilities[torch.arange(6), labels] -= 1
    gradient = torch.einsum("nk,kchw->nchw", probabilities, model.weight.detach())
    found = only(attack(model, "fgsm", inside, labels, epsilons=[EPSILON]).images)
    torch.testing.assert_close(found, inside + EPSILON * gradient.sign())


TO_THE_CORNER = [
    ("fgsm", {}),
    ("bim", {}),
    ("mim", {}),
    ("mim", {"decay": 0}),
    ("pgd", {"steps": 20}),
    ("bim", {"steps": 25}),
]


@pytest.mark.parametrize(("kind", "settings"), cases_here("attacks", TO_THE_CORNER))
def test_attacks_end_in_the_corner_that_a_linear_model_prescribes(linear, inside, kind, settings):
    labels = linear(inside).argmax(1)
    corner = inside + EPSILON * linear.direction(labels).sign()
    found = only(attack(linear, kind, inside, labels, epsilons=[EPSILON], **settings).images)
    torch.testing.assert_close(found, corner)
    margins = [linear(x).diff(dim=1).squeeze(1).detach() * (1 - 2 * labels) for x in (inside, found)]
    expected = EPSILON * linear.direction(labels).flatten(1).abs().sum(1)
    torch.testing.assert_close(margins[1] - margins[0], expected)


@pytest.mark.parametrize("kind", here("attacks", "fgsm", "bim", "mim", "pgd"))
def test_attacks_stop_at_black_and_white(linear, kind):
    images = torch.tensor([0.0, 1.0, 0.04, 0.97]).repeat(4).view(1, 1, 4, 4)
    labels = linear(images).argmax(1)
    settings = {"steps": 20} if kind == "pgd" else {}
    found = only(attack(linear, kind, images, labels, epsilons=[EPSILON], **settings).images)
    corner = (images + EPSILON * linear.direction(labels).sign()).clamp(0, 1)
    torch.testing.assert_close(found, corner)


@pytest.mark.parametrize("kind", here("attacks", "bim", "mim"))
def test_steps_are_fractions_of_epsilon(linear, inside, kind):
    labels = linear(inside).argmax(1)
    found = only(attack(linear, kind, inside, labels, epsilons=[0.2], steps=3, step_size=0.1).images)
    torch.testing.assert_close((found - inside).abs(), torch.full_like(inside, 3 * 0.02))


def test_pgd_starts_at_a_random_point_of_the_ball(linear, inside):
    labels = linear(inside).argmax(1)
    found = only(attack(linear, "pgd", inside, labels, epsilons=[EPSILON], steps=1, step_size=1e-6).images)
    start = (found - inside) / EPSILON
    assert start.abs().max() <= 1 + 1e-4
    assert start.min() < -0.9
    assert start.max() > 0.9
    assert abs(float(start.mean())) < 0.2
    apart = (start[:, None] - start[None]).abs().flatten(2).amax(dim=2)
    assert apart.fill_diagonal_(1).min() > 0.5, "every image has a start of its own"


def test_carlini_wagner_finds_the_distance_to_a_linear_boundary(linear):
    images = 0.3 + 0.4 * torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    logits = linear(images).detach()
    labels = logits.argmax(1)
    normal = linear.direction(labels).flatten(1).norm(dim=1)
    shortest = (logits.amax(1) - logits.amin(1)) / normal
    result = attack(linear, "carlini_wagner", images, labels, constants=[1], steps=1000, learning_rate=0.01)
    assert (only(result.predictions) != labels).all()
    ratio = threat_model.distances(images, only(result.images))["l2"] / shortest
    assert ratio.min() > 0.999, "nothing fools from nearer than the boundary"
    assert ratio.max() < 1.02


def test_carlini_wagner_fails_where_its_constant_is_too_small_to_pay_the_way(linear, inside):
    logits = linear(inside).detach()
    labels = logits.argmax(1)
    margin, normal = logits.amax(1) - logits.amin(1), linear.direction(labels).flatten(1).norm(dim=1)
    # Off the boundary the loss's minimum lies at distance c |w| / 2; it fools when that passes margin / |w|.
    needed = 2 * margin / normal**2
    constant = float(needed.sort().values[2:4].mean())
    result = attack(linear, "carlini_wagner", inside, labels, constants=[constant], steps=1500)
    assert (only(result.predictions) != labels).tolist() == (needed < constant).tolist()
    assert result.unchanged == {f"c={constant!r}": 3}, "failed samples are the originals"


@pytest.mark.parametrize(
    ("constant", "searches", "failures"),
    [(0.05, 1, True), (1.0, 1, False), (10.0, 1, False), (0.05, 4, False)],
)
def test_carlini_wagner_agrees_with_foolbox(curved, constant, searches, failures):
    net, images, labels = curved
    model, goal = foolbox.PyTorchModel(net, bounds=(0, 1)), foolbox.criteria.Misclassification(labels)
    ours = FixedConstantAttack(
        constant=constant, steps=100, learning_rate=0.02, binary_search_steps=searches
    ).perturb(Batch(net, images, labels, ImageNoise("", range(len(images)))))
    theirs = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=searches, steps=100, stepsize=0.02, initial_const=constant, abort_early=False
    ).run(model, images, goal)
    success = theirs.flatten(1).any(1)
    assert ((net(ours).argmax(1) != labels) == success).all()
    assert torch.equal(ours[~success], images[~success])
    distance = [threat_model.distances(images, found)["l2"][success] for found in (ours, theirs)]
    torch.testing.assert_close(distance[0], distance[1], rtol=0.02, atol=0)
    assert success.any()
    assert (~success).any() == failures


class GreyIsOther(nn.Module):
    """Black and white images are of class 0, those whose mean is a tenth or more away from both of class 1."""

    def forward(self, images):
        mean = images.flatten(1).mean(dim=1)
        way = torch.minimum(mean, 1 - mean)
        return torch.stack([torch.full_like(way, 0.1), way], dim=1) * 1000


@pytest.mark.parametrize(
    ("steps", "rate", "fooled"), [(10, 1, True), (1000, 0.01, True), (10, 0.01, False), (10, 0.4, False)]
)
def test_carlini_wagner_moves_black_and_white_pixels_where_its_steps_reach_far_enough(steps, rate, fooled):
    """A pixel starts at 7.25 before the tanh; ten steps of 0.01 or 0.4 reach 0.1 and 4."""
    images = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)])
    labels = torch.tensor([0, 0])
    settings = {"constants": [0.1], "steps": steps, "learning_rate": rate}
    result = attack(GreyIsOther(), "carlini_wagner", images, labels, **settings)
    assert (only(result.predictions) != labels).tolist() == [fooled] * 2
    moved = (only(result.images) - images).abs()
    assert float(moved.min()) > 0.09 if fooled else float(moved.max()) == 0


@pytest.mark.parametrize("searches", [1, 3])
def test_carlini_wagner_takes_an_image_as_far_whatever_else_is_in_its_batch(curved, searches):
    """Foolbox stops all images when the sum of their losses rests; here an image alone ends where it does among 60."""
    net, images, labels = curved
    net, images = copy.deepcopy(net).double(), images.double()
    run = FixedConstantAttack(constant=0.3, steps=150, learning_rate=0.05, binary_search_steps=searches)

    def perturb(rows):
        chosen = Batch(net, images[rows], labels[rows], ImageNoise("", rows.tolist()))
        return run.perturb(chosen)

    together = perturb(torch.arange(60))
    assert (together != images).flatten(1).any(dim=1).sum() > 5
    for rows in torch.arange(60).split([1, 1, 5, 53]):
        torch.testing.assert_close(perturb(rows), together[rows], rtol=0, atol=1e-9)


def test_carlini_wagner_by_steps_is_one_constant_with_several_numbers_of_steps(curved):
    net, images, labels = curved
    shared = {"learning_rate": 0.02, "binary_search_steps": 3}
    swept = attack(net, "carlini_wagner", images, labels, constants=[0.05], steps=[1, 40], **shared)
    assert list(swept.images) == ["steps=1", "steps=40"], "as claims name them"
    for steps in (1, 40):
        alone = attack(net, "carlini_wagner", images, labels, constants=[0.05], steps=steps, **shared)
        assert torch.equal(swept.images[f"steps={steps}"], alone.images["c=0.05"])
    fooled = [(found != labels).sum() for found in swept.predictions.values()]
    assert fooled[0] < fooled[1]
    declared = registry.settings_class("attacks", "carlini_wagner")
    assert declared(constants=[0.01], steps=["1", "1e2"], binary_search_steps=5).passes() == 50.5 * 5
    assert [p.parameters for p in declared(constants=[1, 10], steps=5).points()] == ["c=1", "c=10"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"constants": [1, 2], "steps": [1, 200]}, "constants should hold one number, not 2"),
        ({"constants": [1, 2], "steps": [200]}, "constants should hold one number, not 2"),
        ({"constants": [1], "steps": []}, "at least 1"),
        ({"constants": [1], "steps": [0]}, "greater than or equal to 1"),
        ({"constants": [1], "steps": [1.5]}, "whole number"),
        ({"constants": [1], "steps": 0}, "greater than or equal to 1"),
        ({"constants": [1], "steps": "many"}, "should be a number"),
    ],
)
def test_carlini_wagner_refuses_two_sweeps_and_no_steps(wrong, words):
    with pytest.raises(ValueError, match=words):
        registry.settings_class("attacks", "carlini_wagner")(**wrong)


def test_confidence_asks_for_a_margin(linear, inside):
    labels = linear(inside).argmax(1)
    result = attack(linear, "carlini_wagner", inside, labels, constants=[50], steps=500, confidence=2)
    logits = linear(only(result.images)).detach()
    margin = logits.gather(1, 1 - labels[:, None]) - logits.gather(1, labels[:, None])
    assert margin.min() >= 2 - 1e-4
    assert margin.max() < 2.5


def test_a_failed_carlini_wagner_counts_as_failed(curved):
    """At c = 1e-3 Foolbox's flag takes its own all-zero images for successes."""
    net, images, labels = curved
    ours = attack(net, "carlini_wagner", images, labels, constants=[1e-3], steps=100)
    accuracy = float((only(ours.predictions) == labels).float().mean())

    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    library = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=1, steps=100, initial_const=1e-3, abort_early=False
    )
    raw, _, flags = library(model, images, labels, epsilons=None)
    failed = ~raw.flatten(1).any(1)
    by_hand = torch.where(failed[:, None, None, None], images, raw)
    restored = float((net(by_hand).argmax(1) == labels).float().mean())
    assert accuracy == restored
    assert accuracy > 0.9
    assert float((~flags).float().mean()) < 0.5, "the library's own flag would have said this"


def momentum_by_hand(net, images, labels, epsilon, steps, decay):
    """Eq. 12 and 13 in NumPy, one image at a time, float64."""
    first, second = (
        (net[i].weight.detach().double().numpy(), net[i].bias.detach().double().numpy()) for i in (1, 3)
    )
    results = []
    for image, label in zip(images.double().numpy(), labels.tolist(), strict=True):
        clean = image.ravel()
        x, g = clean.copy(), np.zeros_like(clean)
        for _ in range(steps):
            hidden = np.tanh(first[0] @ x + first[1])
            logits = second[0] @ hidden + second[1]
            wrong = np.exp(logits - logits.max())
            wrong /= wrong.sum()
            wrong[label] -= 1
            gradient = first[0].T @ ((1 - hidden**2) * (second[0].T @ wrong))
            g = decay * g + gradient / np.abs(gradient).sum()
            x = np.clip(np.clip(x + epsilon / steps * np.sign(g), clean - epsilon, clean + epsilon), 0, 1)
        results.append(x.reshape(image.shape))
    return torch.tensor(np.stack(results)).float()


LIBRARY = [
    ("fgsm", {}, foolbox.attacks.LinfFastGradientAttack()),
    ("bim", {}, foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.1, steps=10, random_start=False)),
    (
        "pgd",
        {"steps": 20, "step_size": 0.2},
        foolbox.attacks.LinfProjectedGradientDescentAttack(rel_stepsize=0.2, steps=20),
    ),
]


@pytest.mark.parametrize(("kind", "settings", "library"), cases_here("attacks", LIBRARY))
@pytest.mark.parametrize("epsilon", [0.05, 0.15])
def test_attacks_in_a_ball_are_as_strong_as_foolboxs(curved, monkeypatch, kind, settings, library, epsilon):
    net, images, labels = curved
    ours = attack(net, kind, images, labels, epsilons=[epsilon], **settings)
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    if kind == "pgd":  # from the same random start
        start = only(attack(net, kind, images, labels, epsilons=[epsilon], steps=1, step_size=1e-9).images)
        monkeypatch.setattr(library, "get_random_start", lambda x0, _: type(x0)(start), raising=False)
    theirs = library.run(model, images, foolbox.criteria.Misclassification(labels), epsilon=epsilon)
    right = [(found == labels).double().mean() for found in (only(ours.predictions), net(theirs).argmax(1))]
    assert abs(right[0] - right[1]) <= 0.01
    distances = [threat_model.distances(images, found)["l2"].mean() for found in (only(ours.images), theirs)]
    torch.testing.assert_close(distances[0], distances[1], rtol=0.02, atol=0)


@needs("attacks/mim")
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_mim_is_eq_12_and_not_foolboxs_momentum(curved, decay):
    net, images, labels = curved
    found = only(attack(net, "mim", images, labels, epsilons=[0.3], steps=10, decay=decay).images)
    torch.testing.assert_close(
        found, momentum_by_hand(net, images, labels, 0.3, 10, decay), rtol=0, atol=1e-5
    )

    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    library = foolbox.attacks.LinfMomentumIterativeFastGradientMethod(
        momentum=decay, rel_stepsize=0.1, steps=10
    )
    theirs = library.run(model, images, foolbox.criteria.Misclassification(labels), epsilon=0.3)
    assert (found - theirs).abs().max() > 0.01


@needs("attacks/mim", "attacks/bim")
def test_mim_without_memory_is_bim_and_with_it_is_not(curved):
    net, images, labels = curved
    forgetful = only(attack(net, "mim", images, labels, epsilons=[0.3], decay=0).images)
    bim = only(attack(net, "bim", images, labels, epsilons=[0.3]).images)
    torch.testing.assert_close(forgetful, bim, rtol=0, atol=1e-6)
    mim = only(attack(net, "mim", images, labels, epsilons=[0.3]).images)
    assert (mim - bim).abs().max() > 0.01


def test_mim_keeps_tiny_gradients_and_survives_zero_ones():
    gradients = torch.tensor([[3.0, -1.0], [3e-30, -1e-30], [0.0, 0.0]]).view(3, 1, 1, 2)
    direction, kept = momentum_sign(1.0)(gradients, None)
    expected = torch.tensor([[0.75, -0.25], [0.75, -0.25], [0.0, 0.0]])
    torch.testing.assert_close(kept.view(3, 2), expected)
    assert torch.equal(direction.view(3, 2), expected.sign())
    _, kept = momentum_sign(0.5)(gradients, kept)
    torch.testing.assert_close(kept.view(3, 2), 1.5 * expected)


class NarrowModel(nn.Module):
    """Wrong only where the first pixel is close to a value, with no gradient that leads there."""

    def __init__(self, target, radius):
        super().__init__()
        self.target, self.radius, self.asked = target, radius, []

    def forward(self, images):
        self.asked.append(len(images))
        pixel = images[:, 0, 0, 0]
        inside = ((pixel - self.target).abs() < self.radius).float()
        return torch.stack([0.5 + 0 * pixel, inside + 0 * pixel], 1)


def test_restarts_keep_what_fools_and_spare_the_rest():
    model = NarrowModel(target=0.55, radius=0.02)
    images, labels = torch.full((40, 1, 2, 2), 0.5), torch.zeros(40, dtype=torch.long)
    survivors = []
    for restarts in (1, 2, 4):
        model.asked.clear()
        result = attack(
            model, "pgd", images, labels, epsilons=[0.1], steps=1, step_size=1e-9, restarts=restarts
        )
        survivors.append(only(result.predictions) == labels)
        if restarts == 2:
            once = int(survivors[0].sum())
            assert model.asked[1:] == [40, 40, once, 40], (
                "attack, check, second start of survivors, judgement"
            )
    first, second, fourth = survivors
    assert 0 < fourth.sum() < second.sum() < first.sum() < 40
    assert not (second & ~first).any(), "what one restart fools stays fooled"
    assert not (fourth & ~second).any()


@needs("attacks/random_noise")
def test_random_noise_keeps_the_first_draw_that_fools():
    model = NarrowModel(target=0.55, radius=0.02)
    images, labels = torch.full((40, 1, 2, 2), 0.5), torch.zeros(40, dtype=torch.long)
    found, survivors = {}, {}
    for repeats in (1, 2, 8):
        model.asked.clear()
        result = attack(model, "random_noise", images, labels, epsilons=[0.1], repeats=repeats)
        found[repeats], survivors[repeats] = only(result.images), only(result.predictions) == labels
        if repeats == 2:
            assert model.asked[1:] == [40, 40], "one look at the first draw, one judgement"
    assert 0 < survivors[8].sum() < survivors[2].sum() < survivors[1].sum() < 40
    fooled = ~survivors[1]
    assert torch.equal(found[8][fooled], found[1][fooled])
    noise = (found[1] - images) / 0.1
    assert noise.min() < -0.9
    assert noise.max() > 0.9
    assert noise.abs().max() <= 1 + 1e-5
    assert abs(float(noise.mean())) < 0.1


def test_one_gradient_serves_every_epsilon_of_fgsm(linear, inside):
    labels = linear(inside).argmax(1)
    alone = [only(attack(linear, "fgsm", inside, labels, epsilons=[e]).images) for e in (0.05, 0.1, 0.2)]
    linear.passes = 0
    together = attack(linear, "fgsm", inside, labels, epsilons=[0.05, 0.1, 0.2])
    assert linear.passes == len(inside)
    assert list(together.images) == ["epsilon=0.05", "epsilon=0.1", "epsilon=0.2"]
    for one, found in zip(alone, together.images.values(), strict=True):
        assert torch.equal(one, found)


@pytest.mark.parametrize("kind", here("attacks", "bim", "mim", "pgd", "random_noise"))
def test_each_epsilon_is_an_attack_of_its_own(curved, kind):
    net, images, labels = curved
    together = attack(net, kind, images, labels, epsilons=[0.3, 0.1]).images
    for epsilon in (0.1, 0.3):
        alone = attack(net, kind, images, labels, epsilons=[epsilon]).images
        assert torch.equal(alone[f"epsilon={epsilon}"], together[f"epsilon={epsilon}"])


@pytest.mark.parametrize("kind", here("attacks", "fgsm", "bim", "mim", "pgd"))
def test_a_view_is_what_is_maximised(linear, inside, kind):
    labels = linear(inside).argmax(1)

    def view(images, labels):
        return images[:, 0, 0, 0] - images[:, 0, 1, 1] * (1 + labels)

    settings = {"steps": 20} if kind == "pgd" else {}
    found = (
        only(attack(linear, kind, inside, labels, view=view, epsilons=[EPSILON], **settings).images) - inside
    )
    torch.testing.assert_close(found[:, 0, 0, 0], torch.full((6,), EPSILON))
    torch.testing.assert_close(found[:, 0, 1, 1], torch.full((6,), -EPSILON))
    if kind != "pgd":
        assert found.ne(0).sum() == 12, "pixels that the view does not see stay"
