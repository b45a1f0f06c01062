"""Plug-ins are found by looking, and one that does not say what it must is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reproof import registry
from reproof.errors import StudyError
from reproof.plan.jobs import Plan
from reproof.study import reader
from tests.ours import needs
from tests.plugin_copies import copy_without

ATTACK = '''"""A made-up attack."""

from typing import ClassVar

from reproof.settings.attack import Access, EpsilonAttackSettings


class Settings(EpsilonAttackSettings):
    """Its budgets."""

    title: ClassVar[str] = "Hill climb"
    family: ClassVar[str] = "climbing by scores"
    access: ClassVar[Access] = "score"
'''


@pytest.mark.parametrize("missing", ["title", "family", "access"])
def test_an_attack_that_does_not_say_what_it_must_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    text = "\n".join(line for line in ATTACK.splitlines() if not line.strip().startswith(f"{missing}:"))
    monkeypatch.setattr(registry, "PACKAGE", copy_without(tmp_path, attacks__hill_climb=text))
    with pytest.raises(StudyError, match=rf"hill_climb.py: Settings declares no {missing}"):
        registry.settings_class("attacks", "hill_climb")
    assert registry.settings_class("attacks", "pgd").model_fields


def test_a_file_more_or_less_is_all_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.title("attacks", "hill_climb") is None
    copy = copy_without(tmp_path, "attacks/pgd.py", attacks__hill_climb=ATTACK)
    monkeypatch.setattr(registry, "PACKAGE", copy)
    assert registry.title("attacks", "hill_climb") == "Hill climb"
    assert registry.attack("pgd") is None
    assert registry.title("attacks", "pgd") is None
    monkeypatch.undo()
    assert registry.title("attacks", "pgd") == "PGD"
    assert registry.attack("hill_climb") is None


def test_a_name_that_is_too_long_for_a_file_is_no_plug_in_s() -> None:
    with pytest.raises(StudyError, match=r"no attack is called 'a{300}'"):
        registry.settings_class("attacks", "a" * 300)


@needs("papers/mirzaeian_dkd")
def test_terms_of_papers_are_read_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.terms("attacks")["jsma"] == "JSMA"
    assert registry.terms("defenses")["magnet"] == "MagNet"
    copy = copy_without(tmp_path, "papers/mirzaeian_dkd/paper.yaml")
    monkeypatch.setattr(registry, "PACKAGE", copy)
    assert "jsma" not in registry.terms("attacks")


def test_what_people_read_of_plugins_stands_in_the_slices_of_the_jobs_that_show_it() -> None:
    """A corrected title, or an attack that turns out to need scores, remakes tables and page, and trains nothing."""
    plan = Plan(reader.load([Path(__file__).parents[2] / "config.yaml"]))
    kinds = {attack.kind for attack in plan.study.attacks.values()}
    for job in (plan.tabulate(), plan.draw(), plan.report()):
        told = job.slice["plug_ins"]
        assert kinds <= set(told["attacks"])
        for kind in kinds:
            declared = registry.settings_class("attacks", kind)
            assert {name: getattr(declared, name) for name in told["attacks"][kind]} == told["attacks"][kind]
            assert {"title", "access", "baseline"} <= set(told["attacks"][kind])
        assert told["datasets"]["digits"] == {"title": "digits"}
        assert told["defenses"]["undefended"] == {"title": "undefended", "trains_on": "clean"}
        assert told == json.loads(json.dumps(told))
    assert "plug_ins" not in plan.train(plan.trained[0], 0).slice


def test_claims_about_what_the_study_lacks_are_remade_when_its_title_changes() -> None:
    """Page and verdicts name and compare by plug-ins that no model of the study uses."""
    plan = Plan(reader.load([Path(__file__).parents[2] / "config.yaml"]))
    for job in (plan.tabulate(), plan.report()):
        for family in registry.FAMILIES:
            assert set(job.slice["plug_ins"][family]) == set(registry.names(family))
            assert set(job.slice["titles_of_claims"][family]) == set(registry.terms(family))
    assert set(plan.draw().slice["plug_ins"]["datasets"]) == {"digits"}
