"""The answer beside the page: as JSON for programs, as Markdown for a review, in a few lines for a terminal."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from reproof import wording
from reproof.report.answer import DIRECT, Answer, Headline, PaperAnswer
from reproof.report.contents import THIS_RUN

WIDTH = 80
FEW = 3
"""So many models are told one by one in a terminal: a study of somebody's own is about them."""


def as_json(found: Answer) -> str:
    """Return the answer as JSON: shares of images as fractions, times as ratios, null for what was not measured.

    `printed` and `told` are the claim and the measurement for people, in the paper's own unit.
    """
    told = {
        "study": found.study,
        "title": found.title,
        "sentence": found.sentence,
        "judged_by": dict(found.judged_by),
        "models": {
            one.name: {"title": one.title, "clean": one.clean, "left": dict(one.left)} for one in found.models
        },
        "papers": [_paper(paper) for paper in found.papers],
    }
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _paper(paper: PaperAnswer) -> dict[str, Any]:
    tally = paper.tally
    return {
        "key": paper.key,
        "name": paper.name,
        "title": paper.title,
        "claims": paper.thesis,
        "short": paper.short,
        "of": paper.of,
        "verdict": list(paper.verdict),
        "own_numbers": {
            "A": dict(tally.same),
            "B": dict(tally.near),
            "C": tally.other,
            "not measured": tally.unmeasured,
        },
        "headlines": [_headline(one) for one in paper.headlines],
    }


def _headline(one: Headline) -> dict[str, Any]:
    row = one.evidence.row if one.evidence else None
    left = one.evidence.left if one.evidence else None
    others = one.others
    return {
        "claim": one.claim.claim_id,
        "about": one.about,
        "claimed": one.claim.value,
        "printed": one.claimed,
        "verdict": one.verdict.word,
        "grade": one.verdict.grade,
        "why": one.why,
        "told": one.measured,
        "measured": _number(row, "measured"),
        "low": _number(row, "low"),
        "high": _number(row, "high"),
        "run": one.evidence.run if one.evidence else "",
        "left": None if left is None else left.value,
        "left_of": one.left_of,
        "others": None
        if others is None
        else {
            "printed": others.number,
            "attack": others.attack,
            "model": others.model,
            "source": others.source,
        },
    }


def _number(row: Any, name: str) -> float | None:
    value = float("nan") if row is None else float(getattr(row, name))
    return None if math.isnan(value) else value


def as_markdown(found: Answer) -> str:
    """Return the answer as Markdown, to be pasted into a review."""
    return "\n".join(_markdown(found)) + "\n"


def _markdown(found: Answer) -> Iterator[str]:
    yield f"# {_plain(found.title)}: the answer"
    yield f"\n{_plain(found.sentence)}"
    for paper in found.papers:
        yield f"\n## {_plain(paper.name)}: {_plain(paper.title)}"
        if paper.thesis:
            yield f"\n**It claims.** {_plain(paper.thesis)}"
        yield f"\n**How that fell.** {_plain(' '.join(paper.verdict))}"
        if paper.headlines:
            yield "\n| Headline | Claimed | Measured | Left under the strongest | Found by others |"
            yield "|---|---|---|---|---|"
        for one in paper.headlines:
            yield f"| {' | '.join(map(_plain, _cells(one)))} |"


def _cells(one: Headline) -> Iterator[str]:
    yield f"{one.about} ({one.claim.table})"
    yield one.claimed
    if one.evidence is None:
        yield one.measured
    else:
        grade = f"{one.verdict.word}, grade {one.verdict.grade}"
        why = f" ({one.why})" if one.why else ""
        yield f"{one.measured} {one.evidence.interval}: {grade}{why}; {one.evidence.run}"
    yield f"{one.left} ({one.left_of})" if one.left else "–"
    others = one.others
    under = f"{others.attack}; " if others is not None and others.attack else ""
    yield "–" if others is None else f"{others.number} ({under}{others.model}; {others.source})"


def _plain(text: str) -> str:
    """Return a text in which nothing is markup: on one line, in which a bar ends no cell and a star begins no word."""
    words = " ".join(text.split())
    for sign in "\\|*<[`":
        words = words.replace(sign, f"\\{sign}")
    return words


def in_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a paragraph for each model of a run of few, one of where the evidence is from, then one a paper.

    No line is wider than WIDTH. told: what `as_json` wrote.
    """
    for one in told["models"].values() if len(told["models"]) <= FEW else ():
        left = ", ".join(f"{wording.measure(share)} % ({budget})" for budget, share in one["left"].items())
        clean = f"{one['title']}: {wording.measure(one['clean'])} % of clean images right"
        yield from _wrapped(f"{clean}; left under all attacks together: {left}" if left else clean, 2)
    judged = told["judged_by"]
    own = judged.get(THIS_RUN, 0)
    yield from _wrapped(
        f"{sum(judged.values()):,} of the papers' own numbers were judged, {own or 'none'} of them by {THIS_RUN}",
        0,
    )
    if any(paper["of"] == DIRECT for paper in told["papers"]):
        yield "Where nothing else is said, of the paper's own defense, attacked directly:"
    width = min(max((len(paper["name"]) for paper in told["papers"]), default=0), WIDTH // 2)
    for paper in told["papers"]:
        of = f"{paper['of']}, " if paper["of"] not in ("", DIRECT) else ""
        yield from _wrapped(f"{paper['name']:<{width}}  {of}{paper['short']}", width + 2)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent)
