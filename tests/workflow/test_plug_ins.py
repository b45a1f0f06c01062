"""One file of each family and a paper's folder, no other file edited: they run, are named, are judged; and gone again."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from project import ROOT, Project
from tests.hand_made_papers import write_paper

OWN = {
    "architectures/own_net.py": ("architectures/lenet.py", {'"LeNet"': '"Own network"'}),
    "attacks/own_climb.py": ("attacks/pgd.py", {'"PGD"': '"Own climb"'}),
    "attacks/own_search.py": (
        "attacks/square.py",
        {'"Square"': '"Own search"', "random search by": "own search by"},
    ),
    "datasets/own_digits.py": ("datasets/digits.py", {'= "digits"': '= "numerals"'}),
    "defenses/own_defense.py": (
        "defenses/input_gradient.py",
        {"input gradient regularisation": "own defense"},
    ),
}
"""File -> the one of ours that it is made like, under other names."""
STUDY = """\
study: tiny
title: Tiny
smoke: true
seeds: [0]
dataset: digits
datasets:
  digits: {kind: own_digits, test_images: 40, validation_images: 20}
architecture: {kind: own_net}
training: {epochs: 1, batch_size: 128, optimizer: adam, learning_rate: 2e-3}
models:
  plain: {title: Plain, defense: {kind: undefended}}
  own: {title: Own, defense: {kind: own_defense}}
attacks:
  own_climb: {kind: own_climb, epsilons: [0.3], steps: 2}
  own_search: {kind: own_search, epsilons: [0.3], queries: 3}
suites:
  papers: {attacks: [own_climb, own_search], images: 20}
threats:
  white_box: {setting: white_box, suite: papers}
"""
CLAIM = {
    "dataset": "numerals",
    "architecture": "own_net",
    "defense": "own_defense",
    "attack": "own_climb",
    "parameters": "epsilon=0.3",
    "printed": "99.0",
}


@pytest.fixture
def project(fresh: Callable[..., Project]) -> Project:
    made = fresh(STUDY)
    package = made.path / "src/reproof"
    for name, (like, words) in OWN.items():
        text = (ROOT / "src/reproof" / like).read_text(encoding="utf-8")
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        (package / name).write_text(text, encoding="utf-8")
    search = {**CLAIM, "column": "Search", "attack": "own_search", "printed": "98.0"}
    write_paper(
        package / "papers", CLAIM, search, key="own_paper", year=2024, short_name="Author 2024",
        budgets={"numerals": {"epochs": 1}}, attacks={},
        terms={"attacks": {"own_search": "ES"}, "datasets": {"numerals": "Numerals"}},
    )  # fmt: skip
    return made


def rows(project: Project, table: str) -> list[dict[str, str]]:
    with (project.path / f"results/tiny/tables/{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shown(path: Path) -> str:
    """Return the page's text, without drawings and marks."""
    html = re.sub(r"<(style|script|svg).*?</\1>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"<[^>]+>|\s+", " ", html)


@pytest.mark.slow
def test_files_alone_run_are_named_and_judged_and_may_go_again(project: Project) -> None:
    project.make()
    words = {
        v["claim_id"]: v["verdict"]
        for v in rows(project, "verdicts")
        if v["claim_id"].startswith("own_paper.")
    }
    assert len(words) == 2
    assert set(words.values()) <= {"reproduced", "lower", "higher", "undecided"}
    told = {(reply["item"], reply["model"]): reply for reply in rows(project, "checklist")}
    assert "own search by scores" in told["diverse", "own"]["evidence"]
    assert told["gradient_free", "own"]["answer"] in ("partly", "no")
    assert "own search at" in told["gradient_free", "own"]["evidence"]
    assert told["broader", ""]["answer"] == "no"
    flags = {(flag["model"], flag["gate"]): flag for flag in rows(project, "red_flags")}
    assert flags["own", "white_box_vs_gradient_free"]["raised"] in ("true", "false")
    page = shown(project.path / "report/tiny.html")
    for word in ("Own climb", "Own search", "own defense", "Own network", "numerals", "Author 2024"):
        assert word in page, word

    (project.path / "src/reproof/attacks/own_search.py").unlink()
    project.edit("config.yaml", "  own_search: {kind: own_search, epsilons: [0.3], queries: 3}\n", "")
    project.edit("config.yaml", "[own_climb, own_search]", "[own_climb]")
    project.make()
    words = {
        v["claim_id"]: v["verdict"]
        for v in rows(project, "verdicts")
        if v["claim_id"].startswith("own_paper.")
    }
    assert sorted(words.values())[0] != sorted(words.values())[1]
    assert "not measured" in words.values()
    assert "ES" in shown(project.path / "report/tiny.html")
