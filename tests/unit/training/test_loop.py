from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof import registry
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.errors import TrainingError
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Stock, Trainee
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.training.adversarial import Batch, craft, mix_in_adversarial
from reproof.training.inner_attacks import carlini_wagner, pgd
from reproof.training.loop import accuracy, train
from reproof.training.randomness import generator_for
from reproof.training.schedule import clip_gradients, learning_rate_factor, split_batches
from tests.tiny_classifier import PlainDefense, TinyClassifier, build_tiny, make_data

CPU = torch.device("cpu")
START = Progress(0, 3, 0)


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 3, "batch_size": 16, "learning_rate": 0.05, **changes})


def run(
    defense: Defense[Any],
    training: TrainingSettings,
    *,
    seed: int = 0,
    batch_norm: bool = False,
    **options: Any,
) -> tuple[Trainee, list[dict[str, Any]]]:
    trainee = build_tiny(defense, seed=seed, batch_norm=batch_norm)
    data = options.pop("data", None) or make_data()
    return trainee, train(defense, trainee, data, training, seed=seed, progress=False, **options)


def assert_same_weights(one: Trainee, other: Trainee) -> None:
    theirs = other.state_dict()
    assert one.state_dict().keys() == theirs.keys()
    different = [name for name, value in one.state_dict().items() if not torch.equal(value, theirs[name])]
    assert different == []


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"schedule": "step"}, "needs milestones"),
            ({"milestones": [1]}, "belong to schedule step"),
            ({"schedule": "step", "milestones": [2, 1]}, "should rise"),
            ({"schedule": "step", "milestones": [1, 1]}, "should rise"),
            ({"schedule": "step", "milestones": [3]}, r"below epochs \(3\)"),
            ({"warmup_epochs": 3}, "less than epochs"),
            (
                {"adversarial": {"attack": "fgsm", "epsilon": 0.1, "warmup_epochs": 3}},
                r"adversarial.warmup_epochs should be less than epochs \(3\)",
            ),
            ({"nesterov": True, "optimizer": "adam"}, "nesterov needs"),
            ({"nesterov": True, "momentum": 0}, "nesterov needs"),
            ({"batch_size": 1}, "greater than or equal to 2"),
            ({"momentum": 1}, "less than 1"),
            ({"learning_rate": 0}, "greater than 0"),
            ({"channels_last": "yes"}, "channels_last"),
            ({"epoch": 3}, "epoch"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            settings(**wrong)

    def test_round_trip(self) -> None:
        there = settings(
            schedule="step", milestones=[1, "2.5"], adversarial={"attack": "pgd", "epsilon": "8/255"}
        )
        assert TrainingSettings.model_validate(json.loads(there.model_dump_json())) == there


class TestSchedule:
    def test_step_falls_at_the_milestones(self) -> None:
        chosen = settings(epochs=4, schedule="step", milestones=[1, 3], gamma=0.1)
        factors = [learning_rate_factor(chosen, step, 2) for step in range(8)]
        assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])

    def test_cosine_falls_from_one_to_almost_nothing(self) -> None:
        chosen = settings(epochs=4, schedule="cosine")
        factors = [learning_rate_factor(chosen, step, 10) for step in range(40)]
        assert factors[0] == 1
        assert factors[20] == pytest.approx(0.5)
        assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 39 / 40)))
        assert factors == sorted(factors, reverse=True)

    def test_warm_up_rises_linearly_and_may_be_part_of_an_epoch(self) -> None:
        chosen = settings(warmup_epochs=0.5)
        assert [learning_rate_factor(chosen, step, 8) for step in range(6)] == pytest.approx(
            [0.25, 0.5, 0.75, 1, 1, 1]
        )

    def test_history_shows_each_epoch_s_last_rate(self) -> None:
        _, history = run(PlainDefense(), settings(schedule="step", milestones=[1, 2], gamma=0.5))
        assert [row["learning_rate"] for row in history] == pytest.approx([0.05, 0.025, 0.0125])

    def test_groups_keep_the_ratio_of_their_rates(self) -> None:
        class TwoRates(PlainDefense):
            def parameter_groups(self, trainee: Trainee, learning_rate: float) -> list[dict[str, Any]]:
                last = list(trainee.classifier.classify.parameters())
                rest = [p for p in trainee.parameters() if all(p is not q for q in last)]
                return [{"params": rest, "lr": learning_rate}, {"params": last, "lr": 1e-20}]

        defense = TwoRates()
        before = build_tiny(defense).state_dict()
        trainee, _ = run(defense, settings(schedule="cosine", momentum=0))
        after = trainee.state_dict()
        assert torch.equal(before["classifier.classify.weight"], after["classifier.classify.weight"])
        assert not torch.equal(before["classifier.layer4.0.weight"], after["classifier.layer4.0.weight"])


class TestBatches:
    @pytest.mark.parametrize(
        ("count", "size", "sizes"),
        [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (3, 4, [3]), (5, 4, [5])],
    )
    def test_a_last_image_alone_joins_the_batch_before(self, count: int, size: int, sizes: list[int]) -> None:
        batches = split_batches(torch.arange(count), size)
        assert [len(batch) for batch in batches] == sizes
        assert torch.cat(batches).tolist() == list(range(count))

    def test_batch_norm_survives_a_last_batch_of_one(self) -> None:
        defense = PlainDefense()
        run(defense, settings(epochs=1), batch_norm=True, train_images=33)
        assert [len(labels) for _, _, labels in defense.seen] == [16, 17]

    def test_every_image_once_an_epoch_in_another_order_each_time(self) -> None:
        defense = PlainDefense()
        data = make_data()
        run(defense, settings(), data=data)
        per_epoch = [
            torch.cat([images for progress, images, _ in defense.seen if progress.epoch == epoch])
            for epoch in range(3)
        ]
        expected = sorted(map(tuple, to_unit(data.select("train")[0]).flatten(1).tolist()))
        for images in per_epoch:
            assert sorted(map(tuple, images.flatten(1).tolist())) == expected
        assert not torch.equal(per_epoch[0], per_epoch[1])
        assert [progress.step for progress, _, _ in defense.seen] == list(range(18))

    def test_train_images_takes_the_first_ones(self) -> None:
        defense = PlainDefense()
        data = make_data()
        run(defense, settings(epochs=1), data=data, train_images=20)
        seen = torch.cat([images for _, images, _ in defense.seen])
        expected = to_unit(data.select("train", 20)[0])
        assert sorted(map(tuple, seen.flatten(1).tolist())) == sorted(
            map(tuple, expected.flatten(1).tolist())
        )

    def test_augmentation_draws_anew_each_step(self) -> None:
        plain, augmented = PlainDefense(), PlainDefense()
        run(plain, settings(epochs=2))
        run(augmented, settings(epochs=2, augmentation="crop_flip", padding=2))
        changed = [
            (one != other).flatten(1).any(dim=1).float().mean().item()
            for (_, one, _), (_, other, _) in zip(plain.seen, augmented.seen, strict=True)
        ]
        assert min(changed) > 0.5

    def test_less_than_two_images_are_refused(self) -> None:
        with pytest.raises(TrainingError, match="at least two images"):
            run(PlainDefense(), settings(), train_images=1)


class TestLearning:
    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_learns_and_says_so_in_the_history(self, optimizer: str) -> None:
        rate = 0.05 if optimizer == "sgd" else 0.005
        data = make_data()
        trainee, history = run(
            PlainDefense(), settings(epochs=8, optimizer=optimizer, learning_rate=rate), data=data
        )
        assert [row["epoch"] for row in history] == list(range(1, 9))
        assert history[-1]["loss"] < 0.2 * history[0]["loss"]
        assert history[-1]["train_accuracy"] > 0.95
        assert history[-1]["validation_accuracy"] == accuracy(trainee, *data.select("validation")) > 0.95
        assert accuracy(trainee, *data.select("test")) > 0.95
        assert not trainee.training

    def test_one_epoch_is_what_plain_code_computes(self) -> None:
        data = make_data()
        defense = PlainDefense()
        chosen = settings(epochs=1, schedule="cosine", weight_decay=0.01, channels_last=False)
        trained, history = run(defense, chosen, data=data)
        trainee = build_tiny(defense).train()
        optimizer = torch.optim.SGD(trainee.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
        loss, correct = 0.0, 0
        for step, (_, images, labels) in enumerate(list(defense.seen)):
            optimizer.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / 6))
            logits = trainee(images)
            batch_loss = nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            batch_loss.backward()
            optimizer.step()
            loss += batch_loss.item() * len(images)
            correct += int((logits.argmax(dim=1) == labels).sum())
        assert history[0]["loss"] == pytest.approx(loss / 90, rel=1e-6)
        assert history[0]["train_accuracy"] == correct / 90
        assert_same_weights(trained, trainee)

    def test_no_validation_leaves_the_column_empty(self) -> None:
        _, history = run(PlainDefense(), settings(epochs=1, validation=False))
        assert history[0]["validation_accuracy"] is None

    def test_an_empty_validation_split_is_refused(self) -> None:
        with pytest.raises(TrainingError, match="validation: false"):
            run(PlainDefense(), settings(), data=make_data(validation=0))

    def test_same_seed_same_weights_and_the_global_generator_is_left_alone(self) -> None:
        one, first = run(PlainDefense(), settings(augmentation="crop"))
        torch.manual_seed(99)
        trainee = build_tiny(PlainDefense())
        state = torch.get_rng_state()
        second = train(
            PlainDefense(), trainee, make_data(), settings(augmentation="crop"), seed=0, progress=False
        )
        assert torch.equal(torch.get_rng_state(), state)
        assert_same_weights(one, trainee)
        assert first == second
        other = build_tiny(PlainDefense())
        train(PlainDefense(), other, make_data(), settings(augmentation="crop"), seed=1, progress=False)
        assert not torch.equal(other.classifier.classify.weight, one.classifier.classify.weight)

    def test_channels_last_trains_alike_and_leaves_storable_weights(self) -> None:
        one, _ = run(PlainDefense(), settings(epochs=1, channels_last=False))
        other, _ = run(PlainDefense(), settings(epochs=1))
        assert all(value.is_contiguous() for value in other.state_dict().values())
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-3, atol=1e-5)

    def test_bfloat16_learns_and_keeps_float32_weights(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        slow = {"architecture": "x86_64", "amx_bf16": False}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: slow)
        trainee, history = run(PlainDefense(), settings(epochs=8, precision="bfloat16"))
        assert capsys.readouterr().err.count("float32 would be faster") == 1
        assert history[-1]["train_accuracy"] > 0.95
        assert {value.dtype for value in trainee.parameters()} == {torch.float32}

    def test_gradient_clip_bounds_each_step(self) -> None:
        defense = PlainDefense()
        before = build_tiny(defense).state_dict()
        trainee, _ = run(defense, settings(epochs=1, momentum=0, gradient_clip=1e-3, learning_rate=1.0))
        after = trainee.state_dict()
        moved = math.sqrt(sum(float((after[name] - value).square().sum()) for name, value in before.items()))
        assert 0 < moved <= 6 * 1e-3 * 1.001

    def test_gradient_clip_bounds_each_group_by_itself(self) -> None:
        """One step by hand: a group's long gradient, (3, 4) times 100, takes nothing of another's."""
        network, centres, short = (nn.Parameter(torch.zeros(2)) for _ in range(3))
        groups = [{"params": [network]}, {"params": [centres], "lr": 0.5}, {"params": [short]}]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        network.grad, centres.grad = torch.tensor([0.0, 4.0]), torch.tensor([300.0, 400.0])
        short.grad = torch.tensor([0.3, 0.4])
        clip_gradients(optimizer, 2.0)
        optimizer.step()
        torch.testing.assert_close(network.detach(), torch.tensor([0.0, -2.0]))
        torch.testing.assert_close(centres.detach(), torch.tensor([-0.6, -0.8]))
        torch.testing.assert_close(short.detach(), torch.tensor([-0.3, -0.4]))

    def test_the_gradient_of_a_defense_s_own_parameters_leaves_the_network_s_bound_alone(self) -> None:
        class Centred(PlainDefense):
            """Has a centre of its own, whose gradient is a million in every step."""

            def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
                centre = nn.Linear(1, 1, bias=False)
                nn.init.zeros_(centre.weight)
                return Trainee(classifier, centre)

            def parameter_groups(self, trainee: Trainee, learning_rate: float) -> list[dict[str, Any]]:
                centre = {"params": list(trainee.auxiliary.parameters()), "lr": 1.0}
                return [{"params": list(trainee.classifier.parameters()), "lr": learning_rate}, centre]

            def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
                pull = 1e6 * next(trainee.auxiliary.parameters()).sum()
                return super().loss(trainee, images, labels, progress) + pull

        chosen = settings(epochs=1, momentum=0, gradient_clip=1e-3, learning_rate=1.0)
        plain, _ = run(PlainDefense(), chosen)
        centred, _ = run(Centred(), chosen)
        for name, value in plain.classifier.state_dict().items():
            torch.testing.assert_close(centred.classifier.state_dict()[name], value)
        torch.testing.assert_close(centred.auxiliary.state_dict()["weight"], torch.full((1, 1), -6e-3))

    def test_the_bar_stays_away_where_there_is_no_terminal(self, capfd: pytest.CaptureFixture[str]) -> None:
        trainee = build_tiny(PlainDefense())
        train(PlainDefense(), trainee, make_data(), settings(epochs=1), seed=0, progress=True)
        output = capfd.readouterr()
        assert (output.out, output.err) == ("", "")


class TestFaults:
    def test_a_loss_that_is_not_finite_names_its_place(self) -> None:
        class Exploding(PlainDefense):
            def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
                losses = super().loss(trainee, images, labels, progress)
                return losses * (float("nan") if progress.step == 8 else 1.0)

        with pytest.raises(TrainingError, match=r"nan at epoch 2, step 3 of 6, learning rate 0.05; lower"):
            run(Exploding(), settings())

    def test_a_batch_that_does_not_fit_says_what_to_lower(self) -> None:
        class Hungry(PlainDefense):
            def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
                raise torch.OutOfMemoryError("out of memory")

        with pytest.raises(TrainingError, match=r"lower training.batch_size \(now 16\)"):
            run(Hungry(), settings())


class StoppedError(Exception):
    """Stands for a kill at the beginning of an epoch."""


def stopping(defense: Defense[Any], epoch: int) -> Defense[Any]:
    """Return the defense, made to raise StoppedError when it reaches the second step of an epoch."""
    original = defense.loss

    def loss(trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        if progress.epoch == epoch and progress.step % 6 == 1:
            raise StoppedError
        return original(trainee, images, labels, progress)

    defense.loss = loss
    return defense


def make_defense(name: str) -> Defense[Any]:
    if name == "plain":
        return PlainDefense()
    found = registry.load_class("defenses", name, Defense)
    settings = registry.settings_class("defenses", name)
    # A defense that trains networks of its own beside the classifier has them narrow here, and searches are short: it
    # takes seconds otherwise.
    short = {"width": 4, "latent": 8, "blocks": 2, "epochs": 4, "critic_steps": 2, "steps": 2}
    return found(settings(**{key: value for key, value in short.items() if key in settings.model_fields}))


RESUMED: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adam": {"optimizer": "adam", "learning_rate": 0.002, "schedule": "cosine"},
    "everything": {
        "channels_last": True,
        "augmentation": "crop_flip",
        "warmup_epochs": 1.5,
        "nesterov": True,
        "gradient_clip": 1.0,
        "adversarial": {"attack": "pgd", "epsilon": [0.0, 0.2], "steps": 2, "augment": True},
    },
    "warmup": {"adversarial": {"attack": "fgsm", "epsilon": 0.2, "augment": True, "warmup_epochs": 2}},
}
"""Trainings that are stopped; every defense meets the first and the fullest, the loop alone all of them."""


class TestCheckpoint:
    @pytest.mark.parametrize(
        ("defense", "kind"),
        [("plain", kind) for kind in RESUMED]
        + [(name, kind) for name in registry.names("defenses") for kind in ("sgd", "everything")],
    )
    def test_resumes_to_identical_weights_and_history(self, tmp_path: Path, defense: str, kind: str) -> None:
        short = settings(checkpoint_seconds=0, learning_rate=0.01, gradient_clip=5.0)
        chosen = short.model_dump() | RESUMED[kind]
        training = TrainingSettings.model_validate(chosen)
        expected, history = run(make_defense(defense), training, batch_norm=True)
        checkpoint = tmp_path / "checkpoint.safetensors"
        for epoch in (1, 2):
            with pytest.raises(StoppedError):
                run(stopping(make_defense(defense), epoch), training, batch_norm=True, checkpoint=checkpoint)
            assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
        resumed = PlainDefense() if defense == "plain" else make_defense(defense)
        trainee, again = run(resumed, training, batch_norm=True, checkpoint=checkpoint)
        assert_same_weights(trainee, expected)
        assert again == history
        if isinstance(resumed, PlainDefense):
            assert {progress.epoch for progress, _, _ in resumed.seen} == {2}

    def test_resumes_what_draws_from_the_global_generator(self, tmp_path: Path) -> None:
        class Dropping(PlainDefense):
            def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
                return super().loss(trainee, nn.functional.dropout(images, 0.2), labels, progress)

        training = settings(checkpoint_seconds=0)
        expected, history = run(Dropping(), training)
        checkpoint = tmp_path / "checkpoint.safetensors"
        with pytest.raises(StoppedError):
            run(stopping(Dropping(), 2), training, checkpoint=checkpoint)
        trainee, again = run(Dropping(), training, checkpoint=checkpoint)
        assert_same_weights(trainee, expected)
        assert again == history

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        path = tmp_path / "checkpoint.safetensors"
        with pytest.raises(StoppedError):
            run(stopping(PlainDefense(), 1), settings(checkpoint_seconds=0), checkpoint=path)
        return path

    def first_epoch(self, checkpoint: Path, training: TrainingSettings | None = None, **options: Any) -> int:
        defense = PlainDefense()
        run(defense, training or settings(checkpoint_seconds=0), checkpoint=checkpoint, **options)
        return defense.seen[0][0].epoch

    def test_a_good_one_is_used_and_said(self, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.first_epoch(checkpoint) == 1
        assert "resuming after epoch 1 of 3" in capsys.readouterr().err

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "no_metadata"])
    def test_a_damaged_one_is_ignored_with_a_warning(
        self, checkpoint: Path, damage: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        content = checkpoint.read_bytes()
        flipped = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
        bare = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  '
        damaged = {
            "truncated": content[: len(content) // 2],
            "flipped": flipped,
            "empty": b"",
            "text": b"not a checkpoint at all",
            "no_metadata": len(bare).to_bytes(8, "little") + bare + bytes(4),
        }
        checkpoint.write_bytes(damaged[damage])
        assert self.first_epoch(checkpoint) == 0
        error = capsys.readouterr().err
        assert "is damaged" in error
        assert "starts over" in error
        assert error.count("\n") == 1

    def test_training_goes_on_where_none_can_be_written(
        self, checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        undisturbed, kept = run(PlainDefense(), settings())[0], checkpoint.read_bytes()

        def full(tensors: object, path: Path, metadata: object) -> None:
            path.write_bytes(b"half")
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

        (checkpoint.parent / "file").touch()
        for path in (checkpoint, checkpoint.parent / "file/checkpoint.safetensors"):
            with monkeypatch.context() as patched:
                if path == checkpoint:
                    patched.setattr(safetensors.torch, "save_file", full)
                trainee, _ = run(PlainDefense(), settings(checkpoint_seconds=0), checkpoint=path)
            assert_same_weights(trainee, undisturbed)
            error = capsys.readouterr().err
            assert f"{path} could not be written (" in error
            assert "Free some space or make the folder writable" in error
        assert checkpoint.read_bytes() == kept, "the last good one stays"
        assert sorted(path.name for path in checkpoint.parent.iterdir()) == [checkpoint.name, "file"]

    def test_one_of_another_run_is_ignored_with_a_warning(
        self, checkpoint: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kept = checkpoint.read_bytes()
        others: list[tuple[TrainingSettings, dict[str, Any]]] = [
            (settings(checkpoint_seconds=0, learning_rate=0.04), {}),
            (settings(checkpoint_seconds=0), {"seed": 1}),
            (settings(checkpoint_seconds=0), {"train_images": 60}),
            (settings(checkpoint_seconds=0), {"data": make_data(seed=1)}),
            (settings(checkpoint_seconds=0), {"digest": "other code"}),
            (settings(checkpoint_seconds=0), {"batch_norm": True}),
        ]
        for training, options in others:
            checkpoint.write_bytes(kept)
            assert self.first_epoch(checkpoint, training, **options) == 0
            assert "belongs to another run" in capsys.readouterr().err

    def test_how_often_one_is_written_decides_nothing(self, checkpoint: Path) -> None:
        assert self.first_epoch(checkpoint, settings(checkpoint_seconds=1000)) == 1

    def test_none_is_written_before_its_time_and_orphans_go(self, tmp_path: Path) -> None:
        orphan = tmp_path / ".checkpoint.safetensors.123.partial"
        orphan.touch()
        run(PlainDefense(), settings(), checkpoint=tmp_path / "checkpoint.safetensors")
        assert list(tmp_path.iterdir()) == []


def final_layer(trainee: Trainee) -> nn.Linear:
    assert isinstance(trainee.classifier, TinyClassifier)
    return trainee.classifier.classify


class Gathering(PlainDefense):
    """Keeps a running sum of the loss in itself, draws a number before each epoch and notes every hook."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int, int]] = []
        self.stocks: list[Stock] = []
        self.total = torch.zeros(1)
        self.draws: list[float] = []

    def begin_epoch(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        self.calls.append(("begin", progress.epoch, progress.step))
        self.stocks.append(stock)
        self.draws.append(float(torch.rand(())))
        trainee.eval()
        with torch.no_grad():
            logits = trainee(to_unit(stock.train[0][:8]))
        self.total = self.total + logits.square().mean()

    def finish(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        self.calls.append(("finish", progress.epoch, progress.step))
        self.draws.append(float(torch.rand(())))
        with torch.no_grad():
            final_layer(trainee).bias.add_(self.total)

    def state(self) -> dict[str, Tensor]:
        return {"total": self.total}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.total = state["total"]

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        assert trainee.training
        if progress.step % 6 == 0:
            self.calls.append(("loss", progress.epoch, progress.step))
        return super().loss(trainee, images, labels, progress) * (1 + self.total)


class TestHooks:
    def test_each_epoch_begins_once_and_the_training_finishes_once(self) -> None:
        defense = Gathering()
        run(defense, settings())
        assert defense.calls == [
            ("begin", 0, 0),
            ("loss", 0, 0),
            ("begin", 1, 6),
            ("loss", 1, 6),
            ("begin", 2, 12),
            ("loss", 2, 12),
            ("finish", 3, 18),
        ]

    def test_what_finish_changes_is_what_is_returned(self) -> None:
        class Silenced(PlainDefense):
            def finish(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
                nn.init.zeros_(final_layer(trainee).weight)
                trainee.train()

        trainee, _ = run(Silenced(), settings(epochs=1))
        assert not final_layer(trainee).weight.any()
        assert not trainee.training

    @pytest.mark.parametrize("validation", [True, False])
    def test_the_stock_holds_both_splits_whether_or_not_the_history_validates(self, validation: bool) -> None:
        defense = Gathering()
        data = make_data()
        run(defense, settings(epochs=1, validation=validation), data=data, train_images=40)
        stock = defense.stocks[0]
        expected = (data.select("train", 40), data.select("validation"))
        for held, split in zip((stock.train, stock.validation), expected, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(held, split, strict=True))
        assert stock.batch_size == 16

    def test_hooks_draw_from_the_epoch_s_own_random_state(self) -> None:
        one, other = Gathering(), Gathering()
        run(one, settings())
        torch.manual_seed(77)
        run(other, settings())
        third = Gathering()
        run(third, settings(), seed=1)
        assert one.draws == other.draws
        assert len(set(one.draws)) == 4
        assert set(one.draws).isdisjoint(third.draws)

    @pytest.mark.parametrize("epoch", [1, 2])
    def test_what_they_gather_survives_a_stop(self, tmp_path: Path, epoch: int) -> None:
        training = settings(checkpoint_seconds=0)
        undisturbed = Gathering()
        expected, history = run(undisturbed, training)
        checkpoint = tmp_path / "checkpoint.safetensors"
        with pytest.raises(StoppedError):
            run(stopping(Gathering(), epoch), training, checkpoint=checkpoint)
        resumed = Gathering()
        trainee, again = run(resumed, training, checkpoint=checkpoint)
        assert resumed.calls[0] == ("begin", epoch, 6 * epoch)
        assert torch.equal(resumed.total, undisturbed.total)
        assert_same_weights(trainee, expected)
        assert again == history

    def test_without_the_state_the_resumed_run_is_another(self, tmp_path: Path) -> None:
        class Forgetful(Gathering):
            def restore(self, state: dict[str, Tensor]) -> None:
                assert set(state) == {"total"}

        training = settings(checkpoint_seconds=0)
        expected, _ = run(Gathering(), training)
        checkpoint = tmp_path / "checkpoint.safetensors"
        with pytest.raises(StoppedError):
            run(stopping(Forgetful(), 2), training, checkpoint=checkpoint)
        trainee, _ = run(Forgetful(), training, checkpoint=checkpoint)
        assert not torch.equal(final_layer(trainee).bias, final_layer(expected).bias)

    @pytest.mark.parametrize(
        ("chosen", "size", "crafted", "augmented"),
        [
            (None, 16, 0, False),
            ({"share": 0.25}, 16, 4, False),
            ({"share": 0.25, "augment": True}, 20, 4, True),
            ({"share": 1.0, "augment": True}, 32, 16, True),
            ({"share": 0.0, "augment": True}, 16, 0, False),
        ],
    )
    def test_progress_says_how_the_batch_is_laid_out(
        self, chosen: dict[str, Any] | None, size: int, crafted: int, augmented: bool
    ) -> None:
        clean, mixed = PlainDefense(), PlainDefense()
        run(clean, settings(epochs=1), train_images=16)
        run(mixed, settings(epochs=1, adversarial=chosen and adversarial(**chosen)), train_images=16)
        ((_, originals, _),) = clean.seen
        ((progress, images, _),) = mixed.seen
        assert (len(images), progress.crafted, progress.augmented) == (size, crafted, augmented)
        rest = originals if augmented else originals[crafted:]
        assert torch.equal(images[crafted:], rest)
        assert bool((images[:crafted] != originals[:crafted]).flatten(1).any(dim=1).all())

    def test_pgd_asks_the_defense_how_far_to_converge(self) -> None:
        class Converging(PlainDefense):
            def required_convergence(self, progress: Progress) -> float | None:
                return 1e6 if progress.epoch == 0 else None

        defense = Converging()
        trainee = build_tiny(defense).eval()
        images, labels = make_data().select("train", 10)
        clean = to_unit(images)
        chosen = adversarial(attack="pgd", steps=5, step_size=0.2, random_start=False, share=1.0)
        reached = [
            (craft(clean, labels, chosen, defense, trainee, progress, generator_for(CPU, 0)) - clean)
            .abs()
            .amax()
            .item()
            for progress in (START, Progress(1, 3, 6))
        ]
        assert reached == pytest.approx([0.02, 0.1])


class TestCarliniWagnerTraining:
    def craft(self, **changes: Any) -> tuple[Tensor, Tensor, Trainee, Tensor]:
        defense = PlainDefense()
        trainee = build_tiny(defense, batch_norm=True).train()
        images, labels = make_data().select("train", 12)
        chosen = AdversarialTraining.model_validate(
            {"attack": "carlini_wagner", "steps": 30, "share": 1.0, **changes}
        )
        clean = to_unit(images)
        return (
            craft(clean, labels, chosen, defense, trainee, START, generator_for(CPU, 0)),
            clean,
            trainee,
            labels,
        )

    def test_is_the_attack_with_hassanin_s_constants(self) -> None:
        made, clean, trainee, labels = self.craft(steps=40)
        expected = carlini_wagner(trainee.eval(), clean, labels, constant=0.1, steps=40, learning_rate=0.25)
        assert torch.equal(made, expected)
        given = self.craft(steps=40, constant=0.1, learning_rate=0.25)[0]
        assert torch.equal(made, given)

    @pytest.mark.parametrize("changes", [{"constant": 50.0}, {"learning_rate": 0.1}, {"mode": "train"}])
    def test_each_setting_reaches_it(self, changes: dict[str, Any]) -> None:
        assert not torch.equal(self.craft(**changes)[0], self.craft()[0])

    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_leaves_no_trace(self, mode: str) -> None:
        fresh = build_tiny(PlainDefense(), batch_norm=True)
        _, _, trainee, _ = self.craft(mode=mode, labels="predicted")
        assert_same_weights(trainee, fresh)
        assert all(parameter.grad is None for parameter in trainee.parameters())
        assert all(module.training for module in trainee.modules())

    def test_a_network_trains_on_it(self) -> None:
        data = make_data()
        chosen = AdversarialTraining(attack="carlini_wagner", steps=5, constant=10.0, learning_rate=0.1)
        trainee, history = run(PlainDefense(), settings(epochs=8, adversarial=chosen), data=data)
        assert accuracy(trainee, *data.select("test")) > 0.9
        assert history[-1]["loss"] < history[0]["loss"]


def adversarial(**changes: Any) -> AdversarialTraining:
    return AdversarialTraining(**{"attack": "fgsm", "epsilon": 0.1, **changes})


def mixed(chosen: AdversarialTraining, count: int = 10) -> tuple[Batch, Tensor, Tensor]:
    defense = PlainDefense()
    trainee = build_tiny(defense)
    images, labels = make_data().select("train", count)
    clean = to_unit(images)
    batch = Batch(clean.clone(), labels.clone())
    mix_in_adversarial(batch, chosen, defense, trainee, START, generator_for(CPU, 0))
    return batch, clean, labels


class TestAdversarialTraining:
    @pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 2), (0.5, 5), (1.0, 10)])
    def test_share_is_replaced(self, share: float, expected: int) -> None:
        batch, clean, labels = mixed(adversarial(share=share))
        changed = (batch.images != clean).flatten(1).any(dim=1)
        assert changed.tolist() == [True] * expected + [False] * (10 - expected)
        assert torch.equal(batch.labels, labels)

    def test_augment_adds_to_the_whole_clean_batch(self) -> None:
        batch, clean, labels = mixed(adversarial(share=0.5, augment=True))
        assert torch.equal(batch.images[5:], clean)
        assert torch.equal(batch.labels, torch.cat([labels[:5], labels]))
        distance = (batch.images[:5] - clean[:5]).flatten(1).abs().amax(dim=1)
        torch.testing.assert_close(distance, torch.full((5,), 0.1))

    @pytest.mark.parametrize("augment", [False, True])
    def test_weights_follow_kurakin_eq_1(self, augment: bool) -> None:
        batch, _, _ = mixed(adversarial(share=0.3, augment=augment, weight=0.3))
        losses = torch.arange(1.0, len(batch.labels) + 1)
        clean = len(losses) - 3
        expected = (0.3 * losses[:3].sum() + losses[3:].sum()) / (clean + 0.3 * 3)
        torch.testing.assert_close(batch.mean(losses), expected)
        assert clean == (10 if augment else 7)

    def test_equal_weights_are_the_plain_mean(self) -> None:
        batch, _, _ = mixed(adversarial())
        losses = torch.arange(10.0)
        assert batch.mean(losses) == losses.mean()

    def test_epsilon_is_drawn_per_image_from_its_range(self) -> None:
        batch, clean, _ = mixed(adversarial(epsilon=(0.05, 0.2), share=1.0), count=90)
        distance = (batch.images - clean).flatten(1).abs().amax(dim=1)
        assert 0.05 - 1e-6 <= float(distance.min()) < 0.07
        assert 0.18 < float(distance.max()) <= 0.2 + 1e-6
        assert len(distance.unique()) > 80

    @pytest.mark.parametrize("attack", ["fgsm", "pgd"])
    @pytest.mark.parametrize("mode", ["train", "eval"])
    @pytest.mark.parametrize("objective", ["cross_entropy", "defense"])
    def test_crafting_leaves_no_trace(self, attack: str, mode: str, objective: str) -> None:
        defense = PlainDefense()
        trainee = build_tiny(defense, batch_norm=True).train()
        images, labels = make_data().select("train", 12)
        clean = to_unit(images)
        kept = clean.clone()
        before = {name: value.clone() for name, value in trainee.state_dict().items()}
        chosen = adversarial(attack=attack, mode=mode, objective=objective, steps=2, labels="predicted")
        result = craft(clean, labels, chosen, defense, trainee, START, generator_for(CPU, 0))
        assert not torch.equal(result, clean)
        assert torch.equal(clean, kept)
        assert all(torch.equal(value, before[name]) for name, value in trainee.state_dict().items())
        assert all(parameter.grad is None for parameter in trainee.parameters())
        assert all(module.training for module in trainee.modules())
        norms = [
            module for module in trainee.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
        ]
        assert len(norms) == 2
        assert all(norm.track_running_stats for norm in norms)

    def test_mode_decides_which_statistics_batch_norm_uses(self) -> None:
        seen: list[bool] = []

        class Watching(PlainDefense):
            def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
                seen.append(trainee.classifier.training)
                return super().loss(trainee, images, labels, progress)

        for mode in ("train", "eval"):
            chosen = adversarial(mode=mode, objective="defense", share=1.0)
            run(Watching(), settings(epochs=1, adversarial=chosen), train_images=16)
        assert seen == [True, True, False, True]

    def test_predicted_labels_climb_away_from_the_prediction(self) -> None:
        defense = PlainDefense()
        trainee = build_tiny(defense).eval()
        images, labels = make_data().select("train", 30)
        clean = to_unit(images)
        predicted = trainee(clean).argmax(dim=1)
        assert bool((predicted != labels).any())
        results = {
            name: craft(
                clean, truth, adversarial(labels=name), defense, trainee, START, generator_for(CPU, 0)
            )
            for name, truth in (("true", predicted), ("predicted", labels))
        }
        leaked = craft(clean, labels, adversarial(), defense, trainee, START, generator_for(CPU, 0))
        assert torch.equal(results["true"], results["predicted"])
        assert not torch.equal(leaked, results["predicted"])

    def test_the_study_s_setting_wins_over_the_method_s(self) -> None:
        class Own(PlainDefense):
            def adversarial_training(self) -> AdversarialTraining:
                return adversarial(share=1.0, augment=True)

        own, given = Own(), Own()
        run(own, settings(epochs=1), train_images=16)
        run(given, settings(epochs=1, adversarial=adversarial(share=0.5, augment=True)), train_images=16)
        assert [len(labels) for _, _, labels in own.seen] == [32]
        assert [len(labels) for _, _, labels in given.seen] == [24]

    @pytest.mark.parametrize(
        ("warmup_epochs", "sizes"),
        [
            (0, [32, 32, 32, 32]),
            (1, [16, 32, 32, 32]),
            (3, [16, 16, 16, 32]),
            (0.25, [16, 32, 32, 32]),
            (0.6, [16, 16, 16, 32]),  # an epoch that has begun is clean to its end
        ],
    )
    def test_the_first_epochs_are_clean(self, warmup_epochs: float, sizes: list[int]) -> None:
        defense = PlainDefense()
        chosen = adversarial(share=1.0, augment=True, warmup_epochs=warmup_epochs)
        run(defense, settings(epochs=4, adversarial=chosen), train_images=16)
        assert [len(labels) for _, _, labels in defense.seen] == sizes
        assert [progress.crafted for progress, _, _ in defense.seen] == [size - 16 for size in sizes]

    def test_until_its_examples_come_it_is_the_clean_training(self) -> None:
        clean, warming = PlainDefense(), PlainDefense()
        run(clean, settings(epochs=1, augmentation="crop"))
        chosen = adversarial(share=1.0, warmup_epochs=1)
        run(warming, settings(epochs=2, augmentation="crop", adversarial=chosen))
        first = [images for progress, images, _ in warming.seen if progress.epoch == 0]
        assert all(torch.equal(images, seen) for images, (_, seen, _) in zip(first, clean.seen, strict=True))
        assert [progress.crafted for progress, _, _ in warming.seen[6:]] == [16] * 5 + [10]

    def test_it_makes_a_model_robust(self) -> None:
        """At epsilon 0.15, it gains at least 20 points of PGD accuracy and keeps clean accuracy above 0.9."""
        data = make_data(train=150, test=90)
        chosen = adversarial(attack="pgd", epsilon=0.15, steps=5, share=1.0)
        plain, _ = run(PlainDefense(), settings(epochs=12), data=data)
        robust, history = run(PlainDefense(), settings(epochs=12, adversarial=chosen), data=data)
        assert accuracy(robust, *data.select("test")) > 0.9
        assert pgd_accuracy(robust, data) > pgd_accuracy(plain, data) + 0.2
        assert history[-1]["train_accuracy"] > 0.7


def pgd_accuracy(trainee: Trainee, data: Dataset) -> float:
    images, labels = data.select("test")

    def loss(candidates: Tensor) -> Tensor:
        return nn.functional.cross_entropy(trainee(candidates), labels, reduction="none")

    attacked = pgd(loss, to_unit(images), torch.full((len(images),), 0.15), steps=20, step_size=0.1)
    return float((trainee(attacked).argmax(dim=1) == labels).float().mean())


@pytest.mark.parametrize(
    "losses", [torch.tensor(1.0), torch.ones(1), torch.ones(3), torch.ones(4, 10), torch.ones(4, 1)]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_loss_that_is_not_one_value_for_each_image_is_refused(losses: Tensor, weighted: bool) -> None:
    """A mean, or three values for four images, would train on without a word."""
    batch = Batch(torch.zeros(4, 1, 2, 2), torch.zeros(4, dtype=torch.long))
    batch.weights = torch.ones(4) if weighted else None
    assert batch.mean(torch.tensor([1.0, 2.0, 3.0, 6.0])) == 3
    with pytest.raises(TrainingError, match="one value for each image"):
        batch.mean(losses)
