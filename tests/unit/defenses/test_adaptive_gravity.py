from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.csv_tables import CENTROIDS, ROUNDS
from reproof.data.dataset import Dataset, to_unit
from reproof.defenses.adaptive_gravity import (
    AdaptiveGravity,
    Settings,
    Targets,
)
from reproof.errors import StudyError, TrainingError
from reproof.figures.training import Identity
from reproof.geometry import latent_space
from reproof.geometry.gravity_rounds import Student, pareto_front
from reproof.models.defense import Progress, Stock, Trainee
from reproof.plan import jobs
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.study import layers, reader
from reproof.table_schema import schema_of
from reproof.training.checkpoint import History
from reproof.training.loop import accuracy, train
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, build_tiny, make_data

LAST = Progress(9, 10, 90)
SMALL: dict[str, Any] = {"gravity": (0.5, 0.5), "gravity_unit": "distance", "threshold": 0.5}


def prepared(**options: Any) -> tuple[AdaptiveGravity, Trainee, Targets]:
    defense = AdaptiveGravity(Settings(**options))
    trainee = build_tiny(defense)
    assert isinstance(trainee.auxiliary, Targets)
    return defense, trainee, trainee.auxiliary


def training(epochs: int, **changes: Any) -> TrainingSettings:
    return TrainingSettings(
        **{"epochs": epochs, "batch_size": 32, "learning_rate": 0.03, "gradient_clip": 5.0, **changes}
    )


def run(epochs: int = 8, data: Dataset | None = None, **options: Any) -> tuple[AdaptiveGravity, Trainee]:
    defense, trainee, _ = prepared(**(SMALL | options))
    train(defense, trainee, data or make_data(), training(epochs), seed=0, progress=False)
    return defense, trainee


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def stock(data: Dataset | None = None) -> Stock:
    data = data or make_data()
    return Stock(data.select("train"), data.select("validation"), 32)


def begun(epoch: int = 0, **options: Any) -> tuple[AdaptiveGravity, Trainee, Targets]:
    """Return what stands at the beginning of the first round of a model that was not trained at all."""
    defense, trainee, targets = prepared(warmup_epochs=epoch, **options)
    defense.begin_epoch(trainee, stock(), Progress(epoch, epoch + 5, 0))
    return defense, trainee, targets


def features_by_class(trainee: Trainee, layer: str) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    images, labels = make_data().select("train")
    with torch.no_grad():
        features = trainee.classifier.features(to_unit(images))[layer].flatten(1).double().numpy()
    return [features[labels.numpy() == label] for label in range(3)]


class TestTargets:
    @pytest.mark.parametrize("force", ["eq2", "eq3"])
    def test_are_the_relocated_centroids_of_the_whole_training_split(self, force: str) -> None:
        """Eq. 2, Eq. 3 and Algorithm 1, written out once more from the features alone."""
        _, trainee, targets = begun(gravity=(2.0, 3.0), force=force)
        for name, layer, gravity in (("head", "layer5", 2.0), ("tail", "layer4", 3.0)):
            groups = features_by_class(trainee, layer)
            centroids = [group.mean(axis=0) for group in groups]
            spreads = [math.sqrt(group.var(axis=0).sum()) for group in groups]
            forces = [np.zeros_like(centroids[0]) for _ in groups]
            for i, j in itertools.permutations(range(3), 2):
                away = centroids[i] - centroids[j]
                scale = (away**2).sum() if force == "eq2" else 1.0
                forces[i] = forces[i] + spreads[i] * spreads[j] * away / scale
            longest = max(np.linalg.norm(force) for force in forces)
            expected = np.stack([c + gravity * f / longest for c, f in zip(centroids, forces, strict=True)])
            np.testing.assert_allclose(targets.get_buffer(name).numpy(), expected, rtol=1e-3, atol=1e-4)

    def test_move_apart(self) -> None:
        _, _, moved = begun(gravity=(1.0, 1.0))
        _, _, old = begun(target="teacher")
        for name in ("head", "tail"):
            assert torch.pdist(moved.get_buffer(name)).min() > torch.pdist(old.get_buffer(name)).min()
            longest = (moved.get_buffer(name) - old.get_buffer(name)).norm(dim=1).max()
            assert float(longest) == pytest.approx(1.0, rel=1e-4)

    def test_the_teacher_s_own_are_a_setting(self) -> None:
        _, trainee, targets = begun(target="teacher")
        means = [group.mean(axis=0) for group in features_by_class(trainee, "layer5")]
        np.testing.assert_allclose(targets.head.numpy(), np.stack(means), rtol=1e-4, atol=1e-5)

    def test_one_spread_per_coordinate_is_a_setting(self) -> None:
        _, trainee, targets = begun(spread="per_coordinate", gravity=(2.0, 3.0))
        images, labels = make_data().select("train")
        with torch.no_grad():
            features = trainee.classifier.features(to_unit(images))["layer5"]
        found = latent_space.masses(features, labels, 3)
        forces = latent_space.anti_gravity(found, per_coordinate=True)
        expected = latent_space.relocate(found.centroids, forces, 2.0)
        torch.testing.assert_close(targets.head, expected, rtol=1e-3, atol=1e-4)
        _, _, scalar = begun(gravity=(2.0, 3.0))
        assert not torch.allclose(scalar.head, targets.head, rtol=1e-2)

    def test_gravity_may_count_distances_of_the_first_model(self) -> None:
        defense, _, targets = begun(gravity=(0.5, 2.0), gravity_unit="distance")
        row = defense.training_log()["rounds"][0]
        expected = [0.5 * row["head_icd_mean"], 2.0 * row["tail_icd_mean"]]
        assert targets.gravity.tolist() == pytest.approx(expected, rel=1e-5)

    def test_gamma_is_the_accuracy_on_the_validation_split(self) -> None:
        data = make_data()
        defense, trainee, targets = begun()
        expected = accuracy(trainee, *data.select("validation"))
        assert float(targets.gamma) == pytest.approx(expected)
        _, _, targets = begun(accuracy_split="train")
        assert float(targets.gamma) == pytest.approx(accuracy(trainee, *data.select("train")))
        _, _, targets = begun(gamma=0.25)
        assert float(targets.gamma) == 0.25
        assert defense.training_log()["rounds"][0]["gamma"] is None

    def test_only_the_first_images_may_count(self) -> None:
        _, trainee, targets = begun(target="teacher", centroid_images=30)
        images, labels = make_data().select("train", 30)
        features = trainee.classifier.features(to_unit(images))["layer5"]
        torch.testing.assert_close(targets.head[1], features[labels == 1].mean(dim=0), rtol=1e-4, atol=1e-5)

    def test_maps_are_flattened_or_averaged(self) -> None:
        _, _, targets = begun(layers=("layer5", "layer3"), target="teacher")
        assert targets.tail.shape == (3, 6 * 4 * 4)
        _, _, averaged = begun(layers=("layer5", "layer3"), target="teacher", maps="averaged")
        torch.testing.assert_close(
            averaged.tail, targets.tail.view(3, 6, 16).mean(dim=2), rtol=1e-4, atol=1e-5
        )

    def test_the_measurement_leaves_mode_and_weights(self) -> None:
        defense = AdaptiveGravity(Settings(warmup_epochs=0))
        trainee = build_tiny(defense, batch_norm=True).train()
        before = {name: value.clone() for name, value in trainee.classifier.state_dict().items()}
        defense.begin_epoch(trainee, stock(), Progress(0, 5, 0))
        assert all(module.training for module in trainee.modules())
        assert all(torch.equal(value, before[k]) for k, value in trainee.classifier.state_dict().items())

    def test_only_the_first_epoch_of_a_round_moves_them(self) -> None:
        defense, trainee, targets = begun(rounds=1, gamma=0.5)
        before = targets.head.clone()
        targets.head.add_(1.0)
        defense.begin_epoch(trainee, stock(), Progress(1, 5, 3))
        assert torch.equal(targets.head, before + 1.0)


class TestLoss:
    def by_hand(self, **options: Any) -> tuple[AdaptiveGravity, Trainee, Targets]:
        defense, trainee, targets = prepared(**options)
        generator = torch.Generator().manual_seed(1)
        for name in ("head", "tail"):
            target = targets.get_buffer(name)
            target.copy_(torch.randn(target.shape, generator=generator))
        targets.gamma.fill_(0.75)
        return defense, trainee, targets

    def test_equations_4_to_6(self) -> None:
        defense, trainee, targets = self.by_hand()
        images, labels = batch()
        logits, features = trainee.classifier.logits_and_features(images)
        found = defense.loss(trainee, images, labels, LAST)
        for n, label in enumerate(labels.tolist()):
            scores = logits[n].detach().double().numpy()
            cross_entropy = np.log(np.exp(scores).sum()) - scores[label]
            pull = 0.0
            for layer, target in (("layer5", targets.head), ("layer4", targets.tail)):
                away = features[layer][n].detach().double().numpy() - target[label].double().numpy()
                pull += (away**2).sum() / len(away)
            assert found[n].item() == pytest.approx(0.25 * cross_entropy + 0.75 * pull, rel=1e-5)

    def test_squared_differences_may_be_summed(self) -> None:
        images, labels = batch()
        defense, trainee, targets = self.by_hand(distance="sum", gamma=1.0)
        targets.gamma.fill_(1.0)
        features = trainee.classifier.features(images)
        expected = sum(
            (features[layer] - target[labels]).square().sum(dim=1)
            for layer, target in (("layer5", targets.head), ("layer4", targets.tail))
        )
        torch.testing.assert_close(defense.loss(trainee, images, labels, LAST), expected)

    def test_the_cross_entropy_may_be_a_sum_over_the_batch(self) -> None:
        images, labels = batch()
        defense, trainee, targets = begun(gamma=0.0, cross_entropy_reduction="sum")
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(defense.joint(trainee, images, labels), 32 * plain)
        assert float(targets.cross_entropy_weight) == 32

    def test_its_gradient_leads_to_the_own_class_s_target(self) -> None:
        defense, _, targets = self.by_hand()
        features = {"layer5": torch.zeros(3, 6, requires_grad=True), "layer4": torch.zeros(3, 12)}
        labels = torch.arange(3)
        pull = defense.pull(targets, features, labels).sum()
        (gradient,) = torch.autograd.grad(pull, features["layer5"])
        cosine = torch.cosine_similarity(-gradient, targets.head, dim=1)
        torch.testing.assert_close(cosine, torch.ones(3))

    def test_of_several_centroids_the_nearest_of_the_class_draws(self) -> None:
        defense, _, targets = prepared(centroids_per_class=2)
        targets.head.copy_(torch.tensor([10.0, 1.0, 0.1, 4.0, 0.1, 0.1]).unsqueeze(1).expand(6, 6))
        features = {"layer5": torch.zeros(3, 6), "layer4": torch.zeros(3, 12)}
        pull = defense.pull(targets, features, torch.arange(3))
        torch.testing.assert_close(pull, torch.tensor([1.0, 0.01, 0.01]))

    def test_before_the_first_round_it_is_the_cross_entropy(self) -> None:
        defense, trainee, _ = self.by_hand(warmup_epochs=4)
        images, labels = batch()
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, images, labels, Progress(3, 10, 0)), plain)
        assert not torch.allclose(defense.loss(trainee, images, labels, Progress(4, 10, 0)), plain)

    def test_the_views_are_the_loss_and_its_distances(self) -> None:
        defense, trainee, _ = self.by_hand()
        images, labels = batch()
        views = defense.attack_losses(trainee)
        joint, centroids = views["joint"](images, labels), views["centroids"](images, labels)
        assert torch.equal(joint, defense.loss(trainee, images, labels, LAST))
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(joint, 0.25 * plain + 0.75 * centroids)


class TestRounds:
    @pytest.mark.parametrize(
        ("options", "epochs", "starts"),
        [
            ({"warmup_epochs": 0.3, "rounds": 50}, 10, [3, 4, 5, 6, 7, 8, 9]),
            ({"warmup_epochs": 4, "rounds": 3}, 10, [4, 6, 8]),
            ({"warmup_epochs": 3, "rounds": 3}, 10, [3, 5, 7]),
            ({"warmup_epochs": 0, "rounds": 2}, 5, [0, 2]),
            ({"warmup_epochs": 4, "rounds": 50, "epochs_per_round": 2}, 11, [5, 7, 9]),
            ({"warmup_epochs": 2, "rounds": 2, "epochs_per_round": 3}, 20, [14, 17]),
            ({"warmup_epochs": 5}, 5, []),
            ({"warmup_epochs": 9}, 5, []),
            ({"warmup_epochs": 4, "epochs_per_round": 2}, 5, []),
        ],
    )
    def test_share_the_epochs_after_the_warm_up(
        self, options: dict[str, Any], epochs: int, starts: list[int]
    ) -> None:
        assert Settings(**options).round_starts(epochs) == starts

    def test_fifty_of_them_differ_by_one_epoch_at_most(self) -> None:
        starts = Settings().round_starts(350)
        lengths = {after - before for before, after in itertools.pairwise([*starts, 350])}
        assert (len(starts), starts[0], lengths) == (50, 105, {4, 5})

    def test_the_record_has_a_row_per_round_and_one_of_the_first_model(self) -> None:
        defense, trainee = run(rounds=3, warmup_epochs=2)
        rows = defense.training_log()["rounds"]
        assert [row["round"] for row in rows] == [0, 1, 2, 3]
        assert [row["epoch"] for row in rows] == [2, 4, 6, 8]
        assert [row["gamma"] for row in rows[1:]] == [row["accuracy"] for row in rows[:-1]]
        assert sum(row["chosen"] for row in rows) == 1
        (chosen,) = [row for row in rows if row["chosen"]]
        assert chosen["round"] > 0
        assert chosen["pareto"] == chosen["passed"] == 1
        assert chosen["accuracy"] == accuracy(trainee, *make_data().select("validation"))
        assert all((row["pgd_accuracy"] is None) != bool(row["pareto"]) for row in rows) or (
            sum(row["pareto"] for row in rows) == 1
        )

    def test_the_log_is_of_the_tables_that_figures_read(self) -> None:
        defense, _ = run(rounds=3, warmup_epochs=2)
        restored, _, _ = prepared(**SMALL, rounds=3, warmup_epochs=2)
        restored.restore(defense.state())
        for log in (defense.training_log(), restored.training_log()):
            for declared in (ROUNDS, CENTROIDS):
                rows = log[declared.name]
                made = [(column.name, column.kind) for column in schema_of(declared.name, rows).columns]
                assert made == [(column.name, column.kind) for column in declared.columns]
                assert declared.text_of_rows(rows) == declared.text(declared.frame(rows))

    def test_they_move_the_classes_apart(self) -> None:
        """Without the cross-entropy it is the force alone that does it, and old targets do nothing."""
        gains = {}
        for target in ("moved", "teacher"):
            defense, _ = run(12, rounds=4, warmup_epochs=4, target=target, round=4, gamma=1.0)
            rows = defense.training_log()["rounds"]
            gains[target] = [rows[-1][key] / rows[1][key] for key in ("head_icd_min", "tail_icd_min")]
        assert min(gains["moved"]) > 1.4
        assert max(gains["teacher"]) < 1.2

    def test_features_end_nearer_to_their_targets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        defense, trainee, targets = prepared(**SMALL, rounds=1, warmup_epochs=4)
        seen = []
        original = defense.joint

        def joint(trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad():
                features = trainee.classifier.features(images)
                seen.append(defense.pull(targets, features, labels).mean().item())
            return original(trainee, images, labels)

        monkeypatch.setattr(defense, "joint", joint)
        train(defense, trainee, make_data(), training(12), seed=0, progress=False)
        assert seen[-1] < 0.5 * seen[0]

    def test_the_chosen_round_s_weights_and_targets_come_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        snapshots = {}
        for number in (1, 2, 3):
            defense, trainee = run(rounds=3, warmup_epochs=2, round=number)
            snapshots[number] = {name: value.clone() for name, value in trainee.state_dict().items()}
            assert [row["chosen"] for row in defense.training_log()["rounds"]].index(1) == number
        assert not torch.equal(snapshots[1]["auxiliary.head"], snapshots[2]["auxiliary.head"])
        # A run that ends with the first round leaves the same weights behind.
        defense, trainee, _ = prepared(**SMALL, rounds=3, warmup_epochs=2)
        stopped: dict[str, Tensor] = {}
        original = defense.begin_epoch

        def begin(trainee: Trainee, stock: Stock, progress: Progress) -> None:
            if progress.epoch == 4:
                stopped.update({name: value.clone() for name, value in trainee.state_dict().items()})
            original(trainee, stock, progress)

        monkeypatch.setattr(defense, "begin_epoch", begin)
        train(defense, trainee, make_data(), training(8), seed=0, progress=False)
        assert all(torch.equal(value, snapshots[1][name]) for name, value in stopped.items())
        (chosen,) = [row["round"] for row in defense.training_log()["rounds"] if row["chosen"]]
        assert all(torch.equal(value, snapshots[chosen][k]) for k, value in trainee.state_dict().items())

    def test_a_student_may_start_from_the_first_weights(self) -> None:
        defense, trainee, _ = prepared(**SMALL, warmup_epochs=1, student_start="initial")
        first = {name: value.clone() for name, value in trainee.classifier.state_dict().items()}
        defense.begin_epoch(trainee, stock(), Progress(0, 3, 0))
        with torch.no_grad():
            for parameter in trainee.classifier.parameters():
                parameter.add_(0.1)
        defense.begin_epoch(trainee, stock(), Progress(1, 3, 3))
        assert all(torch.equal(value, first[k]) for k, value in trainee.classifier.state_dict().items())

    def test_trains_with_several_centroids_and_adversarial_examples(self) -> None:
        chosen = AdversarialTraining(attack="fgsm", epsilon=(0.0, 0.1), augment=True, objective="defense")
        defense, trainee, _ = prepared(**SMALL, warmup_epochs=2, rounds=2, centroids_per_class=2)
        history = train(
            defense, trainee, make_data(), training(6, adversarial=chosen), seed=0, progress=False
        )
        assert all(math.isfinite(row["loss"]) for row in history)
        rows = defense.training_log()["centroids"]
        assert [row["class"] for row in rows[:6]] == [0, 0, 1, 1, 2, 2]


class TestChoice:
    def scored(self, points: list[tuple[float, float, float]], **options: Any) -> AdaptiveGravity:
        """Return a defense that has seen rounds of these (accuracy, ICD, ICC), and holds what it must."""
        defense, trainee, targets = prepared(**options)
        for number, (right, icd, icc) in enumerate([(1.0, 1e6, 1e-6), *points]):
            targets.gamma.fill_(number)
            mass = latent_space.Masses(
                torch.tensor([[0.0], [icd], [-icd]]), torch.full((3, 1), icc / 3), torch.arange(3)
            )
            defense._record(trainee, Student((mass, mass), right), number)
        return defense

    def test_the_front_agrees_with_brute_force(self) -> None:
        generator = np.random.default_rng(0)
        for size in (1, 2, 5, 40):
            points = [tuple(map(float, pair)) for pair in generator.integers(0, 6, size=(size, 2))]
            expected = []
            for index, (gain, cost) in enumerate(points):
                better = [(g, c) for g, c in points if g >= gain and c <= cost and (g, c) != (gain, cost)]
                if not better:
                    expected.append(index)
            assert pareto_front([(gain, cost) for gain, cost in points]) == expected

    @pytest.mark.parametrize("seed", range(4))
    def test_what_is_held_is_the_front_of_all_rounds_at_every_time(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        points = [
            (float(a), float(d), float(c))
            for a, d, c in zip(
                generator.integers(5, 10, 12) / 10,
                generator.uniform(1, 5, 12),
                generator.uniform(1, 5, 12),
                strict=True,
            )
        ]
        for length in range(1, 13):
            defense = self.scored(points[:length], threshold=0.9)
            able = [n for n, point in enumerate(points[:length]) if point[0] >= 0.9]
            best = max(point[0] for point in points[:length])
            able = able or [n for n, point in enumerate(points[:length]) if point[0] == best]
            front = pareto_front([(points[n][1], points[n][2]) for n in able])
            assert set(defense.rounds.held) == {able[index] + 1 for index in front}
            for number, weights in defense.rounds.held.items():
                assert weights["auxiliary.gamma"].item() == number

    def test_the_first_model_is_never_chosen(self) -> None:
        assert set(self.scored([(0.95, 1.0, 5.0)], threshold=0.9).rounds.held) == {1}

    def test_below_the_threshold_the_most_accurate_are_held(self) -> None:
        points = [(0.7, 9.0, 1.0), (0.8, 2.0, 2.0), (0.8, 3.0, 3.0), (0.6, 9.0, 1.0)]
        assert set(self.scored(points, threshold=0.9).rounds.held) == {2, 3}
        assert set(self.scored([*points, (0.9, 1.0, 9.0)], threshold=0.9).rounds.held) == {5}

    def test_a_fixed_round_is_held_alone(self) -> None:
        points = [(0.95, 1.0, 5.0), (0.2, 1.0, 9.0), (0.99, 3.0, 1.0)]
        assert set(self.scored(points, threshold=0.9, round=2).rounds.held) == {2}

    def test_pgd_chooses_the_round_that_withstands_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        defense = self.scored([(0.9, 1.0, 1.0), (0.9, 2.0, 2.0), (0.9, 3.0, 3.0)], threshold=0.0)
        trainee = build_tiny(defense)
        gamma = trainee.auxiliary.get_buffer("gamma").fill_(4)  # tells the rounds apart
        measured = {1: 0.4, 2: 0.6, 3: 0.6, 4: 0.1}
        monkeypatch.setattr(defense, "_accuracy_under_pgd", lambda *_: measured[int(gamma)])
        defense.finish(trainee, stock(), Progress(5, 5, 15))
        assert [row["round"] for row in defense.rounds.rows if row["chosen"]] == [2]
        assert [row["pgd_accuracy"] for row in defense.rounds.rows[1:4]] == [0.4, 0.6, 0.6]
        assert int(gamma) == 2

    def test_pgd_counts_what_is_right_clean_and_attacked(self) -> None:
        data = make_data()
        trained, trainee = run(6, warmup_epochs=3, rounds=1)
        scores = []
        for epsilon in (1e-6, 0.05, 0.6):
            defense = AdaptiveGravity(Settings(selection_epsilon=epsilon))
            torch.manual_seed(0)
            scores.append(defense._accuracy_under_pgd(trainee, stock(data)))
            torch.manual_seed(0)
            assert defense._accuracy_under_pgd(trainee, stock(data)) == scores[-1]
        assert scores[0] == accuracy(trainee, *data.select("validation"))
        assert scores[0] >= scores[1] > scores[2]
        few = AdaptiveGravity(Settings(selection_epsilon=1e-6, selection_images=7, selection_split="train"))
        assert few._accuracy_under_pgd(trainee, stock(data)) == accuracy(trainee, *data.select("train", 7))
        assert trained.training_log()["rounds"][-1]["chosen"] == 1

    def test_the_separation_is_a_setting(self) -> None:
        spread = {"smallest": [1.0, 2.0], "mean": [3.0, 2.0], "largest": [5.0, 2.0]}
        for separation, (first, second) in spread.items():
            defense = AdaptiveGravity(Settings(separation=separation, threshold=0.0))
            empty = {"passed": 1, "head_icc": 1.0, "tail_icc": 1.0, "accuracy": 1.0}
            icd = {
                f"{layer}_icd_{kind}": 0.0 for layer in ("head", "tail") for kind in ("min", "mean", "max")
            }
            rows = [empty | icd | {"round": number} for number in (0, 1, 2)]
            kind = {"smallest": "min", "mean": "mean", "largest": "max"}[separation]
            for row, value in zip(rows[1:], (first, second), strict=True):
                row |= {f"head_icd_{kind}": value, f"tail_icd_{kind}": value}
            defense.rounds.rows = rows
            assert defense.rounds.front() == {1 if first > second else 2}


class StoppedError(Exception):
    """Stands for a kill."""


class Stopping(AdaptiveGravity):
    """Is stopped in the epoch `last`, after whatever begins it."""

    last = 99

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        if progress.epoch == self.last:
            raise StoppedError
        return super().loss(trainee, images, labels, progress)


class TestCheckpoint:
    @pytest.mark.parametrize("student_start", ["teacher", "initial"])
    @pytest.mark.parametrize("stops", [[2], [4], [3, 5, 6]])
    def test_a_resumed_run_is_the_undisturbed_one(
        self, tmp_path: Path, student_start: str, stops: list[int]
    ) -> None:
        options = SMALL | {"rounds": 3, "warmup_epochs": 1, "student_start": student_start}
        checkpoint = tmp_path / "checkpoint.safetensors"

        def attempt(last: int, checkpoint: Path | None) -> tuple[AdaptiveGravity, Trainee, History]:
            defense = Stopping(Settings(**options))
            defense.last = last
            trainee = build_tiny(defense)
            chosen = training(7, checkpoint_seconds=0)
            history = train(
                defense, trainee, make_data(), chosen, seed=0, progress=False, checkpoint=checkpoint
            )
            return defense, trainee, history

        undisturbed, expected, history = attempt(99, None)
        for last in stops:
            with pytest.raises(StoppedError):
                attempt(last, checkpoint)
        defense, trainee, again = attempt(99, checkpoint)
        assert again == history
        assert all(torch.equal(value, expected.state_dict()[k]) for k, value in trainee.state_dict().items())
        assert defense.training_log() == undisturbed.training_log()

    def test_a_second_run_begins_anew(self) -> None:
        defense, trainee, _ = prepared(**SMALL, warmup_epochs=1)
        for _ in range(2):
            train(defense, trainee, make_data(), training(3), seed=0, progress=False)
            assert [row["round"] for row in defense.training_log()["rounds"]] == [0, 1, 2]

    def test_nothing_is_kept_before_the_first_round(self) -> None:
        defense, _, _ = prepared()
        assert defense.state() == {}
        assert defense.training_log() == {"rounds": [], "centroids": []}


def test_the_trace_of_centroids_is_their_place_in_the_plane() -> None:
    defense, trainee = run(6, rounds=2, warmup_epochs=2, round=2)
    rows = defense.training_log()["centroids"]
    assert len(rows) == 2 * 3 * 3
    assert [(row["round"], row["layer"], row["class"]) for row in rows[:4]] == [
        (0, "head", 0),
        (0, "head", 1),
        (0, "head", 2),
        (1, "head", 0),
    ]
    # The last round's centroids are those of the model that was kept; distances in a plane are at most theirs.
    for layer, name in (("head", "layer5"), ("tail", "layer4")):
        means = np.stack([group.mean(axis=0) for group in features_by_class(trainee, name)])
        place = np.array([(r["x"], r["y"]) for r in rows if r["layer"] == layer and r["round"] == 2])
        for i, j in itertools.combinations(range(3), 2):
            true = np.linalg.norm(means[i] - means[j])
            assert 0.3 * true < np.linalg.norm(place[i] - place[j]) <= 1.0001 * true


class TestWrongSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"layers": ("layer5", "layer5")}, "two different features"),
            ({"round": 51}, r"at most rounds \(50\)"),
            ({"round": 0}, "greater than or equal to 1"),
            ({"gravity": (0, 1)}, "greater than 0"),
            ({"gravity": (1,)}, "gravity"),
            ({"gamma": 1.5}, "less than or equal to 1"),
            ({"selection_epsilon": 0}, "greater than 0"),
        ],
    )
    def test_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"warmup_epochs": 4}, "leaves no epoch for a round; raise training.epochs"),
            ({"warmup_epochs": 1, "round": 4}, "round is 4, and the epochs after the warm-up make 3"),
            ({"centroids_per_class": 40}, "class 0 has 30 of 90 training images, and needs 40"),
            ({"centroid_images": 2}, "class 2 has 0 of 2 training images, and needs 1"),
        ],
    )
    def test_that_the_study_shows_are_refused_before_it_trains(
        self, wrong: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(TrainingError, match=message):
            run(4, **wrong)

    def test_an_empty_validation_split_says_what_to_do(self) -> None:
        data = make_data(validation=0)
        settings = training(4, validation=False)
        defense, trainee, _ = prepared(**SMALL)
        with pytest.raises(TrainingError, match="set accuracy_split and selection_split to train"):
            train(defense, trainee, data, settings, seed=0, progress=False)
        defense, trainee, _ = prepared(**SMALL, accuracy_split="train", selection_split="train")
        train(defense, trainee, data, settings, seed=0, progress=False)
        assert sum(row["chosen"] for row in defense.training_log()["rounds"]) == 1

    def test_an_unknown_layer_is_named(self) -> None:
        with pytest.raises(StudyError, match="no feature is called 'layer6'; this network's are layer3"):
            prepared(layers=("layer5", "layer6"))

    def test_a_network_with_one_feature_is_refused(self) -> None:
        classifier = TinyClassifier()
        classifier.feature_shapes = {"penultimate": (6,)}
        with pytest.raises(StudyError, match="needs two features, head and tail; found penult"):
            AdaptiveGravity(Settings()).build(classifier, DESCRIPTION)


def test_a_step_costs_the_passes_of_its_rounds() -> None:
    assert Settings(epochs_per_round=2).relative_cost() == pytest.approx(1.2)
    assert Settings().relative_cost() == pytest.approx(1.1)


def test_plan_hands_each_trace_of_each_model_to_the_drawing() -> None:
    source = layers.read_yaml(Path(__file__).parents[3] / "config.yaml")
    source["models"] = {
        "gravity": {"defense": {"kind": "adaptive_gravity"}},
        "undefended": {"defense": {"kind": "undefended"}},
        "again": {"defense": {"kind": "adaptive_gravity"}, "training": {"epochs": 8}},
    }
    source["suites"] = {"papers": source["suites"]["papers"]}
    source["threats"] = {"white_box": {"setting": "white_box", "suite": "papers"}}
    del source["surfaces"]  # of models that are no longer there
    made = jobs.Plan(reader.parse(source, [("study", source)], [], {}))
    job = made.draw()
    assert job.slice["models"]["training_logs"] == ["gravity", "again"]
    files = tuple(made.train(name, 0).outputs["training_log"] for name in ("gravity", "again"))
    assert job.inputs["training_logs"] == files
    assert Identity(*job.slice["identities"]["undefended"]) == ("digits", "cnn6", "undefended", "clean")
