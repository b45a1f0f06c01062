"""A paper's protocol in words: which claims each experiment is of, and each setting with its place or its reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from reproof import wording
from reproof.claims.paper import Paper
from reproof.claims.protocol import Experiment, Stated
from reproof.claims.vocabulary import METRICS, TEXT


@dataclass(frozen=True)
class SettingRow:
    """One setting of an experiment, or a fact that is no setting here."""

    name: str
    code: bool
    """The name is a setting's, as a study writes it."""
    value: str
    place: str
    """Where the paper prints it; empty where it is read so."""
    reading: str
    """Why it is read so, where the paper does not print it."""
    alternatives: str
    """Other readings, as plausible."""


@dataclass(frozen=True)
class ShownExperiment:
    """One experiment of a paper, or what several have in common."""

    of: Markup
    """Which claims it is of."""
    rows: tuple[SettingRow, ...]


def experiments(paper: Paper) -> list[ShownExperiment]:
    """Return a paper's experiments as its protocol has them, general ones first."""
    return [ShownExperiment(_claims_of(one), tuple(_rows(one))) for one in paper.protocol]


def counted(paper: Paper) -> tuple[int, int]:
    """Return how many settings the paper prints, and how many are our readings."""
    stated = [one for experiment in paper.protocol for one in experiment.settings.values()]
    return sum(bool(one.place) for one in stated), sum(bool(one.reading) for one in stated)


def _rows(experiment: Experiment) -> list[SettingRow]:
    settings = [_setting(name, stated) for name, stated in experiment.settings.items()]
    return settings + [SettingRow(one.name, False, one.value, one.place, "", "") for one in experiment.facts]


def _setting(name: str, stated: Stated) -> SettingRow:
    def worded(one: Any) -> str:
        named = name.endswith(".attack") and isinstance(one, str)
        return wording.attack(one) if named else value(one)

    others = " or ".join(map(worded, stated.alternatives))
    for other, cases in stated.where.items():
        together = ("{} with {}".format(" or ".join(map(worded, ones)), case) for case, ones in cases.items())
        others += f" ({_last(other)}: {'; '.join(together)})"
    return SettingRow(name, True, worded(stated.value), stated.place, stated.reading, others)


def _last(name: str) -> str:
    """Return a setting's own name in words: `training.epochs` is `epochs`."""
    return name.rpartition(".")[2].replace("_", " ")


def value(stated: Any) -> str:
    """Return a setting's value as the protocol writes it: a budget stays 8/255, a list is joined, none is `none`."""
    if stated is None:
        return "none"
    if isinstance(stated, bool):
        return "yes" if stated else "no"
    if isinstance(stated, Mapping):
        return "; ".join(f"{key} {value(one)}" for key, one in stated.items())
    if isinstance(stated, list | tuple):
        return ", ".join(map(value, stated)) or "none"
    if isinstance(stated, int) and stated > 9999:
        return f"{stated:,}"
    return f"{stated:g}" if isinstance(stated, float) else str(stated)


_COLUMNS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "table": ("", lambda word: "numbers in the prose" if word == TEXT else word),
    "dataset": ("", wording.dataset),
    "architecture": ("", wording.architecture),
    "defense": ("", wording.defense),
    "training": ("trained on ", wording.training),
    "setting": ("", lambda word: wording.setting(word).lower()),
    "source": ("made on ", str),
    "attack": ("", lambda word: "no attack" if word == "none" else wording.attack(word)),
    "parameters": ("at ", wording.parameters),
    "metric": ("", lambda word: METRICS[word].words if word in METRICS else word),
    "evidence": ("", str),
}
"""Column of a claim by which an experiment says which claims it is of -> what stands before its words, and these."""


def _claims_of(experiment: Experiment) -> Markup:
    """Return which claims an experiment is of: `Claims about MNIST, adaptive gravity or undefended`."""
    told = [_column(name, words) for name, words in experiment.of.items() if set(words) != {"*"}]
    return Markup("Claims about {}").format(Markup(", ").join(told)) if told else Markup("All claims")


def _column(name: str, words: Sequence[str]) -> Markup:
    """Return a column's words; a pattern stands for words that nobody has, and is shown as code."""
    before, worded = _COLUMNS[name]
    called = "data set" if name == "dataset" else name
    told = [
        Markup("{} <code>{}</code>").format(called, word) if "*" in word else escape(worded(word))
        for word in words
    ]
    return escape(before) + Markup(" or ").join(told)
