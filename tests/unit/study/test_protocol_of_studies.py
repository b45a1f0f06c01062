"""The budgets `paper` are the papers' own experiments, field by field, and they leave no claim out without a reason.

Claims that none of our papers measured have no protocol, and are left out of the comparison.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from reproof.claims.claim import Claim
from reproof.csv_tables import MEASUREMENTS, SUMMARY
from reproof.judging.candidates import Candidate, Candidates
from reproof.judging.measured import Measured
from reproof.judging.study_facts import StudyFacts
from reproof.plan.jobs import Plan
from reproof.study import reader
from tests.ours import WHOLE, built_here, needs, papers_here
from tests.unit.study.test_studies import (
    NAMES,
    PAPER,
    ROOT,
    can_be_met,
    measurements,
    paper_study,
    planned,
)

STUDIES = [*((name, "paper") for name in NAMES), *((name, "") for name in PAPER)]

ANSWERED = {
    ("mnist", "paper"): 435,
    ("fashion_mnist", "paper"): 75,
    ("cifar10", "paper"): 565,
    ("cifar100", "paper"): 75,
    ("svhn", "paper"): 48,
    ("ilsvrc", "paper"): 123,
    ("paper", ""): 1321,
}
"""How many claims that our papers measured each study answers, at least."""

FEWER = {
    ("mirzaeian_dkd", "carlini_wagner"): "five searches of 200 steps on each image, through purifiers too",
    ("seiler_superimposition", "none"): "the test images are 18,000; what is attacked are the first 10,000",
}
"""Paper and attack that a study runs on fewer images than the paper's, which its grade allows -> why."""


def candidates_of(plan: Plan) -> Candidates:
    facts = StudyFacts.read(plan.tabulate().slice)
    measured = Measured(SUMMARY.frame(measurements(plan)), MEASUREMENTS.frame([]))
    return Candidates(measured, facts, papers_here())


@functools.cache
def candidates(name: str, budget: str) -> Candidates:
    return candidates_of(planned(name, budget))


def answers(plan: Plan, among: Candidates) -> Iterator[tuple[Claim, Candidate]]:
    """Yield what a study answers of the claims about its data sets that our papers measured."""
    datasets = {choice.settings.key for choice in plan.study.datasets.values()}
    for paper in papers_here():
        for claim in paper.claims:
            if claim.value is None or claim.dataset not in datasets or not among.protocols.origin(claim):
                continue
            if not built_here(claim):
                continue
            found = among.of(claim)
            if found is not None:
                yield claim, found


@functools.cache
def answered(name: str, budget: str) -> tuple[tuple[Claim, Candidate], ...]:
    return tuple(answers(planned(name, budget), candidates(name, budget)))


def differing(found: Iterable[tuple[Claim, Candidate]]) -> dict[tuple[str, ...], set[str]]:
    """Return what makes it another experiment: paper, setting, ours, theirs, grade -> the models that have it."""
    listed: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for claim, candidate in found:
        for one in candidate.differences:
            if one.grade != "A":
                listed[claim.paper, *one].add(candidate.row.model)
    return dict(listed)


@pytest.mark.parametrize(("name", "budget"), STUDIES)
def test_study_is_the_papers_own_experiment(name: str, budget: str) -> None:
    assert differing(answered(name, budget)) == {}
    assert not WHOLE or len(answered(name, budget)) >= ANSWERED[name, budget]


@needs(
    "datasets/fashion_mnist",
    "architectures/cnn6",
    "papers/mustafa_pcl",
    "attacks/mim",
    "defenses/prototype_conformity",
    "defenses/undefended",
)
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            {"models": {"prototype_conformity": {"training": {"gradient_clip": 1}}}},
            ("training.gradient_clip", "1", "", "B"),
        ),
        (
            {"models": {"prototype_conformity_pgd": {"training": {"adversarial": {"warmup_epochs": 0}}}}},
            ("training.adversarial.warmup_epochs", "0", "0.142857143", "C"),
        ),
        ({"attacks": {"mim": {"steps": 9}}}, ("attack.steps", "9", "10", "B")),
    ],
)
def test_another_setting_would_be_found(change: dict[str, Any], difference: tuple[str, ...]) -> None:
    file = ROOT / "studies/fashion_mnist.yaml"
    plan = Plan(reader.load([file], {"budget": "paper", **change}))
    assert list(differing(answers(plan, candidates_of(plan)))) == [("mustafa_pcl", *difference)]


@needs("datasets/ilsvrc", "architectures/vgg", "attacks/gradient_ensemble", "attacks/bim")
@pytest.mark.parametrize("budget", ["quick", "paper"])
def test_seilers_attacks_take_his_twenty_steps_of_one_level(budget: str) -> None:
    """min(ε + 4, 1.25 ε) of 16 levels (Sec. III), in short studies too, and on one network as on several."""
    suites = planned("ilsvrc", budget).study.suite_attacks
    chosen = [
        attacks[name].settings
        for attacks in suites.values()
        for name in ("gradient_ensemble", "bim")
        if name in attacks
    ]
    assert {(s.steps, s.step_size, s.epsilons) for s in chosen} == {(20, 1 / 16, (16 / 255,))}  # type: ignore[attr-defined]
    assert len(chosen) == 4


@pytest.mark.parametrize(("name", "budget"), STUDIES)
def test_study_attacks_all_images_of_the_paper_but_where_it_says_why(name: str, budget: str) -> None:
    fewer = {
        (claim.paper, claim.attack)
        for claim, found in answered(name, budget)
        for one in found.size
        if one.kind == "images"
    }
    papers = {claim.paper for claim, _ in answered(name, budget)}
    listed = {key for key in FEWER if key[0] in papers}
    assert fewer == listed if WHOLE else fewer <= listed


@paper_study
def test_every_claim_is_answered_or_says_why_not() -> None:
    """The reason stands in paper.yaml (`unmeasurable`); one of a claim that is answered by now must leave it."""
    among = candidates("paper", "")
    assert [
        claim.claim_id
        for paper in papers_here()
        for claim in paper.claims
        if claim.value is not None and can_be_met(claim, planned("paper", "").study)
        if (among.of(claim) is None) != bool(paper.reason_not_measurable(claim))
    ] == []


@needs("papers/mirzaeian_gravity", "papers/mustafa_pcl", "datasets/cifar10", "architectures/resnet")
def test_a_copy_of_a_copy_is_of_the_paper_that_measured_it() -> None:
    protocols = candidates("paper", "").protocols
    origins = {
        claim.claim_id: protocols.origin(claim)
        for paper in papers_here()
        if paper.key in ("mirzaeian_gravity", "mustafa_pcl")
        for claim in paper.claims
    }
    assert origins["mirzaeian_gravity.table_iii.no_attacks.gravity"] == "mirzaeian_gravity"
    assert origins["mirzaeian_gravity.table_iii.no_attacks.mustafa_et_al_27"] == "mustafa_pcl"
    pang = [key for key, origin in origins.items() if "pang" in key and key.startswith("mirzaeian_gravity")]
    assert pang
    assert {origins[key] for key in pang} == {""}, "Mustafa copied these himself"
