"""Reference runs on the page: what a serious run of a study found, beside what this one did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.reference import Reference, Row
from reproof.report.cards import commit, slug
from reproof.report.contents import ReportData
from reproof.report.sections.paper_tables import VERDICTS


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
    files: Sequence[str]
    """The files that it was counted in, one for each seed."""
    command: str
    """The command that makes the first of them again."""


@dataclass(frozen=True)
class ReferenceView:
    """A reference run."""

    id: str
    title: str
    summary: str
    facts: Sequence[tuple[str, str]]
    found: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    """Paper's name, and the sentences that were computed from the run: what each is about, and its words."""
    papers: Sequence[tuple[str, str, Sequence[tuple[str, int]], Sequence[ReferenceClaim]]]
    """Paper's key and name, verdict -> number of the authors' own claims, and all claims that were measured."""
    flags: Sequence[tuple[str, str]]
    """Model's title and the evidence of each red flag that was raised."""
    checked: int
    """How many gates were checked in all."""
    again: str
    """The command that makes a file of the run again; the file's name is to follow."""


class ReferenceRuns:
    """Builds the views, and finds what stands beside a cell of a paper's table."""

    def __init__(self, data: ReportData):
        self.data = data
        self.names = {paper.key: paper.short_name for paper in data.papers}
        known = {claim.claim_id: claim for paper in data.papers for claim in paper.claims}
        # Beside a claim on another data set it would say nothing; and the ledger may have changed since the run.
        self.verdicts = {
            one.name: {
                row["claim_id"]: row
                for row in one.tables.get("verdicts", ())
                if row["claim_id"] in known and known[row["claim_id"]].dataset in _datasets(one)
            }
            for one in data.references
        }
        self._best: dict[str, ReferenceClaim] = {}
        for one in data.references:
            for claim_id, row in self.verdicts[one.name].items():
                told = self._claim(one, known[claim_id], row)
                best = self._best.get(claim_id)
                if best is None or _rank(told) < _rank(best):
                    self._best[claim_id] = told

    def beside(self, claim_id: str) -> ReferenceClaim | None:
        """Return the reference run's measurement of a claim; of several, one that can be compared, of several seeds."""
        return self._best.get(claim_id)

    def views(self) -> list[ReferenceView]:
        """Return every reference run, in the order of their names."""
        return [self._view(one) for one in self.data.references]

    def _view(self, one: Reference) -> ReferenceView:
        verdicts = self.verdicts[one.name]
        flags = one.tables.get("red_flags", ())
        models = one.about["models"]
        return ReferenceView(
            _anchor(one),
            one.title,
            one.about["summary"],
            list(_facts(one)),
            [
                (self.names[key], [(str(term), str(words)) for term, words in sentences])
                for key, sentences in one.about.get("found", {}).items()
                if key in self.names
            ],
            [
                (paper.key, self.names[paper.key], _counts(paper, verdicts), claims)
                for paper in self.data.papers
                if (
                    claims := [
                        self._claim(one, claim, verdicts[claim.claim_id])
                        for claim in paper.claims
                        if claim.claim_id in verdicts
                    ]
                )
            ],
            [
                (models.get(row["model"], {}).get("title", row["model"]), row["evidence"])
                for row in flags
                if row["raised"] == "true"
            ],
            sum(row["raised"] in ("true", "false") for row in flags),
            f"{one.about['command']} --force",
        )

    def _claim(self, one: Reference, claim: Claim, row: Row) -> ReferenceClaim:
        value, low, high = (wording.number(row[key]) for key in ("measured", "low", "high"))
        strongest = ""
        if row.get("strongest_value"):
            left, least, most = (wording.number(row[f"strongest_{key}"]) for key in ("value", "low", "high"))
            strongest = f"{wording.measure(left, claim.unit)} {wording.interval(least, most, claim.unit)}"
        counted = _counted(one, claim, row)
        files, command = _origin(one, claim, row["model"], counted)
        differences = "; ".join(wording.reason(part) for part in row["differences"].split("; ") if part)
        return ReferenceClaim(
            f"{_anchor(one)}-{claim.claim_id}",
            claim.claim_id,
            f"{claim.table}: {claim.row}, {claim.column}",
            claim.printed,
            wording.measure(value, claim.unit),
            wording.interval(low, high, claim.unit),
            _seeds(counted, claim.unit),
            row["verdict"],
            VERDICTS[row["verdict"]][0],
            strongest,
            differences,
            one.about["models"].get(row["model"], {}).get("title", row["model"]),
            files,
            command,
        )


def _datasets(one: Reference) -> set[str]:
    """Return the data sets of a run, as claims name them."""
    return {model["dataset"] for model in one.about["models"].values()}


def _anchor(one: Reference) -> str:
    return f"reference-{slug(one.name)}"


def _rank(told: ReferenceClaim) -> tuple[bool, bool, str]:
    other = told.verdict == "not comparable"
    return other, not other and not told.seeds, told.id


def _counts(paper: Paper, verdicts: Mapping[str, Row]) -> list[tuple[str, int]]:
    """Return how the authors' own claims fell; a copied number is no evidence of theirs."""
    words = Counter(
        verdicts[claim.claim_id]["verdict"]
        for claim in paper.claims
        if claim.claim_id in verdicts and not claim.copied
    )
    return [(word, words[word]) for word in VERDICTS if words[word]]


def _facts(one: Reference) -> Iterator[tuple[str, str]]:
    about = one.about
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


def _counted(one: Reference, claim: Claim, verdict: Row) -> list[Row]:
    """Return the rows of the run's summary that hold what was measured of a claim."""
    wanted = (verdict["model"], claim.setting, claim.attack, claim.parameters, claim.metric)
    keys = ("model", "setting", "attack", "parameters", "metric")
    return [
        row
        for row in one.tables["summary"]
        if tuple(row[key] for key in keys) == wanted
        and wording.number(row["value"]) == wording.number(verdict["measured"])
    ]


def _seeds(counted: Sequence[Row], unit: str) -> str:
    for row in counted:
        if row["seeds"] != "1":
            least, most = (
                wording.measure(wording.number(row[f"value_{end}"]), unit) for end in ("min", "max")
            )
            return f"{row['seeds']} seeds: {least} to {most}"
    return ""


def _origin(one: Reference, claim: Claim, model: str, counted: Sequence[Row]) -> tuple[list[str], str]:
    """Return the files in which a claim's measurement was counted, and the command that makes the first again."""
    settings = one.about["settings"]
    sources = [set(row["source"].split("+")) for row in counted]
    found: dict[str, list[Mapping[str, Any]]] = {}
    for path, record in one.records.items():
        if record["rule"] != "evaluate" or not path.endswith(".parquet"):
            continue
        target, _, rest = record["name"].partition(" seed ")
        name = rest.partition(" ")[2]
        threat = settings["threats"].get(name)
        if target != model or threat is None:
            continue
        made_on = [set(names) for names in _made_on(threat)]
        elsewhere = threat["setting"] == "black_box"
        if claim.attack == "none":
            fits = not elsewhere
        else:
            fits = threat["setting"] == claim.setting
            fits = fits and claim.attack in settings["suites"][threat["suite"]]["attacks"]
            fits = fits and (not elsewhere or any(names in sources for names in made_on))
        if fits:
            found.setdefault(name, []).append(record)
    if found:
        records = next(iter(found.values()))  # the first threat that fits, with every seed
        return [record["path"] for record in records], records[0]["command"]
    for path, record in one.records.items():  # such as the separation of an ensemble's latent spaces
        if f"/models/{model}/" in path:
            return [path], record["command"]
    return [], ""


def _made_on(threat: Mapping[str, Any]) -> list[list[str]]:
    """Return the models that a transfer threat's images are made on: sets of them, each made together."""
    single = [[name] for name in (threat.get("source"), *(threat.get("sources") or ())) if name]
    return [*single, *([list(threat["together"])] if threat.get("together") else [])]
