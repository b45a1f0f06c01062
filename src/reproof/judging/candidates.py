"""Which model of a study stands for which claims: one for all that the paper measured on one. Imports no torch."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.errors import StudyError
from reproof.judging import experiment
from reproof.judging.difference import Difference
from reproof.judging.experiment import Protocols
from reproof.judging.measured import Measured, SummaryRow
from reproof.judging.study_facts import ModelFacts, StudyFacts

Group = tuple[str, ...]
"""What names the claims that a paper measured on one model."""


@dataclass(frozen=True)
class Candidate:
    """A row of the summary that answers a claim, and all that tells the two apart."""

    row: SummaryRow
    model: tuple[Difference, ...]
    source: tuple[Difference, ...]
    attack: tuple[Difference, ...]
    size: tuple[Difference, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Return them all, those that weigh most first."""
        found = (*self.model, *self.source, *self.attack, *self.size)
        return tuple(sorted(found, key=lambda one: one.grade, reverse=True))

    @property
    def order(self) -> tuple[object, ...]:
        """Return what is least for the row that is nearest to the claim."""
        kind = any(one.kind == "source" for one in self.source)
        foreign = sum(one.grade == "C" for one in self.source)
        differences = (*self.source, *self.attack)
        return (kind, foreign, len(differences), -(self.row.total or 0), self.row.source, self.row.study)


class Candidates:
    """Finds what a study measured of each claim."""

    def __init__(self, measured: Measured, facts: StudyFacts, papers: Sequence[Paper]):
        self.protocols = Protocols(papers)
        self._measured = measured
        self._facts = facts
        self._groups = {claim.claim_id: _group(paper, claim) for paper in papers for claim in paper.claims}
        self._members: dict[Group, list[Claim]] = defaultdict(list)
        for paper in papers:
            for claim in paper.claims:
                self._members[self._groups[claim.claim_id]].append(claim)
        self._chosen: dict[Group, str | None] = {}
        self._of_models: dict[tuple[str, str], tuple[Difference, ...]] = {}
        self._of_sources: dict[tuple[str, str, str], tuple[Difference, ...]] = {}

    def all(self, claim: Claim) -> list[Candidate]:
        """Return what answers a claim, on whatever model, nearest first."""
        return sorted(
            (self._candidate(claim, row) for row in self._rows(claim)),
            key=lambda one: (*_rank(one.model), *one.order, one.row.model),
        )

    def of(self, claim: Claim) -> Candidate | None:
        """Return the nearest answer of the model that stands for the claim's group; None where it has none.

        StudyError where two models of a study fit a group alike and none is named for it.
        """
        model = self.model(claim)
        found = [self._candidate(claim, row) for row in self._rows(claim) if row.model == model]
        return min(found, key=lambda one: one.order, default=None)

    def model(self, claim: Claim) -> str | None:
        """Return the model that stands for all claims of a claim's group; None where none answers any."""
        group = self._groups[claim.claim_id]
        if group not in self._chosen:
            self._chosen[group] = self._choose(self._members[group])
        return self._chosen[group]

    def _rows(self, claim: Claim) -> list[SummaryRow]:
        """Return the rows that answer a claim, without those of a model trained half as long as another."""
        return [row for row in self._measured.answers(claim) if not self._facts_of(row).half_of]

    def _facts_of(self, row: SummaryRow) -> ModelFacts:
        unknown = ModelFacts(row.model, row.dataset, row.architecture, row.defense, row.training)
        return self._facts.models.get(row.model, unknown)

    def _candidate(self, claim: Claim, row: SummaryRow) -> Candidate:
        stated = self.protocols.of(claim)
        return Candidate(
            row,
            self._of_model(claim, self._facts_of(row)),
            self._of_source(claim, row),
            tuple(experiment.of_attack(claim, row, self._facts, stated)),
            tuple(experiment.of_size(claim, row, stated)),
        )

    def _of_model(self, claim: Claim, model: ModelFacts) -> tuple[Difference, ...]:
        """Return how a model differs from a claim's: asked for each row that it answers with."""
        key = claim.claim_id, model.model
        if key not in self._of_models:
            self._of_models[key] = tuple(experiment.of_model(claim, model, self.protocols.of(claim)))
        return self._of_models[key]

    def _of_source(self, claim: Claim, row: SummaryRow) -> tuple[Difference, ...]:
        key = claim.claim_id, row.model, row.source
        if key not in self._of_sources:
            found = experiment.of_source(claim, row, self._facts.models, self.protocols)
            self._of_sources[key] = tuple(found)
        return self._of_sources[key]

    def _choose(self, claims: Sequence[Claim]) -> str | None:
        """Return the nearest model of a group; of those of one grade, the one that answers most of its claims.

        A copy of another model from other first weights is left out, where that one answers too.
        """
        first = claims[0]
        answering = {row.model: row for claim in claims for row in self._rows(claim)}
        answered = Counter(name for claim in claims for name in {row.model for row in self._rows(claim)})
        models = {name: self._facts_of(row) for name, row in answering.items()}
        named = [name for name, model in models.items() if _named(model, claims)]
        free = [
            name
            for name, model in models.items()
            if not model.stands_for and not any(map(model.is_copy_of, models.values()))
        ]
        differing = {name: self._of_model(first, models[name]) for name in named or free}
        if not differing:
            return None
        ranks = {name: _rank(found) for name, found in differing.items()}
        grades = {name: experiment.grade(found) for name, found in differing.items()}
        ordered = sorted(
            differing, key=lambda name: (ranks[name][:2], grades[name], -answered[name], ranks[name], name)
        )
        best = ranks[ordered[0]]
        rivals = [name for name in ordered if ranks[name] == best]
        if len(rivals) > 1 and best.foreign == 0:
            raise StudyError(
                f"models {' and '.join(rivals)} fit {first.claim_id} alike: say which of them is meant, with "
                f"`stands_for: [{first.paper}.*]` at its entry under `models`"
            )
        return rivals[0]


class _Rank(NamedTuple):
    """How far a model is from a claim's: least is nearest."""

    dataset: bool
    architecture: bool
    foreign: int
    """Differences that make it another experiment."""
    differences: int


def _rank(differences: Iterable[Difference]) -> _Rank:
    found = list(differences)
    kinds = {one.kind for one in found}
    foreign = sum(one.grade == "C" for one in found)
    return _Rank("dataset" in kinds, "architecture" in kinds, foreign, len(found))


def _group(paper: Paper, claim: Claim) -> Group:
    """Return what the claims share that the paper measured on one model."""
    table = paper.tables.get(claim.table)
    of = "cell" if table is None else table.one_model
    place = {"row": (claim.row,), "column": (claim.column,), "cell": (claim.row, claim.column)}[of]
    model = (claim.dataset, claim.architecture, claim.defense, claim.training, claim.evidence)
    return (claim.paper, claim.table, of, *place, *model)


def _named(model: ModelFacts, claims: Sequence[Claim]) -> bool:
    """Say whether a model's entry names one of the claims."""
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), claim.claim_id)
        for pattern in model.stands_for
        for claim in claims
    )


def halves(models: Mapping[str, ModelFacts]) -> dict[str, str]:
    """Return the model trained half as long: model's name -> that one's."""
    return {model.half_of: name for name, model in models.items() if model.half_of}
