"""The cards: for each number on the page, how it was counted and every file, command and commit behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pandas as pd

from reproof import csv_tables, wording
from reproof.claims.vocabulary import METRICS
from reproof.diagnostics.sanity_check import State
from reproof.report import numbers
from reproof.report.contents import DrawnFigure, MeasuredRow, ReportData, Trail, TrailFile, key_of, rows
from reproof.report.numbers import LinkedNumber
from reproof.settings.table_words import WORST_IN_SETTING

STAGES = ("data", "source model", "model", "adversarial", "outcome", "table", "figure")
REPEATS = "gives the same numbers to the bit: deterministic kernels"
ROUNDS = (
    "sums in another order: weights differ in their last digits, and single images may be judged otherwise. "
    "`deterministic: true` in a study makes a GPU repeat itself, slower"
)
_SHOWN_VERSIONS = ("python", "torch", "foolbox", "numpy")


@dataclass(frozen=True)
class ChainLink:
    """A file of a chain, its words to show, and the record it leads to ('' where there is none)."""

    stage: str
    name: str
    record: str
    stale: str


@dataclass(frozen=True)
class CardRun:
    """What one seed, or one file, contributed to a number."""

    heading: str
    facts: tuple[tuple[str, str], ...]
    """Term, text; the terms `command` and `file` are shown as code."""
    chain: tuple[ChainLink, ...]
    folded: bool = False
    """Whether the card shows its heading alone until it is unfolded."""


@dataclass(frozen=True)
class Part:
    """What a card says of one claim only, where many claims share the rest."""

    id: str
    claim: str
    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Card:
    """What stands behind one number, or behind many that lack the same."""

    id: str
    ordinal: int
    """Its number, by which people can name it."""
    title: str
    facts: tuple[tuple[str, str], ...]
    runs: tuple[CardRun, ...]
    groups: dict[str, list[Part]] = field(default_factory=dict)
    """Reason -> the claims that it holds for."""
    beside: str = ""
    """What is shown with its number (LinkedNumber.beside)."""
    claim: str = ""
    """The claim that it is of; empty of any other number."""

    @property
    def stale(self) -> str:
        """Return why this number is stale; empty when it is not."""
        return next((link.stale for run in self.runs for link in run.chain if link.stale), "")

    def number(self, value: float, low: float, high: float, unit: str, after: str = "") -> LinkedNumber:
        """Return a number with its interval that leads here. after: what follows both of them."""
        return LinkedNumber(
            numbers.measure(value, unit) + after,
            numbers.interval(low, high, unit) + after,
            numbers.given(value),
            self.id,
            self.ordinal,
            self.stale,
            self.beside,
        )


@dataclass(frozen=True)
class RecordCard:
    """A record.json, shown once for every card and file that refers to it."""

    id: str
    paths: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str, str], ...]
    """Path, SHA-256, the id of its own record or ''."""
    files: tuple[tuple[str, str], ...]
    stale: str


def slug(*words: object) -> str:
    """Return words as an id: letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(str(word) for word in words if str(word))).strip("-")


def source_title(source: str, titles: Mapping[str, str]) -> str:
    """Return a source of transferred images for people; one of several models, `a+b`, names all of them."""
    return " + ".join(titles.get(name, name) for name in source.split("+"))


class Cards:
    """Makes each card once, when the number it stands behind is shown."""

    def __init__(self, data: ReportData):
        self.data = data
        self.cards: dict[str, Card] = {}
        self._ids: dict[tuple[str, ...], str] = {}
        self._taken: set[str] = set()
        self._record_ids: dict[str, str] = {}
        same: dict[str, str] = {}
        for path, record in data.records.items():
            content = json.dumps(record, sort_keys=True, default=str)
            self._record_ids[path] = same.setdefault(content, f"record-{slug(path)}")
        self._trails: dict[tuple[str, int], list[Trail]] = {}
        for trail in data.trails:
            self._trails.setdefault((trail.model, trail.seed), []).append(trail)
        self._measurements = list(rows(data.measurements))
        refusals = data.summary[data.summary["metric"].isin(list(numbers.REFUSALS))]
        self._refusals = {key_of(row): row for row in rows(refusals)}
        self._measured = data.measurements.groupby(list(csv_tables.KEY), sort=False).indices
        self._titles = data.titles
        self._attack_titles = {attack.name: attack.title for attack in data.attacks}

    # Ids.

    def _id(self, key: tuple[str, ...], words: Sequence[object]) -> str:
        """Return the id under which a key's card stands; every key has its own."""
        if key not in self._ids:
            base = number = f"card-{slug(*words)}"
            count = 1
            while number in self._taken:
                count += 1
                number = f"{base}-{count}"
            self._taken.add(number)
            self._ids[key] = number
        return self._ids[key]

    def _add(
        self,
        identity: str,
        title: str,
        facts: Iterable[tuple[str, str]],
        runs: Iterable[CardRun],
        row: MeasuredRow | None = None,
        claim: str = "",
    ) -> None:
        card = Card(identity, len(self.cards) + 1, title, tuple(facts), tuple(runs), claim=claim)
        beside = numbers.unanswered(self._unanswered(row)) if row is not None else ""
        self.cards[identity] = replace(card, beside=beside)

    def _unanswered(self, row: MeasuredRow) -> list[MeasuredRow]:
        """Return the rows of numbers.REFUSALS beside an accuracy; none where the model never refuses an image."""
        if row.metric != "accuracy":
            return []
        keys = [(*key_of(row)[:-1], metric) for metric in numbers.REFUSALS]
        return [self._refusals[key] for key in keys if key in self._refusals]

    # Numbers.

    def of_summary(self, row: MeasuredRow) -> Card:
        """Return the card of a row of summary.csv."""
        key = ("summary", *key_of(row))
        words = [row.model, row.setting, row.source if row.source != row.model else ""]
        identity = self._id(key, [*words, row.attack, row.parameters, row.metric.replace("accuracy", "")])
        if identity not in self.cards:
            self._add(identity, self.describe(row), self._facts(row), self._runs(row), row)
        return self.cards[identity]

    def of_claim(
        self,
        facts: Sequence[tuple[str, str]],
        judged: Sequence[tuple[str, str]],
        claim_id: str,
        title: str,
        row: MeasuredRow | None,
        unit: str,
    ) -> Card:
        """Return the card of a measured claim: what was printed, and in `runs` what this run says of it.

        facts: what the paper says. judged: what the verdict says of this run's measurement.
        """
        identity = self.anchor(claim_id)
        if identity not in self.cards:
            measured = [] if row is None else list(self._facts(row, unit))
            own = CardRun(f"This run: {self.data.title}", (*measured, *judged), ())
            seeds = self._verdict_runs() if row is None else self._runs(row, unit)
            self._add(identity, title, facts, [own, *seeds], row, claim_id)
        return self.cards[identity]

    def of_unmeasured(
        self,
        facts: Iterable[tuple[str, str]],
        claim_id: str,
        title_of_part: str,
        reason: str,
        words: Sequence[str],
        title: str,
    ) -> Card:
        """Return the card that a table's unmeasured claims share; the claim's part of it is added.

        words: what names the table in the card's id.
        """
        identity = self._id(("unmeasured", *words), ["unmeasured", *words])
        if identity not in self.cards:
            self._add(identity, title, (), self._verdict_runs())
        card = self.cards[identity]
        card.groups.setdefault(reason, []).append(
            Part(self.anchor(claim_id), claim_id, title_of_part, tuple(facts))
        )
        return card

    def anchor(self, claim_id: str) -> str:
        """Return the id of a claim's card, or of its part of one."""
        return self._id(("claim", claim_id), ["claim", claim_id])

    def of_file(
        self, words: Sequence[object], title: str, facts: Sequence[tuple[str, str]], file: TrailFile
    ) -> Card:
        """Return the card of something that comes out of one file as a whole: a figure, a table's counts."""
        identity = self._id(("file", *map(str, words)), words)
        if identity not in self.cards:
            self._add(identity, title, facts, [self._file_run("", file)])
        return self.cards[identity]

    def of_figure(self, figure: DrawnFigure) -> Card:
        """Return the card of a figure."""
        return self.of_file(
            ["figure", figure.name],
            f"Figure: {figure.title}",
            [("shows", figure.caption)],
            TrailFile("figure", figure.path),
        )

    def of_flags(self, model: str, checks: pd.DataFrame) -> Card:
        """Return the card of a model's red-flag checks: what they count, and the raised ones' findings.

        checks: with the column `state` (diagnostics.sanity_check.state).
        """
        title = self._titles.get(model, model)
        counts = checks["state"].value_counts()
        facts = [("model", title)]
        facts += [(state, str(counts.get(state, 0))) for state in get_args(State)]
        found = rows(checks[checks["state"] == "raised"])
        facts += [("finding", f"{self.data.gates.get(row.gate, row.gate)}. {row.evidence}") for row in found]
        path = self.data.tables.get("red_flags", self.data.tables.get("measurements", ""))
        return self.of_file(["flags-of", model], f"Checks: {title}", facts, TrailFile("table", path))

    def attack_title(self, name: str) -> str:
        """Return for people what stands in a table's column `attack`: an entry of the study, or the worst case."""
        return self._attack_titles.get(name) or wording.attack(name)

    def describe(self, row: MeasuredRow) -> str:
        """Return a number's name: model, attack, budget, setting."""
        model = self._titles.get(row.model, row.model)
        if row.attack == "none":
            return f"{model}, no attack"
        words = [model, self.attack_title(row.attack)]
        if row.parameters:
            words.append(wording.parameters(row.parameters))
        words.append(wording.setting(row.setting).lower())
        if row.source in wording.SOURCES:
            words.append(wording.SOURCES[row.source])
        elif row.source and row.source != row.model:
            words.append(f"made on {source_title(row.source, self._titles)}")
        return ", ".join(words)

    def _facts(self, row: MeasuredRow, unit: str = "") -> Iterable[tuple[str, str]]:
        unit = unit or numbers.unit_of(row.metric)
        after = wording.UNITS[unit][1]
        words = METRICS[row.metric].words if row.metric in METRICS else row.metric.replace("_", " ")
        yield words, numbers.measure(row.value, unit) + after
        between = numbers.interval(row.low, row.high, unit)
        if between:
            yield "95 % interval", f"{between}{after}"
        yield from numbers.counts(row)
        for other in self._unanswered(row):
            share = f"{numbers.measure(other.value)} % {numbers.interval(other.low, other.high)}"
            yield METRICS[other.metric].words, share.strip()
        if row.seeds != 1:
            least, most = (numbers.measure(end, unit) for end in (row.value_min, row.value_max))
            yield "over seeds", f"{row.seeds} seeds, from {least} to {most}{after}"
        yield (
            "network",
            f"{wording.defense(row.defense)}, trained on {wording.training(row.training)}, "
            f"{wording.architecture(row.architecture)}, {wording.dataset(row.dataset)}",
        )

    # What is behind a number.

    def _runs(self, row: MeasuredRow, unit: str = "") -> Iterable[CardRun]:
        seeds = [self._measurements[position] for position in self._measured.get(key_of(row), ())]
        for measured in seeds:
            seed = int(measured.seed)
            trails = self._fitting(row, seed)
            facts = list(_of_seed(measured, unit)) if len(seeds) > 1 else []
            outcomes = [file.path for trail in trails for file in trail.files if file.stage == "outcome"]
            for path in outcomes[:1]:
                facts += self._provenance(path)
            for path in outcomes[1:]:
                facts.append(("file", path))
            yield CardRun(
                f"Seed {seed}", tuple(facts), self._chain(file for trail in trails for file in trail.files)
            )

    def _fitting(self, row: MeasuredRow, seed: int) -> list[Trail]:
        """Return the trails behind a row: one, none where none fits, or for a worst case every one of its settings."""
        trails = self._trails.get((row.model, seed), [])
        if row.setting == "all":
            return trails
        if row.attack == WORST_IN_SETTING:
            return [trail for trail in trails if trail.setting == row.setting]
        if row.attack == "none":  # counted under every threat alike
            own = [trail for trail in trails if trail.setting == row.setting]
            return (own or trails)[:1]
        fitting = [
            trail
            for trail in trails
            if trail.setting == row.setting
            and (not trail.attacks or row.attack in trail.attacks)
            and (not trail.source or not row.source or trail.source == row.source)
        ]
        return fitting[:1]

    def _verdict_runs(self) -> list[CardRun]:
        path = self.data.tables.get("verdicts")
        return [self._file_run("The verdicts", TrailFile("table", path))] if path else []

    def _file_run(self, heading: str, file: TrailFile) -> CardRun:
        return CardRun(heading, tuple(self._provenance(file.path)), self._chain([file]))

    def _provenance(self, path: str) -> Iterable[tuple[str, str]]:
        """Yield what a card says of one file: where it lies, how to make it again, what made it."""
        yield "file", path
        record = self.data.records.get(path)
        if record is None:
            yield "record", "none: nothing says how this file was made"
            return
        yield from provenance(record)

    def _chain(self, files: Iterable[TrailFile]) -> tuple[ChainLink, ...]:
        paths = {file.path: file.stage for file in files if file.path}
        stages = list(paths.values())
        links = [
            ChainLink(
                stage,
                self._link_name(stage, path, stages),
                self._record_ids.get(path, ""),
                self.data.stale.get(path, ""),
            )
            for path, stage in paths.items()
        ]
        order = {stage: position for position, stage in enumerate(STAGES)}
        return tuple(sorted(links, key=lambda link: order.get(link.stage, len(order))))

    def _link_name(self, stage: str, path: str, stages: Sequence[str]) -> str:
        """Return the stage, with the file's name where the chain has several of it."""
        name = path.rsplit("/", 1)[-1].split(".")[0].replace("_", " ")
        return stage if stages.count(stage) == 1 else f"{stage} {name}"

    # Records.

    def records(self) -> list[RecordCard]:
        """Return every record, in the order of the data flow as given."""
        paths: dict[str, list[str]] = {}
        for path, identity in self._record_ids.items():
            paths.setdefault(identity, []).append(path)
        return [self._record_card(identity, found) for identity, found in paths.items()]

    def _record_card(self, identity: str, paths: Sequence[str]) -> RecordCard:
        record = self.data.records[paths[0]]
        return RecordCard(
            identity,
            tuple(paths),
            tuple(provenance(record, whole=True)),
            tuple(
                (name, str(digest), self._record_ids.get(name, ""))
                for name, digest in record.get("inputs", {}).items()
            ),
            tuple(
                (name, f"{facts['bytes']:,} bytes, SHA-256 {facts['sha256']}")
                for name, facts in record.get("files", {}).items()
            ),
            next((self.data.stale[path] for path in paths if path in self.data.stale), ""),
        )


def _of_seed(measured: Any, unit: str) -> Iterable[tuple[str, str]]:
    unit = unit or numbers.unit_of(measured.metric)
    value = numbers.measure(measured.value, unit)
    yield "value", f"{value} {numbers.interval(measured.low, measured.high, unit)}".strip()
    yield from numbers.counts(measured)


def provenance(record: Mapping[str, Any], whole: bool = False) -> Iterable[tuple[str, str]]:
    """Yield what a record says, for people; `whole` adds what only the record's own card shows."""
    yield "command", str(record.get("command", "not recorded"))
    yield "commit", commit(record, 40 if whole else 12)
    if record.get("seed") is not None:
        yield "seed", str(record["seed"])
    yield "device", device_words(record)
    if "seconds" in record:
        took = wording.duration(float(record["seconds"]))
        yield "took", f"{took}, on a GPU that other jobs used too" if record.get("device_shared") else took
    if "deterministic_kernels" in record:
        yield "another run", REPEATS if record["deterministic_kernels"] else ROUNDS
    versions = record.get("versions", {})
    names = versions if whole else [name for name in _SHOWN_VERSIONS if name in versions]
    yield "versions", ", ".join(f"{name} {versions[name]}" for name in names) or "not recorded"
    if whole:
        yield "rule", str(record.get("rule", "not recorded"))
        yield "started", str(record.get("started", "not recorded"))
        if "peak_memory_bytes" in record:
            yield "peak memory", wording.memory(float(record["peak_memory_bytes"]))
        if "device_memory_bytes" in record:
            yield "peak memory of the GPU", wording.memory(float(record["device_memory_bytes"]))
        yield "code digest", str(record.get("digest", "not recorded"))


def device_words(record: Mapping[str, Any]) -> str:
    """Return the device that a record names, and its threads."""
    threads = record.get("threads", "?")
    return f"{record.get('device', 'not recorded')}, {threads} thread{'' if threads == 1 else 's'}"


def commit(record: Mapping[str, Any], digits: int = 12) -> str:
    """Return a record's commit, with the warning that its tree was not clean or that nobody can tell."""
    name = str(record.get("commit", "not recorded"))[:digits]
    dirty = record.get("dirty")
    if dirty is None:
        return f"{name} ({record.get('code_unknown', 'nothing tells whether the tree was clean')})"
    return f"{name} (tree had local changes)" if dirty else f"{name} (clean tree)"
