"""DeepFool against its closed form on a linear model, and against Foolbox's own on a curved one."""

from __future__ import annotations

import foolbox
import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge
from reproof.attacking.batch import Batch
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks.deepfool import MARGIN, ActiveSetDeepFool, Settings
from reproof.errors import StudyError


class Linear(nn.Module):
    def __init__(self, classes=5, shape=(1, 4, 4), seed=6):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        scale = torch.linspace(0.5, 2, classes)[:, None, None, None]
        self.weight = nn.Parameter(scale * torch.randn(classes, *shape, generator=generator))
        self.bias = nn.Parameter(-0.5 * self.weight.detach().flatten(1).sum(1))

    def forward(self, images):
        return images.flatten(1) @ self.weight.flatten(1).T + self.bias

    def ways(self, images, norm):
        """Return each image's distance to every class's boundary (N, K), infinite to its own."""
        logits = self(images).detach()
        labels = logits.argmax(1)
        margins = logits[torch.arange(len(images)), labels][:, None] - logits
        normals = (self.weight[None] - self.weight[labels][:, None]).detach().flatten(2)
        lengths = normals.norm(dim=2) if norm == "l2" else normals.abs().sum(dim=2)
        return (margins / lengths).masked_fill(lengths == 0, torch.inf), normals


@pytest.fixture
def inside():
    """Images whose nearest boundary lies well inside [0, 1]."""
    return 0.3 + 0.4 * torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def curved():
    """A small net that was trained a little, and images that it gets right."""
    generator = torch.Generator().manual_seed(3)
    means = torch.rand(6, 1, 6, 6, generator=generator) * 0.4 + 0.3
    labels = torch.arange(240) % 6
    images = (means[labels] + 0.1 * torch.randn(240, 1, 6, 6, generator=generator)).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, 16), nn.Tanh(), nn.Linear(16, 6)
        )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    net.zero_grad()
    right = net(images).argmax(1) == labels
    assert right.float().mean() > 0.9
    return net.eval(), images[right][:100], labels[right][:100]


def attack(model, images, labels, batch_size=100, **settings):
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    return engine.AttackEngine(
        model, seed=0, batch_size=batch_size, device="cpu", skip_misclassified=True
    ).run("deepfool", Settings(**settings), images, labels, clean)


def batch(model, images, labels):
    """Return images to attack without an engine."""
    return Batch(model.eval(), images, labels, ImageNoise("", range(len(images))))


def lengths_of(difference, norm):
    flat = difference.flatten(1)
    return flat.norm(dim=1) if norm == "l2" else flat.abs().amax(dim=1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("overshoot", [0.02, 0.3])
def test_one_step_crosses_the_nearest_boundary_of_a_linear_model(inside, norm, overshoot):
    model = Linear()
    labels = model(inside).argmax(1)
    ways, normals = model.ways(inside, norm)
    away, nearest = ways.min(dim=1)
    assert len(nearest.unique()) > 1, "not always the same class"
    second = model(inside).topk(2).indices[:, 1]
    assert (second != nearest).any(), "the second most likely class is not always the nearest"
    result = attack(model, inside, labels, steps=[1], distance=norm, overshoot=overshoot)
    found = result.images["steps=1"]
    assert torch.equal(result.predictions["steps=1"], nearest)
    expected = (1 + overshoot) * (away + MARGIN)
    torch.testing.assert_close(lengths_of(found - inside, norm), expected)
    normal = normals[torch.arange(12), nearest]
    unit = normal / normal.norm(dim=1, keepdim=True) if norm == "l2" else normal.sign()
    torch.testing.assert_close((found - inside).flatten(1), expected[:, None] * unit)


def test_every_step_follows_the_gradient_where_the_last_one_ended():
    """On a logit that is a root of the only pixel, step by step by hand."""

    class Root(nn.Module):
        def forward(self, images):
            x = images.flatten(1)[:, :1]
            return torch.cat([0.81 - x.sqrt(), torch.zeros_like(x)], dim=1)

    x, total, count = 0.01, 0.0, 0
    while 0.81 - x**0.5 >= 0:
        total += (0.81 - x**0.5) * 2 * x**0.5 + MARGIN
        x, count = 0.01 + 1.1 * total, count + 1
    assert count == 3
    start = batch(Root(), torch.full((1, 1, 1, 1), 0.01), torch.tensor([0]))
    found = ActiveSetDeepFool(steps=3, overshoot=0.1).perturb(start)
    assert float(found) == pytest.approx(x, rel=1e-4)
    assert torch.equal(ActiveSetDeepFool(steps=2, overshoot=0.1).perturb(start), start.images)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_it_is_as_strong_as_foolboxs_own(curved, norm, steps):
    net, images, labels = curved
    kind = foolbox.attacks.L2DeepFoolAttack if norm == "l2" else foolbox.attacks.LinfDeepFoolAttack
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    theirs, _, success = kind(steps=steps)(model, images, labels, epsilons=None)
    result = attack(net, images, labels, steps=[steps], distance=norm)
    found, fooled = result.images[f"steps={steps}"], result.predictions[f"steps={steps}"] != labels
    assert abs(int(fooled.sum()) - int(success.sum())) <= 1
    assert fooled.any()
    both = fooled & success
    ours, other = (lengths_of((x - images)[both], norm).mean() for x in (found, theirs))
    assert float(ours) == pytest.approx(float(other), rel=0.02)
    exact = attack(net, images, labels, steps=[steps], distance=norm, contenders=None)
    torch.testing.assert_close(exact.images[f"steps={steps}"][both], theirs[both], atol=1e-5, rtol=1e-4)


def test_more_steps_fool_more_and_none_is_left_in_the_end(curved):
    net, images, labels = curved
    result = attack(net, images, labels, steps=[1, 2, 200])
    left = [int((result.predictions[f"steps={steps}"] == labels).sum()) for steps in (1, 2, 200)]
    assert left[0] > left[1] >= left[2] == 0


def test_images_that_stay_right_come_back_as_they_were(curved):
    net, images, labels = curved
    result = attack(net, images, labels, steps=[1], overshoot=0)
    left = result.predictions["steps=1"] == labels
    assert left.any()
    assert torch.equal(result.images["steps=1"][left], images[left])
    alone = ActiveSetDeepFool(steps=1, overshoot=0).perturb(batch(net, images, labels))
    assert torch.equal(alone[left], images[left]), "without the engine too"


def test_classes_that_are_no_candidates_are_not_gone_to(inside):
    model = Linear()
    labels = model(inside).argmax(1)
    second = model(inside).topk(2).indices[:, 1]
    result = attack(model, inside, labels, steps=[1], candidates=2)
    fooled = result.predictions["steps=1"]
    ways, _ = model.ways(inside, "l2")
    assert (ways.argmin(1) != second).any()
    moved = (result.images["steps=1"] - inside).flatten(1).norm(dim=1)
    torch.testing.assert_close(moved, 1.02 * (ways[torch.arange(12), second] + MARGIN))
    assert (fooled != labels).all()
    every = attack(model, inside, labels, steps=[1], candidates=None).images["steps=1"]
    assert torch.equal(every, attack(model, inside, labels, steps=[1]).images["steps=1"])


def test_contenders_limit_what_is_differentiated_after_the_first_step(curved, monkeypatch):
    net, images, labels = curved
    columns = []
    original = ActiveSetDeepFool._nearest

    def nearest(self, differences, gradients):
        columns.append(differences.shape)
        return original(self, differences, gradients)

    monkeypatch.setattr(ActiveSetDeepFool, "_nearest", nearest)
    run = ActiveSetDeepFool(steps=50, contenders=2)
    run.perturb(batch(net, images, labels))
    assert [shape[1] for shape in columns] == [5] + [2] * (len(columns) - 1)
    counts = [shape[0] for shape in columns]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0], "images that are fooled leave the batch"


def test_batches_change_nothing(curved):
    net, images, labels = curved
    whole, parts = (
        attack(net, images[:20], labels[:20], batch_size=size, steps=[1, 50]).images for size in (20, 3)
    )
    for name, found in whole.items():
        torch.testing.assert_close(found, parts[name], atol=1e-6, rtol=0)


def test_it_stays_between_black_and_white():
    model = Linear()
    images = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(2)).round()
    labels = model(images).argmax(1)
    result = attack(model, images, labels, steps=[50])
    found = result.images["steps=50"]
    assert found.min() >= 0
    assert found.max() <= 1
    assert (result.predictions["steps=50"] != labels).float().mean() > 0.8, "cutting off does not end it"


def test_parameters_keep_no_gradient_and_labels_that_are_wrong_are_left_alone(curved):
    net, images, labels = curved
    kept = images.clone()
    net.zero_grad()
    wrong = (labels + 1) % 6
    assert torch.equal(ActiveSetDeepFool(steps=5).perturb(batch(net, images, wrong)), kept)
    result = attack(net, images, labels, steps=[5])
    assert result.gradient_zero_share is None
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(images, kept)


def test_a_gradient_of_zero_moves_nothing_and_none_at_all_is_an_error(inside):
    class Flat(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3] * 0 + torch.tensor([1.0, 0.0, 0.5])

    class Broken(nn.Module):
        def forward(self, images):
            return images.detach().flatten(1)[:, :3]

    labels = torch.zeros(12, dtype=torch.long)
    result = attack(Flat(), inside, labels, steps=[3])
    assert torch.equal(result.images["steps=3"], inside)
    assert result.unchanged["steps=3"] == 12
    with pytest.raises(StudyError, match="no gradient"):
        attack(Broken(), inside, Broken()(inside).argmax(1), steps=[3])


def test_points_are_named_as_claims_name_them():
    declared = Settings(steps=[1, "2e2"])
    assert [point.parameters for point in declared.points()] == ["steps=1", "steps=200"]
    assert registry.settings_class("attacks", "deepfool")(steps=[1]).overshoot == 0.02
    assert Settings(steps=[1]).passes() < Settings(steps=[200]).passes() == Settings(steps=[1000]).passes()


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": []},
        {"steps": [0]},
        {"steps": 3},
        {"steps": [1], "candidates": 1},
        {"steps": [1], "distance": "l0"},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"steps|candidates|distance"):
        Settings(**bad)
