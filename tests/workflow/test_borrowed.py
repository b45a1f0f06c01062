"""A study carried to a machine without network: cut there in the middle of a training, gone on with, and brought back.

All of it on the processor: what comes back is what an undisturbed run leaves.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from reproof import artifacts, borrowed, cli
from reproof.errors import ArtifactError, StudyError, TrainingError
from reproof.plan import freshness
from reproof.plan.jobs import Plan
from reproof.plan.machine import CORE
from reproof.training import loop
from reproof.training.checkpoint import Checkpoint, History

STUDY = """\
study: tiny
alone: true
seeds: [0]
dataset: digits
datasets:
  digits: {kind: digits, image_size: 8, test_images: 20, validation_images: 1700}
architecture: {kind: cnn6, width: 0.0625}
training: {epochs: 4, batch_size: 32, optimizer: adam, learning_rate: 2e-3, checkpoint_seconds: 0}
models:
  plain: {defense: {kind: undefended}}
  other: {defense: {kind: undefended}, seed_offset: 10, training: {epochs: 1}}
attacks:
  pgd: {kind: pgd, epsilons: [0.1, 0.3], steps: 3}
suites:
  papers: {attacks: [pgd], images: 10}
threats:
  white_box: {setting: white_box, suite: papers, targets: [plain]}
"""
WORK = ("train", "attack", "evaluate")


class Place:
    """A folder that stands for a machine."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self._patch = folder, monkeypatch
        folder.mkdir(parents=True, exist_ok=True)

    def plan(self) -> Plan:
        """Go there and return the plan of the study that lies there."""
        self._patch.chdir(self.folder)
        return cli.Plan(cli.load_study([], []))

    def results(self) -> dict[str, bytes]:
        """Return what its jobs left, but for records and adversarial images."""
        found = {}
        for rule in WORK:
            for job in self.plan().jobs([rule]):
                for kind, path in job.outputs.items():
                    if kind not in ("record", "adversarial"):
                        found[path] = Path(path).read_bytes()
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path / "home", monkeypatch)
    (place.folder / "config.yaml").write_text(STUDY)
    (place.folder / "src").mkdir()
    (place.folder / "src/code.py").write_text("")
    return place


@pytest.fixture
def prepared(home: Place) -> Place:
    plan = home.plan()
    cli.do(plan.prepare("digits"), None, 1, plan)
    return home


def carry(here: Place, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    borrowed.pack(here.plan(), folder)
    there = Place(here.folder.parent / name, monkeypatch)
    borrowed.unpack(folder, borrowed.BUNDLE, there.folder)
    return there


def halt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training stand still once it has kept its second checkpoint: only the time's end stops it."""
    save = Checkpoint.save

    def halting(checkpoint: Checkpoint, history: History, elapsed: float) -> None:
        save(checkpoint, history, elapsed)
        if len(history) == 2:
            time.sleep(600)

    monkeypatch.setattr(Checkpoint, "save", halting)


@pytest.mark.release
@pytest.mark.slow
def test_a_training_cut_there_goes_on_and_ends_like_an_undisturbed_run(
    prepared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    trips = tmp_path / "trips"
    undisturbed = carry(prepared, "undisturbed", trips, monkeypatch)
    done = borrowed.run(undisturbed.plan(), cli.main, 500)
    assert [len(part) for part in (done.ended, done.cut, done.failed, done.left)] == [4, 0, 0, 0]
    expected = undisturbed.results()

    first = carry(prepared, "first", trips, monkeypatch)
    with monkeypatch.context() as patch:
        halt(patch)
        done = borrowed.run(first.plan(), cli.main, 3, first=["plain"])
    assert [job.name for job in done.cut] == ["plain seed 0"]
    assert "cut: train plain seed 0" in done.words()
    assert len(done.left) == 3
    assert borrowed.collect(first.plan(), trips)
    said = borrowed.bring(prepared.plan(), trips)
    assert "0 jobs laid" in said
    assert "begun, to go on from its checkpoint: train plain seed 0" in said
    weights = prepared.plan().train("plain", 0).outputs["model"]
    assert not Path(weights).exists()
    assert Path(weights).with_name(borrowed.CHECKPOINT).is_file()

    second = carry(prepared, "second", trips, monkeypatch)
    done = borrowed.run(second.plan(), cli.main, 500, first=["plain"], at_once=2)
    assert (len(done.ended), done.cut, done.failed, done.left) == (4, [], [], [])
    log = Path("results/tiny/logs/train/plain-seed-0.log").read_text()
    assert "resuming after epoch 2 of 4" in log
    borrowed.collect(second.plan(), trips)
    assert borrowed.bring(prepared.plan(), trips).startswith("4 jobs laid")
    assert prepared.results() == expected
    assert not Path(weights).with_name(borrowed.CHECKPOINT).exists()
    assert list(freshness.outdated(prepared.plan())) == []
    assert borrowed.bring(prepared.plan(), trips).startswith("0 jobs laid"), "nothing is laid twice"


def test_what_cannot_be_carried_is_said_before(home: Place, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="digits: is not prepared yet, and there is no network there"):
        borrowed.pack(home.plan(), tmp_path / "trips")


def test_a_folder_that_cannot_be_written_or_holds_nothing_is_named_before_any_work(
    prepared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(borrowed, "run", lambda *_: pytest.fail("jobs were begun"))
    (tmp_path / "file").touch()
    prepared.plan()
    assert cli.main(["borrow", "run", str(tmp_path / "file/trips"), "--minutes", "1"]) == 1
    assert "nothing can be written into" in capsys.readouterr().err
    assert cli.main(["borrow", "bring", str(tmp_path / "nowhere")]) == 1
    assert f"{tmp_path}/nowhere: there is no return.tar.xz.00 in it" in capsys.readouterr().err


def test_a_bundle_is_cut_into_parts_and_all_of_them_are_needed(
    prepared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips, wheels = tmp_path / "trips", tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    monkeypatch.setattr(borrowed, "PART_BYTES", 20_000)
    parts = borrowed.pack(prepared.plan(), trips, wheels)
    assert len(parts) > 2
    assert all(part.stat().st_size <= 20_000 for part in parts)
    borrowed.unpack(trips, borrowed.BUNDLE, tmp_path / "there")
    names = {str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*")}
    data = "results/tiny/data/digits.safetensors"
    assert {data, "src/code.py", "config.yaml", "arguments", "wheels/a-1-py3-none-any.whl"} <= names
    parts[-1].unlink()
    with pytest.raises(ArtifactError, match="bring all of them"):
        borrowed.unpack(trips, borrowed.BUNDLE, tmp_path / "elsewhere")


class TestWhatComesBack:
    @pytest.fixture
    def returned(self, prepared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Return the folder with what a machine brings back that trained one model."""
        there = carry(prepared, "there", tmp_path / "trips", monkeypatch)
        plan = there.plan()
        cli.do(plan.train("other", 0), None, 1, plan)
        borrowed.collect(plan, tmp_path / "trips")
        return tmp_path / "trips"

    def test_what_was_carried_there_does_not_come_back(
        self, prepared: Place, returned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert borrowed.bring(prepared.plan(), returned).startswith("1 job laid")
        there = carry(prepared, "again", tmp_path / "trips", monkeypatch)
        plan = there.plan()
        assert Path(plan.train("other", 0).outputs["model"]).is_file()
        borrowed.collect(plan, returned)
        borrowed.unpack(returned, borrowed.RETURN, tmp_path / "came")
        assert not (tmp_path / "came").exists() or not list((tmp_path / "came").rglob("*.*"))

    def test_other_settings_are_left_out(self, prepared: Place, returned: Path) -> None:
        path = prepared.folder / "config.yaml"
        path.write_text(path.read_text().replace("training: {epochs: 1}", "training: {epochs: 2}"))
        said = borrowed.bring(prepared.plan(), returned)
        assert "left out, other code or settings made it: train other seed 0" in said
        assert not Path(prepared.plan().train("other", 0).outputs["model"]).exists()

    def test_what_its_record_does_not_describe_is_refused(
        self, prepared: Place, returned: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(artifacts, "sha256", lambda path: "0" * 64)
        with pytest.raises(ArtifactError, match="is not what its record describes"):
            borrowed.bring(prepared.plan(), returned)

    def test_a_record_that_lists_a_file_of_another_folder_is_refused(
        self, prepared: Place, returned: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unpack = borrowed.unpack

        def changed(folder: Path, name: str, target: Path) -> None:
            unpack(folder, name, target)
            path = target / prepared.plan().train("other", 0).outputs["record"]
            record = artifacts.read_record(path)
            (model,) = [listed for file, listed in record["files"].items() if file == "model.safetensors"]
            path.write_text(json.dumps(record | {"files": {"../../../../config.yaml": model}}))

        monkeypatch.setattr(borrowed, "unpack", changed)
        with pytest.raises(ArtifactError, match="is no record"):
            borrowed.bring(prepared.plan(), returned)


@pytest.mark.parametrize(("seconds", "begun"), [(1e6, True), (1.0, False)])
def test_a_job_that_would_not_end_is_not_begun_but_a_training_is(
    prepared: Place, seconds: float, begun: bool
) -> None:
    plan = prepared.plan()
    ends = time.monotonic() + seconds
    Path(plan.train("plain", 0).outputs["model"]).parent.mkdir(parents=True)
    Path(plan.train("plain", 0).outputs["model"]).touch()
    attack = plan.attack("plain", 0, "papers")
    assert borrowed._may_begin(plan, attack, [], ends, CORE) == begun
    assert borrowed._may_begin(plan, plan.train("plain", 0), [], ends, CORE)
    assert not borrowed._may_begin(plan, plan.train("plain", 0), [], time.monotonic() - 1, CORE)
    assert not borrowed._may_begin(plan, attack, [plan.train("plain", 0)], ends, CORE), "it is made anew"


def test_a_job_that_fails_is_named_and_what_waits_for_it_is_left(
    prepared: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TrainingError("no reason")

    monkeypatch.setattr(loop, "train", fail)
    done = borrowed.run(prepared.plan(), cli.main, 500)
    assert [job.rule for job in done.failed] == ["train", "train"]
    assert len(done.left) == 2
    assert "failed: train plain seed 0" in capfd.readouterr().out
    assert "no reason" in Path("results/tiny/logs/train/plain-seed-0.log").read_text()
