from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from reproof.attacking import judge
from reproof.attacking.engine import AttackEngine
from reproof.attacks import pgd
from reproof.data.dataset import DataDescription, to_unit
from reproof.defenses import undefended
from reproof.defenses.magnet import (
    Autoencoder,
    MagNet,
    Reformed,
    Settings,
    highest_allowed,
    jensen_shannon,
    reformed_of,
)
from reproof.errors import StudyError, TrainingError
from reproof.models.attack_loss import margin
from reproof.models.classifier import REFUSED
from reproof.models.defense import Progress, Stock, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import DESCRIPTION, PlainDefense, build_tiny, make_data

START, END = Progress(0, 2, 0), Progress(2, 2, 8)
QUICK: dict[str, Any] = {"epochs": 40, "batch_size": 32, "learning_rate": 0.03}
TRAINING = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.03, weight_decay=0.1)


def made(*, batch_norm: bool = False, **options: Any) -> tuple[MagNet, Trainee, Reformed]:
    """Return the method, its untrained network in evaluation mode, and the network's classifier."""
    defense = MagNet(Settings(**options))
    trainee = build_tiny(defense, batch_norm=batch_norm).eval()
    return defense, trainee, reformed_of(trainee)


def stock() -> Stock:
    data = make_data()
    return Stock(data.select("train"), data.select("validation"), 7)


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("test", count)
    return to_unit(images), labels


def answer_always(autoencoder: nn.Module | None, grey: float) -> None:
    """Make an autoencoder reconstruct every image as the same grey."""
    assert isinstance(autoencoder, Autoencoder)
    last = autoencoder[-2]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(math.log(grey / (1 - grey)))


def confident(reformed: Reformed) -> None:
    """Make predictions differ between images; an untrained network says nearly the same of all."""
    with torch.no_grad():
        for name, parameter in reformed.classifier.named_parameters():
            if name == "classify.weight":
                parameter.mul_(30)


@functools.cache
def learned() -> tuple[MagNet, Trainee]:
    """Return the method and a network that it trained."""
    defense = MagNet(Settings(**QUICK))
    trainee = build_tiny(defense)
    training = TrainingSettings(epochs=12, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
    history = train(defense, trainee, make_data(), training, seed=0, progress=False)
    assert history[-1]["validation_accuracy"] > 0.9
    return defense, trainee


def softmax(logits: Tensor, temperature: float) -> Any:
    powers = np.exp(logits.detach().double().numpy() / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


class TestAutoencoder:
    @pytest.mark.parametrize(
        ("pooled", "sizes"),
        [(True, [(1, 3), (3, 3), (3, 3), (3, 3), (3, 1)]), (False, [(1, 3), (3, 3), (3, 1)])],
    )
    def test_it_has_the_paper_s_convolutions(self, pooled: bool, sizes: list[tuple[int, int]]) -> None:
        autoencoder = Autoencoder(DESCRIPTION, 3, pooled=pooled)
        convolutions = [layer for layer in autoencoder if isinstance(layer, nn.Conv2d)]
        assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == sizes
        assert all(layer.kernel_size == (3, 3) for layer in convolutions)
        assert sum(isinstance(layer, nn.Sigmoid) for layer in autoencoder) == len(sizes)
        widths = []
        for layer in convolutions:
            layer.register_forward_hook(lambda _, __, output: widths.append(output.shape[-1]))
        autoencoder(torch.rand(2, 1, 8, 8))
        assert widths == ([8, 4, 4, 8, 8] if pooled else [8, 8, 8])

    def test_it_gives_back_images_of_any_channels(self) -> None:
        data = DataDescription(3, 6, 10, 4, (0.5,) * 3, (0.2,) * 3)
        for pooled in (True, False):
            rebuilt = Autoencoder(data, 5, pooled=pooled)(torch.rand(2, 3, 6, 10)).detach()
            assert rebuilt.shape == (2, 3, 6, 10)
            assert 0 <= float(rebuilt.min()) <= float(rebuilt.max()) <= 1

    def test_odd_images_cannot_be_pooled(self) -> None:
        data = replace(DESCRIPTION, height=9)
        _, _, reformed = made()
        with pytest.raises(StudyError, match=r"9 x 8 pixels .* pooled: false"):
            MagNet(Settings()).build(reformed.classifier, data)
        plain = reformed_of(MagNet(Settings(pooled=False)).build(reformed.classifier, data))
        assert plain.purify(torch.rand(2, 1, 9, 8)).shape == (2, 1, 9, 8)

    @pytest.mark.parametrize(
        ("options", "pooling"),
        [
            ({}, [True, False]),
            ({"pooled": False}, [False]),
            ({"error_norms": [2]}, [True]),
            ({"detector": False}, [True]),
        ],
    )
    def test_a_second_one_without_pooling_is_there_for_the_l1_norm_alone(
        self, options: dict[str, Any], pooling: list[bool]
    ) -> None:
        _, _, reformed = made(**options)
        found = [any(isinstance(m, nn.AvgPool2d) for m in a) for a in reformed.autoencoders]
        assert found == pooling


class TestFit:
    def test_it_removes_noise(self) -> None:
        """A target that is the noisy image itself would teach the identity, which leaves all the noise."""
        torch.manual_seed(0)
        grey = (255 * torch.linspace(0.2, 0.8, 40)).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        autoencoder = Autoencoder(DESCRIPTION, 3, pooled=False)
        MagNet(Settings(noise=0.15, epochs=150, batch_size=40, learning_rate=0.03)).fit(autoencoder, grey)
        clean = to_unit(grey)
        noisy = clean + 0.15 * torch.randn_like(clean)
        assert (autoencoder(noisy) - clean).square().mean() < 0.5 * (noisy - clean).square().mean()

    @pytest.mark.parametrize("noise", [0.0, 0.1, 5.0])
    def test_it_sees_clipped_images_with_the_noise_that_is_asked_for(self, noise: float) -> None:
        images = torch.full((30, 1, 8, 8), 51, dtype=torch.uint8)
        autoencoder = Autoencoder(DESCRIPTION, 3, pooled=True)
        seen: list[Tensor] = []
        autoencoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        torch.manual_seed(0)
        MagNet(Settings(noise=noise, epochs=2, batch_size=20)).fit(autoencoder, images)
        assert [len(part) for part in seen] == [20, 10, 20, 10]
        first, second = torch.cat(seen[:2]), torch.cat(seen[2:])
        assert torch.equal(first, second) == (noise == 0)
        assert 0 <= float(first.min()) <= float(first.max()) <= 1
        if noise == 0.1:
            assert float(first.std()) == pytest.approx(0.1, rel=0.1)
        assert float((first == 0).float().mean()) == pytest.approx(
            {0.0: 0, 0.1: 0.023, 5.0: 0.484}[noise], abs=0.03
        )

    def test_every_image_is_shown_once_an_epoch(self) -> None:
        images = torch.arange(25, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        autoencoder = Autoencoder(DESCRIPTION, 3, pooled=True)
        seen: list[Tensor] = []
        autoencoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0, 0, 0]))
        MagNet(Settings(noise=0, epochs=2, batch_size=10)).fit(autoencoder, images)
        epochs = [(255 * torch.cat(part)).round().int() for part in (seen[:3], seen[3:])]
        assert [sorted(epoch.tolist()) for epoch in epochs] == [list(range(25))] * 2
        assert not torch.equal(*epochs)

    def test_it_leaves_no_gradients_behind(self) -> None:
        defense, trainee, reformed = made(epochs=1)
        before = [p.clone() for a in reformed.autoencoders for p in a.parameters()]
        defense.begin_epoch(trainee, stock(), START)
        after = [p for a in reformed.autoencoders for p in a.parameters()]
        assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
        assert all(p.grad is None and not p.requires_grad for p in after)
        assert all(p.grad is None and p.requires_grad for p in reformed.classifier.parameters())


class TestTraining:
    def test_classifier_is_the_one_that_training_without_the_method_gives(self) -> None:
        plain = undefended.Undefended(undefended.Settings())
        alone = build_tiny(plain)
        train(plain, alone, make_data(), TRAINING, seed=0, progress=False)
        defense = MagNet(Settings(epochs=2))
        trainee = build_tiny(defense)
        train(defense, trainee, make_data(), TRAINING, seed=0, progress=False)
        expected, found = alone.classifier.state_dict(), reformed_of(trainee).classifier.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in expected.items())

    def test_autoencoders_are_trained_before_the_first_epoch_and_never_again(self) -> None:
        found = []
        for epochs in (1, 3):
            defense = MagNet(Settings(epochs=2))
            trainee = build_tiny(defense)
            longer = TRAINING.model_copy(update={"epochs": epochs})
            train(defense, trainee, make_data(), longer, seed=0, progress=False)
            found.append([p for a in reformed_of(trainee).autoencoders for p in a.parameters()])
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))

    def test_loss_is_the_cross_entropy_of_the_images_as_they_are(self) -> None:
        defense, trainee, reformed = made()
        images, labels = batch()
        expected = nn.functional.cross_entropy(reformed.classifier(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee.train(), images, labels, START), expected)

    def test_it_reforms_and_refuses_what_is_unlike_the_training_images(self) -> None:
        reformed = reformed_of(learned()[1])
        images, labels = batch(60)
        answers = reformed.answers(images)
        assert float((answers.logits.argmax(1) == labels).float().mean()) > 0.9
        assert float((answers.classes == REFUSED).float().mean()) < 0.2  # thresholds from 30 images
        torch.manual_seed(0)
        foreign = reformed.answers((images + 0.5 * torch.randn_like(images).sign()).clamp(0, 1))
        assert bool((foreign.classes == REFUSED).all())


class TestScores:
    def test_errors_by_hand_each_by_its_own_autoencoder(self) -> None:
        _, _, reformed = made()
        answer_always(reformed.reformer, 0.5)
        answer_always(reformed.second, 0.75)
        images, _ = batch(3)
        pixels = images.flatten(1).double().numpy()
        expected = np.stack(
            [np.sqrt(((pixels - 0.5) ** 2).sum(axis=1)), np.abs(pixels - 0.75).sum(axis=1)], axis=1
        )
        np.testing.assert_allclose(reformed.scores(images), expected, rtol=1e-5)

    def test_without_pooling_one_autoencoder_gives_both(self) -> None:
        _, _, reformed = made(pooled=False, error_norms=[1, 2])
        answer_always(reformed.reformer, 0.5)
        images, _ = batch(3)
        away = np.abs(images.flatten(1).double().numpy() - 0.5)
        expected = np.stack([away.sum(axis=1), np.sqrt((away**2).sum(axis=1))], axis=1)
        np.testing.assert_allclose(reformed.scores(images), expected, rtol=1e-5)

    def test_divergences_compare_the_image_with_its_reconstruction_at_each_temperature(self) -> None:
        _, _, reformed = made(error_norms=[], temperatures=[10, 1])
        confident(reformed)
        images, _ = batch(5)
        before, after = reformed.classifier(images), reformed.classifier(reformed.reformer(images))
        expected = np.stack(
            [jensenshannon(softmax(before, t), softmax(after, t), axis=1) ** 2 for t in (10.0, 1.0)], axis=1
        )
        assert float(expected[:, 1].max()) > 1e-3
        np.testing.assert_allclose(reformed.scores(images), expected, rtol=1e-3, atol=2e-7)

    def test_jensen_shannon_lies_between_none_and_all_and_does_not_care_for_order(self) -> None:
        first = torch.tensor([[0.0, 0.0], [80.0, 0.0], [0.0, 0.0]])
        second = torch.tensor([[3.0, 3.0], [0.0, 80.0], [math.log(3), 0.0]])
        found = jensen_shannon(first, second)
        middle = (0.625, 0.375)  # of (1/2, 1/2) and (3/4, 1/4)
        one = sum(0.5 * math.log(0.5 / m) for m in middle)
        two = 0.75 * math.log(0.75 / middle[0]) + 0.25 * math.log(0.25 / middle[1])
        np.testing.assert_allclose(found, [0, math.log(2), (one + two) / 2], atol=1e-6)
        torch.testing.assert_close(jensen_shannon(second, first), found)


class TestThresholds:
    @pytest.mark.parametrize(
        ("share", "threshold"), [(0.0, 99), (0.001, 99), (0.0099, 99), (0.01, 98), (0.29, 70), (0.999, 0)]
    )
    def test_as_many_scores_as_allowed_lie_above(self, share: float, threshold: int) -> None:
        scores = torch.randperm(100).float()
        found = highest_allowed(torch.stack([scores, -scores], dim=1), share)
        assert found.tolist() == [threshold, threshold - 99]

    def test_finish_takes_them_from_the_validation_images_each_detector_its_own(self) -> None:
        defense, trainee, reformed = made(batch_norm=True, temperatures=[10], false_positives=0.1)
        trainee.train()
        untouched = {name: value.clone() for name, value in reformed.classifier.state_dict().items()}
        defense.finish(trainee, stock(), END)
        assert reformed.training
        assert reformed.classifier.training
        found = reformed.classifier.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in untouched.items())
        scores = reformed.eval().scores(to_unit(stock().validation[0]))
        above = scores > reformed.thresholds + 1e-6 * scores.abs()
        assert above.sum(dim=0).tolist() == [3, 3, 3]

    def test_they_are_stored_with_the_network(self) -> None:
        defense, trainee, reformed = made()
        defense.finish(trainee, stock(), END)
        _, other, loaded = made()
        other.load_state_dict(trainee.state_dict())
        assert bool(loaded.thresholds.isfinite().all())
        assert torch.equal(loaded.thresholds, reformed.thresholds)

    def test_without_validation_images_there_are_none_to_set(self) -> None:
        empty = replace(stock(), validation=(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0)))
        defense, trainee, _ = made(epochs=1)
        with pytest.raises(TrainingError, match=r"validation split is empty.*detector: false"):
            defense.begin_epoch(trainee, empty, START)
        defense, trainee, _ = made(epochs=1, detector=False)
        defense.begin_epoch(trainee, empty, START)
        defense.finish(trainee, empty, END)


class TestAnswers:
    def test_refused_is_what_any_detector_finds_above_its_threshold(self) -> None:
        _, _, reformed = made()
        confident(reformed)
        images, _ = batch(4)
        scores = reformed.scores(images)
        classes = reformed(images).argmax(1)
        for detector in (0, 1):
            order = scores[:, detector].argsort()
            reformed.thresholds.fill_(torch.inf)
            reformed.thresholds[detector] = scores[order[1:3], detector].mean()
            answers = reformed.answers(images)
            expected = classes.clone()
            expected[order[2:]] = REFUSED
            assert torch.equal(answers.classes, expected)
            assert torch.equal(answers.logits, reformed(images))
            assert list(answers.features) == ["layer3", "layer4", "layer5"]

    def test_otherwise_it_is_the_class_of_the_reconstruction(self) -> None:
        _, _, reformed = made(detector=False)
        confident(reformed)
        answer_always(reformed.reformer, 0.9)
        images, _ = batch(12)
        grey = int(reformed.classifier(torch.full((1, 1, 8, 8), 0.9)).argmax())
        assert bool((reformed.classifier(images).argmax(1) != grey).any())
        assert reformed.answers(images).classes.tolist() == [grey] * 12
        assert reformed.thresholds.shape == (0,)

    def test_before_training_nothing_is_refused(self) -> None:
        _, _, reformed = made(temperatures=[10, 40])
        assert reformed.thresholds.tolist() == [torch.inf] * 4
        assert not bool((reformed.answers(batch()[0]).classes == REFUSED).any())

    def test_an_answer_does_not_depend_on_the_other_images(self) -> None:
        defense, trainee, reformed = made(temperatures=[10], false_positives=0.4)
        defense.finish(trainee, stock(), END)
        images, _ = batch(30)
        whole = reformed.answers(images).classes
        assert 0 < int((whole == REFUSED).sum()) < 30
        assert torch.equal(
            torch.cat([reformed.answers(part).classes for part in torch.split(images, 7)]), whole
        )


class TestViews:
    def test_joint_differentiates_the_reformer_and_bpda_takes_it_for_the_identity(self) -> None:
        defense, trainee, reformed = made()
        confident(reformed)
        trainee.double()
        images, labels = (value.double() if value.is_floating_point() else value for value in batch(3))
        views = defense.attack_losses(trainee)
        assert tuple(views) == Settings.attack_losses == ("bpda", "joint", "detectors")
        del views["detectors"]
        shown = images.clone().requires_grad_(True)
        losses = {name: view(shown, labels) for name, view in views.items()}
        expected = nn.functional.cross_entropy(
            reformed.classifier(reformed.reformer(images)), labels, reduction="none"
        )
        gradients = {}
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected)
            gradients[name] = torch.autograd.grad(loss.sum(), shown)[0]
        torch.manual_seed(0)
        direction = torch.randn_like(images)
        with torch.no_grad():
            ahead, behind = (views["joint"](images + step * direction, labels) for step in (1e-6, -1e-6))
        slopes = {name: (g * direction).flatten(1).sum(dim=1) for name, g in gradients.items()}
        torch.testing.assert_close((ahead - behind) / 2e-6, slopes["joint"], rtol=1e-3, atol=1e-7)
        at = reformed.reformer(images).requires_grad_(True)
        loss = nn.functional.cross_entropy(reformed.classifier(at), labels)
        torch.testing.assert_close(gradients["bpda"], 3 * torch.autograd.grad(loss, at)[0])
        assert not torch.allclose(gradients["bpda"], gradients["joint"])

    def test_detectors_is_the_margin_less_what_each_detector_finds_above_its_threshold(self) -> None:
        defense, trainee, reformed = made(temperatures=[10])
        confident(reformed)
        trainee.double()
        images, labels = (value.double() if value.is_floating_point() else value for value in batch(9))
        scores = reformed.scores(images)
        reformed.thresholds.copy_(scores.median(dim=0).values * torch.tensor([1.0, 0.9, 1.2]))
        view = defense.attack_losses(trainee)["detectors"]
        assert view.accepted
        logits = reformed.classifier(reformed.reformer(images)).detach().numpy()
        over = scores.numpy() / reformed.thresholds.numpy() - 0.98
        spread = logits.std(axis=1, ddof=1)
        rest = -0.25 * spread * np.where(over > 0, over, 0).sum(axis=1)
        own = logits[np.arange(9), labels.numpy()]
        others = np.where(np.arange(3) == labels.numpy()[:, None], -np.inf, logits).max(axis=1)
        lead = own - others + 0.02 * spread
        assert (over > 0).any(axis=0).all()
        assert not (over > 0).all(axis=0).any()
        assert 0 < (lead > 0).sum() < 9
        np.testing.assert_allclose(
            view(images, labels).detach(), rest - np.where(lead > 0, lead, 0.01 * lead), rtol=1e-9
        )
        np.testing.assert_allclose(
            view.with_form(margin)(images, labels).detach(), others - own + rest, rtol=1e-9
        )

    def test_detectors_differentiates_the_scores_and_the_reformer(self) -> None:
        """Against the same formulas written out; of the divergence as entropy of the mean less mean entropy."""
        defense, trainee, reformed = made(temperatures=[2])
        confident(reformed)
        trainee.double()
        images, labels = (value.double() if value.is_floating_point() else value for value in batch(4))
        reformed.thresholds.copy_(reformed.scores(images).amin(dim=0) / 2)
        assert reformed.second is not None
        shown = images.clone().requires_grad_(True)
        _, penalty = defense.attack_losses(trainee)["detectors"].parts(shown, labels)
        assert penalty is not None
        (found,) = torch.autograd.grad(penalty.sum(), shown)
        shown = images.clone().requires_grad_(True)
        rebuilt = reformed.reformer(shown)
        before, after = (reformed.classifier(x) for x in (shown, rebuilt))
        one, two = ((x / 2).softmax(dim=1) for x in (before, after))
        entropies = [-(p * p.log()).sum(dim=1) for p in ((one + two) / 2, one, two)]
        scores = [
            (shown - rebuilt).square().flatten(1).sum(dim=1).sqrt(),
            (shown - reformed.second(shown)).abs().flatten(1).sum(dim=1),
            entropies[0] - (entropies[1] + entropies[2]) / 2,
        ]
        total = sum(score / threshold for score, threshold in zip(scores, reformed.thresholds, strict=True))
        spread = after.detach().std(dim=1)
        (expected,) = torch.autograd.grad((-0.25 * spread * total).sum(), shown)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))

    def test_detectors_has_little_to_gain_from_a_wrong_and_accepted_image(self) -> None:
        defense, trainee, reformed = made(temperatures=[10])
        confident(reformed)
        images, _ = batch(6)
        reformed.thresholds.copy_(2 * reformed.scores(images).amax(dim=0))
        wrong = reformed(images).argmin(dim=1)
        view = defense.attack_losses(trainee)["detectors"]
        images.requires_grad_()
        found, more = (
            torch.autograd.grad(loss(images, wrong).sum(), images)[0]
            for loss in (view, view.with_form(margin))
        )
        torch.testing.assert_close(found, 0.01 * more)

    def test_detectors_does_not_mind_the_scale_of_the_logits(self) -> None:
        """Else the detectors would weigh nothing beside a network that is ten times as sure."""
        defense, trainee, reformed = made()
        confident(reformed)
        trainee.double()
        images, labels = (value.double() if value.is_floating_point() else value for value in batch(6))
        reformed.thresholds.copy_(reformed.scores(images).amin(dim=0) / 2)
        view = defense.attack_losses(trainee)["detectors"]
        before = view(images, labels)
        with torch.no_grad():
            for name, parameter in reformed.classifier.named_parameters():
                if name.startswith("classify."):
                    parameter.mul_(10)
        torch.testing.assert_close(view(images, labels), 10 * before)

    @pytest.mark.parametrize("threshold", [0.0, torch.inf])
    def test_detectors_stays_finite_at_any_threshold(self, threshold: float) -> None:
        defense, trainee, reformed = made(temperatures=[10, 40])
        images, labels = batch(4)
        reformed.thresholds.fill_(threshold)
        loss = defense.attack_losses(trainee)["detectors"](images.requires_grad_(), labels)
        (gradient,) = torch.autograd.grad(loss.sum(), images)
        assert bool(loss.isfinite().all())
        assert bool(gradient.isfinite().all())
        assert bool(gradient.any())

    def test_without_detectors_it_is_the_margin_alone(self) -> None:
        defense, trainee, _ = made(detector=False)
        images, labels = batch(5)
        _, penalty = defense.attack_losses(trainee)["detectors"].parts(images, labels)
        assert penalty is not None
        assert not bool(penalty.any())


def test_who_evades_the_detectors_gets_wrong_answers_where_others_are_refused() -> None:
    """Carlini and Wagner 2017: what `joint` makes wrong is refused; of the same images this one's are accepted."""
    defense, trainee = learned()
    images, labels = batch(60)
    clean = judge.classes(trainee, images, 60, "cpu")
    wrong = {}
    for name, view in defense.attack_losses(trainee).items():
        engine = AttackEngine(
            trainee, device="cpu", batch_size=60, seed=0, skip_misclassified=True, attack_loss=view
        )
        settings = pgd.Settings(epsilons=(0.4,), steps=20, step_size=0.125, early_stop=True)
        (classes,) = engine.run("pgd", settings, images, labels, clean).predictions.values()
        wrong[name] = int(((classes != labels) & (classes != REFUSED)).sum())
    assert wrong["detectors"] > 2 * wrong["joint"] + 10


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"error_norms": [3]}, "1 or 2"),
            ({"error_norms": [1, 1]}, "error_norms should name each detector once"),
            ({"temperatures": [10, 10]}, "temperatures should name each detector once"),
            ({"temperatures": [0]}, "greater than 0"),
            ({"error_norms": []}, "write detector: false for none"),
            ({"false_positives": 1}, "less than 1"),
            ({"noise": -0.1}, "greater than or equal to 0"),
            ({"channels": 0}, "greater than or equal to 1"),
            ({"detectors": True}, "unknown key 'detectors'; did you mean 'detector'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    def test_the_reformer_alone_needs_no_detectors(self) -> None:
        assert Settings(detector=False, error_norms=()).key("magnet") == "magnet"
        assert Settings().relative_cost() == 1

    def test_another_s_trainee_is_refused(self) -> None:
        with pytest.raises(TypeError, match="not built by magnet"):
            reformed_of(build_tiny(PlainDefense()))
