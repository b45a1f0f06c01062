"""AutoAttack runs the library's attacks as their authors do, where their own evaluation fails too, and in silence."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyautoattack
import pyautoattack.checks
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.image_noise import ImageNoise
from reproof.attacking.seclusion import LIBRARY_NORMS
from reproof.attacks.autoattack import EnsembleAttack, parts
from reproof.data.dataset import Dataset, to_unit
from reproof.errors import StudyError
from reproof.settings.attack import EpsilonAttackSettings
from reproof.settings.values import Norm


class Linear(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        self.weight = nn.Parameter(torch.randn(classes, 16, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


class Changed(nn.Module):
    """A network that is asked, or answers, through something that hides its gradient."""

    def __init__(self, network: nn.Module, *, scale: float = 1, detach: bool = False, steep: float = 0):
        super().__init__()
        self.network, self.scale, self.detach, self.steep = network, scale, detach, steep

    def forward(self, images: Tensor) -> Tensor:
        if self.steep:
            images = (self.steep * (images - 0.5)).sigmoid()
        logits: Tensor = self.network(images.detach() if self.detach else images)
        return logits * self.scale


def craft(
    model: nn.Module, kind: str, images: Tensor, labels: Tensor, *, skip: bool = True, **settings: Any
) -> tuple[Tensor, Tensor]:
    """Return the images and predictions of an attack's one point."""
    declared = registry.settings_class("attacks", kind)
    assert issubclass(declared, EpsilonAttackSettings)
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    crafted = engine.AttackEngine(model, seed=0, batch_size=100, device="cpu", skip_misclassified=skip).run(
        kind, declared.model_validate(settings), images, labels, clean
    )
    (found,), (predictions,) = crafted.images.values(), crafted.predictions.values()
    return found, predictions


def batch(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float | None = None) -> Batch:
    """Return images to attack without an engine."""
    return Batch(model.eval(), images, labels, ImageNoise("", range(len(images))), epsilon)


def blobs(classes: int, channels: int = 1) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a small convolutional network that was trained a little, 24 images and their labels."""
    generator = torch.Generator().manual_seed(3)
    means = torch.rand(classes, channels, 6, 6, generator=generator) * 0.6 + 0.2
    labels = torch.arange(240) % classes
    images = (means[labels] + 0.12 * torch.randn(240, channels, 6, 6, generator=generator)).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(channels, 4, 3),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(64, 16),
            nn.Tanh(),
            nn.Linear(16, classes),
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network.requires_grad_(False).eval(), images[:24], labels[:24]


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    return blobs(10)


@pytest.mark.parametrize(
    ("version", "classes"),
    [("standard", 2), ("standard", 3), ("standard", 4), ("standard", 12), ("rand", 2), ("rand", 3)],
)
def test_it_fools_where_a_linear_model_can_be_fooled_and_nowhere_else(version: str, classes: int) -> None:
    model = Linear(classes).eval()
    images = 0.3 + 0.4 * torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    logits = model(images).detach()
    labels = logits.argmax(1)
    apart = (model.weight[None] - model.weight[labels][:, None]).detach().abs().sum(2)
    needed = ((logits.amax(1)[:, None] - logits) / apart.clamp(min=1e-9)).scatter(
        1, labels[:, None], torch.inf
    )
    nearest = needed.amin(1).sort().values
    epsilon = float((nearest[5] + nearest[6]) / 2)
    assert epsilon < 0.3, "nothing reaches black or white"
    found, predictions = craft(
        model, "autoattack", images, labels, epsilons=[epsilon], version=version, queries=30
    )
    assert ((predictions != labels) == (needed.amin(1) < epsilon)).all()
    assert torch.equal(found[predictions == labels], images[predictions == labels])


@pytest.mark.parametrize(
    ("version", "classes", "expected"),
    [
        ("standard", 12, ["ce", "dlr-targeted", "fab", "square"]),
        ("standard", 10, ["ce", "dlr-targeted", "fab", "square"]),
        ("standard", 4, ["ce", "dlr-targeted", "fab", "square"]),
        ("standard", 3, ["ce", "dlr", "fab", "square"]),
        ("standard", 2, ["ce", "fab", "square"]),
        ("rand", 10, ["ce", "dlr"]),
        ("rand", 3, ["ce", "dlr"]),
        ("rand", 2, ["ce"]),
    ],
)
def test_few_classes_leave_out_only_what_they_cannot_define(
    version: str, classes: int, expected: list[str]
) -> None:
    library = pyautoattack.AutoAttack(Linear(classes), eps=0.1, seed=0, version=version)
    library.square.loss = "square"
    ran = [getattr(perturb.__self__, "loss", "fab") for perturb in parts(library, classes)]
    assert ran == expected
    assert library.fab.n_target_classes == library.apgd_targeted.n_target_classes == min(9, classes - 1)
    assert library.fab.targeted == (version == "standard")


@pytest.mark.parametrize(
    ("version", "norm", "epsilon"),
    [("standard", "linf", 0.06), ("rand", "linf", 0.06), ("standard", "l2", 0.35)],
)
def test_it_is_the_library_s_own_evaluation(
    version: Literal["standard", "rand"], norm: Norm, epsilon: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images, labels = blobs(4)
    images, labels = images[::2].contiguous(), labels[::2]
    monkeypatch.setattr(pyautoattack.checks, "check_dynamic", lambda *_, **__: None)
    monkeypatch.setattr(logging.getLogger("auto-attack"), "disabled", True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        seed = int(torch.randint(2**31, ()))
        named: Any = LIBRARY_NORMS[norm]
        library = pyautoattack.AutoAttack(net, norm=named, eps=epsilon, seed=seed, version=version)
        library.square.n_queries = 100
        library.apgd_targeted.n_target_classes = library.fab.n_target_classes = 3
        theirs, _ = library.run_standard_evaluation(images.clone(), labels)
        torch.manual_seed(5)
        ours = EnsembleAttack(version, 100, norm).perturb(batch(net, images, labels, epsilon))
    assert torch.equal(ours, theirs)
    fooled = net(ours).argmax(1) != labels
    assert 0 < fooled.sum() < len(images), "both kinds are compared"


def test_a_part_sees_only_what_is_left_and_none_runs_for_nothing(
    trained: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images, labels = trained
    seen: list[tuple[str, int]] = []

    def watched(name: str, fools: int) -> Any:
        def perturb(_: Any, images: Tensor, labels: Tensor) -> Tensor:
            seen.append((name, len(images)))
            found = images.clone()
            others = torch.stack([clean[(true != label).nonzero()[0, 0]] for label in labels[:fools]])
            found[:fools] = others
            return found

        return perturb

    clean, true = images, labels
    right = int((net(images).argmax(1) == labels).sum())
    monkeypatch.setattr("pyautoattack.autopgd_base.APGDAttack.perturb", watched("ce", 3))
    monkeypatch.setattr(
        "pyautoattack.autopgd_base.APGDAttack_targeted.perturb", watched("targeted", right - 3)
    )
    monkeypatch.setattr("pyautoattack.fab_base.FABAttack.perturb", watched("fab", 1))
    monkeypatch.setattr("pyautoattack.square.SquareAttack.perturb", watched("square", 1))
    attack = EnsembleAttack("standard", queries=5)
    found = attack.perturb(batch(net, images, labels, 1.0))
    assert seen == [("ce", right), ("targeted", right - 3)], "FAB and Square have nothing left to do"
    assert (net(found).argmax(1) != labels).all()

    seen.clear()
    wrong = (net(images).argmax(1) + 1) % 10
    kept = attack.perturb(batch(net, images, wrong, 1.0))
    assert seen == []
    assert torch.equal(kept, images)


def test_it_is_silent_and_leaves_every_generator_and_logger_as_it_was(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    net, images, labels = blobs(4)
    caplog.set_level(logging.DEBUG)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, _ = craft(Changed(net, detach=True), "autoattack", images, labels, epsilons=[0.05], queries=20)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not logging.getLogger("auto-attack").disabled
    with torch.random.fork_rng():
        torch.manual_seed(123)
        np.random.seed(123)
        second, _ = craft(
            Changed(net, detach=True), "autoattack", images, labels, epsilons=[0.05], queries=20
        )
    assert torch.equal(first, second)


def test_without_an_engine_one_draw_is_all_that_the_global_generator_gives(
    trained: tuple[nn.Module, Tensor, Tensor],
) -> None:
    net, images, labels = trained
    with torch.random.fork_rng():
        torch.manual_seed(7)
        torch.randint(2**31, ())
        expected = torch.rand(3)
        torch.manual_seed(7)
        EnsembleAttack("rand", queries=1).perturb(batch(net, images, labels, 0.3))
        assert torch.equal(torch.rand(3), expected)


def test_colour_images_in_any_memory_format_stay_in_the_ball() -> None:
    net, images, labels = blobs(5, channels=3)
    images = images.contiguous(memory_format=torch.channels_last)
    found, predictions = craft(net, "autoattack", images, labels, epsilons=[0.05], queries=50)
    threat_model.check(images, found, "linf", 0.05, "autoattack")
    assert 0 < (predictions == labels).sum() < len(labels)
    kept = images.clone()
    with torch.random.fork_rng():
        EnsembleAttack("standard", queries=5).perturb(batch(net, images, labels, 0.05))
    assert torch.equal(images, kept)


def test_no_budget_and_other_settings_are_refused(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    net, images, labels = trained
    with pytest.raises(StudyError, match="names no epsilon"):
        EnsembleAttack("standard", queries=5).perturb(batch(net, images, labels))
    declared = registry.settings_class("attacks", "autoattack")
    for wrong in ({"version": "plus"}, {"queries": 0}, {"view": "joint"}):
        with pytest.raises(ValidationError):
            declared.model_validate({"epsilons": [0.1], **wrong})


@functools.cache
def digits_network(trained_on: float) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network for digits, 64 units trained on PGD examples of a budget, with test images and labels."""
    module = registry.load("datasets", "digits")
    data: Dataset = module.prepare(module.Settings(image_size=8), Path("unused"))
    stored, classes = data.select("train", 1000)
    images = to_unit(stored)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(300):
        rows = torch.randint(len(images), (64,), generator=generator)
        clean, labels = images[rows], classes[rows]
        at = clean
        for _ in range(4 if trained_on else 0):
            at = at.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(network(at), labels), at)
            at = at.detach() + trained_on / 2 * gradient.sign()
            at = at.clamp(clean - trained_on, clean + trained_on).clamp(0, 1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(at), labels).backward()
        optimizer.step()
    stored, labels = data.select("test", 100)
    return network.requires_grad_(False).eval(), to_unit(stored), labels


def accuracy(model: nn.Module, kind: str, images: Tensor, labels: Tensor, **settings: Any) -> float:
    _, predictions = craft(model, kind, images, labels, **settings)
    return (predictions == labels).double().mean().item()


def test_an_adversarially_trained_network_is_left_where_converged_pgd_leaves_it() -> None:
    net, images, labels = digits_network(0.1)
    epsilon = 0.1
    converged = accuracy(
        net, "pgd", images, labels, epsilons=[epsilon], steps=100, step_size=0.025, restarts=10
    )
    assert 0.5 < converged < 0.95
    assert (
        abs(accuracy(net, "autoattack", images, labels, epsilons=[epsilon], queries=100) - converged) < 0.03
    )


@pytest.mark.parametrize(
    ("hides", "epsilon", "left"),
    [({"scale": 1e4}, 0.3, 0.5), ({"steep": 1000.0}, 0.5, 0.5), ({"detach": True}, 0.5, 0.3)],
)
def test_a_network_that_hides_its_gradient_is_left_with_next_to_nothing(
    hides: dict[str, Any], epsilon: float, left: float
) -> None:
    """`left`: what PGD leaves, at least."""
    net, images, labels = digits_network(0)
    masked, images, labels = Changed(net, **hides), images[:40], labels[:40]
    if "detach" in hides:
        with pytest.raises(StudyError, match="no gradient"):
            accuracy(masked, "pgd", images, labels, epsilons=[epsilon])
    else:
        assert accuracy(masked, "pgd", images, labels, epsilons=[epsilon]) > left
    assert accuracy(masked, "autoattack", images, labels, epsilons=[epsilon], queries=500) < 0.05
