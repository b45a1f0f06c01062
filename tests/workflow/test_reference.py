"""A finished run becomes a reference run: small files that say where each number is from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from project import Project

from reproof import artifacts, reference
from reproof.csv_tables import MEASUREMENTS, RED_FLAGS, SUMMARY, VERDICTS
from reproof.errors import ArtifactError


@pytest.fixture(scope="module")
def kept(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference of the finished tiny study, moved away: a page would show it, and be another one."""
    done = finished.reproof("reference", "--name", "little")
    assert done.returncode == 0, done.stderr
    folder = tmp_path_factory.mktemp("kept") / "reference"
    (finished.path / "reference").rename(folder)
    return folder / "little"


def test_it_holds_what_was_measured_and_nothing_that_was_not(finished: Project, kept: Path) -> None:
    found = reference.read(kept)
    assert found.name == "little"
    tables = finished.path / "results/tiny/tables"
    assert found.tables["summary"].equals(SUMMARY.read(tables / "summary.csv"))
    assert found.tables["red_flags"].equals(RED_FLAGS.read(tables / "red_flags.csv"))
    verdicts = VERDICTS.read(tables / "verdicts.csv")
    judged = verdicts[verdicts["measured"].notna()]
    assert len(judged)
    assert found.tables["verdicts"].equals(judged.reset_index(drop=True))


def test_every_file_of_the_run_has_its_origin(finished: Project, kept: Path) -> None:
    found = reference.read(kept)
    weights = "results/tiny/models/plain/seed0/model.safetensors"
    record = json.loads((finished.path / "results/tiny/models/plain/seed0/record.json").read_text())
    row = found.records[weights]
    assert row["sha256"] == record["files"]["model.safetensors"]["sha256"]
    known = ("digest", "commit", "device", "dirty", "seed", "threads", "seconds")
    assert {name: row[name] for name in known} == {name: record[name] for name in known}
    assert row["command"] == f"snakemake --cores all --force {weights}"
    assert {row["rule"] for row in found.records.values()} == {
        "prepare",
        "train",
        "attack",
        "evaluate",
        "tabulate",
    }
    assert found.about["models"]["plain"]["width"] == 0.0625
    assert found.about["command"] == "snakemake --cores all"
    assert found.about["core_seconds"]["train"] > 0
    assert sum(path.stat().st_size for path in kept.iterdir()) < 500_000


def test_judged_anew_it_is_the_same_until_rules_or_numbers_change(kept: Path, tmp_path: Path) -> None:
    copy = tmp_path / "little"
    shutil.copytree(kept, copy)
    before = {path.name: path.read_text() for path in copy.iterdir()}
    assert reference.judge(copy) == before
    claims = reference.read(copy).tables["verdicts"]
    for schema in (SUMMARY, MEASUREMENTS):
        name = f"{schema.name}.csv"
        other = schema.parse(before[name], name).assign(value=0.123)
        (copy / name).write_text(schema.text(other))
    with pytest.raises(ArtifactError, match=r"(summary|measurements)\.csv is not the file"):
        reference.judge(copy)
    about = json.loads(before["about.json"])
    for name in ("summary.csv", "measurements.csv"):
        about["files"][name] = artifacts.sha256(copy / name)
    (copy / "about.json").write_text(json.dumps(about))
    reference.write(copy, reference.judge(copy))
    again = reference.read(copy).tables["verdicts"]
    assert list(again["claim_id"]) == list(claims["claim_id"])
    plain = again[again["metric"] != "failed_majorities"]
    assert set(plain["measured"]) == {0.123}


def test_it_does_not_say_where_a_machine_keeps_its_data(changeable: Project, kept: Path) -> None:
    done = changeable.reproof("reference", "--config", "data_root=/somewhere/else", "--name", "moved")
    assert done.returncode == 0, done.stderr
    moved = changeable.path / "reference/moved"
    for path in moved.iterdir():
        assert "somewhere" not in path.read_text()
    about, other = (json.loads((folder / "about.json").read_text()) for folder in (moved, kept))
    assert about["command"] == "snakemake --cores all"
    assert about["settings"] == other["settings"]
    assert "data_root" not in about["settings"]


@pytest.mark.parametrize("name", ["summary.csv", "records.csv"])
def test_an_edited_file_is_not_believed(kept: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "little"
    copy.mkdir()
    for path in kept.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert reference.read(copy).about == reference.read(kept).about
    (copy / name).write_text((copy / name).read_text().replace("0", "1", 1))
    with pytest.raises(ArtifactError, match=rf"{name} is not the file .*git checkout"):
        reference.read(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        reference.read(copy)


def test_results_of_other_code_or_settings_are_refused(changeable: Project) -> None:
    changeable.edit("config.yaml", "epsilons: [0.3], steps: 2", "epsilons: [0.3], steps: 3")
    done = changeable.reproof("reference")
    assert done.returncode == 1
    assert "the study says something else since" in done.stderr
    changeable.edit("config.yaml", "steps: 3", "steps: 2")
    changeable.edit("src/reproof/attacks/pgd.py", "class Settings(", "UNUSED = 1\n\n\nclass Settings(")
    done = changeable.reproof("reference")
    assert done.returncode == 1
    assert "the code that makes it has changed since" in done.stderr
    assert not (changeable.path / "reference").exists()


def test_a_run_that_is_not_finished_is_refused(changeable: Project) -> None:
    table = changeable.path / "results/tiny/tables/summary.csv"
    whole = table.read_text()
    table.write_text(whole + "\n")
    done = changeable.reproof("reference")
    assert done.returncode == 1
    assert "truncated or edited" in done.stderr
    table.write_text(whole)
    (changeable.path / "results/tiny/outcomes/plain/seed0/white_box.record.json").unlink()
    done = changeable.reproof("reference")
    assert done.returncode == 1
    assert "white_box.record.json is missing" in done.stderr


def test_a_name_that_is_no_folder_is_refused(finished: Project) -> None:
    done = finished.reproof("reference", "--name", "../elsewhere")
    assert done.returncode == 1
    assert "--name" in done.stderr
