"""What is made again after which edit: too little is wrong results, too much is wasted days."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest
from project import JOINT, ROOT, Project
from tests import unfolded

AFTERWARDS = {"tabulate": 1, "draw": 1, "report": 1, "all": 1}


def test_a_comment_and_a_docstring_rerun_nothing(changeable: Project) -> None:
    for file in (
        "src/reproof/training/loop.py",
        "src/reproof/defenses/undefended.py",
        "src/reproof/plan/jobs.py",
    ):
        path = changeable.path / file
        text = path.read_text()
        path.write_text(text.replace('"""', '"""Another first word. ', 1) + "\n# a comment\n")
    assert changeable.pending() == {}


def test_without_snakemake_s_notes_what_changed_is_seen_all_the_same(changeable: Project) -> None:
    shutil.rmtree(changeable.path / ".snakemake")
    assert changeable.pending() == {}
    changeable.edit("config.yaml", "steps: 2}", "steps: 3}")
    changed = changeable.pending()
    assert changed == {"attack": 2, "attack_for_transfer": 1, "evaluate": 4, **AFTERWARDS}
    changeable.edit("config.yaml", "steps: 3}", "steps: 2}")
    path = changeable.path / f"src/reproof/defenses/{JOINT}.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    assert changeable.pending() == {"train": 1, "attack": 2, "evaluate": 3, **AFTERWARDS}


@pytest.mark.release
def test_what_the_page_rests_on_is_made_anew_when_it_is_lost(changeable: Project) -> None:
    results = changeable.path / "results/tiny"
    (results / "outcomes/centred/seed0/adaptive.parquet").unlink()
    assert changeable.pending() == {"attack": 1, "evaluate": 1, **AFTERWARDS}
    changeable.make()
    shutil.rmtree(results / "figures")
    assert changeable.pending() == {name: AFTERWARDS[name] for name in ("draw", "report", "all")}


def test_files_of_another_job_are_not_believed(changeable: Project) -> None:
    """They and their record agree, and are of the same network: another model's name stands in the record."""
    models = changeable.path / "results/tiny/models"
    shutil.rmtree(models / "centred")
    shutil.copytree(models / "plain", models / "centred")
    assert changeable.pending()["train"] == 1
    done = changeable.reproof("evaluate", "results/tiny/outcomes/centred/seed0/black_box.parquet")
    assert done.returncode == 1
    assert "model.safetensors: it was made by another job (train plain seed 0)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_touching_a_module_reruns_nothing(changeable: Project) -> None:
    for path in (changeable.path / "src").rglob("*.py"):
        path.touch()
    assert changeable.pending() == {}


def test_one_defense_reruns_its_own_jobs_and_what_follows(changeable: Project) -> None:
    path = changeable.path / f"src/reproof/defenses/{JOINT}.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    pending, made = changeable.dry()
    models = {
        name
        for name in made
        if not any(f"/{last}" in f"/{name}" for last in ("tables/", "figures/", "report/", "answer."))
    }
    assert models
    assert all("/centred/" in name for name in models), models
    assert pending == {"train": 1, "attack": 2, "evaluate": 3, **AFTERWARDS}


def test_the_training_loop_reruns_every_training(changeable: Project) -> None:
    path = changeable.path / "src/reproof/training/loop.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    assert changeable.pending() == {
        "train": 2,
        "attack": 2,
        "attack_for_transfer": 1,
        "evaluate": 4,
        **AFTERWARDS,
    }


def test_one_attack_reruns_no_training(changeable: Project) -> None:
    path = changeable.path / "src/reproof/attacks/carlini_wagner.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    pending, made = changeable.dry()
    assert "train" not in pending
    assert any("transfer/plain/seed0/papers" in name for name in made)
    assert not any("adaptive" in name and "/outcomes/" in name for name in made), "adaptive has no C&W"


def test_the_page_template_reruns_the_page_alone(changeable: Project) -> None:
    path = changeable.path / "src/reproof/report/style.css"
    path.write_text(path.read_text() + "\n/* wider */\n")
    assert changeable.pending() == {"report": 1, "all": 1}


def test_a_claim_reruns_tables_and_page(changeable: Project) -> None:
    path = changeable.path / "src/reproof/papers/mustafa_pcl/paper.yaml"
    path.write_text(path.read_text() + "\n")
    assert changeable.pending() == {"tabulate": 1, "draw": 1, "report": 1, "all": 1}


def test_a_new_model_runs_only_its_own_jobs(changeable: Project) -> None:
    changeable.edit(
        "config.yaml", "models:\n", "models:\n  newcomer: {defense: {kind: undefended}, seed_offset: 7}\n"
    )
    made = changeable.jobs()
    own = {
        name
        for name in made
        if not any(f"/{last}" in f"/{name}" for last in ("tables/", "figures/", "report/", "answer."))
    }
    assert own
    assert all("/newcomer/" in name for name in own), own


def test_a_new_threat_runs_only_its_own_jobs(changeable: Project) -> None:
    changeable.edit("config.yaml", "attacks:\n", "attacks:\n  noise: {kind: fgsm, epsilons: [0.3]}\n")
    changeable.edit("config.yaml", "suites:\n", "suites:\n  extra: {attacks: [noise], images: 10}\n")
    changeable.edit("config.yaml", "threats:\n", "threats:\n  more: {setting: white_box, suite: extra}\n")
    made = changeable.jobs()
    assert not any("/models/" in name for name in made)
    outcomes = {name for name in made if "/outcomes/" in name}
    assert outcomes
    assert all("/more." in name for name in outcomes), outcomes


def test_a_title_reruns_no_science(changeable: Project) -> None:
    changeable.edit("config.yaml", "title: Tiny", "title: Tinier")
    assert changeable.pending() == {"report": 1, "all": 1}


def test_results_that_no_longer_fit_are_stamped_stale_without_snakemakes_memory(changeable: Project) -> None:
    path = changeable.path / f"src/reproof/defenses/{JOINT}.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    done = changeable.reproof("report")
    assert done.returncode == 0, done.stderr
    page = unfolded.read(changeable.path / "report/tiny.html")
    assert "STALE" in page
    assert "results/tiny/models/centred/seed0/model.safetensors" in page


def test_fresh_results_are_not_stamped(finished: Project) -> None:
    assert "STALE" not in unfolded.read(finished.path / "report/tiny.html").split("Glossary")[0]


def test_profile_switch_and_environment_comment_rerun_nothing(changeable: Project) -> None:
    path = changeable.path / "environment.yml"
    path.write_text("# a comment\n" + path.read_text())
    assert changeable.pending() == {}
    without_cuda = replace(changeable, environment={**changeable.environment, "TORCH": "cpu"})
    assert without_cuda.pending("--use-conda") == {}


def test_a_new_defense_is_one_file_and_one_stanza(fresh: Callable[..., Project]) -> None:
    """CONTRIBUTING's worked example really works."""
    project = fresh()
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    (project.path / "src/reproof/defenses/label_smoothing.py").write_text(code)
    project.edit("config.yaml", "models:\n", "models:\n  smooth: {defense: {kind: label_smoothing}}\n")
    project.make("results/tiny/outcomes/smooth/seed0/white_box.parquet")
    assert (project.path / "results/tiny/models/smooth/seed0/model.safetensors").exists()
