"""Whether files are what the plan expects, by their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reproof import artifacts, cli
from reproof.errors import ArtifactError
from reproof.plan import freshness
from reproof.plan.jobs import Plan
from reproof.study import reader

STUDY = """\
study: tiny
smoke: true
seeds: [0]
dataset: digits
datasets:
  digits: {kind: digits, test_images: 40, validation_images: 20}
architecture: {kind: cnn6, width: 0.0625}
training: {epochs: 1, batch_size: 128, optimizer: adam, learning_rate: 2e-3}
models:
  plain: {defense: {kind: undefended}}
  twin: {defense: {kind: undefended}, seed_offset: 1}
attacks:
  pgd: {kind: pgd, epsilons: [0.3], steps: 2}
suites:
  papers: {attacks: [pgd], images: 20}
threats:
  white_box: {setting: white_box, suite: papers}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "study.yaml").write_text(STUDY)
    return Plan(reader.load([tmp_path / "study.yaml"]), root=str(tmp_path))


def finish(plan: Plan, **changed: Any) -> None:
    """Write the record of every job, as a run would, with some facts otherwise."""
    for job in plan.jobs():
        if "record" in job.outputs:
            artifacts.write_json(Path(job.outputs["record"]), {**job.description, **changed})


def test_a_finished_study_is_what_the_plan_expects(plan: Plan) -> None:
    assert list(freshness.outdated(plan)) == [], "nothing is there yet"
    finish(plan)
    assert list(freshness.outdated(plan)) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"digest": "0"}, "the code that makes it has changed since"),
        ({"job": {}}, "the study's settings for it have changed since"),
        ({"name": "other seed 0"}, "it was made by another job (train other seed 0)"),
        ({"rule": "assemble"}, "it was made by another job (assemble plain seed 0)"),
        ({"commit": "of no weight"}, ""),
        ({"command": "another machine's path"}, ""),
    ],
)
def test_each_difference_has_its_reason(changed: dict[str, Any], reason: str, plan: Plan) -> None:
    job = plan.train("plain", 0)
    record = {**job.description, **changed}
    artifacts.write_json(Path(job.outputs["record"]), record)
    assert freshness.difference(artifacts.read_json(Path(job.outputs["record"])), job) == reason
    assert list(freshness.outdated(plan)) == ([job.outputs["record"]] if reason else [])


@pytest.mark.parametrize("damage", ["", "[]", "{", "3", "null", '{"files": null}', "[" * 100_000])
def test_a_damaged_record_is_made_anew_and_named_once(damage: str, plan: Plan) -> None:
    job = plan.train("plain", 0)
    path = Path(job.outputs["record"])
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    Path(job.outputs["model"]).write_text("weights")
    assert list(freshness.outdated(plan)) == [str(path)]
    count, (damaged,) = freshness.verify(plan)
    assert (count, f"{path} is damaged" in damaged) == (0, True)
    with pytest.raises(ArtifactError, match="is damaged"):
        freshness.check_inputs(plan, plan.attack("plain", 0, "papers"))


def test_files_that_no_record_lists_are_named(plan: Plan) -> None:
    """Two of a training's three files; and those of an evaluation whose record is gone, by that record's own name."""
    job, evaluation = plan.train("plain", 0), plan.evaluate("plain", 0, "white_box")
    weights, history = (Path(job.outputs[output]) for output in ("model", "history"))
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    listed = {weights.name: {"bytes": 7, "sha256": artifacts.sha256(weights)}}
    artifacts.write_json(Path(job.outputs["record"]), {**job.description, "files": listed})
    assert (list(freshness.outdated(plan)), freshness.verify(plan)) == ([], (1, []))
    for path in (history, Path(evaluation.outputs["outcomes"])):
        artifacts.write_text(path, "edited")
    assert list(freshness.outdated(plan)) == [job.outputs["record"]]
    count, wrong = freshness.verify(plan)
    assert count == 1
    assert [message.split(". ")[0] for message in wrong] == [
        f"{job.outputs['record']} does not list {history.name}",
        f"{evaluation.outputs['outcomes']} has no record ({evaluation.outputs['record']} is missing), "
        "so nothing says how it was made",
    ]
    artifacts.write_json(Path(job.outputs["record"]), {**job.description, "files": {}})
    assert len(freshness.verify(plan)[1]) == 3


@pytest.fixture
def loading(tmp_path: Path) -> Plan:
    """A study one of whose models has weights of somebody's own."""
    (tmp_path / "w.pt").write_bytes(b"weights")
    study = STUDY.replace("  twin: {", f"  own: {{weights: {tmp_path / 'w.pt'}}}\n  twin: {{")
    (tmp_path / "study.yaml").write_text(study)
    return Plan(reader.load([tmp_path / "study.yaml"]), root=str(tmp_path))


def finish_on(plan: Plan, data: str) -> None:
    """Write all records as of a run on a prepared data set of this SHA-256."""
    file = plan.data_path("digits")
    listed = {Path(file).name: {"sha256": data, "bytes": 1}}
    for job in [one for one in plan.jobs() if "record" in one.outputs]:
        made = {"files": listed} if job.rule == "prepare" else {}
        read = {"inputs": {file: data, "elsewhere.pt": "x"}} if file in job.inputs.get("data", ()) else {}
        artifacts.write_json(Path(job.outputs["record"]), {**job.description, **made, **read})


def test_what_was_made_from_another_split_of_the_data_is_outdated(loading: Plan) -> None:
    """Where nothing else tells: neither the slice of a model nor its own file says how the data are split."""
    finish_on(loading, "a")
    assert list(freshness.outdated(loading)) == []
    prepared = loading.prepare("digits").outputs["record"]
    record = artifacts.read_json(Path(prepared))
    record["files"][Path(loading.data_path("digits")).name]["sha256"] = "b"
    artifacts.write_json(Path(prepared), record)
    reading = [job for job in loading.jobs() if loading.data_path("digits") in job.inputs.get("data", ())]
    assert loading.load("own", 0) in reading
    assert list(freshness.outdated(loading)) == [job.outputs["record"] for job in reading]
    job, file = loading.load("own", 0), loading.data_path("digits")
    told = freshness.difference(artifacts.read_json(Path(job.outputs["record"])), job, {file: "b"})
    assert told == f"{file}, which it was made from, has been made anew since", "what the page stamps"
    finish_on(loading, "b")
    assert list(freshness.outdated(loading)) == []


def test_a_file_of_another_size_is_made_anew_and_one_byte_is_found_when_asked(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """File times may be kept by whoever damages a file: they are not looked at here."""
    job = plan.train("plain", 0)
    weights, record = Path(job.outputs["model"]), Path(job.outputs["record"])
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    listed = {weights.name: {"bytes": 7, "sha256": artifacts.sha256(weights)}}
    artifacts.write_json(record, {**job.description, "files": listed})
    attack = plan.attack("plain", 0, "papers")
    shown = {"papers.safetensors": {"bytes": 1, "sha256": "0"}}
    artifacts.write_json(Path(attack.outputs["record"]), {**attack.description, "files": shown})
    assert (list(freshness.outdated(plan)), freshness.verify(plan)) == ([], (1, []))
    assert cli.verify(plan) == 0
    assert capsys.readouterr().out == f"{plan.folder}: 1 files read, 0 not as recorded\n"
    weights.write_bytes(b"Weights")
    assert list(freshness.outdated(plan)) == []
    assert cli.verify(plan) == 1
    assert "SHA-256 differs" in capsys.readouterr().out
    with pytest.raises(ArtifactError, match="SHA-256 differs"):
        cli.keep(plan, "tiny")
    weights.write_bytes(b"weights and more")
    assert list(freshness.outdated(plan)) == [str(record)]
    weights.unlink()
    count, (missing,) = freshness.verify(plan)
    assert (count, f"{weights} is missing" in missing) == (1, True)
    record.write_text("{")
    count, (damaged,) = freshness.verify(plan)
    assert (count, f"{record} is damaged" in damaged) == (0, True)


def test_a_twin_s_weights_are_refused_as_an_input(plan: Plan) -> None:
    finish(plan)
    twin, plain = (plan.train(name, 0).outputs["record"] for name in ("twin", "plain"))
    attack = plan.attack("plain", 0, "papers")
    freshness.check_inputs(plan, attack)
    Path(plain).write_bytes(Path(twin).read_bytes())
    with pytest.raises(
        ArtifactError, match=r"model.safetensors: it was made by another job \(train twin seed 0\)"
    ):
        freshness.check_inputs(plan, attack)
    freshness.check_inputs(plan, plan.attack("twin", 0, "papers"))
