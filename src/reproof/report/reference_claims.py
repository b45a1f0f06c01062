"""What reference runs measured of the claims: it stands beside each cell of the papers' tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reproof import csv_tables
from reproof.claims.claim import Claim
from reproof.plan.paths import Paths
from reproof.reference import RecordRow, Reference
from reproof.report import numbers, reasons, shown_verdict
from reproof.report.cards import commit, device_words, slug
from reproof.report.contents import MeasuredRow, ReportData, key_of, rows
from reproof.report.evidence import rank
from reproof.report.hampered import HamperedRows
from reproof.report.shown_verdict import ShownVerdict
from reproof.report.worst_cases import WorstCases
from reproof.settings.source_names import AGGREGATED, MEMBER, parts


@dataclass(frozen=True)
class ReferenceClaim:
    """One claim as a reference run judged it."""

    id: str
    """Its anchor on the page."""
    run: str
    """The run's title."""
    claim: str
    where: str
    claimed: str
    measured: str
    """The number alone, as cells show it."""
    told: str
    """The same with its unit."""
    interval: str
    seeds: str
    """Over how many seeds the mean was taken, and from where to where they lie; empty of one seed."""
    verdict: ShownVerdict
    counts: tuple[tuple[str, str], ...]
    """Of how many images its number is, and how many of them were right."""
    strongest: tuple[tuple[str, str, str], ...]
    """Setting, what is left under every attack of it in the same budget, with its interval, and of how many images.

    `all settings` comes last.
    """
    facts: tuple[tuple[str, str], ...]
    """What else its verdict rests on: why it is undecided, seeds, margin, source."""
    differences: tuple[str, ...]
    """How it differs from what the claim is about, the heaviest first."""
    model: str
    files: tuple[str, ...]
    """The files that it was counted in, one for each seed; none where the run's records do not tell."""
    recorded: str
    """The seeds, device and commit that those files' records name; empty without files."""
    row: Any
    """Its row of verdicts.csv."""


class ReferenceClaims:
    """Every claim that a reference run measured, run by run, in the order of how much they say."""

    def __init__(self, data: ReportData):
        known = {claim.claim_id: claim for paper in data.papers for claim in paper.claims}
        hampered = HamperedRows(data)
        self.of_run: dict[str, dict[str, ReferenceClaim]] = {}
        """Run's name -> claim's id -> what it measured of it. Claims on other data sets than the run's are left out."""
        for run in data.references:
            datasets = {model["dataset"] for model in run.about["models"].values()}
            summary = run.tables["summary"]
            measured = dict(
                zip(
                    summary[list(csv_tables.KEY)].itertuples(index=False, name=None),
                    rows(summary),
                    strict=True,
                )
            )
            worst = WorstCases(measured.values())
            found = self.of_run.setdefault(run.name, {})
            for verdict in rows(run.tables["verdicts"]):
                claim = known.get(verdict.claim_id)  # the claims table may have changed since the run
                if claim is None or claim.dataset not in datasets:
                    continue
                found[claim.claim_id] = _told(
                    run,
                    claim,
                    verdict,
                    measured.get(key_of(verdict)),
                    worst.of(verdict, claim),
                    hampered=hampered.names(run.title, verdict),
                )

    def of(self, claim_id: str) -> list[ReferenceClaim]:
        """Return what the reference runs measured of a claim, the one that says most first (evidence.rank)."""
        found = [claims[claim_id] for claims in self.of_run.values() if claim_id in claims]
        return sorted(found, key=lambda told: rank(told.row))

    def best(self, claim_id: str) -> ReferenceClaim | None:
        """Return the first of them; None where no reference run measured it."""
        return next(iter(self.of(claim_id)), None)


def anchor(run: Reference) -> str:
    """Return where a run begins on the page."""
    return f"reference-{slug(run.name)}"


def _told(
    run: Reference,
    claim: Claim,
    verdict: Any,
    row: Any | None,
    worst: Mapping[str, MeasuredRow],
    *,
    hampered: bool,
) -> ReferenceClaim:
    unit = numbers.judged_in(verdict, claim)
    ratio = unit == numbers.RATIO
    files = _origin(run, verdict)
    return ReferenceClaim(
        id=f"{anchor(run)}-{claim.claim_id}",
        run=run.title,
        claim=claim.claim_id,
        where=f"{claim.table}: {claim.row}, {claim.column}",
        claimed=f"{claim.printed} ({numbers.measure(numbers.claimed_ratio(verdict), unit)} times)"
        if ratio
        else claim.printed,
        measured=f"{numbers.measure(verdict.measured, unit)}{' times' if ratio else ''}",
        told=numbers.measured(verdict, claim),
        interval=numbers.interval(verdict.low, verdict.high, unit),
        seeds=numbers.of_seeds(row, claim.unit) if row is not None else "",
        verdict=ShownVerdict.of_row(verdict, claim, hampered=hampered),
        counts=tuple(numbers.counts(row)) if row is not None else (),
        strongest=tuple(shown_verdict.strongest(verdict, claim, worst)),
        facts=tuple(_facts(verdict, claim)),
        differences=reasons.sentences(verdict.differences, claim),
        model=run.about["models"].get(verdict.model, {}).get("title", verdict.model),
        files=files,
        recorded=_recorded([run.records[file] for file in files]),
        row=verdict,
    )


def _facts(verdict: Any, claim: Claim) -> Iterator[tuple[str, str]]:
    """Yield what a card says of the verdict and no column of the table does."""
    for term, text in shown_verdict.facts(verdict, claim):
        if term in ("undecided", "seeds", "margin", "source"):
            yield term, text


def _recorded(records: Iterable[RecordRow]) -> str:
    """Return what records say in one line: `seeds 0, 1 on CPU: …, 1 thread, commit 0123456789ab (clean tree)`."""
    seeds: dict[str, list[str]] = {}
    for record in records:
        where = f"{device_words(record)}, commit {commit(record)}"
        seeds.setdefault(where, []).append(str(record.get("seed", "not recorded")))
    return "; ".join(
        f"seed{'s' if len(names) > 1 else ''} {', '.join(names)} on {where}" for where, names in seeds.items()
    )


def _origin(run: Reference, verdict: Any) -> tuple[str, ...]:
    """Return the files in which a claim's measurement was counted.

    Those of the first threat that made what the verdict's key names, one for each seed; nothing where none did.
    Clean images are counted under every threat alike; tables call that setting white_box.
    """
    study, settings = run.about["study"], run.about["settings"]
    paths = Paths(study, f"results/{study}")
    threats = {name: threat for name, threat in settings["threats"].items() if threat is not None}
    fitting = [name for name, threat in threats.items() if _made(settings, threat, verdict)]
    if verdict.attack == "none":
        fitting += [name for name in threats if name not in fitting]
    for name in fitting:
        outcomes = [paths.outcome(verdict.model, seed, name) for seed in run.about["seeds"]]
        if recorded := tuple(path for path in outcomes if path in run.records):
            return recorded
    return ()


def _made(settings: Mapping[str, Any], threat: Mapping[str, Any], verdict: Any) -> bool:
    """Say whether a threat made what a verdict's key names: its setting, its attack, and its source."""
    if threat["setting"] != verdict.setting:
        return False
    suite = settings["suites"][threat["suite"]]
    if verdict.attack == "none":
        return True
    if verdict.attack not in suite["attacks"]:
        return False
    return not verdict.source or _is_source(settings, threat, suite, verdict)


def _is_source(
    settings: Mapping[str, Any], threat: Mapping[str, Any], suite: Mapping[str, Any], verdict: Any
) -> bool:
    """Say whether tables call a threat's source, or one of them, as a verdict does."""
    if threat["setting"] == "black_box":
        single = [{one} for one in (threat.get("source"), *(threat.get("sources") or ())) if one]
        together = [set(threat["together"])] if threat.get("together") else []
        return set(parts(verdict.source)) in [*single, *together]
    if suite.get("members") == "aggregated":
        return bool(verdict.source == AGGREGATED)
    if threat.get("source") == MEMBER:
        members = settings["models"][verdict.model].get("members") or ()
        return verdict.source in (MEMBER, *members)
    return bool(verdict.source == verdict.model)
