"""Loss surfaces from the study's stanza to the page, and what is made again after which edit."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from project import Project, clone
from tests import unfolded

from reproof import artifacts

STUDY = """\
study: tiny
smoke: true
seeds: [0, 1]
dataset: digits
datasets:
  digits: {kind: digits, image_size: 16, test_images: 30, validation_images: 20}
architecture: {kind: cnn6, width: 0.0625}
training: {epochs: 1, batch_size: 256, optimizer: adam, learning_rate: 2e-3}
models:
  base: {title: Base, defense: {kind: undefended}}
  other: {title: Another, defense: {kind: undefended}, seed_offset: 10}
attacks:
  fgsm: {kind: fgsm, epsilons: [0.1]}
suites:
  papers: {attacks: [fgsm], images: 10}
threats:
  white_box: {setting: white_box, suite: papers, targets: [base]}
surfaces: {models: [base], beside: other, points: 5, image: 12, images: 8, epsilons: [0, 0.2, 1], clip: true}
"""
CSV = "results/tiny/surfaces/base/seed0.csv"


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = clone(tmp_path_factory.mktemp("surveyed") / "project", STUDY)
    project.make_in_one_process()
    return project


@pytest.fixture
def changeable(surveyed: Project, tmp_path: Path) -> Project:
    shutil.copytree(surveyed.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", surveyed.environment)


def rows(project: Project) -> list[dict[str, str]]:
    with (project.path / CSV).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_losses_of_the_first_seed_reach_the_page(surveyed: Project) -> None:
    assert Counter(row["kind"] for row in rows(surveyed)) == {"surface": 25, "line": 24}
    assert {row["image"] for row in rows(surveyed) if row["kind"] == "surface"} == {"12"}
    artifacts.verify(surveyed.path / CSV)
    found = sorted(
        path.name for path in (surveyed.path / "results/tiny/surfaces").rglob("*") if path.is_file()
    )
    assert found == ["seed0.csv", "seed0.record.json"]
    record = json.loads((surveyed.path / CSV.replace(".csv", ".record.json")).read_text())
    assert record["rule"] == "surface"
    assert set(record["inputs"]) == {
        "results/tiny/data/digits.safetensors",
        "results/tiny/models/base/seed0/model.safetensors",
        "results/tiny/models/other/seed0/model.safetensors",
    }
    figures = json.loads((surveyed.path / "results/tiny/figures/index.json").read_text())
    assert {"loss_surfaces", "loss_against_epsilon"} <= set(figures)
    page = unfolded.read(surveyed.path / "report/tiny.html")
    assert "Loss around one test image" in page
    assert "L₁ is the loss of Another" in page
    assert '<th scope="row">surface</th>' in page, "its time stands among the stages'"


def test_what_is_asked_of_the_surfaces_makes_nothing_else_again(changeable: Project) -> None:
    assert changeable.pending() == {}
    changeable.edit("config.yaml", "clip: true", "clip: false")
    pending = changeable.pending()
    assert set(pending) <= {"surface", "draw", "report", "all"}
    assert pending["surface"] == 1


def test_a_model_more_measures_that_one_alone(changeable: Project) -> None:
    changeable.edit("config.yaml", "models: [base], beside", "models: [base, other], beside")
    again = changeable.jobs()
    assert any("surfaces/other/seed0.csv" in name for name in again)
    assert not any("surfaces/base" in name or "models/" in name for name in again)


def test_a_study_that_asks_for_none_has_none(changeable: Project) -> None:
    changeable.edit("config.yaml", "surfaces: {models: [base], ", "surfaces: {")
    again = changeable.jobs()
    assert not any("surfaces/" in name for name in again)
    listed = changeable.make("--list-rules")
    assert "surface" not in listed.split()
    refused = changeable.reproof("surface", CSV)
    assert refused.returncode == 1
    assert "study 'tiny' has no surface job" in refused.stderr
