"""Comparisons that the papers' prose makes, judged over cells: as printed, and as measured. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from reproof.claims.claim import Claim
from reproof.claims.paper import Paper, Statement, select
from reproof.claims.protocol import Grade
from reproof.claims.vocabulary import METRICS
from reproof.judging import experiment
from reproof.judging.difference import Difference, dump
from reproof.judging.verdicts import Verdict
from reproof.settings.parameters import Parameters

Judgement = Literal["holds", "does not hold", "undecided"]
StatementWord = Literal["holds", "does not hold", "undecided", "not comparable", "not measured"]


@dataclass(frozen=True)
class StatementVerdict:
    """A statement over its cells, in the columns of statements.csv.

    A pair is two claims, or a claim and the number it is compared with; `*_left` and `*_right` are the ids of
    the pair that is nearest to failing (nearest to holding, where one is enough), and `*_difference` theirs.
    """

    statement_id: str
    paper: str
    place: str
    in_print: StatementWord
    print_pairs: int
    print_holding: int
    print_left: str
    print_right: str
    print_difference: float | None
    measured: StatementWord
    measured_pairs: int
    measured_holding: int
    measured_left: str
    measured_right: str
    measured_difference: float | None
    judgement: Judgement | Literal[""]
    """What the measured pairs say, comparable with the paper's or not."""
    grade: Grade | Literal[""]
    """The last grade of the verdicts that it is judged on; empty where none can be compared."""
    differences: tuple[Difference, ...]

    def cells(self) -> dict[str, Any]:
        """Return its row of statements.csv, by column."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "differences": dump(self.differences),
        }


@dataclass(frozen=True)
class _Side:
    """One side of a pair: a value within bounds."""

    claim_id: str
    value: float
    low: float
    high: float
    strength: experiment.Strength = "same"
    """Of the attack beside the paper's."""
    attack: tuple[Difference, ...] = ()
    """How the attack differs from the paper's."""
    range: tuple[float, float] = (0.0, math.inf)
    """Within which the quantity lies, whatever was measured."""
    incomplete: bool = False
    """The best or worst of several, some of which were not measured."""

    def beside(self, others: Iterable[_Side]) -> _Side:
        """Return it as wide as it is beside sides that met another attack: a weaker one leaves more than the paper's.

        Where all met an attack that differs alike, they are compared as they are.
        """
        if all(other.attack == self.attack for other in others):
            return self
        low = self.range[0] if self.strength in ("weaker", "other") else self.low
        high = self.range[1] if self.strength in ("stronger", "other") else self.high
        return replace(self, low=low, high=high)


@dataclass(frozen=True)
class _Pair:
    left: _Side
    right: _Side

    @property
    def ids(self) -> tuple[str, str]:
        return self.left.claim_id, self.right.claim_id


@dataclass(frozen=True)
class _Gap:
    """left - right, or left / right - 1, with bounds."""

    pair: _Pair
    value: float
    low: float
    high: float


def judge_statements(papers: Sequence[Paper], verdicts: Iterable[Verdict]) -> list[StatementVerdict]:
    """Return every statement's verdict, in the order of papers and statements.

    In print a value stands for itself. Measured values carry their intervals: a comparison holds when it holds
    wherever the two lie in theirs, does not hold when it holds nowhere, and is undecided between. Where the two met
    attacks that differ from the paper's otherwise, a weaker one bounds its side from above alone, a stronger one from
    below, and one of unknown strength not at all. The best of
    several, some of which were not measured, may be as large as it likes. The pairs count whose claims are judged
    (grades A and B): where there is none, the statement is `not comparable`, and `judgement` says how it would fall.
    A statement all of whose numbers are lost stands in words alone: no pair of it is in print, and all of them count.
    """
    by_claim = {verdict.claim_id: verdict for verdict in verdicts}
    return [_judge(statement, paper, papers, by_claim) for paper in papers for statement in paper.statements]


def _judge(
    statement: Statement, paper: Paper, papers: Sequence[Paper], verdicts: Mapping[str, Verdict]
) -> StatementVerdict:
    left = select(statement.left, paper, papers)
    right = select(statement.right, paper, papers) if statement.right else []
    printed, asked_of, sides = _sides((*left, *right), verdicts)
    comparable = {
        key: side
        for key, side in sides.items()
        if verdicts[key].verdict != "not comparable" and verdicts[key].grade != "C"
    }
    in_print = _gaps(statement, _pairs(statement, left, right, printed, printed))
    shown = _tightest(statement, in_print)
    claimed = {
        _key(statement, pair)
        for pair in ([one.pair for one in in_print] or _pairs(statement, left, right, asked_of, asked_of))
    }
    judged = _pairs_of(statement, left, right, comparable, asked_of, claimed)
    everything = _pairs_of(statement, left, right, sides, asked_of, claimed)
    here = judged or everything
    seen = _tightest(statement, here)
    wanted = len(in_print) or len(claimed)
    judgement = _over_all(statement, here, wanted) if here else ""
    used = [
        verdicts[key] for key in sorted({side for each in here for side in each.pair.ids} & set(verdicts))
    ]
    word: StatementWord = "not measured"
    if judgement:
        word = judgement if judged else "not comparable"
    differences = _differences(statement, here, used, wanted)
    if not here:
        asked = [verdicts[claim.claim_id] for claim in (*left, *right) if claim.claim_id in verdicts]
        differences = list(min((v.differences for v in asked if v.verdict == "not measured"), default=()))
        if _pairs(statement, left, right, sides, asked_of) and not differences:
            differences = [Difference("zero_share", "", "")]
    return StatementVerdict(
        statement_id=f"{paper.key}.{statement.key}",
        paper=paper.key,
        place=statement.place,
        in_print=_over_all(statement, in_print, len(in_print)) if in_print else "not measured",
        print_pairs=len(in_print),
        print_holding=sum(_one(statement, each) == "holds" for each in in_print),
        print_left=shown.pair.left.claim_id if shown else "",
        print_right=shown.pair.right.claim_id if shown else "",
        print_difference=shown.value if shown else None,
        measured=word,
        measured_pairs=len(here),
        measured_holding=sum(_one(statement, each) == "holds" for each in here),
        measured_left=seen.pair.left.claim_id if seen else "",
        measured_right=seen.pair.right.claim_id if seen else "",
        measured_difference=seen.value if seen else None,
        judgement=judgement,
        grade=max((one.grade for one in used), default="") if judged else "",
        differences=tuple(differences),
    )


def _sides(
    claims: Sequence[Claim], verdicts: Mapping[str, Verdict]
) -> tuple[dict[str, _Side], dict[str, _Side], dict[str, _Side]]:
    """Return the claims as printed, those that are compared (all, where no number is in print), and as measured."""
    printed = {
        claim.claim_id: _Side(claim.claim_id, claim.value, claim.value, claim.value)
        for claim in claims
        if claim.value is not None
    }
    asked_of = printed or {one.claim_id: _Side(one.claim_id, 0.0, 0.0, 0.0) for one in claims}
    found = {one.claim_id: _measured(one, verdicts.get(one.claim_id)) for one in claims}
    sides = {key: side for key, side in found.items() if key in asked_of and side is not None}
    return printed, asked_of, sides


def _measured(claim: Claim, verdict: Verdict | None) -> _Side | None:
    """Return what was measured of a claim, with its interval; None where nothing was."""
    if verdict is None or verdict.measured is None:
        return None
    low = verdict.measured if verdict.low is None else verdict.low
    high = verdict.measured if verdict.high is None else verdict.high
    of_attack = tuple(one for one in verdict.differences if one.kind.startswith("attack."))
    strength = experiment.strength(of_attack, claim)
    metric = METRICS[claim.metric]
    return _Side(
        claim.claim_id, verdict.measured, low, high, strength, of_attack, (metric.lower, metric.upper)
    )


def _pairs_of(
    statement: Statement,
    left: Sequence[Claim],
    right: Sequence[Claim],
    sides: Mapping[str, _Side],
    asked_of: Mapping[str, _Side],
    claimed: Set[tuple[str, str]],
) -> list[_Gap]:
    """Return the measured differences of the pairs that the paper compares."""
    found = _gaps(statement, _pairs(statement, left, right, sides, asked_of))
    return [each for each in found if _key(statement, each.pair) in claimed]


def _differences(
    statement: Statement, here: Sequence[_Gap], used: Iterable[Verdict], wanted: int
) -> list[Difference]:
    """Return how what was measured differs from what a statement compares."""
    differences = list(dict.fromkeys(part for verdict in used for part in _named(verdict)))
    if 0 < len(here) < wanted:
        differences.insert(0, Difference("pairs", str(len(here)), str(wanted)))
    if any(each.pair.right.incomplete for each in here):
        differences.insert(0, Difference("compared", "", ""))
    return differences


def _named(verdict: Verdict) -> Iterable[Difference]:
    """Yield a verdict's differences; an attack's settings with its name, since a statement may be about several."""
    for one in verdict.differences:
        own = one.kind.removeprefix("attack.")
        yield one if own == one.kind else one._replace(kind=f"attack.{verdict.attack}.{own}")


def _key(statement: Statement, pair: _Pair) -> tuple[str, str]:
    """Return what names a pair in print and measured: another one may be the best of the right claims."""
    return pair.left.claim_id, pair.right.claim_id if statement.against == "each" else ""


def _pairs(
    statement: Statement,
    left: Sequence[Claim],
    right: Sequence[Claim],
    sides: Mapping[str, _Side],
    wanted: Mapping[str, _Side],
) -> list[_Pair]:
    """Return the pairs both of whose sides have a value; the best and worst are open where not all wanted have."""
    pairs = []
    for claim in left:
        own = sides.get(claim.claim_id)
        if own is None:
            continue
        if statement.value is not None:
            number = _Side("", statement.value, statement.value, statement.value)
            pairs.append(_Pair(own.beside([number]), number))
            continue
        ids = [
            other.claim_id
            for other in right
            if other.claim_id in wanted
            and other.claim_id != claim.claim_id
            and all(_agree(other, claim, name) for name in statement.pair_by)
        ]
        others = [sides[one] for one in ids if one in sides]
        if statement.against == "each":
            pairs += [_Pair(own.beside([other]), other.beside([own])) for other in others]
        elif others:
            beside = [other.beside([own]) for other in others]
            extreme = _extreme(beside, statement.against, complete=len(others) == len(ids))
            pairs.append(_Pair(own.beside(others), extreme))
    return pairs


def _agree(one: Claim, other: Claim, name: str) -> bool:
    """Tell whether two claims have the same in a column; parameters whatever their print."""
    left, right = getattr(one, name), getattr(other, name)
    return Parameters.parse(left) == Parameters.parse(right) if name == "parameters" else bool(left == right)


def _extreme(sides: Sequence[_Side], which: Literal["best", "worst"], *, complete: bool) -> _Side:
    """Return the largest or smallest side; what is missing may be larger or smaller still."""
    if which == "best":
        first = max(sides, key=lambda side: side.value)
        low, high = max(side.low for side in sides), max(side.high for side in sides)
        return _Side(
            first.claim_id, first.value, low, high if complete else math.inf, incomplete=not complete
        )
    first = min(sides, key=lambda side: side.value)
    low, high = min(side.low for side in sides), min(side.high for side in sides)
    return _Side(first.claim_id, first.value, low if complete else -math.inf, high, incomplete=not complete)


def _gaps(statement: Statement, pairs: Iterable[_Pair]) -> list[_Gap]:
    """Return the pairs' differences; a share of nothing has none."""
    found = []
    for pair in pairs:
        left, right = pair.left, pair.right
        if statement.scale == "absolute":
            found.append(_Gap(pair, left.value - right.value, left.low - right.high, left.high - right.low))
        elif right.value > 0:
            low = left.low / right.high - 1
            high = left.high / right.low - 1 if right.low > 0 else math.inf
            found.append(_Gap(pair, left.value / right.value - 1, low, high))
    return found


def _bounds(statement: Statement) -> tuple[float, float]:
    """Return between which differences the statement holds."""
    rounding = 1e-12
    if statement.relation == "more":
        return statement.margin - statement.slack - rounding, math.inf
    if statement.relation == "less":
        return -math.inf, -statement.margin + statement.slack + rounding
    slack = statement.slack + rounding
    return statement.margin - slack, statement.margin + slack


def _within(statement: Statement, low: float, high: float) -> Judgement:
    least, most = _bounds(statement)
    if least <= low and high <= most:
        return "holds"
    return "does not hold" if high < least or low > most else "undecided"


def _one(statement: Statement, gap: _Gap) -> Judgement:
    return _within(statement, gap.low, gap.high)


def _over_all(statement: Statement, gaps: Sequence[_Gap], wanted: int) -> Judgement:
    """Return what the pairs say together; pairs that are missing leave open what only they could settle."""
    words = [_one(statement, each) for each in gaps]
    complete = len(words) == wanted
    if statement.holds_for == "mean":
        number = len(gaps)
        if not complete:
            return "undecided"
        return _within(
            statement,
            math.fsum(each.low for each in gaps) / number,
            math.fsum(e.high for e in gaps) / number,
        )
    decisive: Judgement = "does not hold" if statement.holds_for == "all" else "holds"
    other: Judgement = "holds" if statement.holds_for == "all" else "does not hold"
    if decisive in words:
        return decisive
    return other if complete and all(word == other for word in words) else "undecided"


def _tightest(statement: Statement, gaps: Sequence[_Gap]) -> _Gap | None:
    """Return the pair nearest to failing, or, where one pair is enough, nearest to holding."""
    least, most = _bounds(statement)

    def room(each: _Gap) -> float:
        return min(each.value - least, most - each.value)

    if not gaps:
        return None
    return (max if statement.holds_for == "some" else min)(gaps, key=room)
