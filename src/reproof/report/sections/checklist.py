"""The checklist's answers on the page: groups of items, how many models answer how, and the evidence for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reproof.diagnostics.checklist import ITEMS
from reproof.diagnostics.checklist_case import ANSWERS
from reproof.report.cards import Card, Cards
from reproof.report.contents import ReportData, Row, Step

SYMBOLS = {"yes": "✓", "partly": "◐", "no": "✗", "does not apply": "–"}


@dataclass(frozen=True)
class Evidence:
    """One sentence, and the models that it is said of; none where it is said of the study."""

    answer: str
    models: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class ItemView:
    """An item with its answers."""

    id: str
    words: str
    section: str
    counts: tuple[tuple[str, int], ...]
    """Answer, number of models; one answer for an item of the study as a whole."""
    evidence: tuple[Evidence, ...]
    card: Card

    @property
    def whole(self) -> bool:
        """Say whether it is answered once, for the study."""
        return not any(each.models for each in self.evidence)


@dataclass(frozen=True)
class AnswerGroup:
    """The items under one of the paper's headings."""

    title: str
    counts: tuple[tuple[str, int], ...]
    """Answer, number of answers in all its items."""
    items: tuple[ItemView, ...]


def group(data: ReportData, cards: Cards) -> list[AnswerGroup]:
    """Return the checklist of a study, in its order; nothing where none was answered."""
    titles = {model.name: model.title for model in data.models}
    by_item: dict[str, list[Row]] = {}
    for row in data.checklist:
        by_item.setdefault(row["item"], []).append(row)
    views: dict[str, list[ItemView]] = {}
    rows: dict[str, list[Row]] = {}
    for item in ITEMS:
        if found := by_item.get(item.key):
            path = data.tables.get("checklist", "")
            facts = [("item", item.words), ("answers", _told(_counted(found)))]
            card = cards.of_file(
                ["checklist", item.key], f"Checklist: {item.words}", facts, Step("table", path)
            )
            views.setdefault(item.group, []).append(
                ItemView(
                    f"checklist-{item.key}",
                    item.words,
                    item.section,
                    _counted(found),
                    tuple(_evidence(found, titles)),
                    card,
                )
            )
            rows.setdefault(item.group, []).extend(found)
    return [AnswerGroup(title, _counted(rows[title]), tuple(found)) for title, found in views.items()]


def _counted(rows: Sequence[Row]) -> tuple[tuple[str, int], ...]:
    answers = [row["answer"] for row in rows]
    return tuple((word, answers.count(word)) for word in ANSWERS if word in answers)


def _told(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{word} {count}" for word, count in counts)


def _evidence(rows: Sequence[Row], titles: Mapping[str, str]) -> Iterable[Evidence]:
    """Yield each sentence once, with the models that it is said of: what was not done first."""
    said: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        models = said.setdefault((row["answer"], row["evidence"]), [])
        if row["model"]:
            models.append(titles.get(row["model"], row["model"]))
    order = ("no", "partly", "yes", "does not apply")
    for (word, text), models in sorted(said.items(), key=lambda entry: order.index(entry[0][0])):
        yield Evidence(word, tuple(models), text)
