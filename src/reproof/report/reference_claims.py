"""What reference runs measured of the claims: it stands beside each cell of the papers' tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import csv_tables
from reproof.claims.claim import Claim
from reproof.reference import Reference
from reproof.report import numbers, reasons
from reproof.report.cards import slug
from reproof.report.contents import ReportData, key_of, rows
from reproof.report.verdict_words import VERDICTS


@dataclass(frozen=True)
class ReferenceClaim:
    """One claim as a reference run judged it."""

    id: str
    """Its anchor on the page."""
    claim: str
    where: str
    claimed: str
    measured: str
    interval: str
    seeds: str
    """Over how many seeds the mean was taken, and from where to where they lie; empty of one seed."""
    verdict: str
    symbol: str
    strongest: str
    """What is left under every attack in the same budget, with its interval; empty where it was not measured."""
    differences: str
    model: str
    files: tuple[str, ...]
    """The files that it was counted in, one for each seed."""
    command: str
    """The command that makes the first of them again."""


class ReferenceClaims:
    """Every claim that a reference run measured, run by run, and the one of them that says most."""

    def __init__(self, data: ReportData):
        known = {claim.claim_id: claim for paper in data.papers for claim in paper.claims}
        self.of_run: dict[str, dict[str, ReferenceClaim]] = {}
        """Run's name -> claim's id -> what it measured of it. Claims on other data sets than the run's are left out."""
        self._best: dict[str, ReferenceClaim] = {}
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
            found = self.of_run.setdefault(run.name, {})
            for verdict in rows(run.tables["verdicts"]):
                claim = known.get(verdict.claim_id)  # the claims table may have changed since the run
                if claim is None or claim.dataset not in datasets:
                    continue
                told = _told(run, claim, verdict, measured.get(key_of(verdict)))
                found[claim.claim_id] = told
                best = self._best.get(claim.claim_id)
                if best is None or _rank(told) < _rank(best):
                    self._best[claim.claim_id] = told

    def best(self, claim_id: str) -> ReferenceClaim | None:
        """Return the reference run's measurement of a claim; of several, one that can be compared, of several seeds."""
        return self._best.get(claim_id)


def anchor(run: Reference) -> str:
    """Return where a run begins on the page."""
    return f"reference-{slug(run.name)}"


def _told(run: Reference, claim: Claim, verdict: Any, row: Any | None) -> ReferenceClaim:
    unit = claim.unit
    files, command = _origin(run, claim, verdict)
    return ReferenceClaim(
        id=f"{anchor(run)}-{claim.claim_id}",
        claim=claim.claim_id,
        where=f"{claim.table}: {claim.row}, {claim.column}",
        claimed=claim.printed,
        measured=numbers.measure(verdict.measured, unit),
        interval=numbers.interval(verdict.low, verdict.high, unit),
        seeds=numbers.of_seeds(row, unit) if row is not None else "",
        verdict=verdict.verdict,
        symbol=VERDICTS[verdict.verdict][0],
        strongest=_strongest(verdict, unit),
        differences="; ".join(reasons.sentences(verdict.differences, claim)),
        model=run.about["models"].get(verdict.model, {}).get("title", verdict.model),
        files=files,
        command=command,
    )


def _strongest(verdict: Any, unit: str) -> str:
    if pd.isna(verdict.strongest_value):
        return ""
    left = numbers.measure(verdict.strongest_value, unit)
    return f"{left} {numbers.interval(verdict.strongest_low, verdict.strongest_high, unit)}"


def _rank(told: ReferenceClaim) -> tuple[bool, bool, str]:
    other = told.verdict == "not comparable"
    return other, not other and not told.seeds, told.id


def _origin(run: Reference, claim: Claim, verdict: Any) -> tuple[tuple[str, ...], str]:
    """Return the files in which a claim's measurement was counted, and the command that makes the first again."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for path, record in run.records.items():
        if record["rule"] != "evaluate" or not path.endswith(".parquet"):
            continue
        target, _, rest = record["name"].partition(" seed ")
        threat = rest.partition(" ")[2]
        if target == verdict.model and _fits(run.about["settings"], threat, claim, verdict.source):
            found.setdefault(threat, []).append(record)
    if found:
        records = next(iter(found.values()))  # the first threat that fits, with every seed
        return tuple(record["path"] for record in records), records[0]["command"]
    for path, record in run.records.items():  # such as the separation of an ensemble's latent spaces
        if f"/models/{verdict.model}/" in path:
            return (path,), record["command"]
    return (), ""


def _fits(settings: Mapping[str, Any], name: str, claim: Claim, source: str) -> bool:
    """Say whether a run's threat made what was measured of a claim, on this source where it is a transfer."""
    threat = settings["threats"].get(name)
    if threat is None:
        return False
    elsewhere = threat["setting"] == "black_box"
    if claim.attack == "none":
        return not elsewhere
    if (
        threat["setting"] != claim.setting
        or claim.attack not in settings["suites"][threat["suite"]]["attacks"]
    ):
        return False
    single = [{one} for one in (threat.get("source"), *(threat.get("sources") or ())) if one]
    together = [set(threat["together"])] if threat.get("together") else []
    return not elsewhere or set(source.split("+")) in [*single, *together]
