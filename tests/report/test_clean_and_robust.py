"""Every network in one picture: clean accuracy across, what all attacks leave up, of this run and of reference runs."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import made_up_study
import pytest
from made_up_study import frame
from tests.ours import needs

from reproof.reference import Reference
from reproof.report import pictures
from reproof.report.pictures import ModelDot
from reproof.report.sections.clean_and_robust import Panel, build
from reproof.report.shared import Shared


def summary(model: str, attack: str, parameters: str, value: float) -> dict[str, Any]:
    return {
        "study": "large",
        "dataset": "mnist",
        "model": model,
        "defense": "undefended",
        "setting": "all" if attack == "worst_case" else "white_box",
        "attack": attack,
        "parameters": parameters,
        "metric": "accuracy",
        "value": value,
        "seeds": 1,
    }


def run(**told: Any) -> Reference:
    """Return a reference run of two networks, of which one met no attack within a budget."""
    models = {
        name: {"title": name.title(), "dataset": "mnist", "defense": "undefended"}
        for name in ("plain", "spared")
    }
    rows = [
        summary("plain", "none", "", 0.75),
        summary("plain", "worst_case", "norm=linf epsilon=0.3", 0.25),
        summary("spared", "none", "", 0.5),
    ]
    return Reference(
        "large",
        {"title": "Large", "budget": "", "models": models} | told,
        {"summary": frame("summary", rows)},
        {},
    )


@pytest.fixture(scope="module")
def panels(tree: made_up_study.Tree) -> list[Panel]:
    data = dataclasses.replace(made_up_study.report_data(tree), references=[run()])
    found: list[Panel] = build(Shared(data))["panels"]
    return found


def marks(picture: str, kind: str) -> list[str]:
    return re.findall(rf'm-{kind}" d="([^"]+)"', picture)


def test_clean_lies_across_and_what_is_left_up() -> None:
    picture = pictures.plane("A <study>", "p", [ModelDot("<b>", "proposed", 0.5, 0.25)])
    ((x, y),) = [re.findall(r"[\d.]+", mark)[:2] for mark in marks(picture, "proposed")]
    assert float(x) + 4.5 == pytest.approx(pictures.LEFT + pictures.SIDE / 2)
    assert float(y) == pytest.approx(pictures.TOP + 0.75 * pictures.SIDE)
    assert "<title>&lt;b&gt;: 50.0 % of clean images, 25.0 % under all attacks</title>" in picture
    assert "A &lt;study&gt;" in picture


@needs("defenses/prototype_conformity", "defenses/pgd_training")
def test_this_run_stands_first_with_every_kind_of_network(panels: list[Panel]) -> None:
    own = panels[0]
    assert own.budget == "L∞, ε = 0.3"
    counts = {kind: len(marks(own.picture, kind)) for kind in ("undefended", "proposed", "compared")}
    assert counts == {"undefended": 2, "proposed": 2, "compared": 1}
    assert own.most.startswith("PGD training (Madry) (")


def test_a_reference_run_has_its_own_picture_of_what_was_attacked(panels: list[Panel]) -> None:
    last = panels[-1]
    assert (last.title, last.budget) == ("Large", "L∞, ε = 0.3")
    assert last.picture.count("<g>") == 1
    assert (last.most, last.undefended) == ("Plain (25.0 %)", "25.0 %")
