"""The claims of all papers together: how many there are, and what in them cannot all be right. Imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from reproof import registry
from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper, select
from reproof.claims.vocabulary import BUDGETS, QUANTITY
from reproof.settings.parameters import Parameters
from reproof.settings.table_words import BOOSTED, NO_ATTACK


@dataclass(frozen=True)
class Anomaly:
    """Two printed numbers that do not go together: the paper contradicts itself, or the claims table is mistyped."""

    kind: str
    first: Claim
    second: Claim

    def __str__(self) -> str:
        """Return it in words, with both cells."""
        return f"{self.kind}: {_words(self.first)} and {_words(self.second)}"


def _words(claim: Claim) -> str:
    return f"{claim.claim_id} ({claim.printed})"


def summary(papers: Sequence[Paper]) -> str:
    """Return the number of claims per paper and table, as text for a terminal."""
    lines: list[tuple[str, ...]] = [
        ("paper", "table", "claims", "measured", "copied", "not certain", "empty", "not measurable")
    ]
    total = [0] * 6
    for paper in papers:
        for name in paper.tables:
            numbers = _counts(paper, [claim for claim in paper.claims if claim.table == name])
            lines.append((paper.key, name, *map(str, numbers)))
        numbers = _counts(paper, paper.claims)
        lines.append((paper.key, "all tables", *map(str, numbers)))
        total = [one + other for one, other in zip(total, numbers, strict=True)]
    lines.append(("all papers", "", *map(str, total)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    contradictions = sum(len(paper.contradictions) for paper in papers)
    readings = sum(len(paper.readings) for paper in papers)
    statements = sum(len(paper.statements) for paper in papers)
    text.append(f"{contradictions} contradictions, {readings} readings, {statements} statements of the prose")
    return "\n".join(text)


def _counts(paper: Paper, claims: Sequence[Claim]) -> tuple[int, ...]:
    """Return how many cells there are, and of these: measured, copied, not certain, without a number, and such
    as no study can measure, for a reason that the paper's folder gives.
    """
    copied = sum(claim.copied for claim in claims)
    return (
        len(claims),
        len(claims) - copied,
        copied,
        sum(claim.certainty != "certain" for claim in claims),
        sum(claim.value is None for claim in claims),
        sum(claim.value is not None and bool(paper.reason_not_measurable(claim)) for claim in claims),
    )


def anomalies(papers: Sequence[Paper]) -> list[Anomaly]:
    """Return every two claims that cannot both be right, or that no working attack would leave.

    The same quantity printed twice, unequal after rounding, in one paper or in two; accuracy that rises with
    the budget; an iterative attack that leaves more than the single step; more accuracy under attack than
    without; more left in the white box than by transfer; a boosted vote worse than the plain one.
    """
    return [*_unequal(papers), *(found for paper in papers for found in _in_paper(paper))]


def uncovered(papers: Sequence[Paper], every: Sequence[Anomaly] | None = None) -> list[Anomaly]:
    """Return the anomalies of which no contradiction's `cells` name both claims. every: all of them, if at hand."""
    covered = []
    for paper in papers:
        for contradiction in paper.contradictions:
            if contradiction.cells:
                covered.append({claim.claim_id for claim in select(contradiction.cells, paper, papers)})
    return [
        found
        for found in (anomalies(papers) if every is None else every)
        if not any(found.first.claim_id in ids and found.second.claim_id in ids for ids in covered)
    ]


def _unequal(papers: Sequence[Paper]) -> Iterator[Anomaly]:
    """Yield claims of one quantity whose prints differ by more than the coarser one rounds."""
    for group in _groups((claim for paper in papers for claim in paper.claims), *QUANTITY):
        for first, second in itertools.combinations(group, 2):
            rounding = max(first.half_digit, second.half_digit)
            if abs(_value(first) - _value(second)) > rounding + 1e-9:
                yield Anomaly("one quantity printed twice", first, second)


def _in_paper(paper: Paper) -> Iterator[Anomaly]:
    """Yield what does not go together inside one table."""
    by_budget = _groups(paper.claims, "table", *_but("parameters"))
    for group in by_budget:
        if group[0].metric != "accuracy" or group[0].attack == NO_ATTACK:
            continue
        ordered = sorted(group, key=_budget)
        for weak, strong in itertools.pairwise(ordered):
            (name, less), (other_name, more) = _budget(weak), _budget(strong)
            if name == other_name and more > less and _value(strong) > _value(weak):
                yield Anomaly("more left at a larger budget", weak, strong)
    for group in _groups(paper.claims, "table", *_but("attack")):
        if group[0].metric == "accuracy" and group[0].setting != "black_box":
            for single, many in itertools.permutations(group, 2):
                if _goes_further(many.attack, single.attack) and _value(many) > _value(single):
                    yield Anomaly("more left by an iterative attack than by one step", single, many)
    for group in _groups(paper.claims, "table", "dataset", "architecture", "defense", "training"):
        accuracies = [claim for claim in group if claim.metric == "accuracy"]
        for clean, attacked in _product(
            accuracies, lambda c: c.attack == NO_ATTACK, lambda c: c.attack != NO_ATTACK
        ):
            if _value(attacked) > _value(clean):
                yield Anomaly("more left under attack than without", clean, attacked)
    for group in _groups(paper.claims, "table", *_but("metric")):
        for clean, attacked in _product(
            group,
            lambda c: c.metric == "fooling_set_clean_accuracy",
            lambda c: c.metric == "fooling_set_accuracy",
        ):
            if _value(attacked) > _value(clean):
                yield Anomaly("more left under attack than without", clean, attacked)
    for group in _groups(paper.claims, "table", *_but("setting", "source")):
        if group[0].metric == "accuracy":
            for inside, outside in _product(
                group, lambda c: c.setting == "white_box", lambda c: c.setting == "black_box"
            ):
                if _value(inside) > _value(outside):
                    yield Anomaly("more left in the white box than by transfer", inside, outside)
    for group in _groups(paper.claims, "table", *_but("source")):
        if group[0].metric == "fooling_set_accuracy" and group[0].setting == "black_box":
            ordered = sorted(group, key=lambda claim: (_kinds(claim), _networks(claim)))
            for few, many in itertools.pairwise(ordered):
                same = _kinds(few) == _kinds(many)
                if same and _networks(many) > _networks(few) and _value(many) > _value(few):
                    yield Anomaly("more left by more source networks", few, many)
    valued = [claim for claim in paper.claims if claim.value is not None]
    plain = {_plain(claim): claim for claim in valued if not claim.defense.endswith(BOOSTED)}
    for claim in valued:
        other = plain.get(_plain(claim))
        if other is None or not claim.defense.endswith(BOOSTED):
            continue
        worse = {
            "accuracy": _value(claim) < _value(other),
            "failed_majorities": _value(claim) > _value(other),
        }
        if worse.get(claim.metric):
            yield Anomaly("a boosted vote worse than the plain one", other, claim)


def _goes_further(many: str, single: str) -> bool:
    """Say whether one attack takes several of the steps of which the other takes one, in the same norm's ball.

    Of attacks that are not built here nothing is known.
    """
    iterative, once = registry.attack(many), registry.attack(single)
    if iterative is None or once is None or not iterative.norms or iterative.norms[0] not in once.norms[:1]:
        return False
    by_gradients = iterative.access == once.access == "gradient"
    return by_gradients and iterative.iterative and not once.iterative


def _groups(claims: Iterable[Claim], *names: str) -> list[list[Claim]]:
    """Return the claims with a value, together where these columns agree; parameters whatever their print."""
    found: dict[tuple[object, ...], list[Claim]] = {}
    for claim in claims:
        if claim.value is not None:
            found.setdefault(tuple(_cell(claim, name) for name in names), []).append(claim)
    return list(found.values())


def _cell(claim: Claim, name: str) -> str | Parameters:
    text: str = getattr(claim, name)
    return Parameters.parse(text) if name == "parameters" else text


def _but(*names: str) -> tuple[str, ...]:
    return tuple(key for key in QUANTITY if key not in names)


def _product(
    claims: Sequence[Claim], first: Callable[[Claim], bool], second: Callable[[Claim], bool]
) -> Iterator[tuple[Claim, Claim]]:
    return itertools.product(
        [claim for claim in claims if first(claim)], [claim for claim in claims if second(claim)]
    )


def _plain(claim: Claim) -> tuple[str, ...]:
    return (claim.table, *claim.quantity[:2], claim.defense.removesuffix(BOOSTED), *claim.quantity[3:])


def _value(claim: Claim) -> float:
    if claim.value is None:
        raise ValueError(f"{claim.claim_id} has no value")
    return claim.value


def _budget(claim: Claim) -> tuple[str, float]:
    """Return the parameter of which more makes the attack stronger; 0 where it has none."""
    found = Parameters.parse(claim.parameters)
    return next(((name, size) for name in BUDGETS if (size := found.number(name)) is not None), ("", 0.0))


def _kinds(claim: Claim) -> list[tuple[str, str, str]]:
    """Return the kinds of networks that the images were made on, sorted, however many there were of each."""
    return sorted((one.architecture, one.defense, one.training) for one in TransferSource.read(claim.source))


def _networks(claim: Claim) -> int:
    return sum(one.networks for one in TransferSource.read(claim.source))
