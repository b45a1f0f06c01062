from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof import papers
from reproof.data.dataset import DataDescription, to_unit
from reproof.defenses import undefended
from reproof.defenses.virtual_adversarial import Settings, VirtualAdversarial
from reproof.models.defense import Progress, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import LinearClassifier, build_tiny, make_data

START = Progress(0, 1, 0)
Array = NDArray[np.float64]
FOUR_PIXELS = DataDescription(channels=1, height=2, width=2, classes=3, mean=(0.0,), std=(1.0,))
WEIGHTS = torch.tensor([[3.0, 0.5, 0.0, 1.0], [0.0, 1.0, -1.0, 0.5], [-2.0, 0.0, 1.0, 0.0]])
BIAS = torch.tensor([0.5, 0.0, -0.5])
IMAGES = torch.tensor([[0.2, 0.4, 0.6, 0.8], [0.5, 0.5, 0.1, 0.0]]).view(2, 1, 2, 2)


def prepared(*, batch_norm: bool = False, **options: Any) -> tuple[VirtualAdversarial, Trainee]:
    defense = VirtualAdversarial(Settings(**options))
    return defense, build_tiny(defense, batch_norm=batch_norm)


def linear(dtype: torch.dtype = torch.float64) -> tuple[Trainee, Tensor]:
    """Return a linear classifier in double precision, where a step of 1e-6 is exact, and two images."""
    return Trainee(LinearClassifier(FOUR_PIXELS, WEIGHTS, BIAS)).to(dtype), IMAGES.to(dtype)


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def divergence(first: Array, second: Array) -> float:
    return float(sum(a * (np.log(a) - np.log(b)) for a, b in zip(first, second, strict=True)))


def curvature(image: Array) -> Array:
    """Return H of KL(p(x) ‖ p(x + r)) = 1/2 r' H r + ...: W' (diag p - p p') W, for logits W x + b."""
    weights = WEIGHTS.double().numpy()
    p = softmax(weights @ image + BIAS.double().numpy())
    return np.asarray(weights.T @ (np.diag(p) - np.outer(p, p)) @ weights)


def found(dtype: torch.dtype = torch.float64, start: Tensor | None = None, **options: Any) -> Array:
    """Return the perturbations (2, 4) of the linear classifier's images."""
    trainee, images = linear(dtype)
    defense = VirtualAdversarial(Settings(**options))
    if start is None:
        start = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    clean = trainee(images).log_softmax(dim=1)
    return np.asarray(
        defense.perturbation(trainee, images, clean, start.to(dtype)).flatten(1).double().numpy()
    )


class TestDirection:
    def test_it_is_the_one_in_which_the_divergence_rises_most(self) -> None:
        perturbations = found(steps=30, epsilon=0.01)
        generator = np.random.default_rng(0)
        others = generator.normal(size=(500, 4))
        others *= 0.01 / np.linalg.norm(others, axis=1, keepdims=True)
        weights, bias = WEIGHTS.double().numpy(), BIAS.double().numpy()
        for image, perturbation in zip(IMAGES.flatten(1).double().numpy(), perturbations, strict=True):
            dominant = np.linalg.eigh(curvature(image))[1][:, -1]
            assert abs(perturbation @ dominant) / 0.01 > 0.9999
            p = softmax(weights @ image + bias)
            reached = divergence(p, softmax(weights @ (image + perturbation) + bias))
            assert reached > 0.98 * max(divergence(p, softmax(weights @ (image + r) + bias)) for r in others)
            assert reached == pytest.approx(0.5 * perturbation @ curvature(image) @ perturbation, rel=0.05)

    def test_one_iteration_multiplies_by_the_curvature(self) -> None:
        start = torch.tensor([[3.0, -1.0, 2.0, 0.0], [0.0, 0.0, 1.0, 4.0]]).view(2, 1, 2, 2)
        for steps in (1, 2, 3):
            perturbations = found(start=start, steps=steps, epsilon=2)
            for image, first, perturbation in zip(IMAGES, start, perturbations, strict=True):
                matrix = curvature(image.flatten().double().numpy())
                vector = np.linalg.matrix_power(matrix, steps) @ first.flatten().double().numpy()
                np.testing.assert_allclose(
                    perturbation, 2 * vector / np.linalg.norm(vector), rtol=1e-3, atol=1e-4
                )

    def test_in_single_precision_a_longer_difference_finds_it(self) -> None:
        exact, single = found(), found(torch.float32, xi=0.01)
        cosine = (exact * single).sum(axis=1) / 15**2
        assert float(cosine.min()) > 0.999

    @pytest.mark.parametrize("steps", [1, 3])
    def test_its_length_is_epsilon(self, steps: int) -> None:
        np.testing.assert_allclose(np.linalg.norm(found(steps=steps, epsilon=5), axis=1), 5, rtol=1e-6)

    def test_linf_takes_levels_and_the_sign(self) -> None:
        plain, signed = found(epsilon=8), found(epsilon=8, norm="linf")
        np.testing.assert_allclose(signed, np.sign(plain) * 8 / 255, rtol=1e-6)

    def test_a_flat_place_keeps_the_start(self) -> None:
        defense = VirtualAdversarial(Settings(epsilon=2))
        flat = Trainee(LinearClassifier(FOUR_PIXELS, torch.zeros(3, 4), BIAS))
        start = torch.tensor([[3.0, 4.0, 0.0, 0.0]] * 2).view(2, 1, 2, 2)
        reached = defense.perturbation(flat, IMAGES, flat(IMAGES).log_softmax(dim=1), start)
        torch.testing.assert_close(reached, start * 2 / 5)

    def test_gradients_whose_squares_vanish_have_a_direction(self) -> None:
        """A divergence that hardly rises, as at a confident network, still has a direction in single precision."""
        defense = VirtualAdversarial(Settings(xi=1e-3, steps=1, epsilon=1))
        faint = Trainee(LinearClassifier(FOUR_PIXELS, WEIGHTS, torch.tensor([60.0, 0.0, 0.0])))
        start = torch.ones(2, 1, 2, 2)
        reached = defense.perturbation(faint, IMAGES, faint(IMAGES).log_softmax(dim=1), start)
        assert bool(torch.isfinite(reached).all())
        torch.testing.assert_close(reached.flatten(1).norm(dim=1), torch.ones(2))
        assert not torch.allclose(reached, start / 2)

    def test_mixed_precision_does_not_touch_it(self) -> None:
        defense, trainee = prepared(xi=0.1)
        images, _ = batch()
        start = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        reached = []
        for enabled in (False, True):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                clean = trainee(images).float().log_softmax(dim=1)
                reached.append(defense.perturbation(trainee, images, clean, start))
        torch.testing.assert_close(reached[0], reached[1], rtol=1e-3, atol=1e-3)


class TestLoss:
    @pytest.mark.parametrize(("norm", "epsilon"), [("l2", 1.5), ("linf", 25)])
    def test_agrees_with_a_loop_over_images(self, norm: str, epsilon: float) -> None:
        trainee, images = linear()
        defense = VirtualAdversarial(Settings(norm=norm, epsilon=epsilon, weight=3))
        labels = torch.tensor([2, 0])
        torch.manual_seed(5)
        loss = defense.loss(trainee, images, labels, START)
        torch.manual_seed(5)
        perturbations = found(start=torch.randn_like(images), norm=norm, epsilon=epsilon)
        weights, bias = WEIGHTS.double().numpy(), BIAS.double().numpy()
        for index, image in enumerate(images.flatten(1).numpy()):
            p = softmax(weights @ image + bias)
            moved = softmax(weights @ (image + perturbations[index]) + bias)
            expected = -np.log(p[labels[index]]) + 3 * divergence(p, moved)
            assert loss[index].item() == pytest.approx(expected, rel=1e-3)
            assert divergence(p, moved) > 0.01

    @pytest.mark.parametrize("constant", [True, False])
    def test_the_clean_prediction_is_a_constant_unless_asked_otherwise(self, constant: bool) -> None:
        trainee, images = linear()
        defense = VirtualAdversarial(Settings(epsilon=1, stop_gradient=constant))
        labels = torch.tensor([2, 0])
        torch.manual_seed(5)
        loss = defense.loss(trainee, images, labels, START).sum()
        gradients = torch.autograd.grad(loss, list(trainee.parameters()))
        torch.manual_seed(5)
        perturbation = torch.tensor(found(start=torch.randn_like(images), epsilon=1)).view_as(images)
        logits = trainee(images)
        first = logits.softmax(dim=1).detach() if constant else logits.softmax(dim=1)
        second = trainee(images + perturbation).softmax(dim=1)
        expected = nn.functional.cross_entropy(logits, labels, reduction="sum")
        expected = expected + (first * (first / second).log()).sum()
        for gradient, wanted in zip(
            gradients, torch.autograd.grad(expected, list(trainee.parameters())), strict=True
        ):
            torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)

    def test_a_step_down_smooths_the_prediction(self) -> None:
        trainee, images = linear()
        defense = VirtualAdversarial(Settings(epsilon=1, weight=1e6))

        def smoothness() -> float:
            torch.manual_seed(5)
            loss = defense.loss(trainee, images, torch.tensor([2, 0]), START)
            return float(loss.sum().detach())

        before = smoothness()
        torch.manual_seed(5)
        parameters = list(trainee.parameters())
        loss = defense.loss(trainee, images, torch.tensor([2, 0]), START).sum()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.sub_(1e-9 * gradient)
        assert smoothness() < before

    def test_batch_norm_gathers_the_clean_images_alone(self) -> None:
        defense, trainee = prepared(batch_norm=True)
        images, labels = batch()
        torch.manual_seed(0)
        defense.loss(trainee.train(), images, labels, START)
        _, plain = prepared(batch_norm=True)
        plain.train()(images)
        assert trainee.training
        for (name, value), (_, wanted) in zip(trainee.named_buffers(), plain.named_buffers(), strict=True):
            assert torch.equal(value, wanted), name

    def test_the_other_passes_use_the_batch_s_own_statistics(self) -> None:
        """With the running statistics, which are far off, the divergence would not go to 0 with ε."""
        defense, trainee = prepared(batch_norm=True, epsilon=1e-6)
        images, labels = batch()
        loss = defense.loss(trainee.train(), images, labels, START)
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("steps", [1, 3])
    def test_each_iteration_is_a_pass_and_leaves_the_parameters_gradients(self, steps: int) -> None:
        defense, trainee = prepared(steps=steps)
        passes: list[int] = []
        trainee.classifier.register_forward_hook(lambda _, inputs, output: passes.append(len(output)))
        defense.loss(trainee, *batch(), START)
        assert passes == [6] * (steps + 2)
        assert all(parameter.grad is None for parameter in trainee.parameters())


class TestView:
    def test_it_depends_on_the_image_alone_and_draws_nothing(self) -> None:
        defense, trainee = prepared(xi=0.1, epsilon=1)
        view = defense.attack_losses(trainee.eval().requires_grad_(False))["joint"]
        images, labels = batch()
        state = torch.get_rng_state()
        whole = view(images, labels)
        torch.testing.assert_close(view(images[2:4], labels[2:4]), whole[2:4], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(view(images.flip(0), labels.flip(0)), whole.flip(0), rtol=1e-4, atol=1e-5)
        assert torch.equal(torch.get_rng_state(), state)

    def test_it_is_the_loss_and_its_gradient_flows_through_both_predictions(self) -> None:
        trainee, images = linear()
        defense = VirtualAdversarial(Settings(epsilon=1, steps=30))
        labels = torch.tensor([2, 0])
        shown = images.clone().requires_grad_(True)
        value = defense.attack_losses(trainee)["joint"](shown, labels)
        (gradient,) = torch.autograd.grad(value.sum(), shown)
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(1, 2, 2, generator=generator).double().expand_as(images)
        clean = trainee(images).log_softmax(dim=1)
        perturbation = defense.perturbation(trainee, images, clean, start)
        shown = images.clone().requires_grad_(True)
        first, second = trainee(shown).softmax(dim=1), trainee(shown + perturbation).softmax(dim=1)
        plain = nn.functional.cross_entropy(trainee(shown), labels, reduction="none")
        expected = plain + (first * (first / second).log()).sum(dim=1)
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4, check_dtype=False)
        (wanted,) = torch.autograd.grad(expected.sum(), shown)
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3)


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "key", "passes"),
        [
            ({}, "virtual_adversarial[epsilon=15]", 4.25),
            ({"epsilon": 1.5, "steps": 1}, "virtual_adversarial[epsilon=1.5,steps=1]", 2.75),
            ({"epsilon": 8, "norm": "linf"}, "virtual_adversarial[epsilon=8,norm=linf]", 4.25),
        ],
    )
    def test_name_and_cost(self, options: dict[str, Any], key: str, passes: float) -> None:
        settings = Settings(**options)
        assert (settings.key("virtual_adversarial"), settings.relative_cost()) == (key, passes)

    def test_every_variant_of_the_paper_s_tables_can_be_named(self) -> None:
        """One number in the prose is about the method as such; no variant stands for it."""
        folder = Path(papers.__path__[0]) / "seiler_superimposition"
        with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
            claimed = {row["defense"] for row in csv.DictReader(file)}
        mine = {Settings(epsilon=epsilon).key("virtual_adversarial") for epsilon in (5, 15, 25)}
        assert {name for name in claimed if name.startswith("virtual_adversarial[")} == mine

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"epsilon": 0}, "greater than 0"),
            ({"steps": 0}, "greater than or equal to 1"),
            ({"xi": 0}, "greater than 0"),
            ({"norm": "l0"}, "'l2' or 'linf'"),
            ({"power_iterations": 3}, "unknown key 'power_iterations'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)


def test_predictions_end_smoother_than_without_it() -> None:
    """What the worst direction of length 0.5 changes, on images never trained on, falls to less than half."""
    images, labels = make_data().select("test")
    shown = to_unit(images)
    training = TrainingSettings(epochs=15, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
    measure = VirtualAdversarial(Settings(epsilon=0.5, xi=0.1))
    smoothness = []
    for method in (undefended.Undefended(undefended.Settings()), measure):
        trainee = build_tiny(method)
        history = train(method, trainee, make_data(), training, seed=0, progress=False)
        assert history[-1]["validation_accuracy"] > 0.9
        plain = nn.functional.cross_entropy(trainee(shown), labels, reduction="none")
        joint = measure.attack_losses(trainee)["joint"](shown, labels)
        smoothness.append(float((joint - plain).mean().detach()))
    assert smoothness[1] < 0.5 * smoothness[0]
