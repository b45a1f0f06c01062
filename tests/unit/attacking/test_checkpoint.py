"""An attack job that was stopped goes on to what an undisturbed one makes, without doing again what is kept."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import checkpoint, judge
from reproof.attacking.batch import Batch
from reproof.attacking.engine import AttackEngine, AttackResult
from reproof.attacking.gradient import Tally, counting, usable
from reproof.attacking.image_noise import ImageNoise
from reproof.models.defense import Trainee
from tests.ours import needs
from tests.smallest import attack_settings, attacked, make
from tests.tiny_classifier import make_data

KINDS = registry.names("attacks")


class Halted(BaseException):
    """A job that is killed: nothing catches it on the way."""


class Drawing(nn.Module):
    """A small network that adds noise to what it is shown, from the global generator."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))

    def forward(self, images: Tensor) -> Tensor:
        shift = self.noise * torch.randn(images.shape).to(images) if self.noise else 0
        logits: Tensor = self.body(images + shift)
        return logits


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each step as soon as it is done."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """Return what counts, from its call on, the steps that are done, and halts after so many."""
    done: list[int] = [0]
    limit: list[int | None] = [None]
    real = checkpoint.Checkpoint.step

    def step(self: checkpoint.Checkpoint, make: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        def counting_make(shown: Batch) -> Tensor:
            if done[0] == limit[0]:
                raise Halted
            done[0] += 1
            return make(shown)

        return real(self, counting_make, batch)

    def begin(most: int | None) -> list[int]:
        done[0], limit[0] = 0, most
        return done

    monkeypatch.setattr(checkpoint.Checkpoint, "step", step)
    return begin


Run = Callable[[], AttackResult]


def same(first: AttackResult, second: AttackResult) -> None:
    """Assert that two results differ in nothing but the clock."""
    for name, images in first.images.items():
        assert torch.equal(images, second.images[name]), name
        assert torch.equal(first.predictions[name], second.predictions[name])
    for what in ("unchanged", "attacked", "zero_gradients", "gradients", "taken", "batch_size"):
        assert getattr(first, what) == getattr(second, what), what


def goes_on(run: Run, folder: Path, counted: Callable[[int | None], list[int]]) -> None:
    """Assert that a run that is stopped twice ends as one that never was, and does no step again that was kept."""
    expected = run()
    with checkpoint.going_on(folder, "run") as kept:
        steps = counted(None)
        same(expected, run())
        total = steps[0]
        kept.discard()
    done = 0
    for most in (1, total // 2) if total > 2 else (1,):
        steps = counted(most)
        with pytest.raises(Halted), checkpoint.going_on(folder, "run"):
            run()
        done += steps[0]
    steps = counted(None)
    with checkpoint.going_on(folder, "run") as kept:
        same(expected, run())
        kept.discard()
    assert done + steps[0] <= total + 2, "only steps that hold others were begun before"
    assert not folder.exists()


@functools.cache
def pictures() -> Tensor:
    return (torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 1.5 - 0.25).clamp(0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_goes_on_where_it_was_stopped(
    kind: str, tmp_path: Path, counted: Callable[[int | None], list[int]]
) -> None:
    """On a network that draws: the generator is as the kept steps left it."""
    net, images = Drawing(0.05).eval(), pictures()
    labels = judge.classes(Drawing(0).eval(), images, 6, "cpu")
    settings = attack_settings(kind)
    if kind == "autoattack":  # all of its parts are steps of their own
        settings = settings.model_copy(update={"queries": 5})
    elif "epsilons" in type(settings).model_fields:
        settings = settings.model_copy(update={"epsilons": [0.02, 0.1]})

    def run() -> AttackResult:
        engine = AttackEngine(net, device="cpu", batch_size=3, seed=0, skip_misclassified=False)
        return engine.run(kind, settings, images, labels, labels)

    goes_on(run, tmp_path / "kept", counted)


@pytest.mark.parametrize("name", registry.names("defenses"))
@needs("attacks/strongest")
def test_the_composed_attack_goes_on_against_every_defense(
    name: str, tmp_path: Path, counted: Callable[[int | None], list[int]]
) -> None:
    """Those that refuse, purify, vote or draw too: what was judged between the steps is judged again, and alike."""
    defense = make(name)
    trainee: Trainee = attacked(defense)
    images = make_data().images[:4].float() / 255
    labels = judge.classes(trainee, images, 4, "cpu")
    labels[labels < 0] = 0  # refused
    settings = attack_settings("strongest", steps=2, restarts=2, targets=1, queries=5, samples=2)

    def run() -> AttackResult:
        engine = AttackEngine(
            trainee,
            device="cpu",
            batch_size=4,
            seed=0,
            skip_misclassified=True,
            attack_losses=defense.attack_losses(trainee),
        )
        return engine.run("strongest", settings, images, labels, labels)

    goes_on(run, tmp_path / "kept", counted)


def batch(count: int = 3, first: int = 0) -> Batch:
    """Return a batch of grey images from a position on."""
    images = torch.full((count, 1, 4, 4), 0.5)
    return Batch(
        nn.Identity(), images, torch.zeros(count).long(), ImageNoise("key", range(first, first + count))
    )


def made(shown: Batch) -> Tensor:
    """Return random images; count a gradient, of which one is broken."""
    usable(torch.full((len(shown.images), 1), torch.nan))
    return shown.images + torch.rand(shown.images.shape)


def work(folder: Path, shown: Batch, decides: str = "run") -> tuple[Tensor, Tensor, Tally]:
    """Return a step's images, what the generator draws behind it, and the count of gradients."""
    torch.manual_seed(5)
    with checkpoint.going_on(folder, decides), checkpoint.within("attack"), counting() as tally:
        found = checkpoint.step(made, shown)
        return found, torch.rand(1), tally


def test_what_is_kept_leaves_all_as_the_work_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = work(tmp_path / "kept", batch())
    assert "going on" not in capsys.readouterr().err
    torch.manual_seed(6)
    again = work(tmp_path / "kept", batch())
    assert all(torch.equal(one, other) for one, other in zip(first[:2], again[:2], strict=True))
    assert first[2] == again[2] == Tally(3, 3)
    assert "going on after 1 step of attacks" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "bit", "text", "empty"])
def test_a_damaged_file_is_said_removed_and_done_again(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = work(tmp_path, batch())[0]
    (path,) = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    path.write_bytes(
        {"cut": content[:-4], "bit": flipped, "text": b"no tensors at all", "empty": b""}[damage]
    )
    assert torch.equal(work(tmp_path, batch())[0], expected)
    told = capsys.readouterr().err
    assert f"{path} is damaged" in told
    assert "going on" not in told
    work(tmp_path, batch())
    assert "is damaged" not in capsys.readouterr().err


def test_another_run_and_other_images_take_up_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work(tmp_path, batch())
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"), pytest.raises(Halted):
        checkpoint.step(halt, batch(first=7))
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("other"), pytest.raises(Halted):
        checkpoint.step(halt, batch())
    assert "another run" not in capsys.readouterr().err
    with checkpoint.going_on(tmp_path, "other"), checkpoint.within("attack"), pytest.raises(Halted):
        checkpoint.step(halt, batch())
    assert f"{tmp_path} belongs to another run" in capsys.readouterr().err
    assert not list(tmp_path.glob("*"))


def halt(shown: Batch) -> Tensor:
    raise Halted


def test_where_nothing_can_be_kept_the_attack_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    found = work(tmp_path / "file" / "kept", batch())[0]
    assert torch.equal(found, work(tmp_path / "kept", batch())[0])
    assert "The attack goes on meanwhile" in capsys.readouterr().err


def test_a_step_that_holds_others_is_kept_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outer(shown: Batch) -> Tensor:
        return checkpoint.step(made, shown) + checkpoint.step(made, shown)

    monkeypatch.setattr(checkpoint, "SECONDS", 1e9)
    with checkpoint.going_on(tmp_path, "run") as kept, checkpoint.within("attack"), counting():
        checkpoint.step(outer, batch())
        monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
        checkpoint.step(made, batch())
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    again = checkpoint.Checkpoint(tmp_path, kept.identity)
    again.load()
    assert sorted(again._known) == ["attack/0", "attack/1"]


def test_seconds_are_those_of_all_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was spared counts as it took, inside another step once."""
    start = 1e12
    clock = [start]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def slow(shown: Batch) -> Tensor:
        clock[0] += 10
        return shown.images + 0

    def outer(shown: Batch) -> Tensor:
        return checkpoint.step(slow, shown) + slow(shown)

    def stopped(shown: Batch) -> Tensor:
        checkpoint.step(slow, shown)
        raise Halted

    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"), pytest.raises(Halted):
        checkpoint.step(stopped, batch())
    assert clock[0] == start + 10
    with checkpoint.going_on(tmp_path, "run") as kept, checkpoint.within("attack"):
        checkpoint.step(outer, batch())
        assert (clock[0] - start, kept.spared) == (20, 10)
    with checkpoint.going_on(tmp_path, "run") as kept, checkpoint.within("attack"):
        checkpoint.step(outer, batch())
        assert (clock[0] - start, checkpoint.spared()) == (20, 20)
    assert checkpoint.spared() == 0


def test_without_a_checkpoint_a_step_is_just_done() -> None:
    with checkpoint.within("attack"):
        assert torch.equal(checkpoint.step(lambda shown: shown.images + 1, batch()), batch().images + 1)
