"""How a claim's model was trained and attacked, setting by setting, beside what the paper says: cards show it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from reproof import registry, wording
from reproof.claims.claim import Claim
from reproof.claims.protocol import Stated
from reproof.judging import experiment
from reproof.judging.study_facts import ModelFacts
from reproof.plan.paths import Paths
from reproof.report import reasons
from reproof.report.cards import CardRun, commit, device_words
from reproof.report.contents import THIS_RUN, ReportData
from reproof.report.hampered import HamperedRows
from reproof.report.verdict_words import JUDGED
from reproof.settings.attack import EpsilonAttackSettings

Facts = Iterator[tuple[str, str]]
UNSAID = ("kind", *experiment.POINTS)
"""Settings of an attack that the claim itself names."""


class Recipes:
    """Tells the settings behind a row of verdicts.csv, of this run or of a reference run."""

    def __init__(self, data: ReportData):
        self._protocols = experiment.Protocols(data.papers)
        self._facts = data.recipes
        self._hampered = HamperedRows(data)
        self._told: dict[Hashable, CardRun] = {}
        """Run, model or meeting, and what is stated -> what is told of it: thousands of cards tell the same."""
        self._asked: tuple[Claim, Mapping[str, Stated]] | None = None
        own = Paths(data.study, f"results/{data.study}")
        self._runs: dict[str, tuple[Paths, Sequence[int], Mapping[str, Mapping[str, Any]]]] = {
            THIS_RUN: (own, data.seeds, data.records)
        }
        for run in data.references:
            if "study" in run.about:
                paths = Paths(run.about["study"], f"results/{run.about['study']}")
                self._runs[run.title] = (paths, run.about["seeds"], run.records)

    def of(self, claim: Claim, row: Any, run: str) -> Iterator[CardRun]:
        """Yield what hampered the attack of a verdict's row, then how its model was trained and attacked, where known.

        run: THIS_RUN, or a reference run's title.
        """
        if found := self._hampered.of(run, row):
            told = tuple(("this attack was hampered", words) for words in found)
            yield CardRun(f"Red flags, {run}", told, ())
        elif row.verdict in JUDGED and self._hampered.checked(run, row):
            yield CardRun(f"Red flags, {run}", (("this attack", "no check shows it to be too weak"),), ())
        facts = self._facts.get(run)
        model = facts.models.get(row.model) if facts is not None else None
        if facts is None or model is None:
            return
        stated = self._stated(claim)
        said = tuple(map(id, stated.values()))
        key: Hashable = (run, row.model, claim.architecture, said)
        if key not in self._told:
            told = (*_network(model, claim), *_trained(model, stated), *self._records(row.model, run))
            self._told[key] = CardRun(f"Training recipe, {run}", told, (), folded=True)
        yield self._told[key]
        meeting = (row.model, row.setting, row.source, row.attack)
        if attack := facts.attack(meeting):
            key = (run, meeting, said)
            if key not in self._told:
                attacked = tuple(_attacked(attack, stated))
                self._told[key] = CardRun(f"Attack recipe, {run}", attacked, (), folded=True)
            yield self._told[key]

    def _stated(self, claim: Claim) -> Mapping[str, Stated]:
        """Return what is stated of a claim's experiment; several runs ask in turn."""
        if self._asked is None or self._asked[0] is not claim:
            self._asked = claim, self._protocols.of(claim)
        return self._asked[1]

    def _records(self, model: str, run: str) -> Facts:
        """Yield what the records of a model's training say, seed by seed."""
        paths, seeds, records = self._runs[run]
        for seed in seeds:
            path = paths.weights(model, seed)
            record = records.get(path)
            if record is not None:
                took = f"{wording.duration(float(record['seconds']))}, " if record.get("seconds") else ""
                yield "record of the model", f"seed {seed}: {took}{device_words(record)}, {commit(record)}"
                yield "command", str(record.get("command", "not recorded"))


def _network(model: ModelFacts, claim: Claim) -> Facts:
    here, there = (wording.architecture(one) for one in (model.architecture, claim.architecture))
    yield "network", here if here == there else f"{here}; the paper: {there}"
    yield "data set", wording.dataset(model.dataset)


def _trained(model: ModelFacts, stated: Mapping[str, Stated]) -> Facts:
    for name, here in model.settings.items():
        said = stated.get(name)
        agrees = said is not None and experiment.as_stated(name, model, stated)
        yield name, _beside(name, here, said, agrees=agrees)


def _attacked(attack: Mapping[str, Any], stated: Mapping[str, Stated]) -> Facts:
    if "kind" in attack:
        yield "attack", wording.attack(str(attack["kind"]))
    for key, here in attack.items():
        if key not in UNSAID:
            name = f"attack.{key}"
            said = stated.get(name)
            told = _beside(name, here, said, agrees=said is not None and said.allows(here))
            in_epsilons = key == "step_size" and _climbs(str(attack.get("kind", "")))
            yield f"{name}, as a share of ε" if in_epsilons else name, told


def _climbs(kind: str) -> bool:
    """Say whether an attack takes steps that are set as a share of its budget."""
    declared = registry.attack(kind)
    return declared is not None and issubclass(declared, EpsilonAttackSettings)


def _beside(name: str, here: Any, said: Stated | None, *, agrees: bool) -> str:
    """Return a setting's value, and the paper's with its place, or with why it is read so."""
    own = reasons.value(name, experiment.text(here))
    if said is None:
        return f"{own}; the paper does not say"
    stated = reasons.value(name, experiment.text(said.value))
    if said.place:
        return (
            f"{own}, as in the paper ({said.place})"
            if agrees
            else f"{own}; the paper: {stated} ({said.place})"
        )
    return (
        f"{own}, as read here ({said.reading})"
        if agrees
        else f"{own}; read here as {stated} ({said.reading})"
    )
