"""The papers' tables, laid out as printed: each cell's claim beside what was measured, or why it was not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reproof import wording
from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import LOST, MEMBERS, METRICS, SEPARATOR, TEXT
from reproof.report.cards import Card, Cards, slug
from reproof.report.contents import ReportData, Row, Step
from reproof.report.sections.grids import Heading, Number, levels

VERDICTS = {
    "reproduced": ("✓", "The claim lies inside the measured interval, widened by the study's tolerance."),
    "lower": ("▼", "The measurement is lower than the claim by more than interval and tolerance allow."),
    "higher": ("▲", "The measurement is higher than the claim by more than interval and tolerance allow."),
    "not comparable": (
        "≠",
        "Something like it was measured, on another data set, network or transfer source: shown, not judged.",
    ),
    "not measured": ("○", "This study did not run what the claim is about; the cell says what is lacking."),
    "not claimed": ("–", "The paper prints a dash here, or the number is lost in the text that was read."),
}
CERTAINTIES = {
    "likely": "Legible in the text that was read; its place is reconstructed, and another fact supports it.",
    "unsure": "Legible in the text that was read; its place in the table is a guess.",
    "lost": "Lost in the text that was read: the paper prints a number here that could not be made out.",
}
"""What the marks at uncertain cells mean."""
IN_PROSE = "Numbers in the prose"
STRONGEST = "Strongest"
"""The heading over what is left under every attack of the study within a row's budget."""


@dataclass(frozen=True)
class ClaimCell:
    """One cell of a paper's table."""

    id: str
    printed: str
    verdict: str
    symbol: str
    measured: Number | None = None
    card: str = ""
    """Where its card begins; empty for a dash of which nothing more is known."""
    ordinal: int = 0
    reason: str = ""
    """Why it was not measured, in a few words; empty where the table already says it for all."""
    copied: str = ""
    """Where the authors took it from."""
    doubt: str = ""
    """How sure its place is, where it is not certain."""
    unit: str = ""
    """What it is, where most of its table is something else."""


@dataclass(frozen=True)
class Left:
    """What is left of one network under every attack of the study within one budget."""

    number: Number
    label: str
    """Which budget, or which network, where the cell's neighbours in its row or column have several."""


@dataclass
class Group:
    """Rows under one printed group heading."""

    title: str
    notes: tuple[str, ...] = ()
    """What its cells have in common, said once."""
    rows: list[tuple[str, list[ClaimCell | None]]] = field(default_factory=list)
    beside: list[list[Left]] = field(default_factory=list)
    """Each row's last cell; empty where the table has no such column."""
    below: list[list[Left]] = field(default_factory=list)
    """The cells of the group's last row; empty where the table has no such row."""


@dataclass(frozen=True)
class PaperTable:
    """A paper's table as printed."""

    name: str
    id: str
    caption: str
    unit: str
    """What its numbers are, in what unit."""
    headings: list[list[Heading]]
    groups: list[Group]
    notes: tuple[str, ...]
    width: int
    counts: tuple[tuple[str, int], ...]
    """Verdict, number of claims of the authors' own; only verdicts that occur."""
    copied: int
    doubts: tuple[tuple[str, str, int], ...]
    """Mark, what it means, how many cells have it."""
    measured: bool
    """Enough of it was measured that it is unfolded."""
    beside: bool
    """True: its last column is what is left under the strongest of the study."""

    @property
    def prose(self) -> bool:
        """Say whether these are the numbers of the prose, to be read as a list."""
        return self.name == TEXT


class PaperTables:
    """Builds the papers' tables, making cards for what they show."""

    def __init__(self, data: ReportData, cards: Cards):
        self.data = data
        self.cards = cards
        self.verdicts: Mapping[str, Row] = {row["claim_id"]: row for row in data.verdicts}
        self.names = {paper.key: paper.short_name for paper in data.papers}
        self._sources = {
            model.name: TransferSource(model.architecture, model.defense, model.training)
            for model in data.models
        }
        self._titles = {model.name: model.title for model in data.models}
        self._summary: dict[tuple[str, ...], list[Row]] = {}
        for row in data.summary:
            key = (row["model"], row["setting"], row["parameters"], row["metric"])
            self._summary.setdefault(key, []).append(row)

    def verdict(self, claim: Claim) -> str:
        """Return a claim's verdict; a claim that no row of verdicts.csv mentions was not measured."""
        if claim.value is None:
            return "not claimed"
        row = self.verdicts.get(claim.claim_id)
        return row["verdict"] if row else "not measured"

    def counts(self, claims: Iterable[Claim]) -> tuple[tuple[str, int], ...]:
        """Return how the claims fell that their authors measured: a copied number is no evidence of theirs."""
        words = [self.verdict(claim) for claim in claims if claim.value is not None and not claim.copied]
        return tuple((word, words.count(word)) for word in VERDICTS if word in words)

    def origin(self, claim: Claim) -> str:
        """Return where a copied claim was taken from, in words; empty for the authors' own."""
        if not claim.copied:
            return ""
        key = claim.evidence.removeprefix("copied from ")
        return self.names.get(key, key)

    def worded(self, text: str) -> str:
        """Return a paper's text with the names of papers in place of their keys."""
        for key, name in self.names.items():
            text = re.sub(rf"\b{key}\b", name, text)
        return text

    def place(self, claim: Claim, own: str) -> str:
        """Return where a claim stands, in words; its paper too unless that is the paper `own`."""
        where = claim.row if claim.table == TEXT else f"{claim.table}: {claim.row}, {claim.column}"
        return where if claim.paper == own else f"{self.names.get(claim.paper, claim.paper)}, {where}"

    def tables(self, paper: Paper) -> list[PaperTable]:
        """Return the paper's tables in the order of its claims, laid out as printed."""
        tables: dict[str, list[Claim]] = {}
        for claim in paper.claims:
            tables.setdefault(claim.table, []).append(claim)
        return [self._table(paper, name, claims) for name, claims in tables.items()]

    def card_of_counts(self, paper: Paper, counts: Sequence[tuple[str, int]]) -> Card | None:
        """Return the card behind a paper's counts of verdicts; None without a table of verdicts."""
        path = self.data.tables.get("verdicts")
        if path is None:
            return None
        facts = [(verdict, f"{count} claims") for verdict, count in counts]
        title = f"Verdicts on what {self.names[paper.key]} measured"
        return self.cards.of_file(["counts", paper.key], title, facts, Step("table", path))

    def _table(self, paper: Paper, name: str, claims: Sequence[Claim]) -> PaperTable:
        columns = _ordered(
            [claim.column for claim in claims], [(claim.row, claim.column) for claim in claims]
        )
        cells = {(claim.row, claim.column): claim for claim in claims}
        whole = self._common(claims)
        notes = _notes(whole)
        lacking = self._lacking(claims)
        if len(lacking) > 1:
            # Each cell lacks one of them; which one, the table's headings say.
            whole["not measured"] += lacking
            names = [_data_set(clause) for clause in lacking]
            listed = f"{', '.join(names[:-1])} and {names[-1]}"
            notes = (*notes, f"Where not measured: the data sets {listed} are not in this study.")
        kinds = Counter((claim.metric, claim.unit) for claim in claims)
        usual, _ = kinds.most_common(1)[0]
        groups: list[Group] = []
        full: list[list[str]] = []
        for row in dict.fromkeys(claim.row for claim in claims):
            title, separator, label = row.partition(SEPARATOR)
            title, label = (title, label) if separator else ("", row)
            # A heading that comes again further down is printed again there.
            if not groups or groups[-1].title != title:
                groups.append(Group(title))
                full.append([])
            groups[-1].rows.append((label, []))
            full[-1].append(row)
        for group, rows in zip(groups, full, strict=True):
            inside = [cells[row, column] for row in rows for column in columns if (row, column) in cells]
            own = self._common(inside)
            group.notes = _notes({kind: [c for c in own[kind] if c not in whole[kind]] for kind in own})
            for row, (_, found) in zip(rows, group.rows, strict=True):
                for column in columns:
                    claim = cells.get((row, column))
                    said = whole["not measured"] + (own["not measured"] if name != TEXT else [])
                    found.append(None if claim is None else self._cell(paper, claim, said, usual))
        beside = self._add_strongest(groups, full, columns, cells, name == TEXT)
        doubts = Counter(claim.certainty for claim in claims)
        return PaperTable(
            name,
            f"table-{paper.key}-{slug(name.lower())}",
            IN_PROSE if name == TEXT else paper.tables[name].caption.rstrip("."),
            _unit_words(usual, len(kinds) > 1) if name != TEXT else "each in the unit that stands with it",
            levels([*columns, STRONGEST] if beside else columns, [Heading("")]),
            groups,
            notes,
            len(columns) + 1 + beside,
            self.counts(claims),
            sum(claim.copied for claim in claims),
            tuple((mark, words, doubts[mark]) for mark, words in CERTAINTIES.items() if doubts[mark]),
            _enough([self.verdict(claim) for claim in claims if claim.value is not None]),
            beside,
        )

    def _add_strongest(
        self,
        groups: Sequence[Group],
        rows: Sequence[Sequence[str]],
        columns: Sequence[str],
        cells: Mapping[tuple[str, str], Claim],
        prose: bool,
    ) -> bool:
        """Add what is left under the strongest of the study, as last column (True) or as each group's last row.

        Papers print a network with one budget either along a row or down a group's column; the new cells stand
        at the end of whichever has fewer of them. What several groups have in common stands below the last of them.
        A table without a measured budget gets none.
        """
        across = [
            [[cells[row, column] for column in columns if (row, column) in cells] for row in names]
            for names in rows
        ]
        down = [
            [[cells[row, column] for row in names if (row, column) in cells] for column in columns]
            for names in rows
        ]
        widest = max((len(self._budgets(line)) for group in across for line in group), default=0)
        longest = max((len(self._budgets(line)) for group in down for line in group), default=0)
        beside = widest > 0 and (prose or widest <= longest)
        for group, own_rows, own_columns in zip(groups, across, down, strict=True):
            if beside:
                group.beside = [self._left(line) for line in own_rows]
            elif any(found := [self._left(line) for line in own_columns]):
                group.below = found
        told: list[list[Left]] = []
        for group in reversed(groups):
            if group.below == told:
                group.below = []
            told = group.below or told
        return beside

    def _budgets(self, claims: Iterable[Claim]) -> list[tuple[str, str]]:
        """Return the model and the epsilon of every measured accuracy in a budget, each once, in order."""
        found = [
            (row["model"], claim.epsilon)
            for claim in claims
            if claim.epsilon
            and claim.metric == "accuracy"
            and (row := self.verdicts.get(claim.claim_id)) is not None
            and row.get("strongest_value")
        ]
        return list(dict.fromkeys(found))

    def _left(self, claims: Sequence[Claim]) -> list[Left]:
        budgets = self._budgets(claims)
        several_epsilons = len({claim.epsilon for claim in claims if claim.epsilon}) > 1
        several_models = len({model for model, _ in budgets}) > 1
        unit = next((claim.unit for claim in claims if claim.epsilon), "percent")
        found = []
        for model, epsilon in budgets:
            rows = self._summary.get((model, "all", f"norm=linf epsilon={epsilon}", "accuracy"), [])
            for row in rows[:1]:
                words = [wording.parameters(f"epsilon={epsilon}")] if several_epsilons else []
                words += [self._titles.get(model, model)] if several_models else []
                found.append(Left(self._strongest(row, unit), ", ".join(words)))
        return found

    def _strongest(self, row: Row, unit: str) -> Number:
        card = self.cards.of_summary(row)
        value, low, high = (wording.number(row[key]) for key in ("value", "low", "high"))
        after = "" if unit == "percent" else wording.UNITS["percent"][1]
        return Number(
            wording.measure(value) + after,
            wording.interval(low, high) + after,
            value,
            card.id,
            card.ordinal,
            card.stale,
        )

    def _common(self, claims: Sequence[Claim]) -> dict[str, list[str]]:
        """Return what the verdicts of all measured and of all other claims name alike, to be said once."""
        common = {}
        for kind in ("measured", "not measured"):
            clauses = [
                self._clauses(claim)
                for claim in claims
                if claim.value is not None
                and (self.verdict(claim) == "not measured") == (kind == "not measured")
            ]
            shared = clauses[0] if len(clauses) > 1 else ()
            common[kind] = [clause for clause in shared if all(clause in other for other in clauses)]
        return common

    def _lacking(self, claims: Sequence[Claim]) -> list[str]:
        """Return the clauses that name lacking data sets, if every claim that was not measured has one."""
        found = []
        for claim in claims:
            if self.verdict(claim) == "not measured":
                named = [clause for clause in self._clauses(claim) if _data_set(clause)]
                if not named:
                    return []
                found += named
        return list(dict.fromkeys(found))

    def _clauses(self, claim: Claim) -> tuple[str, ...]:
        row = self.verdicts.get(claim.claim_id)
        text = row["differences"] if row else "no verdict was recorded"
        return tuple(wording.reason(part) for part in text.split("; ") if part)

    def _cell(self, paper: Paper, claim: Claim, said: Sequence[str], usual: tuple[str, str]) -> ClaimCell:
        verdict = self.verdict(claim)
        lost = claim.printed == LOST
        cell = f"cell-{claim.claim_id}"
        symbol = VERDICTS.get(verdict, ("?", ""))[0]
        doubt = "" if claim.certainty == "certain" else claim.certainty
        copied = f"copied from {self.origin(claim)}" if claim.copied else ""
        unit, printed = "", claim.printed
        if claim.table == TEXT:
            printed = wording.printed(claim.printed, claim.unit)
        elif claim.unit != usual[1]:
            unit = wording.UNITS[claim.unit][0]
        elif claim.metric != usual[0]:
            unit = METRICS[claim.metric].words
        if verdict == "not claimed" and not lost and not claim.note:
            return ClaimCell(cell, printed, verdict, symbol, copied=copied, unit=unit)
        row = self.verdicts.get(claim.claim_id)
        measured = self._measured(claim, row) if row and row["measured"] else None
        facts = list(self._facts(paper, claim))
        label = claim.row if claim.table == TEXT else f"{claim.row}, {claim.column}"
        where = f"{self.names[paper.key]}, {IN_PROSE.lower() if claim.table == TEXT else claim.table}"
        clauses = self._clauses(claim)
        if row is None or not row["measured"]:
            if verdict == "not claimed":
                why = "not legible" if lost else "the paper prints a dash"
            else:
                why = "; ".join(clauses) or "no reason was recorded"
            card = self.cards.of_unmeasured(
                facts, claim.claim_id, label, why, [paper.key, claim.table], f"{where}: not measured"
            )
            room = 120 if claim.table == TEXT else 44
            reason = "" if any(clause in said for clause in clauses) else _in_few_words(clauses, room)
            if verdict == "not claimed":
                reason = ""
            return ClaimCell(
                cell,
                printed,
                verdict,
                symbol,
                None,
                self.cards.anchor(claim.claim_id),
                card.ordinal,
                reason,
                copied,
                doubt,
                unit,
            )
        facts += self._judged(claim, row, verdict, clauses)
        card = self.cards.of_claim(facts, claim.claim_id, f"{where}: {label}", measured, claim.unit)
        value, low, high = (wording.number(row[key]) for key in ("measured", "low", "high"))
        number = Number(
            wording.measure(value, claim.unit),
            wording.interval(low, high, claim.unit),
            value,
            card.id,
            card.ordinal,
            card.stale,
        )
        return ClaimCell(
            cell,
            printed,
            verdict,
            symbol,
            number,
            card.id,
            card.ordinal,
            copied=copied,
            doubt=doubt,
            unit=unit,
        )

    def _facts(self, paper: Paper, claim: Claim) -> Iterable[tuple[str, str]]:
        """Yield what the paper alone says of a cell."""
        yield "claimed", wording.printed(claim.printed, claim.unit)
        yield "about", _quantity(claim)
        origin = self.origin(claim)
        yield (
            "evidence",
            f"copied from {origin}: no evidence of its own" if origin else "measured by its authors",
        )
        if claim.certainty != "certain":
            yield claim.certainty, CERTAINTIES[claim.certainty]
        if claim.note:
            yield "note", self.worded(paper.note(claim))

    def _judged(
        self, claim: Claim, row: Row, verdict: str, clauses: Sequence[str]
    ) -> Iterable[tuple[str, str]]:
        """Yield what its measurement adds."""
        yield "verdict", f"{verdict}, not counted: the number is copied" if claim.copied else verdict
        if clauses:
            yield "differences", "; ".join(clauses)
        if row.get("strongest_value"):
            value, low, high = (wording.number(row[f"strongest_{key}"]) for key in ("value", "low", "high"))
            strongest = wording.printed(wording.measure(value, claim.unit), claim.unit)
            yield (
                "under the strongest",
                f"{strongest} {wording.interval(low, high, claim.unit)}: what is left under every "
                f"attack within the same budget together ({row['strongest_verdict']})",
            )

    def _measured(self, claim: Claim, verdict: Row) -> Row | None:
        """Return the row of summary.csv that a verdict was judged by.

        Two transfer sources may leave as much; then it was the one of the paper's own kind.
        """
        names = (claim.attack, f"{claim.attack}_{claim.setting}")
        rows = self._summary.get((verdict["model"], claim.setting, claim.parameters, claim.metric), [])
        rows = [row for row in rows if row["attack"] in names]
        same = [row for row in rows if wording.number(row["value"]) == wording.number(verdict["measured"])]
        wanted = TransferSource.read(claim.source) if claim.source and claim.source not in MEMBERS else ()
        return min(
            same or rows,
            key=lambda row: (self._sources.get(row["source"]) not in wanted, row["source"]),
            default=None,
        )


def _enough(verdicts: Sequence[str]) -> bool:
    """Say whether a quarter of a table's numbers was measured, or more."""
    return len(verdicts) > 0 and 4 * verdicts.count("not measured") <= 3 * len(verdicts)


def _quantity(claim: Claim) -> str:
    """Return what a claim is about, in words."""
    words = [
        f"{METRICS[claim.metric].words}: {wording.defense(claim.defense)}, "
        f"trained on {wording.training(claim.training)}",
        wording.architecture(claim.architecture),
        wording.dataset(claim.dataset),
        wording.attack(claim.attack) if claim.attack != "none" else "no attack",
    ]
    if claim.parameters:
        words.append(wording.parameters(claim.parameters))
    if claim.attack != "none":
        words.append(wording.setting(claim.setting).lower())
    if claim.source in MEMBERS:
        words.append(wording.SOURCES[claim.source])
    elif claim.source:
        sources = " and ".join(map(str, TransferSource.read(claim.source)))
        words.append(f"made on {wording.reason(sources)}")
    return ", ".join(words)


def _unit_words(kind: tuple[str, str], mixed: bool) -> str:
    metric, unit = kind
    words = METRICS[metric].words
    if unit not in ("images", "rounds"):  # the metric's words say it already
        words = f"{words} in {wording.UNITS[unit][0]}"
    return f"{words}, where a cell says nothing else" if mixed else words


def _ordered(columns: Sequence[str], cells: Sequence[tuple[str, str]]) -> list[str]:
    """Return the columns as printed: one that first occurs in a later row goes beside its neighbour there."""
    rows: dict[str, list[str]] = {}
    for row, column in cells:
        rows.setdefault(row, []).append(column)
    order = list(dict.fromkeys(next(iter(rows.values()), columns)))
    for names in rows.values():
        for position, name in enumerate(names):
            if name not in order:
                order.insert(order.index(names[position - 1]) + 1 if position else 0, name)
    return order


def _notes(common: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(f"Where {kind}: {'; '.join(clauses)}." for kind, clauses in common.items() if clauses)


def _data_set(clause: str) -> str:
    """Return the data set that a clause says is lacking; empty where it says something else."""
    end = " is not in this study"
    if clause.startswith("data set ") and clause.endswith(end):
        return clause.removeprefix("data set ").removesuffix(end)
    return ""


def _in_few_words(clauses: Sequence[str], length: int) -> str:
    """Return the clause that explains most, cut to what a cell can hold."""
    first = clauses[0] if clauses else ""
    lacking = next((name for clause in clauses if (name := _data_set(clause))), "")
    text = f"no {lacking} here" if lacking else first.removesuffix(" in this study")
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
