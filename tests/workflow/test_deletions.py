"""Whoever deletes a plug-in, a section or a paper, with its entries in the studies, breaks nothing else: one of each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from project import ALL_JOBS, ROOT, SMALLEST, Project
from tests import unfolded
from tests.ours import is_here
from tests.plugin_deletion import FOUNDATIONS, delete

GROUP = [
    word
    for word in (
        "architectures/wide_resnet",
        "attacks/jsma",
        "datasets/svhn",
        "defenses/prototype_conformity",
        "papers/seiler_superimposition",
        "sections/breakdowns",
    )
    if is_here(word)
]
CLAIMED = {"attacks/jsma": "JSMA", "datasets/svhn": "SVHN", "defenses/prototype_conformity": "Mustafa et al."}
"""What the page calls those that claims of the other papers are about."""
NOT_CODE = (".*", "__pycache__", "results", "report", "benchmarks")
QUICK = (
    *("claims/test_reader.py", "claims/test_printed.py", "judging/test_statements.py"),
    *("study/test_checks.py", "test_ours.py", "test_registry.py"),
)
"""Unit tests that name many plug-ins as examples."""
LEFT = """
from pathlib import Path
from reproof import registry
from reproof.claims.paper import papers
from reproof.study.layers import read_yaml
from reproof.study.reader import load

kinds = set()
base = Path("config.yaml")
for path in (base, *sorted(Path("studies").glob("*.yaml"))):
    for budget in read_yaml(path).get("budgets") or [None]:
        study = load([base] if path == base else [base, path], {"budget": budget} if budget else {})
        assert study.models and study.threats
        kinds |= {("datasets", one.kind) for one in study.datasets.values()}
        kinds |= {("attacks", one.kind) for one in study.attacks.values()}
        for model in study.models.values():
            kinds |= {("architectures", model.architecture.kind), *(("defenses", k) for k in model.defense_kinds)}
for family, kind in sorted(kinds):
    print("chosen", f"{family}/{kind}")
for paper in papers():
    print("read", f"papers/{paper.key}")
    for family, keys in paper.not_built().items():
        for key in keys:
            print("not_built", f"{family}/{key}")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole project, tests and all, without the group."""
    copy = tmp_path_factory.mktemp("less") / "project"
    shutil.copytree(
        ROOT,
        copy,
        ignore=lambda folder, names: (
            shutil.ignore_patterns(*NOT_CODE)(folder, names)
            if Path(folder) == ROOT
            else shutil.ignore_patterns("__pycache__")(folder, names)
        ),
    )
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("REPROOF", "PYTEST", "PYTHON"))
    }
    project = Project(copy, {**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy / "src")})
    run(project, "-m", "tests.plugin_deletion", ".", *GROUP)
    return project


def run(project: Project, *arguments: str) -> str:
    done = project.python(*arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_every_study_is_whole_and_claims_about_them_are_read_as_not_built_here(project: Project) -> None:
    told: dict[str, set[str]] = {"chosen": set(), "read": set(), "not_built": set()}
    for line in run(project, "-c", LEFT).splitlines():
        what, word = line.split()
        told[what].add(word)
    assert told["chosen"] >= FOUNDATIONS
    assert not (told["chosen"] | told["read"]) & set(GROUP)
    named = {word for word in GROUP if not word.startswith(("papers", "sections"))}
    assert {word for word in told["not_built"] if word in GROUP} == named


@pytest.mark.slow
def test_the_default_study_can_be_run(project: Project) -> None:
    jobs = project.pending()
    assert min(jobs[rule] for rule in ("prepare", "train", "attack", "evaluate", "tabulate", "report")) >= 1
    assert not any(word.split("/")[1] in job for job in project.jobs() for word in GROUP)


@pytest.mark.slow
def test_the_page_is_made_and_says_that_they_are_not_built_here(project: Project, tmp_path: Path) -> None:
    study = SMALLEST.replace("epochs: 6", "epochs: 1").replace("steps: 20", "steps: 2")
    (tmp_path / "config.yaml").write_text(study, encoding="utf-8")
    run(Project(tmp_path, project.environment), "-c", ALL_JOBS)
    page = unfolded.read(tmp_path / "report/tiny.html")
    for word, title in CLAIMED.items():
        assert (f"{title} is not built here" in page) == (word in GROUP)


@pytest.mark.release
@pytest.mark.slow
def test_no_test_but_their_own_misses_them(project: Project) -> None:
    run(project, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--assert=plain")
    files = [f"tests/unit/{name}" for name in QUICK]
    told = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *files)
    assert " passed" in told


@pytest.mark.parametrize("word", sorted(FOUNDATIONS))
def test_what_the_others_stand_on_is_not_deleted(word: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stand on"):
        delete(tmp_path, [word])
    assert f"`{word.split('/')[1]}`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
