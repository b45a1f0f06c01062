"""Which attacks were hampered: the raised red flags of this run and of the reference runs, attack by attack.

Beside them transfers that reach not even an undefended network: what they leave of a defended one says little of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from reproof import wording
from reproof.diagnostics.sanity_check import CHECKS
from reproof.report.contents import THIS_RUN, ReportData, rows
from reproof.settings.baseline import CLEAN, UNDEFENDED

ONE_SIDED = (
    "paper_attack_vs_worst_case",
    "unbounded_budget",
    "monotone_in_epsilon",
    "zero_gradients",
    "broken_gradients",
    "misleading_gradients",
    "saturated_loss",
    "unmoved_images",
)
"""Checks that compare an attack with no other one: all attacks that they name are weak."""
TRANSFER = "Transfer that reaches hardly anything"
UNMOVED = "unmoved_images"
"""Raised where an attack hands back every image as it was: at its least parameter many do, and are no weaker for it."""
REACHED = 0.1
"""What a transfer makes wrong on an undefended network, as a share of what the attack on that network itself does: with
less it is weak."""
Attack = tuple[str, str]
"""A setting, and an attack's name in the tables."""
Transfer = tuple[str, str, str, str]
"""A model, the source of the images, the attack that made them, and its parameters."""


@dataclass(frozen=True)
class FlaggedRun:
    """What one run says of one attack."""

    models: int
    """On how many models it was hampered."""
    ran: int
    """On how many models it was run."""
    checks: tuple[tuple[str, tuple[str, ...]], ...]
    """A check's heading, and the titles of the models that raise it; the check that most raise first."""


@dataclass(frozen=True)
class HamperedAttack:
    """One attack in one setting."""

    title: str
    runs: tuple[FlaggedRun, ...]
    """Under the columns of `Hampered`."""


@dataclass(frozen=True)
class Hampered:
    """The index."""

    columns: tuple[str, ...]
    """The reference runs' titles, on which verdicts rest, and this run."""
    attacks: tuple[HamperedAttack, ...]
    """The attack that was hampered on most models of the first run first."""
    idle: tuple[tuple[str, int], ...]
    """An attack with the parameter at which alone it moved no image, and on how many models: not counted above."""


def hampered(data: ReportData) -> Hampered:
    """Return every attack that a raised check shows to be too weak, with the models on which it was."""
    kinds = _kinds(data)
    found: dict[Attack, dict[str, dict[str, list[str]]]] = {}
    idle: Counter[str] = Counter()
    for run_title, titles, flags, summary in _runs(data):
        for row in raised(flags):
            partly = _idle(row, summary)
            for attack, parameters in partly.items():
                idle.update(f"{_words(attack, kinds)} at {wording.parameters(one)}" for one in parameters)
            for attack in _weak(row, kinds) - set(partly):
                checks = found.setdefault(attack, {}).setdefault(run_title, {})
                checks.setdefault(row.gate, []).append(titles.get(row.model, row.model))
        weak = dict.fromkeys((model, name) for model, _, name, _ in weak_transfers(summary))
        for model, name in weak:
            checks = found.setdefault(("black_box", name), {}).setdefault(run_title, {})
            checks.setdefault(TRANSFER, []).append(titles.get(model, model))
    ran = {title: _models(summary) for title, _, _, summary in _runs(data)}
    told = [
        HamperedAttack(
            _words(attack, kinds),
            tuple(_of_run(by_run.get(title, {}), ran[title].get(attack, 0)) for title in ran),
        )
        for attack, by_run in found.items()
    ]
    order = sorted(told, key=lambda one: (*(-run.models for run in one.runs), one.title))
    return Hampered(tuple(ran), tuple(order), tuple(idle.most_common()))


class HamperedRows:
    """Tells of a row of verdicts.csv what shows that its attack was too weak: what the raised checks find."""

    def __init__(self, data: ReportData):
        self._found: dict[tuple[str, str, str, str, str], list[str]] = {}
        """A run's title, a model, a setting, an attack, parameters ('' for all) -> sentences."""
        self._named: set[tuple[str, str, str]] = set()
        """A run's title, a model, and a measurement as a raised check names it."""
        self._transfers: dict[str, dict[Transfer, str]] = {}
        self._models: set[tuple[str, str]] = set()
        for run_title, titles, flags, summary in _runs(data):
            self._models.update((run_title, model) for model in flags["model"].unique())
            self._transfers[run_title] = weak_transfers(summary, titles)
            for row in raised(flags):
                heading = CHECKS[row.gate].heading if row.gate in CHECKS else row.gate
                idle, weak = _idle(row, summary), _weak(row, _kinds(data))
                named = [one for one in row.rows.split("; ") if one and _attack_of(one) in weak]
                self._named.update((run_title, row.model, one) for one in named)
                for setting, attack in weak:
                    for parameters in idle.get((setting, attack), [""]):
                        meeting = (run_title, row.model, setting, attack, parameters)
                        self._found.setdefault(meeting, []).append(f"{heading}. {row.evidence}")

    def of(self, run: str, row: Any) -> list[str]:
        """Return a sentence for each raised check. run: THIS_RUN, or a reference run's title."""
        meeting = (run, row.model, row.setting, row.attack)
        at = dict.fromkeys(("", row.parameters))
        found = [words for parameters in at for words in self._found.get((*meeting, parameters), ())]
        return [*found, *filter(None, [self._transfer(run, row)])]

    def checked(self, run: str, row: Any) -> bool:
        """Say whether the sanity checks were made of a row's model."""
        return (run, row.model) in self._models

    def _transfer(self, run: str, row: Any) -> str:
        if row.setting != "black_box":
            return ""
        return self._transfers.get(run, {}).get((row.model, row.source, row.attack, row.parameters), "")

    def names(self, run: str, row: Any) -> bool:
        """Say whether a raised check names this very measurement, with source and parameters, or a transfer is weak."""
        if self._transfer(run, row):
            return True
        own = row.source in ("", row.model)
        words = (row.setting, row.attack, row.parameters, "" if own else f"from {row.source}")
        return (run, row.model, " ".join(filter(None, words))) in self._named


def _runs(data: ReportData) -> list[tuple[str, dict[str, str], pd.DataFrame, pd.DataFrame]]:
    """Return the title of each reference run and of this run, its models' titles, red flags and summary."""
    runs = []
    for run in data.references:
        titles = {name: model.get("title", name) for name, model in run.about["models"].items()}
        if "red_flags" in run.tables:
            runs.append((run.title, titles, run.tables["red_flags"], run.tables["summary"]))
    return [*runs, (THIS_RUN, dict(data.titles), data.flags, data.summary)]


def weak_transfers(
    summary: pd.DataFrame, titles: Mapping[str, str] = MappingProxyType({})
) -> dict[Transfer, str]:
    """Return what hardly reaches even an undefended network of the model's own architecture, and a sentence on it.

    It fools less than REACHED of what the same attack, made on that network itself, does. Of several such networks the
    one counts that is reached most. summary: summary.csv. titles: what models are called.
    """
    own = summary[(summary["metric"] == "accuracy") & summary["setting"].isin(["black_box", "white_box"])]
    plain = own[(own["defense"] == UNDEFENDED) & (own["training"] == CLEAN)]
    direct = plain[plain["setting"] == "white_box"]
    left = {(row.model, row.attack, row.parameters): row.value for row in rows(direct)}
    transferred = own[(own["setting"] == "black_box") & (own["source"] != "")]
    reached: dict[tuple[str, ...], tuple[float, str]] = {}
    for row in rows(transferred[transferred.index.isin(plain.index)]):
        clean = left.get((row.model, "none", ""))
        alone = left.get((row.model, row.attack, row.parameters))
        if row.model == row.source or clean is None or alone is None or alone >= clean:
            continue
        share = max(0.0, clean - row.value) / (clean - alone)
        words = (
            f"{TRANSFER}. Made on “{titles.get(row.source, row.source)}” it leaves an undefended network "
            f"(“{titles.get(row.model, row.model)}”) {wording.measure(row.value)} % of images right; made on that "
            f"network itself, {wording.measure(alone)} %."
        )
        place = (row.dataset, row.architecture, row.source, row.attack, row.parameters)
        reached[place] = max(reached.get(place, (share, words)), (share, words))
    found = {}
    for row in rows(transferred):
        place = (row.dataset, row.architecture, row.source, row.attack, row.parameters)
        share, words = reached.get(place, (1.0, ""))
        if share < REACHED:
            found[row.model, row.source, row.attack, row.parameters] = words
    return found


def _models(summary: pd.DataFrame) -> dict[Attack, int]:
    """Return on how many models each attack was run."""
    met = summary.drop_duplicates(["setting", "attack", "model"])
    return Counter((row.setting, row.attack) for row in rows(met))


def _kinds(data: ReportData) -> dict[str, str]:
    return {attack.name: attack.kind for attack in data.attacks}


def raised(flags: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of red_flags.csv that were raised."""
    return rows(flags[flags["raised"].fillna(False).astype(bool)])


def _of_run(checks: dict[str, list[str]], ran: int) -> FlaggedRun:
    order = sorted(checks, key=lambda gate: (-len(checks[gate]), gate))
    headed = [(CHECKS[gate].heading if gate in CHECKS else gate, tuple(checks[gate])) for gate in order]
    return FlaggedRun(len({title for titles in checks.values() for title in titles}), ran, tuple(headed))


def _weak(row: Any, kinds: dict[str, str]) -> set[Attack]:
    """Return the attacks that a raised check shows to be too weak.

    Its sentence begins with the one that the largest difference is about. Where the check compares settings, every
    attack of that one's setting is; of attacks in one setting it alone, unless the check is ONE_SIDED.
    """
    named = {_attack_of(measured) for measured in row.rows.split("; ") if measured}
    sentence = row.evidence.lower()
    places = {one: sentence.find(_words(one, kinds).lower()) for one in named}
    spoken = [one for one in named if places[one] >= 0]
    if not spoken or row.gate in ONE_SIDED:
        return named
    first = min(spoken, key=lambda one: (places[one], -len(_words(one, kinds))))
    if sentence.startswith("all other"):  # what is named is stronger than all others together
        return named - {first}
    compared = len({setting for setting, _ in named}) > 1
    return {one for one in named if one == first or (compared and one[0] == first[0])}


def _idle(row: Any, summary: pd.DataFrame) -> dict[Attack, list[str]]:
    """Return at which parameters a raised check finds that an attack moved nothing, of those that do at others.

    There it measured accuracy without an attack; that says nothing of it at another parameter. One that moves nothing
    at any parameter is not among them.
    """
    if row.gate != UNMOVED:
        return {}
    found: dict[Attack, list[str]] = {}
    for measured in filter(None, row.rows.split("; ")):
        found.setdefault(_attack_of(measured), []).append(" ".join(measured.split()[2:]))
    own = summary[(summary["model"] == row.model) & summary["source"].isin(["", row.model])]
    return {
        (setting, attack): parameters
        for (setting, attack), parameters in found.items()
        if set(own[(own["setting"] == setting) & (own["attack"] == attack)]["parameters"]) - set(parameters)
    }


def _attack_of(measured: str) -> Attack:
    """Return what a row of measurements is called after: `white_box pgd epsilon=0.3` is white-box PGD."""
    setting, attack, *_ = [*measured.split(), ""]
    return setting, attack


def _words(attack: Attack, kinds: dict[str, str]) -> str:
    setting, name = attack
    return f"{wording.setting(setting)} {wording.attack_inside(name, kinds.get(name, ''))}"


def by_run(index: Hampered, count: int) -> Iterator[tuple[str, list[tuple[str, FlaggedRun]], int]]:
    """Yield each run's title, its hampered attacks, most models first, and how many more there are than are told.

    The reference runs come first, and whole: verdicts rest on them. Of this run so many as count are told.
    """
    for place, run in enumerate(index.columns):
        found = [(one.title, one.runs[place]) for one in index.attacks if one.runs[place].models]
        told = sorted(found, key=lambda one: -one[1].models)[: count if run == THIS_RUN else None]
        yield run, told, len(found) - len(told)
