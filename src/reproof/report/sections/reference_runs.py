"""Reference runs: what a serious run of a study found, beside what this one did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproof import wording
from reproof.claims.paper import Paper
from reproof.reference import Reference
from reproof.report.cards import commit
from reproof.report.contents import rows
from reproof.report.reference_claims import ReferenceClaim, anchor
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.tally import Tally

SECTION = Section("references", "Reference runs", order=16, folded=True, needs=("references",))


@dataclass(frozen=True)
class PaperView:
    """What a run measured of one paper."""

    key: str
    name: str
    tally: Tally
    """How the authors' own claims fell."""
    models: Sequence[tuple[str, str]]
    """Model's title, and what tells all its measurements from the claims beside them; only where there is any."""
    claims: Sequence[tuple[ReferenceClaim, str]]
    """Every claim that was measured, and its own differences beyond its model's."""


@dataclass(frozen=True)
class RunView:
    """A reference run."""

    id: str
    title: str
    summary: str
    facts: Sequence[tuple[str, str]]
    found: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    """Paper's name, and the sentences that were computed from the run: what each is about, and its words."""
    papers: Sequence[PaperView]
    flags: Sequence[tuple[str, str]]
    """Model's title and the evidence of each red flag that was raised."""
    checked: int
    """How many checks were made in all."""
    again: str
    """The command that makes a file of the run again; the file's name is to follow."""


def build(shared: Shared) -> dict[str, Any]:
    """Return every reference run, in the order of their names."""
    return {"runs": [_view(run, shared) for run in shared.data.references]}


def _view(run: Reference, shared: Shared) -> RunView:
    names = shared.data.paper_names
    found = shared.references.of_run[run.name]
    flags, models = run.tables["red_flags"], run.about["models"]
    papers = [
        (paper, [found[c.claim_id] for c in paper.claims if c.claim_id in found])
        for paper in shared.data.papers
    ]
    return RunView(
        anchor(run),
        run.title,
        run.about["summary"],
        list(_facts(run)),
        [
            (names[key], [(str(term), str(words)) for term, words in sentences])
            for key, sentences in run.about.get("found", {}).items()
            if key in names
        ],
        [_paper(run, paper, names[paper.key], claims) for paper, claims in papers if claims],
        [
            (models.get(row.model, {}).get("title", row.model), row.evidence)
            for row in rows(flags[flags["raised"].fillna(False)])
        ],
        int(flags["raised"].notna().sum()),
        f"{run.about['command']} --force",
    )


def _paper(run: Reference, paper: Paper, name: str, claims: Sequence[ReferenceClaim]) -> PaperView:
    judged = {row.claim_id: row for row in rows(run.tables["verdicts"])}
    own = {claim.claim_id for claim in paper.claims if not claim.copied}
    common = {
        model: _shared([one.differences for one in claims if one.model == model])
        for model in dict.fromkeys(one.model for one in claims)
    }
    return PaperView(
        paper.key,
        name,
        Tally.of(judged[one.claim] for one in claims if one.claim in own),  # a copied number is no evidence
        [(model, "; ".join(words)) for model, words in common.items() if words],
        [
            (one, "; ".join(word for word in one.differences if word not in common[one.model]))
            for one in claims
        ],
    )


def _shared(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return what all of several lists hold, in the order of the first; nothing of a single one."""
    return [word for word in lists[0] if all(word in other for other in lists)] if len(lists) > 1 else []


def _facts(run: Reference) -> Iterator[tuple[str, str]]:
    about = run.about
    for name, notes in about["data"].items():
        splits = notes["splits"]
        yield (
            name,
            f"{splits['train']:,} training, {splits['validation']:,} validation, {splits['test']:,} test images of "
            f"{notes['height']} x {notes['width']} pixels",
        )
    epochs = sorted({model["epochs"] for model in about["models"].values()})
    span = f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else f"{epochs[0]}"
    yield "models", f"{len(about['models'])}, of {span} epochs"
    yield "seeds", ", ".join(map(str, about["seeds"]))
    yield "attacked test images", _images(about["settings"])
    yield "devices", ", ".join(about["devices"])
    hours = sum(about["core_seconds"].values())
    yield (
        "time",
        f"{wording.duration(hours)} of one core or device in all; begun {about['first_started'][:10]}",
    )
    changed = ", with local changes" if about["changed_code"] else ""
    yield "code", ", ".join(commit({"commit": name, "dirty": False}) for name in about["commits"]) + changed
    packages = ("python", "torch", "foolbox")
    yield (
        "versions",
        ", ".join(f"{name} {about['versions'][name]}" for name in packages if name in about["versions"]),
    )
    yield "again", about["command"]


def _images(settings: Mapping[str, Any]) -> str:
    counts = sorted({suite["images"] for suite in settings["suites"].values() if suite is not None})
    return f"{counts[0]:,} to {counts[-1]:,}" if len(counts) > 1 else f"{counts[0]:,}"
