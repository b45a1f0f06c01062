"""Networks that are trained apart and vote as one, from the study's stanzas to the page."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from project import Project, clone
from tests import unfolded
from tests.ours import needs
from torch import Tensor

from reproof import artifacts, registry

THERE = registry.names("defenses")
# Which files the ensembles are made of makes no difference here; one that was deleted breaks nothing.
TAUGHT, STRENGTH = next(
    (
        (kind, setting)
        for kind, setting in (("diverse_ensemble", "zeta"), ("distilled_ensemble", "weight"))
        if kind in THERE
    ),
    ("", ""),
)
pytestmark = [
    needs("attacks/gradient_ensemble"),
    pytest.mark.skipif(not TAUGHT, reason="every ensemble whose members learn beside others was deleted"),
]
ALONE = next(kind for kind in ("independent_ensemble", TAUGHT) if kind in (*THERE, ""))

VOTING = f"""\
study: tiny
smoke: true
seeds: [0]
dataset: digits
datasets:
  digits: {{kind: digits, image_size: 16, test_images: 40, validation_images: 20}}
architecture: {{kind: cnn6, width: 0.0625}}
training: {{epochs: 2, batch_size: 64, optimizer: adam, learning_rate: 2e-3}}
models:
  main: {{defense: {{kind: undefended}}}}
  second: {{defense: {{kind: undefended}}, seed_offset: 100}}
  zero: {{defense: {{kind: {TAUGHT}, {STRENGTH}: 0}}, seed_offset: 100, beside: [main]}}
  taught: {{defense: {{kind: {TAUGHT}, {STRENGTH}: 0.9}}, seed_offset: 100, beside: [main]}}
  pair: {{title: A pair, defense: {{kind: {ALONE}, ties: error}}, members: [main, second]}}
  diverse: {{title: Diverse, defense: {{kind: {TAUGHT}}}, members: [main, second, taught]}}
  boosted: {{title: Boosted, defense: {{kind: {TAUGHT}, boosted: true}}, members: [main, second, taught]}}
attacks:
  fgsm: {{kind: fgsm, epsilons: [0.1, 0.3]}}
  gradient_ensemble: {{kind: gradient_ensemble, epsilons: [0.3], steps: 5, step_size: 0.25}}
  equal: {{kind: fgsm, epsilons: [0.1], psnrs: [15]}}
suites:
  papers: {{attacks: [fgsm], images: 30}}
  sums: {{attacks: [fgsm], images: 30, members: aggregated}}
  surrogates: {{attacks: [fgsm], images: 20, view: votes}}
  jointly: {{attacks: [gradient_ensemble, equal], images: 30}}
threats:
  standalone: {{setting: white_box, suite: papers, source: member, targets: [diverse]}}
  aggregated: {{setting: white_box, suite: sums, targets: [diverse]}}
  adaptive: {{setting: adaptive, suite: surrogates, targets: [diverse]}}
  transfer: {{setting: black_box, suite: papers, source: main, targets: [pair, diverse, boosted]}}
  together: {{setting: black_box, suite: jointly, together: [second, main], targets: [main, zero]}}
  matrix: {{setting: black_box, suite: papers, sources: [main, second, zero], targets: [second, zero]}}
"""
MEMBERS = ("main", "second", "taught")
CUT_OFF = """
import os, sys
from reproof import cli
from reproof.attacking import checkpoint

checkpoint.SECONDS, kept, saved = 0.0, checkpoint.Checkpoint._save, []

def save(self):
    kept(self)
    saved.append(None)
    if len(saved) == int(sys.argv[2]):
        os._exit(9)

checkpoint.Checkpoint._save = save
sys.exit(cli.main(["attack", sys.argv[1]]))
"""
"""Do an attack job, each step kept at once, and end without a word after so many."""


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = clone(tmp_path_factory.mktemp("voted") / "project", VOTING)
    project.make_in_one_process()
    return project


@pytest.fixture
def changeable(voted: Project, tmp_path: Path) -> Project:
    shutil.copytree(voted.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", voted.environment)


def weights(project: Project, model: str) -> dict[str, Tensor]:
    path = project.path / f"results/tiny/models/{model}/seed0/model.safetensors"
    return artifacts.read_tensors(path)[0]


def rows(project: Project, table: str) -> list[dict[str, str]]:
    with (project.path / f"results/tiny/{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def outcomes(project: Project, model: str, threat: str) -> list[dict[str, Any]]:
    path = project.path / f"results/tiny/outcomes/{model}/seed0/{threat}.parquet"
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def measured(project: Project, metric: str, **where: str) -> dict[tuple[str, str, str], float]:
    """Return a metric's values by model, source and parameters."""
    return {
        (row["model"], row["source"], row["parameters"]): float(row["value"])
        for row in rows(project, "tables/measurements")
        if row["metric"] == metric and all(row[name] == value for name, value in where.items())
    }


def own(names: set[str], ending: str = "") -> set[str]:
    """Return which models' jobs are among output files: all, or those that make files with this ending."""
    folders = ("models", "adversarial", "transfer", "outcomes")
    return {
        parts[3]
        for parts in (name.split("/") for name in names if name.endswith(ending))
        if parts[0] == "results" and parts[2] in folders
    }


def test_the_page_is_made_and_a_second_run_has_nothing_to_do(voted: Project) -> None:
    page = unfolded.read(voted.path / "report/tiny.html")
    assert "Diverse" in page
    assert "Boosted" in page
    assert "STALE" not in page.split("Glossary")[0]
    assert voted.pending() == {}


def test_an_offset_seed_makes_another_network_of_the_same_stanza(voted: Project) -> None:
    main, second = weights(voted, "main"), weights(voted, "second")
    assert main.keys() == second.keys()
    trained = [name for name in main if "mean" not in name and "std" not in name]
    assert len(trained) >= 8
    assert not any(torch.equal(main[name], second[name]) for name in trained)


def test_same_seed_and_no_weight_on_diversity_is_the_independent_network_to_the_bit(voted: Project) -> None:
    second, zero, taught = (weights(voted, name) for name in ("second", "zero", "taught"))
    assert second.keys() == zero.keys() == taught.keys()
    assert all(torch.equal(value, zero[name]) for name, value in second.items())
    assert any(not torch.equal(value, taught[name]) for name, value in second.items())


def test_an_ensemble_has_its_members_weights_and_no_others(voted: Project) -> None:
    prefix = "classifier.members.{}."
    for ensemble, members in (("pair", MEMBERS[:2]), ("diverse", MEMBERS), ("boosted", MEMBERS)):
        joined = weights(voted, ensemble)
        left = set(joined)
        for position, member in enumerate(members):
            for name, value in weights(voted, member).items():
                place = prefix.format(position) + name.removeprefix("classifier.")
                assert torch.equal(joined[place], value)
                left.remove(place)
        assert left <= {"classifier.mean", "classifier.std"}
    first, other = (weights(voted, name) for name in ("diverse", "boosted"))
    assert all(torch.equal(value, other[name]) for name, value in first.items())


def test_nothing_is_trained_for_an_ensemble(voted: Project) -> None:
    folder = voted.path / "results/tiny/models"
    assert not (folder / "diverse/seed0/history.csv").exists()
    record = json.loads((folder / "diverse/seed0/record.json").read_text())
    assert record["rule"] == "assemble"
    assert set(record["inputs"]) == {
        "results/tiny/data/digits.safetensors",
        *(f"results/tiny/models/{name}/seed0/model.safetensors" for name in MEMBERS),
    }
    beside = json.loads((folder / "taught/seed0/record.json").read_text())["inputs"]
    assert "results/tiny/models/main/seed0/model.safetensors" in beside


def test_how_far_latent_spaces_lie_apart_is_measured_for_each_pair(voted: Project) -> None:
    found = rows(voted, "models/diverse/seed0/separation")
    assert [(row["first"], row["second"]) for row in found] == [
        ("main", "second"),
        ("main", "taught"),
        ("second", "taught"),
        ("main", "all others"),
        ("second", "all others"),
        ("taught", "all others"),
        ("mean", ""),
    ]
    assert len(rows(voted, "models/pair/seed0/separation")) == 1 + 2 + 1
    measured = {
        row["model"]: float(row["value"])
        for row in rows(voted, "tables/measurements")
        if row["metric"] == "latent_separation"
    }
    assert measured["diverse"] == pytest.approx(float(found[-1]["margin"]))
    assert "pair" in measured
    assert "boosted" not in measured


def test_votes_are_kept_and_decide(voted: Project) -> None:
    for model, threat in (("diverse", "standalone"), ("boosted", "transfer"), ("pair", "transfer")):
        found = outcomes(voted, model, threat)
        for row in found:
            most = max(set(row["votes"]), key=row["votes"].count)
            majority = 2 * row["votes"].count(most) > len(row["votes"])
            if majority:
                assert (row["failed"], row["adversarial_prediction"]) == (False, most)
            elif model == "pair":
                assert (row["failed"], row["adversarial_prediction"]) == (True, -1)
            elif model == "diverse":
                assert (row["failed"], row["adversarial_prediction"]) == (True, row["votes"][0])
    plain, boosted = (outcomes(voted, name, "transfer") for name in ("diverse", "boosted"))
    assert [row["votes"] for row in plain] == [row["votes"] for row in boosted], "they are shown the same"


def test_every_way_to_attack_it_has_its_rows(voted: Project) -> None:
    accuracy = measured(voted, "accuracy", setting="white_box", attack="fgsm", parameters="epsilon=0.3")
    assert {source for model, source, _ in accuracy if model == "diverse"} == {
        *MEMBERS,
        "member",
        "members",
    }
    single = [accuracy["diverse", name, "epsilon=0.3"] for name in MEMBERS]
    assert accuracy["diverse", "member", "epsilon=0.3"] == pytest.approx(sum(single) / 3)
    assert ("diverse", "diverse", "epsilon=0.1") in measured(voted, "accuracy", setting="adaptive")
    assert {model for model, _, _ in measured(voted, "failed_majorities")} == {"pair", "diverse", "boosted"}
    assert {model for model, _, _ in measured(voted, "refused")} == {"pair"}
    transferred = measured(voted, "accuracy", setting="black_box")
    gains = measured(voted, "accuracy_gain")
    assert set(gains) == {("boosted", "main", f"epsilon={epsilon}") for epsilon in ("0.1", "0.3")}
    for (_, source, parameters), gain in gains.items():
        difference = transferred["boosted", source, parameters] - transferred["diverse", source, parameters]
        assert gain == pytest.approx(difference)


def test_a_member_s_images_are_made_once_and_kept(voted: Project) -> None:
    results = voted.path / "results/tiny"
    for name in MEMBERS:
        assert (results / f"transfer/{name}/seed0/papers.safetensors").exists()
    assert not list((results / "adversarial").rglob("*.safetensors"))
    made = [path for path in results.rglob("*") if path.suffix in (".safetensors", ".csv", ".parquet")]
    for path in made:
        artifacts.verify(path)


def test_a_changed_member_makes_again_itself_and_what_it_is_part_of(changeable: Project) -> None:
    changeable.edit("config.yaml", f"{STRENGTH}: 0.9}}", f"{STRENGTH}: 0.5}}")
    again = changeable.jobs()
    assert own(again) == {"taught", "diverse", "boosted"}
    assert own(again, "history.csv") == {"taught"}
    assert own(again, "separation.csv") == {"diverse", "boosted"}


def test_a_changed_network_beside_makes_again_those_trained_after_it(changeable: Project) -> None:
    changeable.edit("config.yaml", "main: {defense", "main: {training: {epochs: 3}, defense")
    again = changeable.jobs()
    assert own(again) == {"main", "zero", "second", "taught", "pair", "diverse", "boosted", "main+second"}
    assert own(again, "history.csv") == {"main", "zero", "taught"}


def test_a_changed_vote_trains_nothing(changeable: Project) -> None:
    changeable.edit("config.yaml", "boosted: true", "boosted: true, candidates: 3")
    again = changeable.jobs()
    assert own(again) == {"boosted"}
    assert own(again, "history.csv") == set()


def test_a_matrix_has_a_row_for_each_other_source(voted: Project) -> None:
    found = measured(voted, "accuracy", setting="black_box", attack="fgsm", parameters="epsilon=0.3")
    assert {key[:2] for key in found if key[0] in ("second", "zero")} == {
        ("second", "main"),
        ("second", "zero"),
        ("zero", "main"),
        ("zero", "second"),
    }
    same = [found["second", "main", "epsilon=0.3"], found["zero", "main", "epsilon=0.3"]]
    assert same[0] == same[1], "both are the same network to the bit"


def test_images_are_made_on_several_networks_together(voted: Project) -> None:
    path = voted.path / "results/tiny/transfer/main+second/seed0/jointly.safetensors"
    tensors, metadata = artifacts.read_tensors(path)
    record = json.loads(path.with_name("jointly.record.json").read_text())
    assert {f"results/tiny/models/{name}/seed0/model.safetensors" for name in ("main", "second")} < set(
        record["inputs"]
    )
    fools = tensors["fooled/gradient_ensemble/epsilon=0.3"]
    assert 0 < fools.sum() <= len(fools) == 30
    found = {
        row["metric"]: row
        for row in rows(voted, "tables/measurements")
        if row["model"] == "zero" and row["attack"] == "gradient_ensemble"
    }
    assert {row["source"] for row in found.values()} == {"main+second"}
    for metric in ("fooling_set_accuracy", "fooling_set_clean_accuracy"):
        assert int(found[metric]["total"]) == int(fools.sum())
    # Network `zero` is `second`, so that whatever fools all sources fools it too, and it was right before.
    assert float(found["fooling_set_accuracy"]["value"]) == 0
    assert float(found["fooling_set_clean_accuracy"]["value"]) == 1
    assert not (voted.path / "results/tiny/outcomes/main/seed0/together.parquet").exists()
    budget = metadata["notes"]["equal"]["budgets"]["psnr=15"]
    assert abs(budget["psnr"] - 15) <= 0.05
    assert ("zero", "main+second", "psnr=15") in measured(voted, "accuracy", attack="equal")


def test_the_page_names_the_networks_behind_such_images(voted: Project) -> None:
    page = unfolded.read(voted.path / "report/tiny.html")
    assert "results/tiny/transfer/main+second/seed0/jointly.safetensors" in page


def test_another_of_the_networks_makes_their_images_again(changeable: Project) -> None:
    changeable.edit("config.yaml", "second: {defense", "second: {training: {epochs: 3}, defense")
    again = changeable.jobs()
    assert own(again, "jointly.safetensors") == {"main+second"}
    assert own(again, "papers.safetensors") == {"second"}
    assert own(again, "history.csv") == {"second"}


@pytest.mark.parametrize(
    "made", ["adversarial/diverse/seed0/sums.safetensors", "transfer/main+second/seed0/jointly.safetensors"]
)
def test_an_attack_job_that_is_killed_goes_on_to_the_same_file(changeable: Project, made: str) -> None:
    """What is made on each member and summed, and searches for a PSNR: the same attack several times over."""
    name = f"results/tiny/{made}"
    path, project = changeable.path / name, changeable.with_our_code()
    checkpoint = path.with_suffix(".checkpoint")
    record = json.loads(path.with_suffix(".record.json").read_text())
    path.unlink(missing_ok=True)
    for saves in (2, 1):
        assert project.python("-c", CUT_OFF, name, str(saves)).returncode == 9
        assert not path.exists()
    kept = list(checkpoint.iterdir())
    assert len(kept) == 3, "the second try does not do again what the first one kept"
    done = project.reproof("attack", name)
    assert done.returncode == 0, done.stderr
    assert "going on after 3 steps of attacks" in done.stderr
    assert artifacts.sha256(path) == record["files"][path.name]["sha256"]
    assert not checkpoint.exists()
