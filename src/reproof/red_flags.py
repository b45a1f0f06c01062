"""Signs that an attack was hampered rather than withstood (gradient masking): the sanity gates.

Every gate compares attacks image by image on the images that both attacked, over all seeds, with the exact
paired test (McNemar), one-sided in the suspicious direction. A gate is raised when the smallest p-value of
its comparisons, times their number (Bonferroni), is below ALPHA: chance alone raises a gate of an honest
model in at most 5 of 100 studies, and a difference of a few images raises none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from reproof import wording
from reproof.intervals import mcnemar_one_sided
from reproof.tables import Bools, Outcomes, Trial

ALPHA = 0.05
SINGLE_STEP = ("fgsm",)
ITERATIVE = ("bim", "mim", "pgd")
COLUMNS = ("model", "gate", "raised", "evidence", "rows")

GATES = {
    "iterative_vs_single_step": "Iterative attacks are at least as strong as one step in the same budget.",
    "white_box_vs_transfer": "White-box attacks are at least as strong as transfer in the same budget.",
    "white_box_vs_noise": "White-box attacks are at least as strong as random noise in the same budget.",
    "monotone_in_epsilon": "Accuracy under an attack does not rise with its budget.",
    "adaptive_vs_plain": "Attacks on the method's own loss find no more than plain white-box attacks.",
}
"""Gate -> what an honest model shows. "White-box attacks" stands for the strongest of them."""


@dataclass(frozen=True)
class Flag:
    """One gate for one model. `raised` is None where the study has no attacks to check it with."""

    model: str
    gate: str
    raised: bool | None
    evidence: str
    """The numbers, in a sentence."""
    rows: tuple[str, ...]
    """The measurements that it compares: `white_box pgd epsilon=0.3`."""


@dataclass(frozen=True)
class _Comparison:
    """Two attacks on the same images; `first` should leave no more images standing than `second`."""

    first: str
    second: str
    only_first: int
    only_second: int
    first_correct: int
    second_correct: int
    total: int

    @property
    def p_value(self) -> float:
        return mcnemar_one_sided(self.only_first, self.only_second)


Results = list[tuple[Trial, Outcomes]]
"""The trials of one name, one for each seed."""


def find(outcomes: Iterable[Outcomes]) -> list[Flag]:
    """Return every gate for every model, by model and in the order of GATES."""
    models: dict[str, list[Outcomes]] = defaultdict(list)
    for one in outcomes:
        models[one.model].append(one)
    return [
        flag
        for model in sorted(models)
        for flag in _flags(model, sorted(models[model], key=lambda one: one.seed))
    ]


def table_rows(flags: Iterable[Flag]) -> list[dict[str, Any]]:
    """Return the flags in the columns of red_flags.csv; `raised` is None where it was not checked."""
    return [
        {
            "model": f.model,
            "gate": f.gate,
            "raised": f.raised,
            "evidence": f.evidence,
            "rows": "; ".join(f.rows),
        }
        for f in flags
    ]


def _flags(model: str, seeds: Sequence[Outcomes]) -> Iterator[Flag]:
    named: dict[str, Results] = defaultdict(list)
    for one in seeds:
        for trial in one.trials:
            named[trial.name].append((trial, one))
    trials = [named[name] for name in sorted(named)]
    yield _judge(
        model,
        "iterative_vs_single_step",
        _iterative(trials),
        "a single step and an iterative white-box attack",
    )
    transfer = [results for results in trials if _of(results).setting == "black_box"]
    yield _judge(
        model,
        "white_box_vs_transfer",
        _against_strongest(trials, transfer),
        "a white-box and a transfer attack",
    )
    noise = [results for results in trials if _of(results).kind == "random_noise"]
    yield _judge(
        model, "white_box_vs_noise", _against_strongest(trials, noise), "a white-box attack and random noise"
    )
    yield _judge(model, "monotone_in_epsilon", _over_epsilons(trials), "one attack at two budgets", "")
    adaptive = [results for results in trials if _of(results).setting == "adaptive"]
    yield _judge(
        model,
        "adaptive_vs_plain",
        _against_strongest(trials, adaptive),
        "an adaptive and a plain white-box attack",
    )


def _of(results: Results) -> Trial:
    return results[0][0]


def _plain(results: Results) -> bool:
    """Tell whether it is a white-box attack by gradients of the deployed logits, not of a member's alone."""
    trial = _of(results)
    plain = trial.setting == "white_box" and trial.kind != "random_noise" and trial.view in ("", "logits")
    return plain and not trial.elsewhere


def _budget(results: Results) -> tuple[str, float] | None:
    trial = _of(results)
    return None if trial.epsilon is None else (trial.norm, trial.epsilon)


def _iterative(trials: Sequence[Results]) -> list[_Comparison]:
    plain = [results for results in trials if _plain(results) and _budget(results) is not None]
    return [
        comparison
        for strong in plain
        for weak in plain
        if _of(strong).kind in ITERATIVE
        and _of(weak).kind in SINGLE_STEP
        and _budget(strong) == _budget(weak)
        for comparison in _compare(strong, weak)
    ]


def _against_strongest(trials: Sequence[Results], others: Sequence[Results]) -> list[_Comparison]:
    """Compare each of the others with the white-box attack that leaves the fewest of its images."""
    found = []
    for other in others:
        plain = [
            r for r in trials if _plain(r) and r is not other and _budget(r) == _budget(other) is not None
        ]
        compared = [comparison for strong in plain for comparison in _compare(strong, other)]
        if compared:
            found.append(min(compared, key=lambda c: (c.first_correct / c.total, -c.total, c.first)))
    return found


def _over_epsilons(trials: Sequence[Results]) -> list[_Comparison]:
    curves: dict[tuple[str, ...], list[Results]] = defaultdict(list)
    for results in trials:
        trial = _of(results)
        if trial.epsilon is not None:
            curves[trial.setting, trial.elsewhere, trial.attack].append(results)
    return [
        comparison
        for key in sorted(curves)
        for weak, strong in combinations(sorted(curves[key], key=lambda r: _of(r).epsilon or 0.0), 2)
        for comparison in _compare(strong, weak)
    ]


def _compare(first: Results, second: Results) -> list[_Comparison]:
    """Return the two attacks' comparison over the seeds and images that both have, if there are any.

    An image counts as standing when it is classified correctly clean and under the attack.
    """
    left, right = [], []
    others = {one.seed: (trial, one) for trial, one in second}
    for trial, one in first:
        if one.seed not in others:
            continue
        other = others[one.seed][0]
        shared = np.intersect1d(trial.images, other.images, assume_unique=True)
        clean = one.clean_on(shared)
        left.append(clean & trial.correct[np.searchsorted(trial.images, shared)])
        right.append(clean & other.correct[np.searchsorted(other.images, shared)])
    if not left or not sum(map(len, left)):
        return []
    one_stands: Bools = np.concatenate(left)
    other_stands: Bools = np.concatenate(right)
    return [
        _Comparison(
            first=_of(first).name,
            second=_of(second).name,
            only_first=int((one_stands & ~other_stands).sum()),
            only_second=int((other_stands & ~one_stands).sum()),
            first_correct=int(one_stands.sum()),
            second_correct=int(other_stands.sum()),
            total=len(one_stands),
        )
    ]


def _plain_words(name: str) -> str:
    """Return a trial's name for people: `white_box pgd epsilon=0.3` is `white-box PGD at ε = 0.3`."""
    setting, attack, *rest = name.split(" ")
    parameters, _, source = " ".join(rest).partition(" from ")
    words = f"{wording.setting(setting).lower()} {wording.attack(attack)} at {wording.parameters(parameters)}"
    if source in wording.SOURCES:
        return f"{words} on {wording.SOURCES[source]}"
    return f"{words} from {source}" if source else words


def _judge(
    model: str,
    gate: str,
    comparisons: Sequence[_Comparison],
    needed: str,
    ending: str = " at the same budget",
) -> Flag:
    if not comparisons:
        return Flag(model, gate, None, f"Not checked: the study has no pair of {needed}{ending}.", ())
    worst = min(comparisons, key=lambda c: (c.p_value, c.first, c.second))
    corrected = min(1.0, worst.p_value * len(comparisons))
    raised = corrected < ALPHA
    count = f"{len(comparisons)} comparison" + ("s" if len(comparisons) > 1 else "")
    first, second = _plain_words(worst.first), _plain_words(worst.second)
    evidence = (
        f"{first[0].upper()}{first[1:]} leaves {worst.first_correct} of {worst.total} images standing, "
        f"{second} leaves {worst.second_correct}; {worst.only_first} stand only the former, "
        f"{worst.only_second} only the latter (p = {corrected:.2g}, corrected for {count})."
    )
    suspicious = (
        [c for c in comparisons if min(1.0, c.p_value * len(comparisons)) < ALPHA] if raised else [worst]
    )
    rows = sorted({name for c in suspicious for name in (c.first, c.second)})
    return Flag(model, gate, raised, evidence, tuple(rows))
