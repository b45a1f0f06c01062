from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.pixel_defend import PixelDefend, PixelDefended, Settings
from reproof.errors import TrainingError
from reproof.models.defense import Progress, Trainee
from reproof.models.pixel_cnn import CausalConv2d, PixelCNN, log_probability
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import build_tiny, make_data

START = Progress(0, 1, 0)
SMALL: dict[str, Any] = {"levels": 16, "width": 6, "blocks": 2, "radius": 2, "mixtures": 3}


def prepared(**options: Any) -> tuple[PixelDefend, Trainee, PixelDefended]:
    defense = PixelDefend(Settings(**{"eps_defend": 0.15, **SMALL, **options}))
    trainee = build_tiny(defense)
    assert isinstance(trainee.classifier, PixelDefended)
    return defense, trainee, trainee.classifier


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def make_model(channels: int, *, levels: int = 17, noise: float = 0.2, **options: int) -> PixelCNN:
    """Return a model in double precision whose every parameter, biases too, is far from where it starts."""
    torch.manual_seed(0)
    sizes = {"width": 5, "blocks": 2, "radius": 2, "mixtures": 3, **options}
    model = PixelCNN(channels, levels=levels, **sizes).double().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(noise * torch.randn_like(parameter))
    return model


def probabilities(
    model: PixelCNN, levels: Tensor, channel: int, row: int, column: int
) -> NDArray[np.float64]:
    """Return the probability (N, L) of every level of one value, by differences of the logistic function."""
    weights, means, scales = model(levels)[:, channel, :, :, row, column].unbind(dim=1)
    half = (model.levels - 1) / 2
    scale = (half / 8 * scales.exp()).clamp(0.05, 8 * half).unsqueeze(2)
    edges = torch.arange(1, model.levels, dtype=torch.float64) - 0.5
    inner = torch.sigmoid((edges - half - half * means.unsqueeze(2)) / scale)
    cumulative = nn.functional.pad(nn.functional.pad(inner, (1, 0), value=0.0), (0, 1), value=1.0)
    mixed = (weights.softmax(dim=1).unsqueeze(2) * cumulative.diff(dim=2)).sum(dim=1)
    return np.asarray(mixed)


def places(levels: Tensor) -> list[tuple[int, int, int]]:
    _, channels, height, width = levels.shape
    return [(c, i, j) for i, j, c in itertools.product(range(height), range(width), range(channels))]


def naive_purify(model: PixelCNN, values: Tensor, reach: float) -> Tensor:
    """Return Algorithm 1 as it is printed: the whole network anew for every value."""
    levels = values.clone()
    grid = np.arange(model.levels)
    for channel, row, column in places(values):
        found = probabilities(model, levels, channel, row, column)
        given = values[:, channel, row, column].numpy()[:, None]
        found[np.abs(grid - given) > reach] = -1
        levels[:, channel, row, column] = torch.from_numpy(found.argmax(axis=1)).double()
    return levels


class TestDensity:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_value_s_parameters_see_those_before_it_and_no_others(self, channels: int) -> None:
        model = make_model(channels, radius=1)
        levels = (torch.rand(8, channels, 4, 5, dtype=torch.float64) * 16).requires_grad_(True)
        order = {place: index for index, place in enumerate(places(levels))}
        for channel, row, column in order:
            total = model(levels)[:, channel, :, :, row, column].sum()
            (gradient,) = torch.autograd.grad(total, levels)
            seen = {(c, i, j) for c, i, j in order if bool((gradient[:, c, i, j] != 0).any())}
            mine = order[channel, row, column]
            assert all(order[place] < mine for place in seen)
            nearest = {(c, row, column) for c in range(channel)}
            beside = [(row, column - 1), *((row - 1, column + step) for step in (-1, 0, 1))]
            nearest |= {(c, i, j) for c in range(channels) for i, j in beside if i >= 0 and 0 <= j < 5}
            assert nearest <= seen

    @pytest.mark.parametrize(("channels", "levels"), [(1, 4), (2, 3)])
    def test_probabilities_of_all_images_sum_to_one(self, channels: int, levels: int) -> None:
        model = make_model(channels, levels=levels, noise=0.5)
        images = torch.tensor(
            list(itertools.product(range(levels), repeat=2 * channels)), dtype=torch.float64
        )
        surprise = model.negative_log_likelihood(images.view(-1, channels, 1, 2)) * 2 * channels
        each = (-surprise).exp()
        assert float(each.sum()) == pytest.approx(1, abs=1e-9)
        assert float(each.max() / each.min()) > 2

    def test_a_mixture_by_hand(self) -> None:
        # Two logistics of 4 levels, weights 1/4 and 3/4, means 0.75 and 2.25, scales 0.1875 and 0.375.
        mixture = torch.tensor([[0.0, math.log(3)], [-0.5, 0.5], [0.0, math.log(2)]]).view(3, 2, 1)

        def below(edge: float) -> float:
            first, second = ((edge - 0.75) / 0.1875, (edge - 2.25) / 0.375)
            return 0.25 / (1 + math.exp(-first)) + 0.75 / (1 + math.exp(-second))

        expected = [below(0.5), below(1.5) - below(0.5), below(2.5) - below(1.5), 1 - below(2.5)]
        found = log_probability(mixture, torch.arange(4.0).view(1, 4), 4, dim=0).exp()
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_what_is_very_unlikely_keeps_a_finite_order(self) -> None:
        mixture = torch.tensor([0.0, -1.0, -9.0]).view(3, 1, 1)
        found = log_probability(mixture, torch.arange(256.0).view(1, 256), 256, dim=0)
        assert bool(torch.isfinite(found).all())
        assert bool((found[1:-1].diff() < 0).all())
        assert float(found[200]) < -1000

    def test_the_likelihood_is_nats_for_each_value(self) -> None:
        model = make_model(3)
        levels = torch.randint(17, (4, 3, 3, 4)).double()
        expected = np.zeros(4)
        for channel, row, column in places(levels):
            chosen = levels[:, channel, row, column].long().numpy()
            expected -= np.log(probabilities(model, levels, channel, row, column)[range(4), chosen]) / 36
        np.testing.assert_allclose(model.negative_log_likelihood(levels), expected, rtol=1e-6)

    def test_an_untrained_model_knows_little(self) -> None:
        _, _, defended = prepared()
        images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        surprise = defended.surprise(images) / math.log(2)
        assert surprise.shape == (20,)
        assert 3.5 < float(surprise.detach().mean()) < 5  # uniform: 4 bits

    @pytest.mark.parametrize("strict", [True, False])
    def test_a_convolution_is_a_masked_one(self, strict: bool) -> None:
        torch.manual_seed(0)
        layer = CausalConv2d(2, 4, 1, 2, strict=strict)
        kernel = torch.zeros(4, 2, 3, 3)
        kernel[:, :, :2] = layer.weight.detach()
        kernel[:, :, 1, 2] = 0
        kernel[:2, 1, 1, 1] = 0  # the first colour never sees the second
        if strict:
            kernel[:2, 0, 1, 1] = kernel[2:, 1, 1, 1] = 0
        maps = torch.randn(2, 2, 5, 6)
        torch.testing.assert_close(layer(maps), nn.functional.conv2d(maps, kernel, layer.bias, padding=1))


class TestPurification:
    @pytest.mark.parametrize(("channels", "levels"), [(1, 17), (3, 17), (2, 256)])
    @pytest.mark.parametrize("share", [0.04, 0.3])
    def test_it_is_the_printed_algorithm(self, channels: int, levels: int, share: float) -> None:
        model = make_model(channels, levels=levels)
        values = torch.rand(5, channels, 5, 4, dtype=torch.float64) * (levels - 1)
        found = model.purify(values, share * (levels - 1))
        assert torch.equal(found, naive_purify(model, values, share * (levels - 1)))
        assert bool((found != values.round()).any())

    def test_what_has_been_purified_decides_what_follows(self) -> None:
        model = make_model(1, noise=0.5)
        values = torch.rand(20, 1, 4, 4, dtype=torch.float64) * 16
        found = model.purify(values, 5.0)
        last = probabilities(model, found, 0, 3, 3)
        last[np.abs(np.arange(17) - values[:, 0, 3, 3].numpy()[:, None]) > 5] = -1
        assert found[:, 0, 3, 3].tolist() == last.argmax(axis=1).tolist()
        given = probabilities(model, values, 0, 3, 3)
        given[np.abs(np.arange(17) - values[:, 0, 3, 3].numpy()[:, None]) > 5] = -1
        assert found[:, 0, 3, 3].tolist() != given.argmax(axis=1).tolist()

    @pytest.mark.parametrize(
        ("levels", "eps_defend"), [(256, 16 / 255), (256, 0.3), (16, 0.15), (2, 0.5), (9, 1 / 16)]
    )
    def test_no_value_moves_further_than_eps_defend_or_out_of_range(
        self, levels: int, eps_defend: float
    ) -> None:
        _, _, defended = prepared(levels=levels, eps_defend=eps_defend)
        stored = torch.randint(256, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        for images in (stored / 255, torch.rand(6, 1, 8, 8), torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)):
            with torch.no_grad():
                found = defended.purify(images)
            assert found.dtype == torch.float32
            assert float((found - images).abs().max()) <= eps_defend + 1e-6
            assert 0 <= float(found.min()) <= float(found.max()) <= 1
            torch.testing.assert_close((found * (levels - 1)).round() / (levels - 1), found)

    def test_the_whole_of_eps_defend_is_used(self) -> None:
        _, _, defended = prepared(levels=256, eps_defend=16 / 255)
        images = torch.full((1, 1, 8, 8), 100 / 255)
        with torch.no_grad():
            nn.init.zeros_(defended.density.last.weight)
            for bright, expected in ((1.0, 116), (-1.0, 84)):
                defended.density.last.bias.view(3, 3)[1] = bright
                assert set((defended.purify(images) * 255).round().flatten().tolist()) == {expected}

    def test_an_image_s_result_depends_on_the_image_alone(self) -> None:
        _, _, defended = prepared()
        images = torch.rand(33, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        state = torch.get_rng_state()
        with torch.no_grad():
            whole = defended.purify(images)
            alone = torch.cat([defended.purify(image) for image in torch.split(images, 1)])
            mixed = defended.purify(images.flip(0).contiguous(memory_format=torch.channels_last))
        assert torch.equal(whole, alone)
        assert torch.equal(whole, mixed.flip(0))
        assert torch.equal(torch.get_rng_state(), state)

    def test_the_deployed_classifier_answers_for_the_purified_image(self) -> None:
        _, trainee, defended = prepared(levels=3, eps_defend=0.4)
        images, _ = batch()
        with torch.no_grad():
            purified = defended.purify(images)
            assert torch.equal(trainee.eval()(images), defended.classifier(purified))
            assert not torch.equal(trainee(images), defended.classifier(images))
            assert torch.equal(trainee.train()(images), defended.classifier(images))


class TestLoss:
    def test_it_is_cross_entropy_and_the_surprise_at_the_nearest_level(self) -> None:
        defense, trainee, defended = prepared()
        images, labels = batch()
        expected = nn.functional.cross_entropy(defended.classifier(images), labels, reduction="none")
        levels = (images * 15).round()
        expected = expected + defended.density.negative_log_likelihood(levels)
        torch.testing.assert_close(defense.loss(trainee.train(), images, labels, START), expected)

    def test_its_direction_makes_the_images_likelier(self) -> None:
        defense, trainee, defended = prepared()
        images, labels = batch()
        torch.autograd.backward(defense.loss(trainee.train(), images, labels, START).mean())
        before = float(defended.surprise(images).detach().mean())
        with torch.no_grad():
            for parameter in defended.density.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.01 * parameter.grad)
        assert float(defended.surprise(images).detach().mean()) < before

    def test_the_two_share_no_parameters_and_only_the_classifier_reaches_the_images(self) -> None:
        defense, trainee, defended = prepared()
        images, labels = batch()
        shown = images.clone().requires_grad_(True)
        loss = defense.loss(trainee.train(), shown, labels, START).sum()
        inner = list(defended.classifier.parameters())
        found = torch.autograd.grad(loss, [*inner, shown])
        alone = nn.functional.cross_entropy(defended.classifier(shown), labels, reduction="sum")
        for gradient, wanted in zip(found, torch.autograd.grad(alone, [*inner, shown]), strict=True):
            torch.testing.assert_close(gradient, wanted)

    def test_adversarial_examples_are_not_learned(self) -> None:
        defense, trainee, defended = prepared()
        images, labels = batch()
        loss = defense.loss(trainee.train(), images, labels, Progress(0, 1, 0, crafted=5))
        plain = nn.functional.cross_entropy(defended.classifier(images), labels, reduction="none")
        torch.testing.assert_close(loss[:5], plain[:5])
        torch.testing.assert_close(loss[5:], (plain + defended.surprise(images))[5:])
        with pytest.raises(TrainingError, match=r"pixel_defend: .* lower training.adversarial.share"):
            defense.loss(trainee, images, labels, Progress(0, 1, 0, crafted=12))

    def test_mixed_precision_keeps_the_logarithms_single(self) -> None:
        defense, trainee, _ = prepared()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = defense.loss(trainee.train(), *batch(), START)
        assert loss.dtype == torch.float32
        assert bool(torch.isfinite(loss).all())

    @pytest.mark.parametrize(("rate", "expected"), [(None, 0.01), (0.5, 0.5)])
    def test_the_density_model_has_its_own_rate_and_no_weight_decay(
        self, rate: float | None, expected: float
    ) -> None:
        defense, trainee, defended = prepared(density_learning_rate=rate)
        classifier, density = defense.parameter_groups(trainee, 0.01)
        assert (classifier["lr"], density["lr"]) == (0.01, expected)
        assert "weight_decay" not in classifier
        assert density["weight_decay"] == 0
        assert len(density["params"]) == len(list(defended.density.parameters()))


class TestSettings:
    def test_each_size_is_the_model_s(self) -> None:
        _, _, defended = prepared(levels=32, width=7, blocks=3, radius=1, mixtures=2)
        density = defended.density
        assert (density.levels, len(density.blocks), density.first.radius) == (32, 3, 1)
        assert density.first.weight.shape == (7, 1, 2, 3)
        assert density.last.weight.shape == (6, 7, 1, 1)

    def test_a_larger_density_model_costs_more(self) -> None:
        small = Settings(**SMALL).relative_cost()
        assert small > 1
        for name in ("width", "blocks", "mixtures"):
            assert Settings(**{**SMALL, name: 2 * SMALL[name]}).relative_cost() > small

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"levels": 8}, "raise eps_defend to 1/14"),
            ({"eps_defend": 0}, "greater than 0"),
            ({"eps_defend": 1.5}, "less than or equal to 1"),
            ({"levels": 257}, "less than or equal to 256"),
            ({"levels": 1}, "greater than or equal to 2"),
            ({"mixtures": 0}, "greater than or equal to 1"),
            ({"density_learning_rate": 0}, "greater than 0"),
            ({"epsilon": 0.1}, "unknown key 'epsilon'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    def test_the_least_eps_defend_that_is_advised_is_accepted(self) -> None:
        for levels in range(2, 257):
            Settings.model_validate({"levels": levels, "eps_defend": f"1/{2 * (levels - 1)}"})


def test_trained_it_finds_likelier_images_and_undoes_noise() -> None:
    defense, trainee, defended = prepared(density_learning_rate=0.02)
    training = TrainingSettings(
        epochs=10, batch_size=32, optimizer="adam", learning_rate=0.01, schedule="cosine", validation=False
    )
    data = make_data()
    before = float(defended.surprise(batch(90)[0]).detach().mean())
    train(defense, trainee, data, training, seed=0, progress=False)
    images, labels = data.select("test")
    shown = to_unit(images)
    noisy = (shown + 0.1 * torch.randn(shown.shape, generator=torch.Generator().manual_seed(0)).sign()).clamp(
        0, 1
    )
    with torch.no_grad():
        assert float(defended.surprise(shown).mean()) < before - 0.3
        assert float(defended.surprise(noisy).mean()) > float(defended.surprise(shown).mean())
        purified = defended.purify(noisy)
        likelier = defended.surprise(purified) <= defended.surprise(noisy)
        assert float(likelier.float().mean()) > 0.95
        assert float((trainee(shown).argmax(dim=1) == labels).float().mean()) > 0.9
