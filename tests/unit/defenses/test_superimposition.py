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
from reproof.data.dataset import to_unit
from reproof.defenses import undefended
from reproof.defenses.superimposition import Partners, Settings, Superimposition, superimpose
from reproof.models.defense import Progress, Stock, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.ours import needs
from tests.tiny_classifier import build_tiny, make_data

START = Progress(0, 2, 0)
Array = NDArray[np.float64]


def prepared(*, batch_norm: bool = False, **options: Any) -> tuple[Superimposition, Trainee]:
    """Return the method and a network whose view has its partners, as after the first epoch's beginning."""
    defense = Superimposition(Settings(**options))
    trainee = build_tiny(defense, batch_norm=batch_norm)
    defense.begin_epoch(trainee, stock(), START)
    return defense, trainee


def stock() -> Stock:
    data = make_data()
    return Stock(data.select("train"), data.select("validation"), 32)


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def log_softmax(logits: Tensor) -> Array:
    array = logits.detach().double().numpy()
    array = array - array.max(axis=1, keepdims=True)
    return np.asarray(array - np.log(np.exp(array).sum(axis=1, keepdims=True)))


def divergence(first: Array, second: Array) -> Array:
    rows = zip(first, second, strict=True)
    return np.array([sum(np.exp(a) * (a - b) for a, b in zip(p, q, strict=True)) for p, q in rows])


def confident(trainee: Trainee) -> Trainee:
    """Make predictions differ between images; an untrained network says nearly the same of all."""
    with torch.no_grad():
        for name, parameter in trainee.classifier.named_parameters():
            if name == "classify.weight":
                parameter.mul_(30)
    return trainee


class TestLoss:
    """With two images in the batch, each is the other's partner."""

    def test_equation_4_by_hand(self) -> None:
        images = torch.tensor([[[[1.0, 0.0]]], [[[0.5, 0.5]]]])
        partners = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.0]]]])
        expected = torch.tensor([[[[0.75, 0.25]]], [[[0.7, 0.3]]]])
        torch.testing.assert_close(superimpose(images, partners, torch.tensor([0.25, 0.4])), expected)

    def test_method_1_classifies_the_superimposed_image_alone_as_the_original_s_class(self) -> None:
        defense, trainee = prepared(method=1, alpha=0.3)
        confident(trainee)
        images, labels = batch(2)
        mixed = log_softmax(trainee(0.7 * images + 0.3 * images.flip(0)))
        expected = [-mixed[0, labels[0]], -mixed[1, labels[1]]]
        np.testing.assert_allclose(defense.loss(trainee, images, labels, START).detach(), expected, rtol=1e-5)

    @pytest.mark.parametrize("joint_pass", [False, True])
    @pytest.mark.parametrize("kind", ["forward", "reverse", "symmetric"])
    def test_method_2_agrees_with_loops_over_images_and_classes(self, kind: str, joint_pass: bool) -> None:
        defense, trainee = prepared(alpha=0.3, weight=5, divergence=kind, joint_pass=joint_pass)
        confident(trainee)
        images, labels = batch(2)
        clean, other = (
            log_softmax(trainee(shown)) for shown in (images, 0.7 * images + 0.3 * images.flip(0))
        )
        forward, reverse = divergence(clean, other), divergence(other, clean)
        assert float(forward.min()) > 1e-4
        between = {"forward": forward, "reverse": reverse, "symmetric": (forward + reverse) / 2}[kind]
        expected = -clean[[0, 1], labels.numpy()] + 5 * between
        np.testing.assert_allclose(defense.loss(trainee, images, labels, START).detach(), expected, rtol=1e-4)

    def test_method_3_gives_each_image_its_own_alpha(self, monkeypatch: pytest.MonkeyPatch) -> None:
        defense, trainee = prepared(weight=5)
        confident(trainee)
        images, labels = batch(2)
        monkeypatch.setattr(defense, "alphas", lambda count, device: torch.tensor([0.1, 0.6]))
        mixed = torch.stack([0.9 * images[0] + 0.1 * images[1], 0.4 * images[1] + 0.6 * images[0]])
        clean, other = log_softmax(trainee(images)), log_softmax(trainee(mixed))
        expected = -clean[[0, 1], labels.numpy()] + 5 * divergence(clean, other)
        np.testing.assert_allclose(defense.loss(trainee, images, labels, START).detach(), expected, rtol=1e-4)

    def test_a_step_down_brings_the_two_predictions_together(self) -> None:
        defense, trainee = prepared(alpha=0.4, weight=1e6)
        confident(trainee)
        images, labels = batch(2)

        def between() -> float:
            with torch.no_grad():
                mixed = superimpose(images, images.flip(0), torch.tensor(0.4))
                return float(divergence(log_softmax(trainee(images)), log_softmax(trainee(mixed))).mean())

        before = between()
        parameters = list(trainee.parameters())
        loss = defense.loss(trainee, images, labels, START).mean()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.sub_(1e-9 * gradient)
        assert between() < before

    @pytest.mark.parametrize("joint_pass", [False, True])
    @pytest.mark.parametrize("constant", ["none", "original", "superimposed"])
    def test_the_gradient_stops_where_the_setting_says(self, constant: str, joint_pass: bool) -> None:
        defense, trainee = prepared(alpha=0.4, stop_gradient=constant, joint_pass=joint_pass)
        confident(trainee)
        images, labels = batch(2)
        parameters = list(trainee.parameters())
        loss = defense.loss(trainee, images, labels, START).sum()
        found = torch.autograd.grad(loss, parameters)
        logits = trainee(images)
        first = logits.softmax(dim=1)
        second = trainee(0.6 * images + 0.4 * images.flip(0)).softmax(dim=1)
        first = first.detach() if constant == "original" else first
        second = second.detach() if constant == "superimposed" else second
        expected = nn.functional.cross_entropy(logits, labels, reduction="sum")
        expected = expected + 10 * (first * (first / second).log()).sum()
        for gradient, wanted in zip(found, torch.autograd.grad(expected, parameters), strict=True):
            torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(("joint_pass", "sizes"), [(False, [6, 6]), (True, [12])])
    def test_each_pass_has_its_own_batch_statistics_unless_they_share_one(
        self, joint_pass: bool, sizes: list[int]
    ) -> None:
        defense, trainee = prepared(batch_norm=True, joint_pass=joint_pass)
        seen: list[int] = []
        trainee.classifier.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
        defense.loss(trainee.train(), *batch(6), START)
        assert seen == sizes
        counted = [value for name, value in trainee.named_buffers() if name.endswith("batches_tracked")]
        assert [int(count) for count in counted] == [len(sizes)] * len(counted)

    @pytest.mark.parametrize("options", [{}, {"stop_gradient": "superimposed"}, {"joint_pass": True}])
    def test_the_originals_pass_first_so_that_training_accuracy_is_theirs(
        self, options: dict[str, Any]
    ) -> None:
        defense, trainee = prepared(**options)
        images, labels = batch()
        seen: list[Tensor] = []
        trainee.classifier.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
        defense.loss(trainee, images, labels, START)
        assert torch.equal(seen[0][: len(images)], images)

    def test_mixed_precision_leaves_a_gradient_for_every_parameter(self) -> None:
        defense, trainee = prepared(stop_gradient="superimposed")
        images, labels = batch()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = defense.loss(trainee, images, labels, START)
        assert loss.dtype == torch.float32
        gradients = torch.autograd.grad(loss.sum(), list(trainee.parameters()))
        assert all(bool((gradient != 0).any()) for gradient in gradients)

    def test_an_image_alone_is_its_own_partner(self) -> None:
        defense, trainee = prepared()
        images, labels = batch(1)
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(defense.loss(trainee, images, labels, START), plain)


class TestPartners:
    @pytest.mark.parametrize("count", [2, 3, 12])
    def test_each_image_of_the_batch_lies_once_over_another(self, count: int) -> None:
        defense, _ = prepared()
        images = torch.arange(float(count)).view(-1, 1, 1, 1)
        torch.manual_seed(0)
        seen: set[tuple[int, float]] = set()
        for _ in range(200):
            chosen = defense.choose(images, torch.zeros(count)).flatten().tolist()
            assert sorted(chosen) == list(range(count))
            assert all(partner != own for own, partner in enumerate(chosen))
            seen.update(enumerate(chosen))
        assert len(seen) == count * (count - 1)

    def test_another_class_is_an_option(self) -> None:
        defense, _ = prepared(partner="other_class")
        labels = torch.tensor([0, 0, 0, 0, 1, 2])
        torch.manual_seed(0)
        chosen = torch.cat([defense.choose(labels.view(-1, 1, 1, 1), labels) for _ in range(50)]).flatten()
        assert bool((chosen != labels.repeat(50)).all())
        assert set(chosen.view(50, 6)[:, 0].tolist()) == {1, 2}

    def test_where_the_batch_has_one_class_another_image_does(self) -> None:
        defense, _ = prepared(partner="other_class")
        images = torch.arange(5.0).view(-1, 1, 1, 1)
        for _ in range(20):
            chosen = defense.choose(images, torch.zeros(5)).flatten()
            assert bool((chosen != images.flatten()).all())

    def test_the_whole_training_set_is_an_option(self) -> None:
        defense, _ = prepared(partner="training_set")
        stored = {image.numpy().tobytes() for image in to_unit(stock().train[0])}
        torch.manual_seed(0)
        chosen = {image.numpy().tobytes() for image in defense.choose(*batch(60))}
        assert chosen <= stored
        assert len(chosen) > 30
        assert not chosen <= {image.numpy().tobytes() for image in batch(60)[0]}


class TestAlpha:
    CPU = torch.device("cpu")

    @pytest.mark.parametrize("q", [4, 6, 10])
    def test_it_is_drawn_from_the_beta_distribution(self, q: int) -> None:
        defense, _ = prepared(beta=[2, q])
        torch.manual_seed(0)
        drawn = defense.alphas(20_000, self.CPU)
        assert float(drawn.mean()) == pytest.approx(2 / (2 + q), abs=0.005)
        assert float(drawn.var()) == pytest.approx(2 * q / ((2 + q) ** 2 * (3 + q)), rel=0.05)
        share = {4: 0.1875, 6: 0.0625, 10: 0.00586}[q]
        assert float((drawn > 0.5).float().mean()) == pytest.approx(share, abs=0.01)

    def test_above_a_half_it_is_folded_where_asked(self) -> None:
        plain, folded = (
            prepared(fold=fold)[0].alphas(500, self.CPU) for fold in (False, True)
        )  # each from the seed of its network
        assert bool((plain > 0.5).any())
        torch.testing.assert_close(folded, torch.where(plain > 0.5, 1 - plain, plain))

    def test_it_is_drawn_per_image_batch_or_epoch(self) -> None:
        for draw, per_batch, between in (("image", 8, True), ("batch", 1, True), ("epoch", 1, False)):
            defense, trainee = prepared(draw=draw)
            one, two = (defense.alphas(8, self.CPU) for _ in range(2))
            assert one.shape == (8,)
            assert len(set(one.tolist())) == per_batch
            assert bool((one != two).any()) == between
            defense.begin_epoch(trainee, stock(), Progress(1, 2, 5))
            assert bool((defense.alphas(8, self.CPU) != two).any())

    def test_fixed_it_is_the_same_for_all(self) -> None:
        assert prepared(method=2)[0].alphas(3, self.CPU).tolist() == pytest.approx([0.4] * 3)
        assert prepared(alpha=0.1)[0].alphas(3, self.CPU).tolist() == pytest.approx([0.1] * 3)

    def test_what_an_epoch_s_beginning_provides_is_missed_by_name(self) -> None:
        for option, missing in (
            ({"draw": "epoch"}, "the epoch's α"),
            ({"partner": "training_set"}, "training set"),
        ):
            defense = Superimposition(Settings(**option))
            with pytest.raises(RuntimeError, match=missing):
                defense.loss(build_tiny(defense), *batch(), START)


class TestView:
    @pytest.mark.parametrize("options", [{}, {"alpha": 0.4}, {"method": 1}, {"stop_gradient": "original"}])
    def test_it_is_the_loss_over_the_first_training_images(self, options: dict[str, Any]) -> None:
        defense, trainee = prepared(**options, view_partners=3)
        confident(trainee)
        images, labels = batch(5)
        partners, _ = batch(3)
        alphas = (
            [0.4] * 3 if options.get("alpha") or options.get("method") else defense.view_alphas(3).tolist()
        )
        clean = log_softmax(trainee(images))
        expected = np.zeros(5)
        for partner, alpha in zip(partners, alphas, strict=True):
            other = log_softmax(trainee((1 - alpha) * images + alpha * partner))
            if options.get("method") == 1:
                expected += -other[range(5), labels.numpy()] / 3
            else:
                expected += (-clean[range(5), labels.numpy()] + 10 * divergence(clean, other)) / 3
        found = defense.attack_losses(trainee)["joint"](images, labels)
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-4)

    def test_it_depends_on_the_image_alone_and_draws_nothing(self) -> None:
        defense, trainee = prepared()
        view = defense.attack_losses(trainee.eval())["joint"]
        images, labels = batch(6)
        state = torch.get_rng_state()
        whole = view(images, labels)
        torch.testing.assert_close(view(images[2:4], labels[2:4]), whole[2:4])
        torch.testing.assert_close(view(images.flip(0), labels.flip(0)), whole.flip(0))
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("constant", ["original", "superimposed"])
    def test_its_gradient_flows_through_both_predictions(self, constant: str) -> None:
        images, labels = batch(4)
        gradients = []
        for option in ("none", constant):
            defense, trainee = prepared(stop_gradient=option)
            shown = images.clone().requires_grad_(True)
            gradients.append(torch.autograd.grad(defense.joint(trainee, shown, labels).sum(), shown)[0])
        torch.testing.assert_close(gradients[0], gradients[1])

    def test_its_alphas_are_evenly_spread_quantiles(self) -> None:
        # The distribution function of B(2, 4) is 10 a² - 20 a³ + 15 a⁴ - 4 a⁵.
        alphas = prepared()[0].view_alphas(4).double()
        below = 10 * alphas**2 - 20 * alphas**3 + 15 * alphas**4 - 4 * alphas**5
        np.testing.assert_allclose(below, [0.125, 0.375, 0.625, 0.875], atol=1e-3)
        assert float(prepared(fold=True)[0].view_alphas(40).max()) <= 0.5

    def test_its_partners_are_stored_and_serve_a_small_training_set_too(self) -> None:
        defense, trainee = prepared()
        other = build_tiny(defense, seed=1)
        other.load_state_dict(trainee.state_dict())
        images, labels = batch(3)
        assert torch.equal(defense.joint(other, images, labels), defense.joint(trainee, images, labels))
        train_images = stock().train[0]
        few = Stock((train_images[:3], torch.zeros(3)), stock().validation, 32)
        defense.begin_epoch(trainee, few, START)
        assert isinstance(trainee.auxiliary, Partners)
        assert torch.equal(trainee.auxiliary.images, train_images[[0, 1, 2, 0]])


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "key", "passes"),
        [
            ({}, "superimposition[beta=2,4]", 2.0),
            ({"beta": [2, 10]}, "superimposition[beta=2,10]", 2.0),
            ({"alpha": 0.4}, "superimposition[alpha=0.4]", 2.0),
            ({"method": 2}, "superimposition[alpha=0.4]", 2.0),
            ({"method": 1}, "superimposition[alpha=0.4,method=1]", 1.0),
            ({"fold": True, "draw": "batch"}, "superimposition[beta=2,4]", 2.0),
            ({"stop_gradient": "original"}, "superimposition[beta=2,4]", 2.0),
            ({"stop_gradient": "superimposed"}, "superimposition[beta=2,4]", pytest.approx(1.3)),
            ({"stop_gradient": "superimposed", "joint_pass": True}, "superimposition[beta=2,4]", 2.0),
        ],
    )
    def test_name_and_cost(self, options: dict[str, Any], key: str, passes: float) -> None:
        settings = Settings(**options)
        assert (settings.key("superimposition"), settings.relative_cost()) == (key, passes)

    @needs("papers/seiler_superimposition")
    def test_every_variant_of_the_paper_s_tables_can_be_named(self) -> None:
        folder = Path(papers.__path__[0]) / "seiler_superimposition"
        with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
            claimed = {row["defense"] for row in csv.DictReader(file)}
        variants: list[dict[str, Any]] = [{"alpha": 0.4}, *({"beta": [2, q]} for q in (4, 6, 10))]
        mine = {Settings(**options).key("superimposition") for options in variants}
        assert {name for name in claimed if name.startswith("superimposition")} == mine

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"alpha": 0.5}, "less than 0.5"),
            ({"alpha": 0}, "greater than 0"),
            ({"alpha": 0.4, "beta": [2, 4]}, "alpha belongs to methods 1 and 2"),
            ({"alpha": 0.4, "method": 3}, "alpha belongs to methods 1 and 2"),
            ({"beta": [2, 4], "method": 2}, "beta belongs to method 3"),
            ({"beta": [2, 0]}, "greater than 0"),
            ({"fold": True, "method": 2}, "fold and draw belong to method 3"),
            ({"draw": "epoch", "alpha": 0.4}, "fold and draw belong to method 3"),
            ({"joint_pass": True, "method": 1}, "belong to methods 2 and 3"),
            ({"stop_gradient": "original", "method": 1}, "belong to methods 2 and 3"),
            ({"divergence": "reverse", "method": 1}, "belong to methods 2 and 3"),
            ({"method": 4}, "1, 2 or 3"),
            ({"lambda": 10}, "unknown key 'lambda'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)


@pytest.mark.parametrize("options", [{"draw": "epoch"}, {"method": 1}, {"partner": "training_set"}])
def test_it_trains(options: dict[str, Any]) -> None:
    training = TrainingSettings(epochs=12, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
    defense, trainee = prepared(**options)
    history = train(defense, trainee, make_data(), training, seed=0, progress=False)
    assert history[-1]["validation_accuracy"] > 0.9


def test_predictions_of_an_image_and_its_superimposition_end_closer_than_without_it() -> None:
    """The divergence that the view measures, on images never trained on, falls to less than half."""
    images, labels = make_data().select("test")
    shown = to_unit(images)
    training = TrainingSettings(epochs=20, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
    measure, _ = prepared()
    between = []
    for method in (undefended.Undefended(undefended.Settings()), Superimposition(Settings())):
        trainee = build_tiny(measure)
        history = train(method, trainee, make_data(), training, seed=0, progress=False)
        assert history[-1]["validation_accuracy"] > 0.9
        measure.begin_epoch(trainee, stock(), START)
        with torch.no_grad():
            plain = nn.functional.cross_entropy(trainee(shown), labels, reduction="none")
            between.append(float((measure.joint(trainee, shown, labels) - plain).mean()))
    assert between[1] < 0.5 * between[0]
