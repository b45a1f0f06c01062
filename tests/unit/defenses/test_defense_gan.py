from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, to_unit
from reproof.defenses.defense_gan import (
    DefenseGAN,
    DefenseGANClassifier,
    Settings,
    critic,
    critic_loss,
    generator,
    generator_loss,
    gradient_penalty,
    learning,
    project,
    standardise,
)
from reproof.errors import TrainingError
from reproof.models.defense import Progress, Stock, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import PlainDefense, build_tiny, make_data

SMALL: dict[str, Any] = {
    "layers": "fully_connected",
    "width": 32,
    "latent": 4,
    "restarts": 3,
    "steps": 12,
    "learning_rate": 0.003,
}
FIRST = Progress(0, 3, 0)


def prepared(*, seed: int = 0, **options: Any) -> tuple[DefenseGAN, Trainee, DefenseGANClassifier]:
    defense = DefenseGAN(Settings(**(SMALL | options)))
    trainee = build_tiny(defense, seed=seed)
    assert isinstance(trainee.classifier, DefenseGANClassifier)
    return defense, trainee, trainee.classifier


def stock(batch_size: int = 32) -> Stock:
    data = make_data()
    return Stock(data.select("train"), data.select("validation"), batch_size)


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def taught(epochs: int = 1, **options: Any) -> tuple[DefenseGAN, Trainee, DefenseGANClassifier]:
    """Return what stands after the generator's training; the classifier has had none."""
    defense, trainee, purified = prepared(**options)
    torch.manual_seed(5)
    for epoch in range(epochs):
        defense.begin_epoch(trainee, stock(), Progress(epoch, epochs, 0))
    defense.finish(trainee, stock(), Progress(epochs, epochs, 0))
    return defense, trainee.eval(), purified


def distance(found: Tensor, images: Tensor) -> Tensor:
    return (found - images).square().flatten(1).mean(dim=1)


class TestSearch:
    """Against a linear generator G(z) = A z + b, whose nearest point is the solution of least squares."""

    def linear(self) -> tuple[nn.Sequential, Tensor, Tensor]:
        torch.manual_seed(0)
        layer = nn.Linear(3, 16).double()
        return nn.Sequential(layer, nn.Unflatten(1, (1, 4, 4))), layer.weight.detach(), layer.bias.detach()

    def test_finds_the_least_squares_solution(self) -> None:
        generate, weights, bias = self.linear()
        images = torch.rand(5, 1, 4, 4, dtype=torch.float64)
        expected = torch.linalg.lstsq(weights, (images.flatten(1) - bias).T).solution.T
        found = project(
            generate, images, torch.randn(2, 3, dtype=torch.float64), steps=300, step_size=2.0, momentum=0.5
        )
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def test_recovers_the_vector_that_an_image_was_made_of(self) -> None:
        generate, _, _ = self.linear()
        latents = torch.randn(6, 3, dtype=torch.float64)
        images = generate(latents).detach()
        found = project(
            generate, images, torch.zeros(1, 3, dtype=torch.float64), steps=300, step_size=2.0, momentum=0.5
        )
        torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-4)

    def test_steps_are_momentum_s_on_the_mean_square_of_the_pixels(self) -> None:
        """Two steps by hand: v1 = g0, z1 = z0 - s v1; v2 = m v1 + g1, z2 = z1 - s v2."""
        generate, weights, bias = self.linear()
        image = torch.rand(1, 1, 4, 4, dtype=torch.float64)
        place = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
        start = place.unsqueeze(0)
        target, velocity = image.flatten(), torch.zeros(3, dtype=torch.float64)
        for _ in range(2):
            gradient = 2 / 16 * weights.T @ (weights @ place + bias - target)
            velocity = 0.7 * velocity + gradient
            place = place - 0.4 * velocity
        found = project(generate, image, start, steps=2, step_size=0.4, momentum=0.7)
        torch.testing.assert_close(found[0], place)

    def test_the_best_start_is_kept_for_each_image(self) -> None:
        """No step is long enough to matter: each image keeps the start that is its own vector."""
        generate, _, _ = self.linear()
        starts = torch.randn(4, 3, dtype=torch.float64)
        images = generate(starts).detach()[[2, 0, 3, 1, 0]]
        found = project(generate, images, starts, steps=1, step_size=1e-9, momentum=0.0)
        torch.testing.assert_close(found, starts[[2, 0, 3, 1, 0]])

    def test_a_rate_that_diverges_leaves_the_best_point_seen(self) -> None:
        generate, _, _ = self.linear()
        starts = torch.zeros(1, 3, dtype=torch.float64)
        images = generate(torch.tensor([[0.01, 0.0, 0.0]]).double()).detach()
        found = project(generate, images, starts, steps=400, step_size=1e4, momentum=0.9)
        torch.testing.assert_close(found, starts)

    def test_leaves_images_starts_and_weights_alone(self) -> None:
        generate, weights, _ = self.linear()
        images, starts = torch.rand(2, 1, 4, 4, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
        kept = images.clone(), starts.clone(), weights.clone()
        project(generate, images, starts, steps=5, step_size=1.0, momentum=0.7)
        assert torch.equal(images, kept[0])
        assert torch.equal(starts, kept[1])
        assert torch.equal(weights, kept[2])
        assert all(parameter.grad is None for parameter in generate.parameters())

    @pytest.mark.parametrize("layers", ["convolutional", "fully_connected"])
    def test_more_steps_and_more_starts_are_never_worse(self, layers: str) -> None:
        data = DataDescription(1, 8, 8, 3, (0.4,), (0.3,))
        torch.manual_seed(0)
        generate = generator(data, Settings(layers=layers, width=8, latent=4))
        images, starts = torch.rand(5, 1, 8, 8), torch.randn(6, 4)

        def errors(count: int, steps: int) -> Tensor:
            found = project(generate, images, starts[:count], steps=steps, step_size=300.0, momentum=0.7)
            return distance(generate(found).detach(), images)

        by_steps = torch.stack([errors(2, steps) for steps in (1, 5, 20, 40)])
        by_starts = torch.stack([errors(count, 10) for count in (1, 2, 4, 6)])
        assert bool((by_steps.diff(dim=0) <= 1e-7).all())
        assert bool((by_starts.diff(dim=0) <= 1e-7).all())
        assert bool((by_steps[-1] < by_steps[0]).all())
        assert bool((by_starts[-1] < by_starts[0]).any())


class TestPurifying:
    def test_answers_for_generated_images_once_trained(self) -> None:
        _, trainee, purified = taught()
        images, _ = batch()
        cleaned = purified.purify(images)
        assert cleaned.shape == images.shape
        assert cleaned.dtype == images.dtype
        assert not cleaned.requires_grad
        assert 0 <= float(cleaned.min()) <= float(cleaned.max()) <= 1
        found = project(purified.generator, images, purified.starts, steps=12, step_size=10.0, momentum=0.7)
        torch.testing.assert_close(cleaned, purified.generator(found))
        with torch.no_grad():
            torch.testing.assert_close(trainee(images), purified.classifier(cleaned))
            assert not torch.allclose(trainee(images), purified.classifier(images))

    def test_answers_for_the_images_themselves_until_then(self) -> None:
        defense, trainee, purified = prepared()
        defense.begin_epoch(trainee, stock(), FIRST)
        images, _ = batch()
        assert torch.equal(purified.purify(images), images)
        assert not bool(purified.trained)

    @pytest.mark.parametrize("count", [1, 5])
    def test_an_image_s_answer_does_not_depend_on_its_batch(
        self, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, _, purified = taught()
        images, _ = batch()
        whole = purified.purify(images)
        torch.testing.assert_close(purified.purify(images[:count]), whole[:count], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(purified.purify(images.flip(0)).flip(0), whole, rtol=1e-4, atol=1e-5)
        monkeypatch.setattr("reproof.defenses.defense_gan.LATENTS_AT_ONCE", 7)
        torch.testing.assert_close(purified.purify(images), whole, rtol=1e-4, atol=1e-5)

    def test_draws_nothing(self) -> None:
        _, _, purified = taught()
        images, _ = batch()
        torch.manual_seed(1)
        one, state = purified.purify(images), torch.get_rng_state()
        torch.manual_seed(1)
        assert torch.equal(state, torch.get_rng_state())
        torch.manual_seed(2)
        assert torch.equal(purified.purify(images), one)

    def test_works_whatever_its_caller_does_with_gradients(self) -> None:
        _, trainee, purified = taught()
        images, _ = batch()
        expected = purified.purify(images)
        with torch.no_grad():
            assert torch.equal(purified.purify(images), expected)
        with torch.inference_mode():
            made_inside = images.clone()
            assert made_inside.is_inference()
            assert torch.equal(purified.purify(made_inside), expected)
            assert torch.isfinite(trainee(made_inside)).all()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(purified.purify(images), expected)
        wanted = images.clone().requires_grad_(True)
        assert torch.equal(purified.purify(wanted), expected)
        assert wanted.grad is None

    def test_comes_nearer_than_before_the_generator_was_trained(self) -> None:
        images, _ = batch(30)
        before = prepared()[2]
        before.trained.fill_(True)
        after = taught(20)[2]
        assert float(distance(after.purify(images), images).mean()) < 0.6 * float(
            distance(before.purify(images), images).mean()
        )

    def test_the_view_is_the_loss_for_what_is_answered(self) -> None:
        defense, trainee, purified = taught()
        images, labels = batch()
        images.requires_grad_(True)
        losses = defense.attack_losses(trainee)["bpda"](images, labels)
        with torch.no_grad():
            expected = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(losses.detach(), expected)
        (gradient,) = torch.autograd.grad(losses.sum(), images)
        cleaned = purified.purify(images).requires_grad_(True)
        there = nn.functional.cross_entropy(purified.classifier(cleaned), labels, reduction="none")
        (expected_gradient,) = torch.autograd.grad(there.sum(), cleaned)
        torch.testing.assert_close(gradient, expected_gradient)

    def test_starts_are_the_network_s_own_and_stored_with_it(self) -> None:
        one, same, other = (prepared(seed=seed)[2].starts for seed in (0, 0, 1))
        assert one.shape == (3, 4)
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert len(torch.unique(one, dim=0)) == 3
        assert {"starts", "trained"} <= set(prepared()[2].state_dict())
        many = prepared(restarts=500)[2].starts
        assert float(many.std()) == pytest.approx(0.5, rel=0.1)  # 1/√4
        assert float(prepared(restarts=500, start_deviation=2)[2].starts.std()) == pytest.approx(2, rel=0.1)


class TestNetworks:
    @pytest.mark.parametrize("layers", ["convolutional", "fully_connected"])
    @pytest.mark.parametrize(
        "shape", [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (1, 29, 36), (2, 5, 3)]
    )
    def test_fit_any_image(self, layers: str, shape: tuple[int, int, int]) -> None:
        data = DataDescription(*shape, 3, (0.5,) * shape[0], (0.5,) * shape[0])
        settings = Settings(layers=layers, width=2, latent=5)
        torch.manual_seed(0)
        images = generator(data, settings)(100 * torch.randn(4, 5)).detach()
        assert images.shape == (4, *shape)
        assert 0 <= float(images.min()) < float(images.max()) <= 1
        assert critic(data, settings)(images).shape == (4, 1)
        assert critic(data, settings, 5)(images).shape == (4, 5)

    def test_are_the_public_code_s_for_mnist(self) -> None:
        """4 x 4 maps of 256 channels, 128 of 8 x 8 cut to 7 x 7, 64 of 14 x 14."""
        data = DataDescription(1, 28, 28, 10, (0.1,), (0.3,))
        maps = torch.zeros(1, 128)
        shapes = []
        for part in generator(data, Settings()):
            maps = part(maps)
            shapes.append(tuple(maps.shape[1:]))
        convolved = [
            shape for shape, following in zip(shapes, [*shapes[1:], ()], strict=True) if shape != following
        ]
        assert convolved == [
            (4096,),
            (256, 4, 4),
            (128, 8, 8),
            (128, 7, 7),
            (64, 14, 14),
            (1, 28, 28),
        ]
        weights = [tuple(p.shape) for p in critic(data, Settings()).parameters() if p.dim() > 1]
        assert weights == [(64, 1, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5), (1, 4096)]


class TestGame:
    def test_penalty_of_a_linear_critic_is_its_slope_s_distance_from_one(self) -> None:
        for scale in (0.0, 0.5, 1.0, 3.0):
            weights = scale * torch.full((16,), 0.25)  # ‖w‖ = scale
            judge = nn.Linear(16, 1)
            with torch.no_grad():
                judge.weight.copy_(weights)
            linear = nn.Sequential(nn.Flatten(), judge)
            real, fake = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
            penalty = gradient_penalty(linear, real, fake, torch.rand(3))
            assert penalty.item() == pytest.approx((scale - 1) ** 2, abs=1e-6)

    def test_penalty_is_taken_between_real_and_generated(self) -> None:
        """For the critic Σ x²/2 the gradient at x is x itself."""
        real, fake = torch.full((2, 1, 2, 2), 0.2), torch.full((2, 1, 2, 2), 0.8)
        seen: list[Tensor] = []

        def quadratic(images: Tensor) -> Tensor:
            seen.append(images.detach())
            return images.square().flatten(1).sum(dim=1) / 2

        penalty = gradient_penalty(quadratic, real, fake, torch.tensor([0.0, 0.5]))
        assert torch.equal(seen[0][0], real[0])
        torch.testing.assert_close(seen[0][1], torch.full((1, 2, 2), 0.5))
        expected = ((2 * 0.2 - 1) ** 2 + (2 * 0.5 - 1) ** 2) / 2
        assert penalty.item() == pytest.approx(expected)

    def test_penalty_pulls_the_slope_towards_one(self) -> None:
        for scale, direction in ((0.2, 1), (5.0, -1)):
            judge = nn.Linear(4, 1, bias=False)
            with torch.no_grad():
                judge.weight.fill_(scale / 2)
            linear = nn.Sequential(nn.Flatten(), judge)
            torch.autograd.backward(
                gradient_penalty(linear, torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2), torch.rand(2))
            )
            assert judge.weight.grad is not None
            assert bool((-judge.weight.grad * direction > 0).all())

    def test_the_critic_wants_real_images_high_and_the_generator_its_own(self) -> None:
        high, low = torch.tensor([[3.0], [5.0]]), torch.tensor([[-1.0], [1.0]])
        assert float(critic_loss(high, low)) == -4
        assert float(critic_loss(low, high)) == 4
        assert float(generator_loss(high)) == -4
        assert float(generator_loss(low)) == 0

    def test_codes_have_mean_zero_and_deviation_one(self) -> None:
        codes = standardise(5 + 3 * torch.randn(200, 4))
        torch.testing.assert_close(codes.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(codes.std(dim=0, correction=0), torch.ones(4), atol=1e-4, rtol=0)

    def test_a_trained_critic_tells_real_images_from_an_untrained_generator_s(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a generator that does not learn the critic's estimate of the distance rises far above 0."""
        defense, trainee, purified = prepared(gan_steps=20, learning_rate=0.002)
        step = torch.optim.Adam.step
        generated = [id(parameter) for parameter in purified.generator.parameters()]

        def critic_only(self: torch.optim.Adam, closure: None = None) -> None:
            if id(self.param_groups[0]["params"][0]) not in generated:
                step(self, closure)

        monkeypatch.setattr(torch.optim.Adam, "step", critic_only)
        real = batch(60)[0]
        defense.begin_epoch(trainee, stock(), FIRST)
        fake = purified.generator(torch.randn(60, 4))
        judge = trainee.auxiliary
        assert -critic_loss(judge(real), judge(fake)).item() > 0.5

    @pytest.mark.parametrize("training", ["wgan_gp", "autoencoder"])
    def test_only_its_own_players_learn(self, training: str) -> None:
        defense, trainee, _ = prepared(training=training)
        before = {name: value.clone() for name, value in trainee.state_dict().items()}
        defense.begin_epoch(trainee, stock(), FIRST)
        changed = {
            name for name, value in trainee.state_dict().items() if not torch.equal(value, before[name])
        }
        assert {name.split(".")[0] for name in changed} == {"classifier", "auxiliary"}
        assert all(name.startswith(("classifier.generator.", "auxiliary.")) for name in changed)
        still = {name for name, p in trainee.named_parameters() if not p.requires_grad}
        assert still == {name for name in before if name.startswith(("classifier.generator.", "auxiliary."))}
        assert all(parameter.grad is None for parameter in trainee.parameters())

    @pytest.mark.parametrize(("gan_steps", "expected"), [(1, 3), (2, 6), (0.5, 2)])
    def test_steps_are_counted_in_batches_of_the_epoch(
        self, gan_steps: float, expected: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: dict[int, int] = {}
        step = torch.optim.Adam.step

        def counted(self: torch.optim.Adam, closure: None = None) -> None:
            steps[id(self)] = steps.get(id(self), 0) + 1
            step(self, closure)

        monkeypatch.setattr(torch.optim.Adam, "step", counted)
        defense, trainee, _ = prepared(gan_steps=gan_steps, critic_steps=4)
        defense.begin_epoch(trainee, stock(), FIRST)  # 90 images: 3 batches
        assert sorted(steps.values()) == [expected, 4 * expected]

    def test_the_classifier_trains_as_if_alone(self) -> None:
        """On images as they are, whatever the generator does beside it."""
        training = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.05)
        defense, trainee, purified = prepared()
        plain = build_tiny(PlainDefense())
        history = train(defense, trainee, make_data(), training, seed=3, progress=False)
        alone = train(PlainDefense(), plain, make_data(), training, seed=3, progress=False)
        assert history == alone
        for name, value in plain.classifier.state_dict().items():
            assert torch.equal(purified.classifier.state_dict()[name], value)
        assert bool(purified.trained)

    def test_learning_ends_with_an_error_too(self) -> None:
        layer = nn.Linear(2, 1).requires_grad_(False)
        with pytest.raises(ValueError, match="stop"), learning(layer):
            torch.autograd.backward(layer(torch.ones(1, 2)).sum())
            assert layer.weight.grad is not None
            raise ValueError("stop")
        assert layer.weight.grad is None
        assert not layer.weight.requires_grad

    def test_divergence_says_what_to_do(self) -> None:
        defense, trainee, purified = prepared()
        with torch.no_grad():
            next(purified.generator.parameters()).fill_(math.nan)
        with pytest.raises(
            TrainingError, match=r"no longer finite at epoch 1; lower learning_rate \(now 0.003\)"
        ):
            defense.begin_epoch(trainee, stock(), FIRST)


class TestCheckpoint:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"training": "autoencoder"},
            {"layers": "convolutional", "width": 2, "gan_steps": 0.34, "critic_steps": 1},
        ],
    )
    @pytest.mark.parametrize("stop", [1, 2])
    def test_a_run_that_was_stopped_goes_on_as_if_it_were_not(
        self, options: dict[str, Any], stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        training = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.05, checkpoint_seconds=0)
        defense, expected, _ = prepared(**options)
        train(defense, expected, make_data(), training, seed=0, progress=False)
        file = tmp_path / "checkpoint.safetensors"

        class StoppedError(Exception):
            pass

        stopped, trainee, _ = prepared(**options)
        begin = stopped.begin_epoch

        def stopping(trainee: Trainee, stock: Stock, progress: Progress) -> None:
            if progress.epoch == stop:
                raise StoppedError
            begin(trainee, stock, progress)

        monkeypatch.setattr(stopped, "begin_epoch", stopping)
        with pytest.raises(StoppedError):
            train(stopped, trainee, make_data(), training, seed=0, progress=False, checkpoint=file)
        resumed, again, _ = prepared(**options, seed=7)
        train(resumed, again, make_data(), training, seed=0, progress=False, checkpoint=file)
        for name, value in expected.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name

    def test_the_optimisers_moments_are_what_must_be_kept(self) -> None:
        defense, trainee, purified = prepared()
        assert defense.state() == {}
        defense.begin_epoch(trainee, stock(), FIRST)
        state = defense.state()
        assert {name.split(".")[0] for name in state} == {"generator", "critic"}
        assert float(state["generator.0.step"]) == 3
        assert float(state["critic.0.step"]) == 15

        def on(restored: dict[str, Tensor]) -> Tensor:
            another, other, resumed = prepared()
            other.load_state_dict(weights)
            another.restore(restored)
            torch.manual_seed(1)
            another.begin_epoch(other, stock(), Progress(1, 3, 3))
            return next(resumed.generator.parameters()).clone()

        weights = {name: value.clone() for name, value in trainee.state_dict().items()}
        torch.manual_seed(1)
        kept = {name: value.clone() for name, value in state.items()}
        defense.begin_epoch(trainee, stock(), Progress(1, 3, 3))
        undisturbed = next(purified.generator.parameters())
        assert torch.equal(on(kept), undisturbed)
        assert not torch.equal(on({}), undisturbed)

    def test_a_new_run_begins_with_new_optimisers(self) -> None:
        defense, trainee, _ = prepared()
        defense.begin_epoch(trainee, stock(), FIRST)
        defense.begin_epoch(prepared()[1], stock(), FIRST)
        assert float(defense.state()["generator.0.step"]) == 3


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"momentum": 1}, "less than 1"),
            ({"restarts": 0}, "greater than or equal to 1"),
            ({"steps": 0}, "greater than or equal to 1"),
            ({"gan_steps": 0}, "greater than 0"),
            ({"penalty": -1}, "greater than or equal to 0"),
            ({"training": "gan"}, "'wgan_gp' or 'autoencoder'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    def test_an_autoencoder_s_decoder_is_not_called_a_gan(self) -> None:
        assert Settings().key("defense_gan") == "defense_gan"
        assert Settings(training="autoencoder").key("defense_gan") == "defense_gan[autoencoder]"

    def test_a_step_costs_the_generator_s_and_the_critic_s(self) -> None:
        assert Settings().relative_cost() == pytest.approx(1 + 5 * 1.8 + 0.85)
        assert Settings(gan_steps=2, critic_steps=1).relative_cost() == pytest.approx(1 + 2 * (1.8 + 0.85))
        assert Settings(training="autoencoder", layers="fully_connected").relative_cost() == pytest.approx(
            1.26
        )
