"""One claim and its verdict in plain text: what answers it, how that differs, the word, and why."""

from __future__ import annotations

from collections.abc import Iterator

from reproof import wording
from reproof.claims.claim import Claim
from reproof.judging.candidates import Candidate
from reproof.judging.verdicts import Judge, Verdict
from reproof.report import numbers, reasons, shown_verdict

SHOWN = 8
"""Candidates that are listed."""


def explain(claim: Claim, judge: Judge, where: str) -> str:
    """Return why a claim gets its word. where: the run whose numbers answer it, for people."""
    return "\n".join(_lines(claim, judge, where)) + "\n"


def _lines(claim: Claim, judge: Judge, where: str) -> Iterator[str]:
    verdict = judge.verdict(claim)
    yield f"{claim.claim_id}: {wording.printed(claim.printed, claim.unit)}"
    yield f"  {claim.table}: {claim.row}, {claim.column}"
    if claim.copied:
        yield f"  {claim.evidence}: held to the protocol of the paper that measured it"
    yield ""
    yield "The paper's experiment, as far as it is on record:"
    for name, stated in sorted(judge.candidates.protocols.of(claim).items()):
        others = "".join(f", or {one}" for one in stated.alternatives)
        yield f"  {name}: {stated.value}{others} ({stated.place or f'our reading: {stated.reading}'})"
    yield ""
    found = judge.candidates.all(claim)
    yield f"What answers it in {where}, nearest first ({len(found)} in all; > is the one that is judged):"
    for one in found[:SHOWN]:
        yield from _candidate(claim, one, judged=one.row.key == verdict.key)
    yield ""
    yield f"{verdict.verdict}{f', grade {verdict.grade}' if verdict.grade else ''}: {_why(claim, verdict)}"


def _candidate(claim: Claim, one: Candidate, *, judged: bool) -> Iterator[str]:
    row = one.row
    place = " ".join(part for part in (row.setting, row.attack, str(row.parameters), row.metric) if part)
    made_on = f" made on {row.source}" if row.source not in ("", row.model) else ""
    size = f" of {row.total} images" if row.total else ""
    value = numbers.measure(row.value, claim.unit)
    yield f"{'>' if judged else ' '} {row.model}: {place}{made_on}: {value}{size}, {row.seeds} seed(s)"
    for difference in one.differences:
        yield f"      {difference.grade}  {reasons.clause(difference, claim)}"


def _why(claim: Claim, verdict: Verdict) -> str:
    """Return the reason of a word, in a sentence."""
    if verdict.verdict in ("not measured", "not claimed"):
        found = [reasons.clause(one, claim) for one in verdict.differences]
        return "; ".join(found) or "the paper prints no number here"
    if verdict.verdict == "not comparable":
        return "a difference of grade C makes it another experiment; it is shown, and not judged"
    between = wording.interval(verdict.low, verdict.high, numbers.judged_in(verdict, claim))
    measured = f"{numbers.measured(verdict, claim)} {between}"
    facts = f"{measured}, claimed {claim.printed}, margin {shown_verdict.margin(verdict, claim)}"
    if verdict.undecided_by == "attack":
        return f"{facts}; the attack was not the paper's in strength, and does not support a word"
    if verdict.undecided_by == "seeds":
        return f"{facts}; the seeds do not agree ({', '.join(verdict.seed_words)})"
    if verdict.undecided_by == "images":
        return f"{facts}; the interval reaches over the margin's edge: too few images"
    side = "within" if verdict.verdict == "reproduced" else "outside"
    return f"{facts}; the whole interval lies {side} the margin"
