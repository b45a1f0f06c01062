"""Recipes on the cards: every setting of a claim's model and attack, beside what the paper says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import test_evidence
from made_up_study import frame
from tests.hand_made_papers import read_paper
from tests.ours import needs

from reproof.judging.study_facts import ModelFacts, StudyFacts
from reproof.report.contents import THIS_RUN, ReportData, rows
from reproof.report.recipes import Recipes

PROTOCOL = [
    {
        "of": {"table": "*"},
        "settings": {
            "training.epochs": {"is": 350, "place": "Sec. 5"},
            "training.momentum": {"is": 0.9, "reading": "Not printed"},
            "training.gamma": {"is": 0.2, "or": [0.3], "reading": "Unclear"},
            "defense.warmup_epochs": {"is": "1/7", "place": "Sec. 5: 50 of 350"},
            "attack.steps": {"is": 10, "place": "Sec. 4"},
        },
    }
]
SETTINGS = {
    "training.epochs": 14,
    "training.momentum": 0.9,
    "training.gamma": 0.1,
    "training.precision": "float32",
    "defense.warmup_epochs": 2.0,
}


PGD = {"kind": "pgd", "epsilons": [0.3], "steps": 40, "step_size": 0.1}


def of_the_claim(
    folder: Path, network: str = "cnn6", attack: Mapping[str, Any] = PGD
) -> tuple[ReportData, dict[str, dict[str, str]]]:
    """Return the data of a paper with one measured claim, and its recipes by heading."""
    paper = read_paper(folder, {}, protocol=PROTOCOL)
    (claim,) = paper.claims
    row = test_evidence.judged(
        claim.claim_id, "lower", "B", setting="white_box", attack="pgd", parameters="epsilon=0.3"
    )
    model = ModelFacts("ours", "mnist", network, settings=SETTINGS)
    facts = StudyFacts({"ours": model}, {"pgd": attack})
    record = {"command": "snakemake --force weights", "seconds": 61, "commit": "0" * 40, "dirty": False}
    data = dataclasses.replace(
        test_evidence.data(paper, [row]),
        recipes={THIS_RUN: facts},
        records={"results/tiny/models/ours/seed0/model.safetensors": record},
    )
    (verdict,) = rows(data.verdicts)
    return data, {run.heading: dict(run.facts) for run in Recipes(data).of(claim, verdict, THIS_RUN)}


@needs("attacks/pgd")
def test_each_setting_stands_beside_the_papers_with_its_place_or_reading(tmp_path: Path) -> None:
    _, told = of_the_claim(tmp_path)
    training = told["Training recipe, this run"]
    assert {name: training[name] for name in SETTINGS} == {
        "training.epochs": "14; the paper: 350 (Sec. 5)",
        "training.momentum": "0.9, as read here (Not printed)",
        "training.gamma": "0.1; read here as 0.2 (Unclear)",
        "training.precision": "float32; the paper does not say",
        "defense.warmup_epochs": "2, as in the paper (Sec. 5: 50 of 350)",  # 2 of 14 epochs
    }
    assert training["command"] == "snakemake --force weights"
    assert training["record of the model"].startswith("seed 0: 1 min 1 s, ")
    assert told["Attack recipe, this run"] == {
        "attack": "PGD",
        "attack.steps": "40; the paper: 10 (Sec. 4)",
        "attack.step_size, as a share of ε": "0.1; the paper does not say",
    }
    assert (training["network"], training["data set"]) == ("CNN-6", "MNIST")


@needs("attacks/fmn")
def test_another_network_is_told_and_a_step_that_is_no_share_of_epsilon_is_not_called_one(
    tmp_path: Path,
) -> None:
    _, told = of_the_claim(tmp_path, "lenet", {"kind": "fmn", "steps": [40], "step_size": 1.0})
    assert told["Training recipe, this run"]["network"] == "LeNet; the paper: CNN-6"
    assert told["Attack recipe, this run"]["attack.step_size"] == "1; the paper does not say"


def test_what_is_not_known_has_no_recipe(tmp_path: Path) -> None:
    data, _ = of_the_claim(tmp_path)
    (claim,), (verdict,) = data.papers[0].claims, rows(data.verdicts)
    unknown = dataclasses.replace(data, recipes={THIS_RUN: StudyFacts()})
    assert list(Recipes(unknown).of(claim, verdict, THIS_RUN)) == []
    assert list(Recipes(data).of(claim, verdict, "another run")) == []


@needs("attacks/pgd")
def test_red_flags_on_the_attack_of_a_number_stand_on_its_card(tmp_path: Path) -> None:
    data, told = of_the_claim(tmp_path)
    assert not any("Red flags" in heading for heading in told)
    raised = {
        "model": "ours",
        "gate": "zero_gradients",
        "raised": True,
        "evidence": "White-box PGD has no gradient at 40 of 48 images.",
        "rows": "white_box pgd epsilon=0.3",
    }
    others = [
        raised | {"model": "other"},
        raised | {"raised": False},
        raised | {"rows": "white_box bim epsilon=0.3"},
    ]
    (claim,), (verdict,) = data.papers[0].claims, rows(data.verdicts)
    unmoved = raised | {
        "gate": "unmoved_images"
    }  # at one parameter alone: at another the attack moves images
    at = [
        {
            "model": "ours",
            "source": "ours",
            "setting": "white_box",
            "attack": "pgd",
            "parameters": "epsilon=1",
        }
    ]
    data = dataclasses.replace(data, summary=frame("summary", at))
    elsewhere = unmoved | {"rows": "white_box pgd epsilon=0.1"}
    for found, count in (([raised, *others], 1), (others, 0), ([unmoved], 1), ([elsewhere], 0)):
        flagged = dataclasses.replace(data, flags=frame("red_flags", found))
        shown = [run for run in Recipes(flagged).of(claim, verdict, THIS_RUN) if "Red flags" in run.heading]
        assert [run.facts[0][0] for run in shown] == ["this attack was hampered" if count else "this attack"]
    flagged = dataclasses.replace(data, flags=frame("red_flags", [raised]))
    first = next(iter(Recipes(flagged).of(claim, verdict, THIS_RUN)))
    ((what, words),) = first.facts
    assert (first.heading, what) == ("Red flags, this run", "this attack was hampered")
    assert words.endswith(". White-box PGD has no gradient at 40 of 48 images.")
