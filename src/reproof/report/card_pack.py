"""Cards and records as the page carries them: every text once, a card as positions of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reproof.report.cards import Card, CardRun, RecordCard
from reproof.report.packing import Pool
from reproof.report.reference_claims import ReferenceClaim
from reproof.report.shared import Shared


def card_pack(shared: Shared) -> dict[str, Any]:
    """Return what many cards share (packing.Pool), and by its id each card, each claim's part, each record.

    A card is its title, ordinal, warning, reason why nothing was measured, facts and runs; a record its paths, warning,
    facts, files written and files read. The page's script reads them in this order.
    """
    pool = Pool()
    references = _of_references(shared)
    cards: dict[str, int] = {}
    for card in shared.cards.cards.values():
        for name, told in _told(card, references):
            cards[name] = pool.add(told)
    records = {record.id: pool.add(_record(record)) for record in shared.cards.records()}
    shared_items, roots = pool.packed([*cards.values(), *records.values()])
    return {
        "pool": shared_items,
        "cards": dict(zip(cards, roots[: len(cards)], strict=True)),
        "records": dict(zip(records, roots[len(cards) :], strict=True)),
    }


def _told(card: Card, references: Mapping[str, CardRun]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield a card under its id; one that many claims share, under the id of each claim's part."""
    ordinal = str(card.ordinal)
    for reason, parts in card.groups.items():
        for part in parts:
            runs = (*_extra(references, part.id), *card.runs)
            title = f"{card.title}: {part.title}"
            yield part.id, (title, ordinal, card.stale, reason, part.facts, _runs(runs))
    if not card.groups:
        runs = (*_extra(references, card.id), *card.runs)
        yield card.id, (card.title, ordinal, card.stale, "", card.facts, _runs(runs))


def _extra(references: Mapping[str, CardRun], name: str) -> tuple[CardRun, ...]:
    return (references[name],) if name in references else ()


def _runs(runs: Iterable[CardRun]) -> list[tuple[Any, ...]]:
    return [
        (
            run.heading,
            run.facts,
            [(link.name, link.record, "stale" if link.stale else "") for link in run.chain],
        )
        for run in runs
    ]


def _record(record: RecordCard) -> tuple[Any, ...]:
    return record.paths, record.stale, record.facts, record.files, record.inputs


def _of_references(shared: Shared) -> dict[str, CardRun]:
    """Return what the best reference run measured of each claim, by the id of the claim's card."""
    commands = {run.title: f"{run.about['command']} --force" for run in shared.data.references}
    found = {}
    for paper in shared.data.papers:
        for claim in paper.claims:
            told = shared.references.best(claim.claim_id)
            if told is not None:
                facts = tuple(_reference_facts(told, commands))
                found[shared.cards.anchor(claim.claim_id)] = CardRun(f"Reference run: {told.run}", facts, ())
    return found


def _reference_facts(told: ReferenceClaim, commands: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a card says of a reference run's measurement."""
    yield "measured", " ".join(filter(None, (told.measured, told.interval, told.seeds)))
    yield "verdict", f"{told.verdict.word}, grade {told.verdict.grade}"
    yield "model", told.model
    yield from told.facts
    for setting, left in told.strongest:
        yield f"strongest, {setting}", left
    if told.differences:
        yield "differs", "; ".join(told.differences)
    for file in told.files:
        yield "file", file
        yield "command", f"{commands[told.run]} {file}"
