"""What an altered experiment must get: altered_experiments.csv, a line each, with grade, word and one difference.

The experiment that is altered is the paper's own, as studies/paper.yaml sets it up. `altered` names settings as a
protocol does, `source.` for the networks that images are made on; `images` are the test images, `dataset` and
`architecture` what tables call them. `measured` is the claim itself, or far above or below it.
"""

from __future__ import annotations

import csv
import functools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reproof.claims.claim import Claim
from reproof.csv_tables import MEASUREMENTS, SUMMARY
from reproof.judging.measured import Measured, SummaryRow
from reproof.judging.study_facts import ModelFacts, StudyFacts
from reproof.judging.verdicts import Judge, Verdict
from reproof.plan.experiments import experiment
from reproof.settings.source_names import parts
from reproof.study.model import Choice, Model, Study
from tests.ours import WHOLE, built_here, papers_here
from tests.unit.study.test_studies import PAPER, measurements, planned

FILE = Path(__file__).with_name("altered_experiments.csv")
with FILE.open(encoding="utf-8", newline="") as opened:
    LINES = list(csv.DictReader(opened))
HERE = (
    {claim.claim_id for paper in papers_here() for claim in paper.claims if built_here(claim)}
    if PAPER
    else set()
)
FAR = {"equal": 0.0, "higher": 0.2, "lower": -0.2}
ROW_S = ("images", "dataset", "architecture")
"""Alterations of what a row of the tables says, and of nothing that a study sets."""


@functools.cache
def claims() -> dict[str, Claim]:
    return {claim.claim_id: claim for paper in papers_here() for claim in paper.claims}


@functools.cache
def own_study() -> tuple[Study, StudyFacts, Judge]:
    """Return the study of the papers' own budgets, and a judge of all that it would measure."""
    plan = planned("paper", "")
    facts = StudyFacts.read(plan.tabulate().slice)
    rows = measurements(plan)
    return (
        plan.study,
        facts,
        Judge(Measured(SUMMARY.frame(rows), MEASUREMENTS.frame([])), facts, papers_here()),
    )


def alterations(text: str) -> dict[str, Any]:
    """Return `a.b=1 c=[1, 2]` as a mapping."""
    found: dict[str, Any] = {}
    for word in text.replace(", ", ",").split():
        name, _, value = word.partition("=")
        found[name] = yaml.safe_load(value)
    return found


def altered_choice(choice: Choice, path: list[str], value: Any) -> Choice:
    if path[0] == "built_on":
        assert choice.built_on is not None
        return replace(choice, built_on=altered_choice(choice.built_on, path[1:], value))
    stated = {**choice.settings.model_dump(mode="json"), path[0]: value}
    return replace(choice, settings=type(choice.settings).model_validate(stated))


def altered_model(model: Model, changes: dict[str, Any]) -> Model:
    """Return a model with other settings, all of a family set together, as a study would."""
    training = model.training.model_dump(mode="json")
    for name, value in changes.items():
        family, _, rest = name.partition(".")
        if family == "training":
            keys = rest.split(".")
            place = training
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = value
        elif family in ("architecture", "defense"):
            continue
    choices: dict[str, Choice] = {"architecture": model.architecture, "defense": model.defense}
    for family in choices:
        own = {name: value for name, value in changes.items() if name.startswith(f"{family}.")}
        stated = choices[family].settings.model_dump(mode="json")
        nested = {name: value for name, value in own.items() if ".built_on." in name}
        stated |= {name.partition(".")[2]: value for name, value in own.items() if name not in nested}
        settings = type(choices[family].settings).model_validate(stated)
        choices[family] = replace(choices[family], settings=settings)
        for name, value in nested.items():
            choices[family] = altered_choice(choices[family], name.split(".")[1:], value)
    return replace(
        model,
        training=type(model.training).model_validate(training),
        architecture=choices["architecture"],
        defense=choices["defense"],
    )


def altered_facts(study: Study, name: str, changes: dict[str, Any]) -> ModelFacts:
    """Return what a judge knows of a model when it, and each of its members, is altered."""
    model = study.models[name]
    if model.members:
        training = {key: value for key, value in changes.items() if key.startswith("training.")}
        members = {one: altered_model(study.models[one], training) for one in model.members}
        own = {key: value for key, value in changes.items() if key not in training}
        for one, member in members.items():  # what the ensemble's defense says, the members' says too
            if member.defense.kind == model.defense.kind:
                members[one] = altered_model(member, own)
        study = replace(study, models={**study.models, **members})
        changes = own
    settings = {key: value for key, value in changes.items() if "." in key}
    model = altered_model(model, settings)
    study = replace(study, models={**study.models, name: model})
    if "training_images" in changes:
        dataset = study.datasets[model.dataset]
        stated = {**dataset.settings.model_dump(mode="json"), "train_images": changes["training_images"]}
        smaller = replace(dataset, settings=type(dataset.settings).model_validate(stated))
        study = replace(study, datasets={**study.datasets, model.dataset: smaller})
    found = experiment(study, model)
    found |= {key: changes[key] for key in ("dataset", "architecture") if key in changes}
    return ModelFacts(**{**found, "chosen": tuple(found["chosen"]), "stands_for": tuple(found["stands_for"])})


def judged(claim: Claim, changes: dict[str, Any], measured: str) -> Verdict:
    """Return the verdict on a claim when the paper's own experiment is altered so."""
    study, facts, judge = own_study()
    base = judge.candidates.of(claim)
    assert base is not None, f"studies/paper.yaml does not measure {claim.claim_id}"
    row = base.row
    own = {name: value for name, value in changes.items() if not name.startswith(("source.", "attack."))}
    source = {
        name.removeprefix("source."): value for name, value in changes.items() if name.startswith("source.")
    }
    attack = {
        name.removeprefix("attack."): value for name, value in changes.items() if name.startswith("attack.")
    }
    own.pop("images", None)
    models = {**facts.models, row.model: altered_facts(study, row.model, own)}
    for name in parts(row.source) if source else ():
        models[name] = altered_facts(study, name, source)
    meeting = (row.model, row.setting, row.source, row.attack)
    settings = facts.attack(meeting)
    if attack:
        kind = type(study.attacks[row.attack].settings)
        stated = {key: value for key, value in {**settings, **attack}.items() if key != "kind"}
        settings = {"kind": settings["kind"], **kind.model_validate(stated).model_dump(mode="json")}
    overrides = {**facts.suite_overrides, meeting: settings} if settings else facts.suite_overrides
    new = StudyFacts(models, facts.attacks, overrides)
    made = measured_row(claim, row, models[row.model], changes.get("images", 10_000), measured)
    one = Measured(SUMMARY.frame([made]), MEASUREMENTS.frame([{**made, "seed": 0}]))
    return Judge(one, new, papers_here()).verdict(claim)


def measured_row(
    claim: Claim, row: SummaryRow, model: ModelFacts, images: int, measured: str
) -> dict[str, Any]:
    """Return the row of the tables that measured the claim's number, or one far from it."""
    assert claim.value is not None
    share = (claim.value / 10_000 if claim.unit == "images" else claim.value) + FAR[measured]
    count = round(min(max(share, 0.0), 1.0) * images)
    made = {name: getattr(row, name) for name in SUMMARY.names}
    counted = {"value": float(count), "correct": None} if claim.unit == "images" else {"correct": count}
    return {
        **made,
        "parameters": str(row.parameters),
        "dataset": model.dataset,
        "architecture": model.architecture,
        "value": count / images,
        "total": images,
        "seeds": 1,
        **counted,
    }


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, id=f"{line['claim']}-{line['altered'] or 'own'}-{line['measured']}")
        for line in LINES
        if line["claim"] in HERE
    ],
)
def test_an_altered_experiment_gets_its_grade_word_and_difference(line: dict[str, str]) -> None:
    found = judged(claims()[line["claim"]], alterations(line["altered"]), line["measured"])
    told = [f"{one.kind}: {one.here} | {one.there}" for one in found.differences]
    assert (found.grade, found.verdict) == (line["grade"], line["word"]), told
    assert (
        line["difference"] in told
        if line["difference"]
        else all(one.grade == "A" for one in found.differences)
    )


def test_the_specification_is_large_enough() -> None:
    """Sixty altered experiments and more: every paper, every family of settings, every grade and word."""
    altered = [line for line in LINES if line["altered"]]
    assert len(altered) >= 60
    assert {line["claim"].partition(".")[0] for line in altered} >= {paper.key for paper in papers_here()}
    assert not WHOLE or {line["claim"] for line in LINES} <= HERE
    families = {name.partition(".")[0] for line in altered for name in alterations(line["altered"])}
    assert families == {
        *("architecture", "attack", "dataset", "defense", "images", "source", "training", "training_images")
    }
    assert set(Counter(line["grade"] for line in LINES)) == {"A", "B", "C"}
    assert {line["word"] for line in LINES} == {
        "reproduced",
        "lower",
        "higher",
        "undecided",
        "not comparable",
    }
