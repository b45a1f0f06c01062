"""Snakemake reads every study in every budget, and builds the largest DAG at once. Nothing is run."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import ROOT, Project, clone, empty, timed
from tests.ours import DELETED, needs

from reproof.plan.jobs import Plan
from reproof.study import reader

NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "ilsvrc")
CHOICES = [*((name, budget) for name in NAMES for budget in ("quick", "paper")), ("mnist", "cpu")]
if DELETED:  # and with it, perhaps, a study
    CHOICES = [choice for choice in CHOICES if (ROOT / f"studies/{choice[0]}.yaml").is_file()]

Dry = Callable[[str, str], tuple[dict[str, int], set[str]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = clone(
        tmp_path_factory.mktemp("studies") / "project", (ROOT / "config.yaml").read_text(encoding="utf-8")
    )
    shutil.copytree(ROOT / "studies", made.path / "studies")
    return made


@pytest.fixture(scope="module")
def dry(project: Project) -> Dry:
    """Return what a dry run of a study's budget would start and make; it is run once."""

    @functools.cache
    def run(name: str, budget: str) -> tuple[dict[str, int], set[str]]:
        return project.dry("--configfile", f"studies/{name}.yaml", "--config", f"budget={budget}")

    return run


def planned(name: str, values: dict[str, str]) -> Plan:
    return Plan(reader.load([ROOT / "config.yaml", ROOT / f"studies/{name}.yaml"], values))


def expected(plan: Plan) -> dict[str, int]:
    jobs = list(plan.jobs())
    alike = ("prepare", "train", "assemble", "evaluate", "surface")
    counts = {rule: sum(job.rule == rule for job in jobs) for rule in alike}
    shown = sum(job.rule == "attack" and "/transfer/" in job.outputs["adversarial"] for job in jobs)
    attacks = sum(job.rule == "attack" for job in jobs) - shown
    named = {
        **counts,
        "attack": attacks,
        "attack_for_transfer": shown,
        "tabulate": 1,
        "draw": 1,
        "report": 1,
        "all": 1,
    }
    return {rule: count for rule, count in named.items() if count}


@pytest.mark.release
@needs("datasets/mnist")
def test_budget_on_the_command_line_gives_other_results(project: Project, dry: Dry) -> None:
    quick = project.jobs("--configfile", "studies/mnist.yaml")
    _, paper = dry("mnist", "paper")
    assert "results/mnist/models/undefended/seed0/model.safetensors" in quick
    assert "results/mnist_paper/models/undefended/seed0/model.safetensors" in paper
    assert not quick & paper


@needs("datasets/mnist")
def test_unknown_budget_ends_snakemake_with_one_message(project: Project) -> None:
    done = project.run("-n", "--configfile", "studies/mnist.yaml", "--config", "budget=papers")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert "--config: budget: no budget is called 'papers'; did you mean 'paper'?" in done.stderr


@needs("datasets/mnist")
def test_sub_commands_take_the_budget_too(project: Project) -> None:
    done = project.reproof("plan", "--configfile", "studies/mnist.yaml", "--config", "budget=cpu")
    assert done.returncode == 0, done.stderr
    assert "Study 'mnist_cpu'" in done.stdout


@needs("datasets/cifar10", "architectures/resnet")
def test_every_claim_at_the_papers_budgets_is_planned_in_seconds(project: Project, tmp_path: Path) -> None:
    """At most five times what Snakemake itself takes for as many empty jobs: about 15 s on two cores.

    Processor time, and a yardstick beside it, are what a slow or busy machine does not change.
    """
    jobs, taken = timed(lambda: project.cold().pending("--configfile", "studies/paper.yaml"))
    assert jobs == expected(planned("paper", {}))
    yardstick = empty(tmp_path / "empty", sum(jobs.values()), project.environment)
    alike, floor = timed(yardstick.cold().pending)
    assert abs(sum(alike.values()) - sum(jobs.values())) <= 2
    assert taken < 5 * floor


@pytest.mark.slow
@pytest.mark.parametrize(("name", "budget"), CHOICES)
def test_snakemake_builds_the_dag_of_every_budget(dry: Dry, name: str, budget: str) -> None:
    jobs, _ = dry(name, budget)
    assert jobs == expected(planned(name, {"budget": budget}))
