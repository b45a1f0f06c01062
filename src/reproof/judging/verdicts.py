"""Claims beside measurements: `judge`, the only place where the two meet. Imports no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import LOST, MEMBERS, METRICS
from reproof.measuring.measurements import Summary
from reproof.settings.values import format_number

TOLERANCE = 0.02
"""How far outside the measured interval a claim may lie and still be reproduced: two points of accuracy."""

FOOLING_SET = "fooling_set"
"""What the metrics begin with that count only the images that fool all their sources."""
TOGETHER = "+"
"""What joins the models in a row's source on which images are made together (study.JOINT)."""

Word = Literal["reproduced", "lower", "higher", "not comparable", "not measured", "not claimed"]


@dataclass(frozen=True)
class Budget:
    """What a model of the study was given; `width` is the network's share of the paper's channels."""

    model: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    defense: str = "undefended"
    training: str = "clean"
    train_images: int | None = None
    test_images: int | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Verdict:
    """A claim beside its measurement, in the columns of verdicts.csv.

    `differences`: those of the measurement that was chosen, or the reason why there is none. `strongest_*`:
    what is left of the same model under every attack of the study in the same budget, beside the same claim.
    """

    claim_id: str
    claimed: float | None
    measured: float | None
    low: float | None
    high: float | None
    verdict: Word
    differences: str
    paper: str
    table: str
    row: str
    column: str
    model: str
    strongest_attack: str
    strongest_value: float | None
    strongest_low: float | None
    strongest_high: float | None
    strongest_verdict: Word | Literal[""]


def judge(
    claim: Claim,
    summary_rows: Sequence[Summary],
    tolerance: float = TOLERANCE,
    *,
    budgets: Mapping[str, Budget] | None = None,
    paper: Paper | None = None,
    attacks: Mapping[str, Mapping[str, Any]] | None = None,
    narrowed: Mapping[tuple[str, str, str, str], Mapping[str, Any]] | None = None,
) -> Verdict:
    """Return the claim's verdict against a study's summary.

    A claim is reproduced when it lies in the measured interval widened by the tolerance (for metrics other
    than shares: by that share of the claim); `lower` and `higher` say where the measurement lies.
    Only a measurement of the same defense, training, setting, attack, parameters and metric is chosen: of the
    same data set and network first, made on a transfer source of the paper's kind (a narrower one too), then the
    one with the fewest differences. On another data set or network
    (a narrower one included), or from another transfer source, it is shown and not judged. Smaller budgets
    are listed; they change no verdict.

    budgets: model -> what the study gave it. attacks: stanza -> the study's settings of that attack. narrowed:
    (model, setting, source, attack) -> its settings there, where they are others.
    """
    if claim.value is None:
        lost = claim.printed == LOST
        reason = "the number is lost in the text that was read" if lost else "the paper prints a dash"
        return _verdict(claim, "not claimed", reason)
    candidates = [row for row in summary_rows if _same_question(claim, row)]
    if not candidates:
        return _verdict(claim, "not measured", _reason(claim, summary_rows))
    budgets, attacks, narrowed = budgets or {}, attacks or {}, narrowed or {}
    ranked = []
    for row in candidates:
        foreign = _foreign(claim, row, budgets, paper)
        place = (row.model, row.setting, row.source, row.attack)
        protocol = narrowed.get(place, attacks.get(row.attack, {}))
        smaller = _smaller(claim, row, budgets.get(row.model), paper, protocol)
        order = (
            row.dataset != claim.dataset,
            row.architecture != claim.architecture,
            _source_of_another_kind(claim, row, budgets),
            len(foreign),
            len(smaller),
            -(row.total or 0),
            row.model,
            row.source,
            row.study,
            row.dataset,
        )
        ranked.append((order, row, foreign, smaller))
    _, row, foreign, smaller = min(ranked, key=lambda entry: entry[0])
    allowed = tolerance if METRICS[claim.metric].share else tolerance * abs(claim.value)
    word: Word = "not comparable" if foreign else _compare(claim.value, row, allowed)
    strongest = next((other for other in summary_rows if _is_worst_case(claim, row, other)), None)
    strongest_word: Word | Literal[""] = ""
    if strongest is not None:
        strongest_word = "not comparable" if foreign else _compare(claim.value, strongest, allowed)
    return _verdict(claim, word, "; ".join(foreign + smaller), row, strongest, strongest_word)


def _same_question(claim: Claim, row: Summary) -> bool:
    mine = (
        row.defense,
        row.training,
        row.setting,
        row.attack,
        row.parameters,
        row.metric,
    )
    return mine == (
        claim.defense,
        claim.training,
        claim.setting,
        claim.attack,
        claim.parameters,
        claim.metric,
    ) and _members(claim.source) == _attacked(row)


_MEMBERS = {
    "": "a whole ensemble",
    "member": "single members of an ensemble",
    "members": "all members of an ensemble together",
}


def _members(source: str) -> str:
    """Return which members of an ensemble were attacked; "" for every other kind of source."""
    return source if source in MEMBERS else ""


def _attacked(row: Summary) -> str:
    """Return the same of a row; the name of a member where it alone was attacked, of which no claim speaks."""
    elsewhere = row.setting == "white_box" and row.source not in ("", row.model)
    return row.source if elsewhere else ""


def _is_worst_case(claim: Claim, row: Summary, other: Summary) -> bool:
    return (
        claim.metric == other.metric == "accuracy"
        and other.attack == "worst_case"
        and other.parameters == f"norm=linf epsilon={claim.epsilon}"
        and (other.study, other.model) == (row.study, row.model)
    )


def _compare(claimed: float, row: Summary, tolerance: float) -> Word:
    low = row.value if row.low is None else row.low
    high = row.value if row.high is None else row.high
    rounding = 1e-12
    if claimed > high + tolerance + rounding:
        return "lower"
    if claimed < low - tolerance - rounding:
        return "higher"
    return "reproduced"


def _foreign(claim: Claim, row: Summary, budgets: Mapping[str, Budget], paper: Paper | None) -> list[str]:
    """Return the differences that make it another quantity than the claimed one."""
    differences = []
    if row.dataset != claim.dataset:
        differences.append(f"dataset: {row.dataset}, not {claim.dataset}")
    network = _network(row.architecture, budgets.get(row.model))
    if network != claim.architecture:
        differences.append(f"architecture: {network}, not {claim.architecture}")
    own = paper.budgets.get(claim.dataset) if paper is not None else None
    if claim.unit == "images" and own is not None and own.test_images is not None and row.total is not None:
        here = row.total // row.seeds
        if here != own.test_images:
            differences.append(f"a count among {here} images, not {own.test_images}")
    if claim.setting == "black_box":
        made_on, wanted = _made_on(row, budgets), TransferSource.read(claim.source)
        if made_on and set(made_on) != set(wanted):
            words, expected = (" and ".join(map(str, sources)) for sources in (made_on, wanted))
            differences.append(f"source: {words}, not {expected}")
    return differences


def _source_of_another_kind(claim: Claim, row: Summary, budgets: Mapping[str, Budget]) -> bool:
    """Say whether a transfer attack was made on another network or defense than the paper's, whatever its width."""
    if claim.setting != "black_box":
        return False
    made_on = _made_on(row, budgets, named_by_width=False)
    return bool(made_on) and set(made_on) != set(TransferSource.read(claim.source))


def _made_on(
    row: Summary, budgets: Mapping[str, Budget], *, named_by_width: bool = True
) -> tuple[TransferSource, ...]:
    """Return the kinds of networks that a row's images were made on, with their numbers; none where unknown.

    named_by_width: a network narrower than the paper's is another kind.
    """
    models = row.source.split(TOGETHER)
    if any(model not in budgets for model in models):
        return ()
    kinds = Counter(
        (
            _network(one.architecture, one) if named_by_width else one.architecture,
            one.defense,
            one.training,
        )
        for one in (budgets[model] for model in models)
    )
    return tuple(TransferSource(*kind, networks=number) for kind, number in kinds.items())


def _network(architecture: str, budget: Budget | None) -> str:
    if budget is None or budget.width == 1:
        return architecture
    return f"{architecture} (width {format_number(budget.width)})"


def _smaller(
    claim: Claim, row: Summary, budget: Budget | None, paper: Paper | None, attack: Mapping[str, Any]
) -> list[str]:
    """Return how the study's budget differs from the paper's, as far as both are known."""
    own = paper.budgets.get(claim.dataset) if paper is not None else None
    pairs: list[tuple[str, float | None, float | None]] = []
    if own is not None:
        images = row.total // row.seeds if row.total is not None else None
        if not claim.metric.startswith(FOOLING_SET):  # whose number of images is the attack's success
            pairs.append(("images", images, own.test_images))
        if budget is not None:
            pairs.append(("epochs", budget.epochs, own.epochs))
            pairs.append(("training images", budget.train_images, own.train_images))
        pairs.append(("seeds", row.seeds, own.seeds))
    differences = [
        f"{name}: {format_number(here)} of {format_number(there)}"
        for name, here, there in pairs
        if here is not None and there is not None and here != there
    ]
    for name, there in sorted(paper.attacks.get(claim.attack, {}).items() if paper is not None else ()):
        here = attack.get(name)
        if isinstance(here, int | float) and not math.isclose(here, there):
            differences.append(f"{claim.attack} {name}: {format_number(here)}, not {format_number(there)}")
    return differences


def _reason(claim: Claim, rows: Sequence[Summary]) -> str:
    """Return what the study lacks, the first thing a reader would have to add."""
    left = [row for row in rows if row.defense == claim.defense]
    reason = f"{METRICS[claim.metric].words} was not measured"
    if not left:
        reason = f"defense {claim.defense} was not built in this study"
    elif not (left := [row for row in left if row.training == claim.training]):
        how = "clean images alone" if claim.training == "clean" else f"{claim.training} examples"
        reason = f"defense {claim.defense} was not trained on {how} in this study"
    elif not (left := [row for row in left if row.setting == claim.setting]):
        reason = f"setting {claim.setting} was not run against {claim.defense}"
    elif not (left := [row for row in left if row.attack == claim.attack]):
        reason = f"attack {claim.attack} was not run in setting {claim.setting}"
    elif not METRICS[claim.metric].parameter and not any(r.parameters == claim.parameters for r in left):
        run = ", ".join(sorted({row.parameters for row in left}))
        reason = f"parameters: {claim.attack} was not run at {claim.parameters} (only at {run})"
    elif not any(_attacked(row) == _members(claim.source) for row in left):
        reason = f"{claim.attack} was not run against {_MEMBERS[_members(claim.source)]}"
    elif claim.metric.startswith(FOOLING_SET) and not any(row.metric == claim.metric for row in left):
        reason = f"no image fools all the sources of {claim.attack}, so nothing can be counted"
    if not any(row.dataset == claim.dataset for row in rows):
        reason += f"; data set {claim.dataset} is not in this study"
    return reason


def _verdict(
    claim: Claim,
    word: Word,
    differences: str,
    row: Summary | None = None,
    strongest: Summary | None = None,
    strongest_word: Word | Literal[""] = "",
) -> Verdict:
    return Verdict(
        claim_id=claim.claim_id,
        claimed=claim.value,
        measured=row.value if row else None,
        low=row.low if row else None,
        high=row.high if row else None,
        verdict=word,
        differences=differences,
        paper=claim.paper,
        table=claim.table,
        row=claim.row,
        column=claim.column,
        model=row.model if row else "",
        strongest_attack=strongest.attack if strongest else "",
        strongest_value=strongest.value if strongest else None,
        strongest_low=strongest.low if strongest else None,
        strongest_high=strongest.high if strongest else None,
        strongest_verdict=strongest_word,
    )
