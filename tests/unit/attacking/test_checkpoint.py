"""An attack job that was stopped goes on to what an undisturbed one makes, without doing again what is kept."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import checkpoint, judge, psnr_search
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
    with checkpoint.going_on(folder, "run"):
        steps = counted(None)
        same(expected, run())
        total = steps[0]
    checkpoint.remove(folder)
    done = 0
    for most in (1, total // 2) if total > 2 else (1,):
        steps = counted(most)
        with pytest.raises(Halted), checkpoint.going_on(folder, "run"):
            run()
        done += steps[0]
    steps = counted(None)
    with checkpoint.going_on(folder, "run"):
        same(expected, run())
    rest = steps[0]
    steps = counted(None)
    with checkpoint.going_on(folder, "run"):
        same(expected, run())
    assert steps[0] == 0, "all is kept"
    checkpoint.remove(folder)
    assert done + rest <= total + 4, "only steps that hold others were begun before, two deep"
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
    if settings.composed:
        assert any(taken.by for taken in run().taken.values())


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


@needs("attacks/pgd")
def test_seconds_of_an_attack_are_those_of_all_its_tries(
    tmp_path: Path, counted: Callable[[int | None], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten a step, whether it was done now or before: at two budgets two batches each."""
    clock, real = [1e12], checkpoint.step
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: clock[0])

    def slow(attack: Callable[[Batch], Tensor], shown: Batch) -> Tensor:
        def perturb(batch: Batch) -> Tensor:
            clock[0] += 10
            return attack(batch)

        return real(perturb, shown)

    monkeypatch.setattr(checkpoint, "step", slow)
    net, images = Drawing(0).eval(), pictures()
    labels = judge.classes(net, images, 6, "cpu")
    settings = attack_settings("pgd").model_copy(update={"epsilons": [0.02, 0.1]})
    counted(3)
    for stopped in (True, False):
        engine = AttackEngine(net, device="cpu", batch_size=3, seed=0, skip_misclassified=False)
        with checkpoint.going_on(tmp_path, "run"):
            if stopped:
                with pytest.raises(Halted):
                    engine.run("pgd", settings, images, labels, labels)
                counted(None)
                continue
            result = engine.run("pgd", settings, images, labels, labels)
    assert result.seconds == {"epsilon=0.02": 20, "epsilon=0.1": 20}


@needs("attacks/mim")
def test_a_search_for_a_psnr_takes_each_try_for_itself(
    tmp_path: Path, counted: Callable[[int | None], list[int]]
) -> None:
    net, images = Drawing(0).eval(), pictures()
    labels = judge.classes(net, images, 6, "cpu")
    settings = registry.settings_class("attacks", "mim")(epsilons=[0.1], psnrs=[25], steps=3)

    def run() -> AttackResult:
        engine = AttackEngine(net, device="cpu", batch_size=3, seed=0, skip_misclassified=False)
        return psnr_search.run_all(engine, "mim", settings, images, labels, labels, what="mim")[0]

    goes_on(run, tmp_path / "kept", counted)


@needs("attacks/square")
def test_after_running_out_of_memory_the_same_images_in_another_batch_are_another_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 4 and 5 are wrong already; rows 6 and 7 are a batch of their own once it is halved, seeded otherwise."""
    net, images = Drawing(0).eval(), torch.cat([pictures(), pictures()[:2]])
    clean = judge.classes(net, images, 8, "cpu")
    labels = clean.clone()
    labels[4:6] = (labels[4:6] + 1) % 5
    settings = attack_settings("square").model_copy(update={"epsilons": [0.02, 0.05], "queries": 30})
    square = importlib.import_module("reproof.attacks.square").RandomSquaresAttack
    real = square.perturb

    def run(failure: BaseException) -> AttackResult:
        failed: list[int] = []

        def perturb(self: Any, shown: Batch) -> Tensor:
            if shown.noise.positions[0] == 6 and shown.epsilon == 0.05 and not failed:
                failed.append(1)
                raise failure
            found: Tensor = real(self, shown)
            return found

        monkeypatch.setattr(square, "perturb", perturb)
        engine = AttackEngine(net, device="cpu", batch_size=4, seed=0, skip_misclassified=True)
        return engine.run("square", settings, images, labels, clean)

    expected = run(torch.OutOfMemoryError("none left"))
    with pytest.raises(Halted), checkpoint.going_on(tmp_path, "run"):
        run(Halted())
    with checkpoint.going_on(tmp_path, "run"):
        same(expected, run(torch.OutOfMemoryError("none left")))


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


def header_changed(content: bytes) -> bytes:
    """Return a file whose header says that another image was the first."""
    return content.replace(b"[0, 1, 2]", b"[9, 1, 2]")


def foreign(content: bytes) -> bytes:
    """Return a file whose identity has one other letter."""
    place = content.index(b"identity") + 15
    return content[:place] + (b"0" if content[place : place + 1] != b"0" else b"1") + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-4],
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        lambda content: b"no tensors at all",
        lambda content: b"",
        lambda content: safetensors.torch.save({"images": torch.zeros(3)}),
        lambda content: safetensors.torch.save({"images": torch.zeros(3)}, {"reproof": "[]"}),
        header_changed,
        foreign,
    ],
    ids=["cut", "bit", "text", "empty", "no header", "another's header", "position", "identity"],
)
def test_a_damaged_file_is_said_removed_and_done_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = work(tmp_path, batch())[0]
    (path,) = tmp_path.glob("*.safetensors")
    assert damage(path.read_bytes()) != path.read_bytes()
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(work(tmp_path, batch())[0], expected)
    told = capsys.readouterr().err
    assert f"{path} is damaged" in told
    assert "going on" not in told
    work(tmp_path, batch())
    assert "is damaged" not in capsys.readouterr().err


def test_what_cannot_be_removed_or_is_gone_by_then_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0009.safetensors").mkdir()
    expected = work(tmp_path, batch())[0]
    assert "0009.safetensors is damaged" in capsys.readouterr().err
    torch.manual_seed(5)
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"), counting() as tally:
        (tmp_path / "0010.safetensors").unlink()
        assert torch.equal(checkpoint.step(made, batch()), expected)
    assert tally == Tally(3, 3)


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
    assert f"{tmp_path} holds another run's steps" in capsys.readouterr().err
    assert not list(tmp_path.glob("*"))


def test_another_runs_file_takes_none_of_ours_with_it(tmp_path: Path) -> None:
    work(tmp_path / "other", batch(), "other")
    work(tmp_path / "ours", batch())
    (tmp_path / "other/0001.safetensors").rename(tmp_path / "ours/0002.safetensors")
    with checkpoint.going_on(tmp_path / "ours", "run"), checkpoint.within("attack"):
        checkpoint.step(halt, batch())
    assert [path.name for path in (tmp_path / "ours").iterdir()] == ["0001.safetensors"]


def halt(shown: Batch) -> Tensor:
    raise Halted


def test_where_nothing_can_be_kept_the_attack_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    found = work(tmp_path / "file" / "kept", batch())[0]
    assert torch.equal(found, work(tmp_path / "kept", batch())[0])
    told = capsys.readouterr().err
    assert "0001.safetensors could not be written ([Errno 20] Not a directory" in told
    assert "the attack goes on meanwhile" in told


def test_a_step_that_holds_others_is_kept_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In memory, and on the disk: a file goes when all that it holds is part of what another one holds."""

    def outer(shown: Batch) -> Tensor:
        return checkpoint.step(made, shown) + checkpoint.step(made, shown)

    for seconds in (1e9, 0.0):
        folder = tmp_path / f"{seconds}"
        monkeypatch.setattr(checkpoint, "SECONDS", seconds)
        with checkpoint.going_on(folder, "run"), checkpoint.within("attack"), counting():
            checkpoint.step(outer, batch())
            monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
            checkpoint.step(made, batch())
        names = [
            key
            for path in folder.iterdir()
            for key in safetensors.torch.load_file(path)
            if key.endswith("images")
        ]
        assert sorted(names) == ["attack/0:images", "attack/1:images"]
        work(folder, batch())
        assert "going on after 2 steps" in capsys.readouterr().err


def test_a_step_under_way_that_holds_others_counts_with_those_that_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def outer(shown: Batch) -> Tensor:
        checkpoint.step(made, shown)
        checkpoint.step(made, shown)
        raise Halted

    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"), pytest.raises(Halted):
        checkpoint.step(outer, batch())
    work(tmp_path, batch())
    assert "going on after 2 steps" in capsys.readouterr().err


def test_files_hold_each_step_once_and_are_never_overwritten(tmp_path: Path) -> None:
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"):
        for _ in range(3):
            checkpoint.step(made, batch())
    (tmp_path / "0001.safetensors").unlink()
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"):
        for _ in range(4):
            checkpoint.step(made, batch())
    held = {path.name: sorted(safetensors.torch.load_file(path)) for path in sorted(tmp_path.iterdir())}
    assert {name: keys[1] for name, keys in held.items()} == {
        f"000{number}.safetensors": f"attack/{step}:images"
        for number, step in ((2, 1), (3, 2), (4, 0), (5, 3))
    }
    assert {len(keys) for keys in held.values()} == {2}


def test_layouts_in_memory_come_back(tmp_path: Path) -> None:
    """Kernels may round otherwise in another one, that of a single channel too."""

    def laid_out(shown: Batch) -> Tensor:
        shown.first_gradients.at_clean = torch.rand(3, 1, 4, 4).as_strided((3, 1, 4, 4), (16, 1, 4, 1))
        return torch.rand(3, 2, 4, 4).contiguous(memory_format=torch.channels_last)

    found = []
    for _ in range(2):
        torch.manual_seed(1)
        shown = batch()
        with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"):
            images = checkpoint.step(laid_out, shown)
        assert shown.first_gradients.at_clean is not None
        found.append((images, shown.first_gradients.at_clean))
    for first, again in zip(*found, strict=True):
        assert first.stride() == again.stride()
        assert torch.equal(first, again)
    assert found[1][0].stride() == (32, 1, 8, 2)
    assert found[1][1].stride() == (16, 1, 4, 1)


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
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"):
        checkpoint.step(outer, batch())
        assert (clock[0] - start, checkpoint.spared()) == (20, 10)
    with checkpoint.going_on(tmp_path, "run"), checkpoint.within("attack"):
        checkpoint.step(outer, batch())
        assert (clock[0] - start, checkpoint.spared()) == (20, 20)
    assert checkpoint.spared() == 0


def test_without_a_checkpoint_a_step_is_just_done() -> None:
    with checkpoint.within("attack"):
        assert torch.equal(checkpoint.step(lambda shown: shown.images + 1, batch()), batch().images + 1)
