"""The page's large tables: papers' tables as printed, defenses against attacks, sources against targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reproof import wording
from reproof.claims import SEPARATOR, Claim, Paper
from reproof.report.cards import Card, Cards
from reproof.report.contents import Model, ReportData, Row, Step

VERDICTS = {
    "reproduced": ("✓", "The claim lies inside the measured interval, widened by the study's tolerance."),
    "lower": ("▼", "The measurement is lower than the claim by more than interval and tolerance allow."),
    "higher": ("▲", "The measurement is higher than the claim by more than interval and tolerance allow."),
    "not comparable": (
        "≠",
        "Something like it was measured, on another data set, network or transfer source: shown, not judged.",
    ),
    "not measured": ("○", "This study did not run what the claim is about; the cell says what is lacking."),
    "not claimed": ("–", "The paper prints a dash here."),
}


@dataclass(frozen=True)
class Heading:
    """A header cell."""

    text: str
    columns: int = 1
    rows: int = 1
    sort: int | None = None
    """Position in the row of the cells that this heading sorts by; None where it sorts nothing."""


@dataclass(frozen=True)
class Number:
    """A number in a cell, with its card."""

    text: str
    interval: str
    value: float | None
    card: str
    ordinal: int
    """The card's number, for paper."""
    stale: str = ""

    @property
    def heat(self) -> int:
        """Return 0 to 10, the step of the colour scale."""
        return 0 if self.value is None else min(10, max(0, round(10 * self.value)))


@dataclass(frozen=True)
class ClaimCell:
    """One cell of a paper's table."""

    printed: str
    verdict: str
    symbol: str
    measured: Number | None = None
    card: str = ""
    ordinal: int = 0
    reason: str = ""
    """Why it was not measured, in a few words; empty where the table already says it for all."""
    copied: str = ""


@dataclass
class Group:
    """Rows under one printed group heading."""

    title: str
    notes: tuple[str, ...] = ()
    """What its cells have in common, said once."""
    rows: list[tuple[str, list[ClaimCell | None]]] = field(default_factory=list)


@dataclass(frozen=True)
class PaperTable:
    """A paper's table as printed."""

    name: str
    id: str
    caption: str
    headings: list[list[Heading]]
    groups: list[Group]
    notes: tuple[str, ...]
    width: int


@dataclass(frozen=True)
class Grid:
    """A table of numbers: a row per model."""

    id: str
    title: str
    caption: str
    headings: list[list[Heading]]
    rows: list[tuple[str, str, list[list[Number]]]]
    """Title, small print, cells; a cell holds no number, one, or an accuracy and a distance."""
    starts: frozenset[int] = frozenset()
    """Positions of the cells before which another setting begins."""
    worst: bool = False
    """True: the last column is the worst case."""


def levels(labels: Sequence[str], first: Sequence[Heading] = ()) -> list[list[Heading]]:
    """Return header rows for labels such as `White-Box · FGSM`: equal neighbours share a cell.

    first: headings of the columns before them; they reach over all rows.
    """
    paths = [label.split(SEPARATOR) for label in labels]
    depth = max((len(path) for path in paths), default=1)
    rows: list[list[Heading]] = [[] for _ in range(depth)]
    rows[0] += [Heading(heading.text, 1, depth, heading.sort) for heading in first]
    position = 0
    while position < len(paths):
        path = paths[position]
        if len(path) == 1:
            rows[0].append(Heading(path[0], 1, depth, len(first) + position))
            position += 1
            continue
        end = position
        while end < len(paths) and len(paths[end]) > 1 and paths[end][0] == path[0]:
            end += 1
        rows[0].append(Heading(path[0], end - position))
        for inner in range(position, end):
            rest = SEPARATOR.join(paths[inner][1:])
            rows[1].append(Heading(rest, 1, depth - 1, len(first) + inner))
        position = end
    return [row for row in rows if row]


class Grids:
    """Builds the tables, making cards for what they show."""

    def __init__(self, data: ReportData, cards: Cards):
        self.data = data
        self.cards = cards
        self.verdicts: Mapping[str, Row] = {row["claim_id"]: row for row in data.verdicts}
        self._summary: dict[tuple[str, ...], list[Row]] = {}
        for row in data.summary:
            key = (row["model"], row["setting"], row["parameters"], row["metric"])
            self._summary.setdefault(key, []).append(row)
        self._order = {attack.name: position for position, attack in enumerate(data.attacks)}
        self._attack_titles = {attack.name: attack.title for attack in data.attacks if attack.title}
        self._titles = {model.name: model.title for model in data.models}

    def number(self, row: Row) -> Number:
        """Return a row of summary.csv as a number with its card."""
        card = self.cards.of_summary(row)
        value, low, high = (wording.number(row[key]) for key in ("value", "low", "high"))
        metric = row["metric"]
        return Number(
            wording.measure(value, metric),
            wording.interval(low, high, metric),
            value,
            card.id,
            card.ordinal,
            card.stale,
        )

    # A paper's tables.

    def verdict(self, claim: Claim) -> str:
        """Return a claim's verdict; a claim that no row of verdicts.csv mentions was not measured."""
        if claim.value is None:
            return "not claimed"
        row = self.verdicts.get(claim.claim_id)
        return row["verdict"] if row else "not measured"

    def paper_tables(self, paper: Paper) -> list[PaperTable]:
        """Return the paper's tables in the order of its claims, laid out as printed."""
        tables: dict[str, list[Claim]] = {}
        for claim in paper.claims:
            tables.setdefault(claim.table, []).append(claim)
        return [self._paper_table(paper, name, claims) for name, claims in tables.items()]

    def _paper_table(self, paper: Paper, name: str, claims: Sequence[Claim]) -> PaperTable:
        columns = _ordered(
            [claim.column for claim in claims], [(claim.row, claim.column) for claim in claims]
        )
        cells = {(claim.row, claim.column): claim for claim in claims}
        whole = self._common(claims)
        groups: list[Group] = []
        by_group: dict[str, Group] = {}
        for row in dict.fromkeys(claim.row for claim in claims):
            title, separator, label = row.partition(SEPARATOR)
            title, label = (title, label) if separator else ("", row)
            if title not in by_group:
                by_group[title] = Group(title)
                groups.append(by_group[title])
            by_group[title].rows.append((label, []))
        for group in groups:
            full = [f"{group.title}{SEPARATOR}{label}" if group.title else label for label, _ in group.rows]
            inside = [cells[row, column] for row in full for column in columns if (row, column) in cells]
            own = self._common(inside)
            group.notes = _notes({kind: [c for c in own[kind] if c not in whole[kind]] for kind in own})
            for row, (_, found) in zip(full, group.rows, strict=True):
                for column in columns:
                    claim = cells.get((row, column))
                    found.append(
                        None if claim is None else self._claim_cell(paper, claim, own["not measured"])
                    )
        return PaperTable(
            name,
            f"table-{paper.key}-{name.lower().replace(' ', '-')}",
            paper.tables.get(name, "").rstrip("."),
            levels(columns, [Heading("")]),
            groups,
            _notes(whole),
            len(columns) + 1,
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

    def _clauses(self, claim: Claim) -> tuple[str, ...]:
        row = self.verdicts.get(claim.claim_id)
        text = row["differences"] if row else "no verdict was recorded"
        return tuple(part for part in text.split("; ") if part)

    def _claim_cell(self, paper: Paper, claim: Claim, said: Sequence[str]) -> ClaimCell:
        verdict = self.verdict(claim)
        symbol = VERDICTS.get(verdict, ("?", ""))[0]
        if verdict == "not claimed":
            return ClaimCell(claim.printed, verdict, symbol)
        row = self.verdicts.get(claim.claim_id)
        measured = self._measured(claim, row) if row and row["measured"] else None
        facts = [
            ("claimed", claim.printed),
            ("evidence", "measured by its authors" if claim.evidence == "measured" else claim.evidence),
        ]
        if claim.note:
            facts.append(("note", claim.note))
        reasons = "; ".join(self._clauses(claim))
        facts.append(("verdict", verdict))
        if reasons:
            facts.append(("reason" if verdict == "not measured" else "differences", reasons))
        if row and row.get("strongest_value"):
            value, low, high = (wording.number(row[f"strongest_{key}"]) for key in ("value", "low", "high"))
            strongest = wording.measure(value, claim.metric)
            facts.append(
                (
                    "under the strongest",
                    f"{strongest} % {wording.interval(low, high, claim.metric)}: what is left under every "
                    f"attack within the same budget together ({row['strongest_verdict']})",
                )
            )
        title = f"{paper.key}, {claim.table}: {claim.row}, {claim.column}"
        card = self.cards.of_claim(facts, claim.claim_id, title, measured)
        number = None
        if row and row["measured"]:
            value, low, high = (wording.number(row[key]) for key in ("measured", "low", "high"))
            number = Number(
                wording.measure(value, claim.metric),
                wording.interval(low, high, claim.metric),
                value,
                card.id,
                card.ordinal,
                card.stale,
            )
        clauses = self._clauses(claim)
        reason = ""
        if verdict == "not measured" and not any(clause in said for clause in clauses):
            reason = next(
                (clause for clause in clauses if clause.startswith("data set")), clauses[0] if clauses else ""
            )
        copied = claim.evidence if claim.evidence != "measured" else ""
        return ClaimCell(
            claim.printed, verdict, symbol, number, card.id, card.ordinal, _short(reason), copied
        )

    def _measured(self, claim: Claim, verdict: Row) -> Row | None:
        """Return the row of summary.csv that a verdict was judged by."""
        names = (claim.attack, f"{claim.attack}_{claim.setting}")
        rows = self._summary.get((verdict["model"], claim.setting, claim.parameters, claim.metric), [])
        rows = [row for row in rows if row["attack"] in names]
        same = [row for row in rows if wording.number(row["value"]) == wording.number(verdict["measured"])]
        return next(iter(same or rows), None)

    # Defenses against attacks.

    def matrices(self) -> list[Grid]:
        """Return, per data set, one grid for each budget and one for attacks without a budget."""
        grids = []
        for dataset in dict.fromkeys(model.dataset for model in self.data.models):
            models = [model for model in self.data.models if model.dataset == dataset]
            names = {model.name for model in models}
            rows = [row for row in self.data.summary if row["model"] in names]
            budgets: dict[tuple[str, str], set[tuple[str, ...]]] = {}
            for row in rows:
                if row["attack"] not in ("none", "worst_case") and row["metric"] == "accuracy":
                    epsilon = wording.parameter(row["parameters"], "epsilon")
                    if epsilon is not None:
                        rest = " ".join(i for i in row["parameters"].split() if i != f"epsilon={epsilon}")
                        budgets.setdefault((epsilon, rest), set()).add(self._column(row))
            widest = sorted(budgets, key=lambda key: (-len(budgets[key]), -float(key[0])))
            grids += [self._matrix(dataset, models, rows, *budget) for budget in widest]
            free = self._free_matrix(dataset, models, rows)
            grids += [free] if free else []
        return grids

    def _column(self, row: Row) -> tuple[str, ...]:
        source = row["source"] if row["setting"] == "black_box" else ""
        return (row["setting"], source, row["attack"], row["parameters"])

    def _sorted_columns(self, rows: Iterable[Row]) -> list[tuple[str, ...]]:
        settings = {name: position for position, name in enumerate(wording.SETTINGS)}
        return sorted(
            {self._column(row) for row in rows},
            key=lambda c: (
                settings.get(c[0], len(settings)),
                c[1],
                self._order.get(c[2], len(self._order)),
                c[2],
                _numbers(c[3]),
            ),
        )

    def _attack_title(self, name: str) -> str:
        return self._attack_titles.get(name) or wording.attack(name)

    def _setting_title(self, setting: str, source: str) -> str:
        title = wording.setting(setting)
        return f"{title}, made on {self._titles.get(source, source)}" if source else title

    def _matrix(
        self, dataset: str, models: Sequence[Model], rows: Sequence[Row], epsilon: str, rest: str
    ) -> Grid:
        def inside(row: Row) -> bool:
            return row["metric"] == "accuracy" and set(row["parameters"].split()) == {
                *rest.split(),
                f"epsilon={epsilon}",
            }

        attacked = [row for row in rows if inside(row) and row["attack"] != "worst_case"]
        columns = self._sorted_columns(attacked)
        labels = [
            SEPARATOR.join((self._setting_title(setting, source), self._attack_title(attack)))
            for setting, source, attack, _ in columns
        ]
        worst = [
            row
            for row in rows
            if row["attack"] == "worst_case" and wording.parameter(row["parameters"], "epsilon") == epsilon
        ]
        body = []
        for model in models:
            own = {self._column(row): row for row in attacked if row["model"] == model.name}
            clean = [
                r
                for r in rows
                if r["model"] == model.name and r["attack"] == "none" and r["metric"] == "accuracy"
            ]
            cells = [[self.number(row) for row in clean[:1]]]
            cells += [[self.number(own[column])] if column in own else [] for column in columns]
            cells.append([self.number(row) for row in worst if row["model"] == model.name][:1])
            if any(cells[1:]):
                body.append((model.title, _small_print(model), cells))
        budget = wording.parameters(f"{rest} epsilon={epsilon}".strip())
        return Grid(
            f"matrix-{dataset}-{budget.replace(' ', '')}",
            f"{budget} on {dataset}",
            f"Accuracy in percent [95 % interval] at {budget} on {dataset}.",
            levels(["No attack", *labels, "Worst case per image"], [Heading("Defense", sort=0)]),
            body,
            frozenset(1 + position for position in _changes(columns)),
            worst=True,
        )

    def _free_matrix(self, dataset: str, models: Sequence[Model], rows: Sequence[Row]) -> Grid | None:
        free = [
            row
            for row in rows
            if row["attack"] not in ("none", "worst_case")
            and wording.parameter(row["parameters"], "epsilon") is None
        ]
        if not free:
            return None
        columns = self._sorted_columns(free)
        labels = [
            SEPARATOR.join(
                (
                    self._setting_title(s, source),
                    f"{self._attack_title(a)}, {wording.parameters(p)}".strip(", "),
                )
            )
            for s, source, a, p in columns
        ]
        body = []
        for model in models:
            own: dict[tuple[str, ...], list[Number]] = {}
            for row in sorted((r for r in free if r["model"] == model.name), key=lambda r: r["metric"]):
                number = self.number(row)
                if row["metric"] != "accuracy":
                    number = replace(number, text=f"L2 {number.text}")
                own.setdefault(self._column(row), []).append(number)
            if own:
                body.append((model.title, _small_print(model), [own.get(column, []) for column in columns]))
        return Grid(
            f"matrix-{dataset}-free",
            f"Attacks without a budget on {dataset}",
            f"Accuracy in percent [95 % interval] on {dataset}, and below it the mean L2 distance of the "
            "successful examples: without an ε accuracy depends on how far an attack may go. Not part of the "
            "worst case.",
            levels(labels, [Heading("Defense", sort=0)]),
            body,
            frozenset(_changes(columns)),
        )

    # Sources against targets.

    def transfers(self) -> list[Grid]:
        """Return, per data set, sources and attacks at their largest budget against targets."""
        accuracies = [row for row in self.data.summary if row["metric"] == "accuracy"]
        grids = []
        for dataset in dict.fromkeys(model.dataset for model in self.data.models):
            own = [row for row in accuracies if row["dataset"] == dataset]
            moved = [row for row in own if row["setting"] == "black_box" and row["attack"] != "none"]
            largest: dict[str, str] = {}
            for row in moved:
                if _numbers(row["parameters"]) >= _numbers(largest.get(row["attack"], "")):
                    largest[row["attack"]] = row["parameters"]
            shown = {
                (row["source"], row["attack"], row["model"]): row
                for row in moved
                if row["parameters"] == largest[row["attack"]]
            }
            sources = {source for source, _, _ in shown}
            for row in own:
                home = row["setting"] == "white_box" and row["parameters"] == largest.get(row["attack"])
                if home and row["model"] in sources:
                    shown[row["model"], row["attack"], row["model"]] = row
            if shown:
                grids.append(self._transfer(dataset, largest, shown))
        return grids

    def _transfer(
        self, dataset: str, largest: Mapping[str, str], shown: Mapping[tuple[str, str, str], Row]
    ) -> Grid:
        reached = {target for _, _, target in shown}
        targets = [model for model in self.data.models if model.name in reached]
        body = []
        for attack in sorted(largest, key=lambda name: self._order.get(name, len(self._order))):
            title = f"{self._attack_title(attack)}, {wording.parameters(largest[attack])}".strip(", ")
            for source in self.data.models:
                rows = [shown.get((source.name, attack, target.name)) for target in targets]
                if any(rows):
                    cells = [[self.number(row)] if row else [] for row in rows]
                    body.append((title, f"made on {source.title}", cells))
        return Grid(
            f"transfer-{dataset}",
            f"Transfer on {dataset}",
            f"Accuracy in percent of each target (columns) on images made on a source (rows), {dataset}. "
            "Where source and target are one model, the attack is white-box.",
            levels([model.title for model in targets], [Heading("Attack and source", sort=0)]),
            body,
        )

    def cards_of_counts(self, paper: Paper, counts: Sequence[tuple[str, int]]) -> Card | None:
        """Return the card behind a paper's counts of verdicts; None without a table of verdicts."""
        path = self.data.tables.get("verdicts")
        if path is None:
            return None
        facts = [(verdict, f"{count} claims") for verdict, count in counts]
        return self.cards.of_file(
            ["counts", paper.key], f"Verdicts on {paper.key}", facts, Step("table", path)
        )


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


def _changes(columns: Sequence[tuple[str, ...]]) -> list[int]:
    """Return the positions at which setting or source differ from the column before."""
    return [i for i, column in enumerate(columns) if i == 0 or column[:2] != columns[i - 1][:2]]


def _short(reason: str, length: int = 44) -> str:
    return reason if len(reason) <= length else f"{reason[: length - 1].rstrip()}…"


def _small_print(model: Model) -> str:
    return f"{model.defense}, {model.training}, {model.architecture}"


def _numbers(parameters: str) -> tuple[float, ...]:
    found = []
    for item in parameters.split():
        _, _, value = item.partition("=")
        try:
            found.append(float(value))
        except ValueError:
            continue
    return tuple(found)
