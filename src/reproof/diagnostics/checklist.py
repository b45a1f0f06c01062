"""N. Carlini, A. Athalye, N. Papernot, W. Brendel, J. Rauber, D. Tsipras, I. Goodfellow, A. Madry, A. Kurakin. On
Evaluating Adversarial Robustness. arXiv 1902.06705, 2019: its checklist (Sec. 3), answered from a study's data.

Every answer is computed from the study's settings, its outcomes, its red flags and its verdicts; none is typed in.
`yes`: done, and nothing speaks against it. `partly`: done for a part, and the evidence says for which. `no`: not done,
or done with a result against it; the evidence tells the two apart. Imports no torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reproof.diagnostics.checklist_case import Answer, Case, Facts
from reproof.diagnostics.checklist_of_model import OF_MODEL
from reproof.diagnostics.checklist_of_study import OF_STUDY
from reproof.diagnostics.sanity_check import RedFlag
from reproof.diagnostics.trials import Results
from reproof.judging.verdicts import Verdict
from reproof.measuring.outcomes import Outcomes


@dataclass(frozen=True)
class Reply:
    """One item's answer for one model, or for the whole study where `model` is empty."""

    item: str
    model: str
    answer: Answer
    evidence: str
    """One sentence with its numbers."""


@dataclass(frozen=True)
class Item:
    """One question. Its words are ours, its place is the paper's."""

    key: str
    group: str
    section: str
    words: str


SEVERE, PITFALLS, SPECIAL = "Common severe flaws", "Common pitfalls", "Special cases"
ITEMS = tuple(
    Item(*texts)
    for texts in (
        ("threat_model", SEVERE, "2.2", "The attacker’s goal, knowledge and budgets are stated."),
        ("adaptive", SEVERE, "2.5", "Attacks are adapted to the defense: its own loss is attacked."),
        ("end_to_end", SEVERE, "2.5", "The whole defense is attacked, end to end."),
        ("strongest", SEVERE, "4.3", "The strongest known attacks are among those applied."),
        ("release", SEVERE, "2.6", "Code and trained models can be had."),
        ("clean_accuracy", SEVERE, "4.2", "Accuracy without an attack is reported."),
        (
            "refusals",
            SEVERE,
            "4.2",
            "Of a model that may refuse an image, refusals are reported over thresholds.",
        ),
        ("iterative", SEVERE, "5.2", "Iterative attacks are at least as strong as a single step."),
        ("steps", SEVERE, "4.8", "Attacks have converged: more steps find few images more."),
        ("restarts", SEVERE, "4.8", "Attacks start at random, several times."),
        ("monotone", SEVERE, "5.2", "Robust accuracy never rises with the budget."),
        ("guessing", SEVERE, "5.2", "A large budget brings robust accuracy down to the chance level."),
        ("curve", SEVERE, "5.3", "Accuracy is shown over a range of budgets, up to where none is left."),
        ("distortion", SEVERE, "5.3", "Of attacks without a budget the distortion is reported."),
        (
            "adaptive_best",
            SEVERE,
            "5.4",
            "Robust accuracy under adaptive attacks is no higher than under any other.",
        ),
        ("combination", SEVERE, "5.4", "Black-box, transfer and random attacks are run too."),
        ("hyper_parameters", SEVERE, "5.7", "All settings of the attacks are reported."),
        ("diverse", PITFALLS, "4.3", "The attacks search in different ways."),
        (
            "gradient_free",
            PITFALLS,
            "4.4",
            "An attack by scores and one by labels alone find no more than gradients.",
        ),
        ("substitute", PITFALLS, "4.5", "Attacks transferred from a similar model are run."),
        ("transfer_weaker", PITFALLS, "4.5", "Transferred attacks succeed less often than white-box ones."),
        ("randomness", PITFALLS, "4.6", "Of a random defense, gradients are averaged over its randomness."),
        ("not_differentiable", PITFALLS, "4.7", "What cannot be differentiated is approximated by what can."),
        ("explored", PITFALLS, "4.9", "Several settings of an attack are tried."),
        (
            "prior_work",
            PITFALLS,
            "5.1",
            "Earlier work is compared with, alike, and differences are explained.",
        ),
        ("broader", PITFALLS, "4.10", "Broader threats are tested: other norms, rotations, corruptions."),
        ("provable", SPECIAL, "4.1", "Provable bounds are looked into."),
        ("noise", SPECIAL, "4.11", "Random noise in the budget is tried often, and finds less."),
        ("targeted", SPECIAL, "4.12", "Targeted and untargeted attacks are used."),
        ("ablation", SPECIAL, "4.13", "Components are removed, one by one and together."),
        ("undefended", SPECIAL, "4.13", "The attacks succeed against a similar, undefended model."),
        ("validated", SPECIAL, "4.14", "Each attack is shown to work against some model."),
        ("domains", SPECIAL, "5.5", "Data other than images are tried."),
        (
            "per_example",
            SPECIAL,
            "5.6",
            "Success is counted per image over all attacks, not averaged over them.",
        ),
    )
)
"""The checklist, in its order."""


def answer(
    facts: Facts, outcomes: Iterable[Outcomes], flags: Iterable[RedFlag], verdicts: Sequence[Verdict] = ()
) -> list[Reply]:
    """Return the answer to every item: one per model, or one for the study, in the order of ITEMS and models."""
    raised: dict[str, dict[str, RedFlag]] = defaultdict(dict)
    for flag in flags:
        raised[flag.model][flag.check] = flag
    seeds: dict[str, list[Outcomes]] = defaultdict(list)
    for one in outcomes:
        seeds[one.model].append(one)
    cases: dict[str, Case] = {}
    for name, subject in facts.models.items():
        found = sorted(seeds[name], key=lambda one: one.seed)
        trials: dict[str, Results] = defaultdict(list)
        for one in found:
            for trial in one.trials:
                trials[trial.name].append((trial, one))
        if found:
            cases[name] = Case(name, subject, found, dict(trials), raised[name], facts, cases)
    replies = []
    for item in ITEMS:
        if item.key in OF_STUDY:
            replies.append(Reply(item.key, "", *OF_STUDY[item.key](facts, cases, verdicts)))
        else:
            replies += [Reply(item.key, name, *OF_MODEL[item.key](case)) for name, case in cases.items()]
    return [replace(r, evidence=r.evidence[0].upper() + r.evidence[1:]) for r in replies]


def table_rows(replies: Iterable[Reply]) -> list[dict[str, Any]]:
    """Return the answers in the columns of checklist.csv."""
    items = {item.key: item for item in ITEMS}
    return [
        {
            "item": reply.item,
            "group": items[reply.item].group,
            "section": items[reply.item].section,
            "model": reply.model,
            "answer": reply.answer,
            "evidence": reply.evidence,
        }
        for reply in replies
    ]
