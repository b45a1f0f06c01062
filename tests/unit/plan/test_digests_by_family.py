"""A new field in one family of plug-ins' settings changes the digests of that family's jobs alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reproof.plan import code_digest
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.study import reader

ROOT = Path(__file__).parents[3]

NETWORK = {"train", "assemble", "attack", "evaluate", "surface"}
"""The rules that build a network, and so run the code of its architecture and its defense."""
PAGE = {"report"}
"""The rule that reads the study again, with all that it may say."""


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return list(Plan(reader.load([ROOT / "config.yaml"])).jobs())


def digests(jobs: list[Job]) -> dict[tuple[str, str], str]:
    return {(job.rule, job.name): code_digest.digest(job.modules) for job in jobs}


@pytest.fixture(scope="module")
def before(jobs: list[Job]) -> dict[tuple[str, str], str]:
    return digests(jobs)


@pytest.fixture
def changed_by(
    jobs: list[Job], before: dict[tuple[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], list[Job]]:
    """Return the jobs whose digests change when a class of a module gets a field."""
    real = code_digest._source

    def edit(module: str, name: str) -> list[Job]:
        text = real(module).read_text(encoding="utf-8")
        start = text.index(f"class {name}(")
        end = text.index('"""', text.index('"""', start) + 3) + 3
        edited = tmp_path / "edited.py"
        edited.write_text(f"{text[:end]}\n\n    one_more: int = 3{text[end:]}", encoding="utf-8")
        monkeypatch.setattr(code_digest, "_source", lambda found: edited if found == module else real(found))
        after = digests(jobs)
        return [job for job in jobs if before[job.rule, job.name] != after[job.rule, job.name]]

    return edit


@pytest.mark.parametrize(
    ("family", "name", "rules"),
    [
        ("dataset", "DatasetSettings", {"prepare"}),
        ("architecture", "ArchitectureSettings", NETWORK),
        ("defense", "DefenseSettings", NETWORK),
        ("training", "TrainingSettings", {"train"}),
    ],
)
def test_a_field_of_a_family_changes_its_own_jobs_and_no_others(
    family: str,
    name: str,
    rules: set[str],
    jobs: list[Job],
    changed_by: Callable[[str, str], list[Job]],
) -> None:
    changed = changed_by(f"reproof.settings.{family}", name)
    assert changed == [job for job in jobs if job.rule in rules | PAGE]


def test_a_field_of_gradient_ascent_changes_the_attacks_by_it_alone(
    jobs: list[Job], changed_by: Callable[[str, str], list[Job]]
) -> None:
    ascending = {
        f"reproof.attacks.{path.stem}"
        for path in (ROOT / "src/reproof/attacks").glob("*.py")
        if re.search(r"class Settings\(.*GradientAscentSettings\)", path.read_text(encoding="utf-8"))
    }
    changed = changed_by("reproof.settings.gradient_ascent", "GradientAscentSettings")
    assert changed == [job for job in jobs if ascending & set(job.modules)]
    assert {job.rule for job in changed} == {"attack"}


def test_a_field_of_attacks_changes_no_data_no_network_and_no_figure(
    jobs: list[Job], changed_by: Callable[[str, str], list[Job]]
) -> None:
    changed = {job.rule for job in changed_by("reproof.settings.attack", "AttackSettings")}
    assert "attack" in changed
    assert not changed & {"prepare", "train", "surface", "tabulate", "draw"}


def test_a_field_of_adversarial_training_changes_trainings_and_defenses_that_are_made_of_it(
    jobs: list[Job], changed_by: Callable[[str, str], list[Job]]
) -> None:
    using = {
        f"reproof.defenses.{path.stem}"
        for path in (ROOT / "src/reproof/defenses").glob("*.py")
        if "reproof.settings.adversarial_training import" in path.read_text(encoding="utf-8")
    }
    changed = changed_by("reproof.settings.adversarial_training", "AdversarialTraining")
    assert changed == [
        job
        for job in jobs
        if job.rule in {"train", *PAGE} or (job.rule in NETWORK and using & set(job.modules))
    ]


@pytest.mark.parametrize("family", ["architectures", "attacks", "datasets", "defenses"])
def test_a_field_of_one_plug_in_changes_the_jobs_that_use_it(
    family: str, jobs: list[Job], changed_by: Callable[[str, str], list[Job]]
) -> None:
    used = [module for job in jobs for module in job.modules if module.startswith(f"reproof.{family}.")]
    module = max(sorted(set(used)), key=lambda name: -used.count(name))
    changed = changed_by(module, "Settings")
    assert changed == [job for job in jobs if module in job.modules]
    assert len(changed) < len(jobs) / 2
