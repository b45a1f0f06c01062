from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from project import ROOT, Project, empty, timed
from tests import unfolded
from tests.ours import is_here

TABLES = [
    "checklist.csv",
    "measurements.csv",
    "parts.csv",
    "per_class.csv",
    "per_image.csv",
    "red_flags.csv",
    "statements.csv",
    "summary.csv",
    "verdicts.csv",
]


def rows(project: Project, table: str) -> list[dict[str, str]]:
    with (project.path / f"results/tiny/tables/{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_chain_ends_with_the_page_and_its_tables(finished: Project) -> None:
    page = unfolded.read(finished.path / "report/tiny.html")
    assert "<title>" in page
    assert "Centred" in page
    assert list(finished.tables()) == TABLES
    answer = json.loads((finished.path / "results/tiny/answer.json").read_text())
    assert answer["sentence"] in page or not is_here("sections/answer")
    assert answer["sentence"] in (finished.path / "results/tiny/answer.md").read_text()
    measured = {
        (row["model"], row["setting"], row["attack"], row["parameters"])
        for row in rows(finished, "measurements")
    }
    assert {
        ("plain", "white_box", "none", ""),
        ("plain", "white_box", "pgd", "epsilon=0.3"),
        ("plain", "white_box", "carlini_wagner", "c=10"),
        ("centred", "adaptive", "pgd", "epsilon=0.3"),
        ("centred", "black_box", "fgsm", "epsilon=0.1"),
        ("centred", "all", "worst_case", "norm=linf epsilon=0.3"),
    } <= measured
    assert not any(setting == "adaptive" and model == "plain" for model, setting, _, _ in measured)
    assert not any(setting == "black_box" and model == "plain" for model, setting, _, _ in measured)


def test_a_finished_run_said_one_line_a_job_and_where_the_whole_log_is(finished: Project) -> None:
    lines = finished.said.splitlines()
    assert len(lines) < 60
    jobs = [line.split()[1:] for line in lines if re.match(r" *\d+/13 ", line)]
    assert len(jobs) == 13
    assert max(map(len, lines)) < 110
    assert jobs[-1][0] == "report"
    assert lines[-1].startswith("13 of 13 jobs done in ")
    assert lines[-1].endswith(": report/tiny.html")
    (log,) = [line.split(": ")[1] for line in lines if line.startswith("Snakemake's own log")]
    whole = (finished.path / log).read_text()
    assert whole.count("Finished jobid") == 14
    assert "reason: " in whole


def test_denominators_are_the_images_that_the_study_asked_for(finished: Project) -> None:
    totals = {
        (row["attack"], int(row["total"]))
        for row in rows(finished, "measurements")
        if row["metric"] == "accuracy"
    }
    assert {
        ("none", 40),
        ("fgsm", 20),
        ("pgd", 20),
        ("carlini_wagner", 10),
        ("worst_case", 20),
        ("worst_case_in_setting", 20),
        ("worst_case_unbounded", 10),
    } == totals


def test_classes_and_images_add_up_to_the_worst_case(finished: Project) -> None:
    classes, images = rows(finished, "per_class"), rows(finished, "per_image")
    worst = [row for row in rows(finished, "summary") if row["attack"] == "worst_case"]
    assert {row["model"] for row in worst} == {"plain", "centred"}
    for row in worst:
        own = [each for each in classes if all(each[k] == row[k] for k in ("model", "attack", "parameters"))]
        for column in ("correct", "total"):
            assert sum(int(each[column]) for each in own) == int(row[column])
        if row["model"] == "centred":
            norm, epsilon = (part.partition("=")[2] for part in row["parameters"].split())
            met = [each for each in images if (each["norm"], each["epsilon"]) == (norm, epsilon)]
            assert [each["networks"] for each in met] == ["1"] * int(row["total"])
            assert sum(int(each["held"]) for each in met) == int(row["correct"])


def test_adversarial_images_are_temporary_and_their_records_stay(finished: Project) -> None:
    folder = finished.path / "results/tiny/adversarial/centred/seed0"
    assert sorted(path.name for path in folder.iterdir()) == ["adaptive.record.json", "papers.record.json"]


def test_images_for_transfer_are_kept(finished: Project) -> None:
    folder = finished.path / "results/tiny/transfer/plain/seed0"
    assert sorted(path.name for path in folder.iterdir()) == ["papers.record.json", "papers.safetensors"]


def test_every_artifact_has_a_record_with_its_hash_and_origin(finished: Project) -> None:
    from reproof import artifacts

    results = finished.path / "results/tiny"
    made = [
        p
        for p in results.rglob("*")
        if p.is_file() and p.suffix in (".safetensors", ".csv", ".parquet", ".svg")
    ]
    assert len(made) > 12
    for path in made:
        artifacts.verify(path)
    record = json.loads((results / "models/centred/seed0/record.json").read_text())
    assert record["rule"] == "train"
    assert record["seed"] == 0
    assert record["command"] == (
        "snakemake --cores all --force results/tiny/models/centred/seed0/model.safetensors"
    )
    assert record["versions"]["torch"]
    assert record["device"]
    assert record["seconds"] > 0
    assert set(record["inputs"]) == {"results/tiny/data/digits.safetensors"}


def test_nothing_half_written_is_left(finished: Project) -> None:
    names = [path.name for path in finished.path.rglob("*") if ".snakemake" not in path.parts]
    assert not [
        name
        for name in names
        if name.endswith((".part", ".partial")) or name.startswith("checkpoint.safetensors")
    ]


def test_second_run_has_nothing_to_do_and_says_so_quickly(finished: Project, tmp_path: Path) -> None:
    printed, taken = timed(finished.cold().make)
    assert "Nothing to be done" in printed
    _, floor = timed(empty(tmp_path / "empty", 20, finished.environment).cold().pending)
    assert taken < 3 * floor, "under 5 s on an idle machine, of which Snakemake itself takes half"


@pytest.mark.release
def test_forcerun_evaluate_remakes_outcomes_and_ends_with_the_same_tables(changeable: Project) -> None:
    before = changeable.tables()
    page = changeable.path / "report/tiny.html"
    page.unlink()
    changeable.make("report", "--forcerun", "evaluate")
    assert changeable.tables() == before
    assert page.exists()


def test_one_named_output_can_be_made_again(changeable: Project) -> None:
    before = changeable.tables()
    output = "results/tiny/tables/measurements.csv"
    printed = changeable.make("--force", output)
    assert "1/1  tabulate" in printed
    assert "train" not in printed
    assert changeable.tables() == before


def test_command_of_a_record_makes_the_same_weights_again(changeable: Project) -> None:
    model = changeable.path / "results/tiny/models/plain/seed0/model.safetensors"
    before = model.read_bytes()
    command = json.loads(model.with_name("record.json").read_text())["command"]
    assert command.startswith("snakemake ")
    subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=changeable.path, env=changeable.environment, check=True,
        capture_output=True,
    )  # fmt: skip
    assert model.read_bytes() == before


@pytest.mark.release
def test_same_seed_twice_gives_the_same_bytes(finished: Project, fresh: Callable[..., Project]) -> None:
    again = fresh()
    again.make_in_one_process()
    compared = 0
    for path in sorted((finished.path / "results/tiny").rglob("*")):
        if (
            path.is_file()
            and path.suffix in (".safetensors", ".csv", ".parquet", ".svg")
            and "logs" not in path.parts
        ):
            other = again.path / path.relative_to(finished.path)
            assert other.read_bytes() == path.read_bytes(), path.name
            compared += 1
    assert compared > 12


def test_another_seed_gives_other_weights(changeable: Project) -> None:
    changeable.make("results/tiny/models/plain/seed7/model.safetensors", "--config", "seeds=[7]")
    ours, other = (
        changeable.path / f"results/tiny/models/plain/seed{seed}/model.safetensors" for seed in (0, 7)
    )
    assert ours.read_bytes() != other.read_bytes()


def test_adversarial_images_can_be_kept(changeable: Project) -> None:
    changeable.edit("config.yaml", "seeds: [0]", "seeds: [0]\nkeep_adversarial: true")
    images = "results/tiny/adversarial/centred/seed0/adaptive.safetensors"
    changeable.make(images)
    assert (changeable.path / images).exists()


def test_default_study_lists_its_jobs_without_torch() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom reproof.plan.jobs import Plan\nfrom reproof.study import reader\n"
        "jobs = list(Plan(reader.load([Path('config.yaml')])).jobs())\n"
        "assert len(jobs) > 20 and all(job.expectation for job in jobs)\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")}, check=True)


def test_lint_finds_nothing(fresh: Callable[..., Project]) -> None:
    printed = fresh().run("--lint")
    assert printed.returncode == 0, printed.stdout + printed.stderr
    assert "Congratulations" in printed.stdout + printed.stderr


def test_plan_prints_jobs_time_and_disk(finished: Project) -> None:
    done = finished.cold().reproof("plan")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}
    assert lines["train"][1] == "2"
    assert lines["attack"][1] == "3"
    assert lines["evaluate"][1] == "4"


def test_sub_command_names_the_files_that_it_could_make(finished: Project) -> None:
    done = finished.reproof("train", "results/tiny/models/nobody/seed0/model.safetensors")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "results/tiny/models/plain/seed0/model.safetensors" in done.stderr


def test_config_file_path_does_not_matter(finished: Project, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("title: Another title\n")
    printed = finished.make("-n", "--configfile", str(overlay))
    assert "rule report" in printed
    assert "rule train" not in printed
