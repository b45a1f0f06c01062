"""Cards and records as the page carries them: every text once, a card as positions of its texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from reproof.claims.claim import Claim
from reproof.report import others
from reproof.report.cards import Card, CardRun, RecordCard
from reproof.report.contents import THIS_RUN
from reproof.report.packing import Pool
from reproof.report.recipes import Recipes
from reproof.report.reference_claims import ReferenceClaim
from reproof.report.shared import Shared
from reproof.report.shown_verdict import HAMPERED


def card_pack(shared: Shared) -> dict[str, Any]:
    """Return what many cards share (packing.Pool), and by its id each card, each claim's part, each record.

    A card is its title, ordinal, warning, reason why nothing was measured, facts and runs; a record its paths, warning,
    facts, files written and files read. The page's script reads them in this order.
    """
    pool = Pool()
    claims = ClaimRuns(shared)
    cards: dict[str, int] = {}
    for card in shared.cards.cards.values():
        for name, told in _told(card, claims):
            cards[name] = pool.add(told)
    records = {record.id: pool.add(_record(record)) for record in shared.cards.records()}
    shared_items, roots = pool.packed([*cards.values(), *records.values()])
    return {
        "pool": shared_items,
        "cards": dict(zip(cards, roots[: len(cards)], strict=True)),
        "records": dict(zip(records, roots[len(cards) :], strict=True)),
    }


def _told(card: Card, claims: ClaimRuns) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield a card under its id; one that many claims share, under the id of each claim's part."""
    ordinal = str(card.ordinal)
    for reason, parts in card.groups.items():
        for part in parts:
            first, last = claims.around(part.claim)
            own = [CardRun(f"This run: {claims.title}", (("verdict", reason),), ())] if first else []
            runs = [*first, *own, *card.runs, *last]
            yield (
                part.id,
                (
                    f"{card.title}: {part.title}",
                    ordinal,
                    card.stale,
                    "" if first else reason,
                    part.facts,
                    _runs(runs),
                ),
            )
    if not card.groups:
        first, last = claims.around(card.claim) if card.claim else ([], [])
        yield card.id, (card.title, ordinal, card.stale, "", card.facts, _runs([*first, *card.runs, *last]))


def _runs(runs: Iterable[CardRun]) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        (
            run.heading,
            run.facts,
            tuple((link.name, link.record, "stale" if link.stale else "") for link in run.chain),
            "folded" if run.folded else "",
        )
        for run in runs
    )


def _record(record: RecordCard) -> tuple[Any, ...]:
    return record.paths, record.stale, record.facts, record.files, record.inputs


class ClaimRuns:
    """What a claim's card shows around this run's measurement: reference runs, others' numbers, recipes.

    What says most stands first (evidence.BestEvidence), whether it is this run's or a reference run's.
    """

    def __init__(self, shared: Shared):
        self.title = shared.data.title
        self._references = shared.references
        self._judged = shared.paper_tables.judged
        self._independent = shared.data.independent
        self._recipes = Recipes(shared.data)
        self._commands = {run.title: f"{run.about['command']} --force" for run in shared.data.references}
        self._claims = {claim.claim_id: claim for paper in shared.data.papers for claim in paper.claims}

    def around(self, claim_id: str) -> tuple[list[CardRun], list[CardRun]]:
        """Return what stands before this run's measurement on a claim's card, and what stands after it."""
        claim = self._claims[claim_id]
        told = [list(self._reference(claim, each)) for each in self._references.of(claim_id)]
        ahead = 1 if self._judged.evidence.elsewhere(claim) else 0
        own = self._judged.row(claim_id)
        recipe = [] if own is None else self._recipes.of(claim, own, THIS_RUN)
        found = tuple(others.facts(claim, self._independent, self._judged.names))
        published = [CardRun("Found by others", found, ())] if found else []
        before, after = itertools.chain(*told[:ahead]), itertools.chain(*told[ahead:])
        return list(before), [*recipe, *after, *published]

    def _reference(self, claim: Claim, told: ReferenceClaim) -> Iterator[CardRun]:
        facts = tuple(_reference_facts(told, self._commands[told.run]))
        yield CardRun(f"Reference run: {told.run}", facts, ())
        yield from self._recipes.of(claim, told.row, told.run)


def _reference_facts(told: ReferenceClaim, command: str) -> Iterator[tuple[str, str]]:
    """Yield what a card says of a reference run's measurement."""
    yield "measured", " ".join(filter(None, (told.told, told.interval, told.seeds)))
    yield from told.counts
    mark = f", {HAMPERED}" if HAMPERED in told.verdict.remarks else ""
    yield "verdict", f"{told.verdict.word}, grade {told.verdict.grade}{mark}"
    yield "model", told.model
    if told.recorded:
        yield "record", told.recorded
    yield from told.facts
    for setting, left, count in told.strongest:
        yield f"strongest, {setting}", ", ".join(filter(None, (left, count)))
    if told.differences:
        yield "differs", "; ".join(told.differences)
    for file in told.files:
        yield "file", file
        yield "command", f"{command} {file}"
