"""The workflow's rules and the plan's jobs name the same things."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reproof.plan.jobs import RULES, Plan
from reproof.study import reader
from tests.ours import needs

ROOT = Path(__file__).parents[3]
TEXTS = {
    path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
}
BLOCKS = {
    found[1]: found[0]
    for text in TEXTS.values()
    for found in re.finditer(r"^ *rule (\w+):\n(?:^(?: +.*)?\n)*", text, re.MULTILINE)
}
"""Rule -> its text."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(reader.load([ROOT / "config.yaml"]))


def test_there_is_one_rule_for_each_kind_of_job() -> None:
    """All methods are trained by one rule, whatever tables their trainings leave."""
    assert set(BLOCKS) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_asks_the_plan_for_its_own_jobs_alone(rule: str) -> None:
    asked = set(re.findall(r"\b(\w+)_job\(wildcards\)", BLOCKS[rule]))
    asked |= set(re.findall(r"\bPLAN\.(\w+)\(", BLOCKS[rule]))
    assert asked == {rule}


def test_a_helper_carries_its_rule_s_name() -> None:
    helpers = re.findall(
        r"^def (\w+)\(.*\n(?:.*\n)*?    return PLAN\.(\w+)\(", TEXTS["study.smk"], re.MULTILINE
    )
    assert len(helpers) >= 5
    assert all(name == f"{rule}_job" for name, rule in helpers)


@pytest.mark.parametrize("rule", ["prepare", "train", "assemble", "attack", "evaluate", "surface"])
def test_a_rule_declares_what_its_jobs_write(plan: Plan, rule: str) -> None:
    outputs = BLOCKS[rule].split("output:\n")[1].split("log:\n")[0]
    declared = set(re.findall(r"^ +(\w+)=", outputs, re.MULTILINE))
    assert {frozenset(job.outputs) for job in plan.jobs([rule])} <= {frozenset(declared)}


@needs("architectures/file", "datasets/arrays")
def test_the_rule_of_own_weights_declares_what_its_jobs_read_and_write() -> None:
    (job,) = Plan(reader.load([ROOT / "config.yaml", ROOT / "studies/own_model.yaml"])).jobs(["load"])
    inputs, outputs = BLOCKS["load"].split("input:\n")[1].split("log:\n")[0].split("output:\n")
    assert set(job.inputs) == set(re.findall(r"^ +(\w+)=", inputs, re.MULTILINE))
    assert set(job.outputs) == set(re.findall(r"^ +(\w+)=", outputs, re.MULTILINE))


@pytest.mark.parametrize("rule", ["train", "assemble", "attack", "evaluate", "surface"])
def test_a_rule_declares_what_its_jobs_read(plan: Plan, rule: str) -> None:
    inputs = BLOCKS[rule].split("input:\n")[1].split("output:\n")[0]
    declared = set(re.findall(r"^ +(\w+)=", inputs, re.MULTILINE))
    assert set().union(*(job.inputs for job in plan.jobs([rule]))) <= declared


def test_every_training_leaves_the_same_kinds_of_files(plan: Plan) -> None:
    (kinds,) = {tuple(sorted(job.outputs)) for job in plan.jobs(["train"])}
    assert kinds == ("history", "model", "record", "training_log")


def test_images_are_made_on_their_source_and_shown_to_their_target(plan: Plan) -> None:
    made = {job.outputs["adversarial"]: job.inputs["model"] for job in plan.jobs(["attack"])}
    settings = set()
    for job in plan.jobs(["evaluate"]):
        target, threat = job.name.partition(" seed ")[0], plan.study.threats[job.slice["threat"]]
        own = (plan.make(target, 0).outputs["model"],)
        assert job.inputs["model"] == own
        used = [made[path] for path in job.inputs["adversarial"]]
        if threat.setting == "black_box" and threat.source in plan.study.models:
            assert used == [(plan.make(threat.source, 0).outputs["model"],)]
            assert used != [own]
        elif threat.setting != "black_box":
            members = [
                (plan.make(member, 0).outputs["model"],) for member in plan.study.models[target].members
            ]
            assert used in ([own], members)
        settings.add(threat.setting)
    assert {"white_box", "black_box"} <= settings
