"""The checklist's answers on the page: groups of items, how many models answer how, and the evidence for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof.diagnostics.checklist import ITEMS, Item
from reproof.diagnostics.checklist_case import ANSWERS
from reproof.report.cards import Card
from reproof.report.contents import TrailFile
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section(
    "checklist",
    "The checklist",
    order=48,
    folded=True,
    heading="On evaluating adversarial robustness: the checklist",
    needs=("checklist",),
)
SYMBOLS = {"yes": "✓", "partly": "◐", "no": "✗", "does not apply": "–"}


@dataclass(frozen=True)
class Evidence:
    """One sentence, and the models that it is said of; none where it is said of the study."""

    answer: str
    models: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class ShownItem:
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
    items: tuple[ShownItem, ...]


def build(shared: Shared) -> dict[str, Any]:
    """Return the groups of items, and the answers' signs."""
    return {"groups": groups(shared), "answers": SYMBOLS}


def groups(shared: Shared) -> list[AnswerGroup]:
    """Return the checklist of a study, in its order; nothing where none was answered."""
    answers = dict(list(shared.data.checklist.groupby("item")))
    path = shared.data.tables.get("checklist", "")
    items: dict[str, list[Item]] = {}
    for item in ITEMS:
        if item.key in answers:
            items.setdefault(item.group, []).append(item)
    found = []
    for title, own in items.items():
        views = []
        for item in own:
            counts = _counted(answers[item.key])
            facts = [
                ("item", item.words),
                ("answers", ", ".join(f"{word} {count}" for word, count in counts)),
            ]
            card = shared.cards.of_file(
                ["checklist", item.key], f"Checklist: {item.words}", facts, TrailFile("table", path)
            )
            evidence = tuple(_evidence(answers[item.key], shared.data.titles))
            views.append(ShownItem(f"checklist-{item.key}", item.words, item.section, counts, evidence, card))
        counts = _counted(pd.concat([answers[item.key] for item in own]))
        found.append(AnswerGroup(title, counts, tuple(views)))
    return found


def _counted(frame: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    answers = frame["answer"].value_counts()
    return tuple((word, int(answers[word])) for word in ANSWERS if word in answers)


def _evidence(frame: pd.DataFrame, titles: Mapping[str, str]) -> Iterable[Evidence]:
    """Yield each sentence once, with the models that it is said of: what was not done first."""
    for answer in ("no", "partly", "yes", "does not apply"):
        for text, said in frame[frame["answer"] == answer].groupby("evidence", sort=False):
            yield Evidence(answer, tuple(titles.get(name, name) for name in said["model"] if name), str(text))
