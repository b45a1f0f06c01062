"""JSMA against enumeration on small linear models, and what its settings do."""

from __future__ import annotations

import itertools

import foolbox
import numpy as np
import pytest
import torch
from torch import nn

from reproof.attacking import engine, judge
from reproof.attacking.batch import Batch
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks.jsma import PAIRS_AT_ONCE, SaliencyMapAttack, Settings, best_pairs, first_along_gradient


class Linear(nn.Module):
    """Logits W x + b of 5 classes on 3 x 3 images of two channels."""

    def __init__(self, seed=0, classes=5, shape=(2, 3, 3)):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        size = int(np.prod(shape))
        self.weight = nn.Parameter(torch.randn(classes, size, generator=generator))
        self.bias = nn.Parameter(-0.5 * self.weight.detach().sum(1))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T + self.bias


@pytest.fixture
def images():
    """Images with values at both edges and between."""
    return (torch.rand(20, 2, 3, 3, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2).clamp(0, 1)


def attack(model, images, labels, batch_size=100, seed=0, **settings):
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    return engine.AttackEngine(
        model, seed=seed, batch_size=batch_size, device="cpu", skip_misclassified=True
    ).run("jsma", Settings(**settings), images, labels, clean)


def follow(model, image, target, label, *, steps, theta, max_changes, signs, size, saliency, limit=18):
    """Return where JSMA ends, by enumeration in NumPy on a linear model; the image itself if it fails.

    signs: the directions it may take. size: values changed at a time, 1 or 2. saliency: by what they are chosen.
    """
    weight, bias = (p.detach().numpy().astype(float) for p in (model.weight, model.bias))
    x = image.flatten().numpy().astype(float)
    start, counts = x.copy(), np.zeros(len(x), dtype=int)
    for step in range(steps + 1):
        logits = weight @ x + bias
        if (logits.argmax() == target) if label is None else (logits.argmax() != label):
            return x
        if step == steps:
            return start
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        one_hot = np.eye(len(logits))[target]
        best = (0.0, None, 0)
        for sign, chosen in itertools.product(signs, itertools.combinations(range(len(x)), size)):
            rows = list(chosen)
            new = (counts > 0).sum() + size > limit
            if any(counts[i] >= max_changes or x[i] == (sign > 0) or (new and not counts[i]) for i in rows):
                continue
            if saliency == "target_probability":
                score = sign * ((one_hot - probabilities) @ weight)[rows].sum()
            elif saliency == "target_logit":
                score = sign * weight[target, rows].sum()
            else:
                alpha = sign * weight[target, rows].sum()
                beta = sign * (weight[:, rows].sum() - weight[target, rows].sum())
                score = -alpha * beta if alpha > 0 and beta < 0 else 0
            if score > best[0]:
                best = (score, rows, sign)
        if best[1] is None:
            return start
        x[best[1]] = np.clip(x[best[1]] + best[2] * theta, 0, 1)
        counts[best[1]] += 1
    raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("variant", "saliency", "direction", "theta", "gamma"),
    [
        ("single", None, "both", 0.15, 1),
        ("single", None, "increase", 0.3, 1),
        ("single", "target_probability", "decrease", 0.3, 0.3),
        ("single", "target_logit", "both", 0.3, 1),
        ("pair", None, "increase", 1, 1),
        ("pair", None, "decrease", 0.35, 1),
        ("pair", "product", "both", 0.35, 0.4),
        ("pair", "target_logit", "both", 0.35, 0.4),
        ("pair", "target_probability", "both", 0.35, 1),
    ],
)
@pytest.mark.parametrize("targeted", [False, True])
def test_it_changes_what_enumeration_changes(images, variant, saliency, direction, theta, gamma, targeted):
    model = Linear().eval()
    labels = model(images).argmax(1)
    targets = (labels + 1) % 5 if targeted else model(images).argmin(1)
    run = SaliencyMapAttack(
        steps=12,
        variant=variant,
        saliency=saliency,
        theta=theta,
        max_changes=2,
        gamma=gamma,
        direction=direction,
        target="least_likely",
    )
    found = (
        run.approach(model, images, targets, None)
        if targeted
        else run.perturb(Batch(model, images, labels, ImageNoise("", range(20))))
    )
    signs = {"both": (1, -1), "increase": (1,), "decrease": (-1,)}[direction]
    expected = [
        follow(
            model,
            image,
            int(target),
            None if targeted else int(label),
            steps=12,
            theta=theta,
            max_changes=2,
            signs=signs,
            size=2 if variant == "pair" else 1,
            saliency=saliency or ("product" if variant == "pair" else "target_probability"),
            limit=int(gamma * 18),
        )
        for image, target, label in zip(images, targets, labels, strict=True)
    ]
    torch.testing.assert_close(found.flatten(1).double(), torch.tensor(np.array(expected)), atol=1e-5, rtol=0)
    moved = (found != images).flatten(1).any(dim=1)
    assert moved.sum() > 3, "it should succeed somewhere"


class ThreeRules(nn.Module):
    """Three classes on six values: class 0 is the label, 1 the target, 2 so unlikely that it is no rival.

    Of the first two values class 2 falls most, of the next two class 1 rises most but class 0 nearly as much, and of
    the last two class 1 gains most on class 0.
    """

    weight = torch.tensor([[0, 0, 2.5, 2.5, 0, 0], [1, 1, 3, 3, 2, 2], [-9, -9, 0, 0, 0, 0]])

    def forward(self, images):
        return images.flatten(1) @ self.weight.T + torch.tensor([1.65, 0, -30])


@pytest.mark.parametrize(
    ("saliency", "changed"),
    [(None, [0, 1]), ("product", [0, 1]), ("target_logit", [2, 3]), ("target_probability", [4, 5])],
)
def test_what_a_change_is_chosen_by(saliency, changed):
    """α is 2, 6 and 4, -β is 18, -5 and 0, and α less what class 0 gains is 2, 1 and 4. The label leads by 0.25."""
    image, target = torch.full((1, 1, 2, 3), 0.2), torch.tensor([1])
    run = SaliencyMapAttack(steps=1, variant="pair", saliency=saliency, theta=0.5, direction="increase")
    (found,) = run.approach(ThreeRules(), image, target, None).flatten(1)
    expected = torch.full((6,), 0.2)
    expected[changed] = 0.7
    torch.testing.assert_close(found, expected)


def toolbox(model, images, targets, theta, gamma):
    """Return the images of the Adversarial Robustness Toolbox's rule, whether they reach their targets or not."""
    moved = images.flatten(1).clone()
    search, used = moved < 1, torch.zeros_like(moved, dtype=torch.bool)
    for row, (image, target) in enumerate(zip(moved, targets, strict=True)):
        while True:
            leaf = image.view(1, *images.shape[1:]).clone().requires_grad_()
            logits = model(leaf)[0]
            if logits.argmax() == target or used[row].sum() / len(image) > gamma or not search[row].any():
                break
            (gradient,) = torch.autograd.grad(logits[target], leaf)
            pair = gradient.flatten().masked_fill(~search[row], -torch.inf).argsort()[-2:]
            image[pair] = (image[pair] + theta).clamp(max=1)
            used[row, pair] = True
            search[row] = image < 1
    return moved.view_as(images)


@pytest.mark.parametrize(("theta", "seed"), [(1.0, 0), (1.0, 1), (0.25, 0)])
def test_pairs_by_the_logit_are_those_of_the_adversarial_robustness_toolbox(images, theta, seed):
    """Its limit of γ = 0.3 ends behind 6 of 18 values, which are 3 pairs of θ = 1; of smaller θ it takes more."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(18, 12), nn.Tanh(), nn.Linear(12, 5))
    with torch.no_grad():
        targets = net(images).topk(2).indices[:, 1]
    expected = toolbox(net, images, targets, theta, 0.3)
    reached = net(expected).argmax(1) == targets
    assert reached.sum() > 3
    pairs = (
        {"steps": 3, "max_changes": 1} if theta == 1 else {"steps": 60, "max_changes": 60, "gamma": 6 / 18}
    )
    run = SaliencyMapAttack(
        variant="pair", saliency="target_logit", theta=theta, direction="increase", **pairs
    )
    found = run.approach(net, images, targets, None)
    torch.testing.assert_close(found[reached], expected[reached], atol=1e-6, rtol=0)
    if theta == 1:
        assert not reached.all()
        assert torch.equal(found[~reached], images[~reached])
    product = SaliencyMapAttack(variant="pair", theta=theta, direction="increase", **pairs)
    other = product.approach(net, images, targets, None)
    assert (other != found).any(), "the paper's rule goes another way"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["random", "opposed", "alike", "ties", "few allowed"])
def test_the_best_pair_is_the_best_of_all_pairs(seed, kind, monkeypatch):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, 30, 40, generator=generator)
    allowed = torch.ones(30, 40, dtype=torch.bool)
    if kind == "opposed":
        second = -first + 0.3 * second.abs()
    elif kind == "alike":
        second = first + 0.1 * second
    elif kind == "ties":
        first, second = (2 * first).round(), (2 * second).round()
    elif kind == "few allowed":
        allowed = torch.rand(30, 40, generator=generator) < 0.08
    sums = [x[:, :, None] + x[:, None, :] for x in (first, second)]
    pairs = torch.ones(40, 40, dtype=torch.bool).triu(1) & allowed[:, :, None] & allowed[:, None, :]
    valid = pairs & (sums[0] > 0) & (sums[1] > 0)
    scores = (sums[0] * sums[1]).masked_fill(~valid, -torch.inf).flatten(1)
    found, score = best_pairs(first, second, allowed)
    torch.testing.assert_close(score, scores.max(dim=1).values)
    has = score > 0
    assert has.any()
    low, high = found.sort(dim=1).values.unbind(dim=1)
    torch.testing.assert_close(scores[torch.arange(30), low * 40 + high][has], score[has])
    monkeypatch.setitem(best_pairs.__globals__, "PAIRS_AT_ONCE", 1)
    one_by_one = best_pairs(first, second, allowed)
    assert torch.equal(one_by_one[0][has], found[has])
    assert torch.equal(one_by_one[1], score)


def test_pairs_are_searched_without_a_map_of_all_pairs():
    first, second = torch.randn(2, 64, 3072, generator=torch.Generator().manual_seed(0))
    sizes = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    with Watch():
        best_pairs(first, second, torch.ones(64, 3072, dtype=torch.bool))
    assert max(sizes) <= max(64 * 3072, PAIRS_AT_ONCE)
    assert PAIRS_AT_ONCE < 64 * 3072**2


@pytest.mark.parametrize("variant", ["single", "pair"])
def test_no_more_values_change_than_there_are_steps_or_gamma_allows(images, variant):
    model = Linear()
    labels = model(images).argmax(1)
    size = 2 if variant == "pair" else 1
    for steps in (1, 2, 4):
        found = attack(model, images, labels, steps=[steps], variant=variant, theta=0.5).images[
            f"steps={steps}"
        ]
        assert (found != images).flatten(1).sum(1).max() <= steps * size
    share = attack(model, images, labels, steps=[60], variant=variant, gamma=2 / 18).images["steps=60"]
    assert (share != images).flatten(1).sum(1).max() <= 2
    free = attack(model, images, labels, steps=[60], variant=variant).images["steps=60"]
    assert (free != images).flatten(1).sum(1).max() > 2
    assert (share - images).abs().max() <= 0.7 + 1e-5
    once = attack(model, images, labels, steps=[60], variant=variant, max_changes=1).images["steps=60"]
    assert (once - images).abs().max() <= 0.1 + 1e-6


def test_more_steps_fool_more_and_the_rest_comes_back_as_it_was(images):
    model = Linear()
    labels = model(images).argmax(1)
    result = attack(model, images, labels, steps=[1, 5, 200])
    left = [result.predictions[f"steps={steps}"] == labels for steps in (1, 5, 200)]
    assert left[0].sum() > left[1].sum() > left[2].sum()
    for steps, stays in zip((1, 5, 200), left, strict=True):
        assert torch.equal(result.images[f"steps={steps}"][stays], images[stays])
    alone = SaliencyMapAttack(steps=5).perturb(Batch(model, images, labels, ImageNoise("", range(20))))
    assert torch.equal(alone[left[1]], images[left[1]]), "without the engine too"


def test_edges_cost_steps_as_in_foolbox_2():
    """Two values would help the target if they fell; the better one is 0 already."""

    class Two(nn.Module):
        def forward(self, images):
            x = images.flatten(1)
            return torch.stack([2 * x[:, 0] + x[:, 1] - 0.15, torch.zeros(len(x))], dim=1)

    image, label = torch.tensor([0.0, 0.2]).view(1, 1, 1, 2), torch.tensor([0])
    skips = {"direction": "decrease", "target": "least_likely"}
    one = attack(Two(), image, label, steps=[1], **skips).images["steps=1"]
    torch.testing.assert_close(one.flatten(), torch.tensor([0.0, 0.1]))
    result = attack(Two(), image, label, steps=[1, 2], edges=True, **skips)
    assert torch.equal(result.images["steps=1"], image), "its only step is spent on the value at 0"
    torch.testing.assert_close(result.images["steps=2"], one)


def test_the_line_along_the_gradient_finds_the_class_it_reaches_first(images):
    model = Linear(seed=9)
    with torch.no_grad():
        logits = model(images)
    labels, second = logits.topk(2).indices.unbind(dim=1)
    probabilities = logits.softmax(1)
    gradient = (probabilities - nn.functional.one_hot(labels, 5)) @ model.weight.detach()
    gradient = gradient / gradient.square().mean(dim=1, keepdim=True).sqrt()
    expected = []
    for image, way, label in zip(images.flatten(1), gradient, labels, strict=True):
        line = (image + torch.linspace(0, 1, 20001)[:, None] * way).clamp(0, 1)
        answers = model(line.view(-1, 2, 3, 3)).argmax(1)
        wrong = answers != label
        assert wrong.any()
        expected.append(int(answers[wrong.int().argmax()]))
    wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    found = first_along_gradient(wrapped, images, labels, torch.full_like(labels, -1))
    assert found.tolist() == expected
    assert (found != second).any(), "it is not simply the second most likely class"

    class Flat(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :5] * 1e-6 + torch.arange(5.0)

    fours = torch.full_like(labels, 4)
    assert torch.equal(first_along_gradient(Flat(), images, fours, labels), labels)


def targets_of(monkeypatch, model, images, labels, **settings):
    """Return the targets of each attempt, as the attack chose them."""
    seen = []

    def approach(self, model, clean, targets, labels):
        seen.append(targets.clone())
        return clean

    monkeypatch.setattr(SaliencyMapAttack, "approach", approach)
    attack(model, images, labels, steps=[3], **settings)
    return seen


def test_targets(images, monkeypatch):
    model = Linear()
    logits = model(images).detach()
    labels, order = logits.argmax(1), logits.argsort(1, descending=True)
    (least,) = targets_of(monkeypatch, model, images, labels, target="least_likely")
    assert torch.equal(least, order[:, -1])
    every = targets_of(monkeypatch, model, images, labels, target="all")
    assert torch.equal(torch.stack(every, dim=1), order[:, 1:])
    (drawn,) = targets_of(monkeypatch, model, images, labels, target="random")
    assert (drawn != labels).all()
    assert drawn.min() >= 0
    assert drawn.max() < 5
    assert len(((drawn - labels) % 5).unique()) > 2
    parts = torch.cat(targets_of(monkeypatch, model, images, labels, target="random", batch_size=3))
    assert torch.equal(parts, drawn), "a draw belongs to its image"
    (other,) = targets_of(monkeypatch, model, images, labels, target="random", seed=1)
    assert not torch.equal(other, drawn)


def test_of_all_targets_the_smallest_change_counts(images):
    model = Linear()
    labels = model(images).argmax(1)
    each = []
    for shift in range(1, 5):
        run = SaliencyMapAttack(steps=40)
        found = run.approach(model, images, (labels + shift) % 5, labels)
        changed = (found != images).flatten(1).sum(1)
        each.append(torch.where(changed > 0, changed, 99))
    best = torch.stack(each).amin(0)
    found = attack(model, images, labels, steps=[40], target="all").images["steps=40"]
    got = (found != images).flatten(1).sum(1)
    assert torch.equal(torch.where(got > 0, got, 99), best)
    assert any((one > best).any() for one in each)


@pytest.mark.parametrize("settings", [{}, {"variant": "pair", "theta": 1}, {"target": "random"}])
def test_batches_change_nothing_and_inputs_stay(images, settings):
    model, kept = Linear(), images.clone()
    labels = model(images).argmax(1)
    whole, parts = (
        attack(model, images, labels, batch_size=size, steps=[1, 30], **settings) for size in (20, 3)
    )
    for name, found in whole.images.items():
        torch.testing.assert_close(found, parts.images[name], atol=1e-6, rtol=0)
        assert found.min() >= 0
        assert found.max() <= 1
    assert torch.equal(images, kept)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_image_that_nothing_helps_is_given_up(images):
    class Counting(Linear):
        passes = 0

        def forward(self, images):
            self.passes += 1
            return super().forward(images)

    model = Counting()
    labels = model(images).argmax(1)
    model.passes = 0
    attack(model, images, labels, steps=[10000], max_changes=1, target="least_likely")
    assert model.passes < 50


def test_points_are_named_as_claims_name_them():
    declared = Settings(steps=[1, 200])
    assert [point.parameters for point in declared.points()] == ["steps=1", "steps=200"]
    assert (declared.theta, declared.max_changes, declared.variant, declared.target) == (
        0.1,
        7,
        "single",
        "auto",
    )
    pair, every = ({"variant": "pair"}, {"target": "all"})
    assert Settings(steps=[9]).passes() < Settings(steps=[9], **pair).passes()
    by_logit = Settings(steps=[9], **pair, saliency="target_logit")
    assert by_logit.passes() == Settings(steps=[9]).passes(), "one pass back instead of two"
    assert Settings(steps=[9]).passes() < Settings(steps=[9], **every).passes()


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": []},
        {"theta": 0},
        {"theta": 2},
        {"gamma": 0},
        {"max_changes": 0},
        {"target": "second"},
        {"edges": 1},
        {"saliency": "largest"},
        {"saliency": "product"},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Settings(**{"steps": [1], **bad})
