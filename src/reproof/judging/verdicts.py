"""Claims beside measurements: the word, the grade and the differences of each. Imports no torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.claims.protocol import Grade
from reproof.claims.vocabulary import LOST, METRICS
from reproof.csv_tables import KEY
from reproof.judging import equivalence, experiment
from reproof.judging.candidates import Candidate, Candidates, halves
from reproof.judging.difference import Difference, dump
from reproof.judging.equivalence import Measurement, Word
from reproof.judging.experiment import FOOLING_SET
from reproof.judging.measured import Measured, SeedRow, SummaryRow, members
from reproof.judging.study_facts import StudyFacts
from reproof.measuring import intervals
from reproof.settings.parameters import Parameters
from reproof.settings.source_names import parts

VerdictWord = Literal[
    "reproduced", "lower", "higher", "undecided", "not comparable", "not measured", "not claimed"
]
DECIDED = ("reproduced", "lower", "higher")
"""The words that say how a claim fell."""


@dataclass(frozen=True)
class Verdict:
    """A claim beside the row of the summary that was chosen for it, in the columns of verdicts.csv.

    `differences`: those of the row, or the reason why there is none; then the key and the values are empty. A
    count is given among as many images as the paper's, a time as the ratio to the undefended network's.
    """

    claim_id: str
    paper: str
    table: str
    row: str
    column: str
    claimed: float | None
    verdict: VerdictWord
    grade: Grade | Literal[""] = ""
    undecided_by: Literal["", "images", "seeds", "attack"] = ""
    """Why it is undecided: the interval reaches over the margin's edge; seeds disagree; a weaker attack left more, a
    stronger one less, or one whose strength is not known."""
    seed_words: tuple[Word, ...] = ()
    """Each seed's own word, where there are several."""
    margin: float | None = None
    training_share: float | None = None
    """Epochs as a share of the paper's, where they differ."""
    stable: Literal["", "yes", "no"] = ""
    """Of grade B: whether the word was the same at half of that training; empty where that was not measured."""
    differences: tuple[Difference, ...] = ()
    study: str = ""
    model: str = ""
    setting: str = ""
    source: str = ""
    attack: str = ""
    parameters: str = ""
    metric: str = ""
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    source_accuracy: float | None = None
    """Accuracy on clean images of the network that transferred images were made on; the least of several."""
    strongest_attack: str = ""
    strongest_parameters: str = ""
    strongest_value: float | None = None
    strongest_low: float | None = None
    strongest_high: float | None = None
    """What is left of the same model under every attack of the claim's setting within its budget."""
    overall_value: float | None = None
    overall_low: float | None = None
    overall_high: float | None = None
    """The same under every attack in whatever setting."""

    @property
    def key(self) -> tuple[str, ...]:
        """Return the cells of csv_tables.KEY, which name the row that was judged."""
        return tuple(getattr(self, name) for name in KEY)

    def cells(self) -> dict[str, Any]:
        """Return its row of verdicts.csv, by column."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "seed_words": ", ".join(self.seed_words),
            "differences": dump(self.differences),
        }


class Judge:
    """Judges claims by one study's summary."""

    def __init__(self, measured: Measured, facts: StudyFacts, papers: Sequence[Paper]):
        self.candidates = Candidates(measured, facts, papers)
        self._measured = measured
        self._facts = facts
        self._level = equivalence.level(facts.looks)
        self._halves = halves(facts.models)
        self._claims = {claim.claim_id: claim for paper in papers for claim in paper.claims}
        self._undefended = {
            (claim.paper, claim.table, claim.column): claim
            for claim in self._claims.values()
            if METRICS[claim.metric].compared == "time" and claim.defense == "undefended"
        }

    def verdict(self, claim: Claim) -> Verdict:
        """Return a claim's verdict; StudyError where two models of the study fit it alike.

        Grade C is shown and not judged. A dash or a lost cell is not claimed; what was measured of a lost one is told
        all the same, for statements about it.
        """
        if claim.value is None:
            return self._of_lost(claim) if claim.printed == LOST else _verdict(claim, verdict="not claimed")
        chosen = self.candidates.of(claim)
        if chosen is None:
            return _verdict(claim, verdict="not measured", differences=self._lacking(claim))
        return self.of_candidate(claim, chosen)

    def _of_lost(self, claim: Claim) -> Verdict:
        """Return what was measured of a lost cell, beside no claim."""
        chosen = self.candidates.of(claim)
        if chosen is None:
            return _verdict(claim, verdict="not claimed")
        return _verdict(
            claim,
            verdict="not claimed",
            grade=experiment.grade(chosen.differences),
            differences=chosen.differences,
            measured=chosen.row.value,
            low=chosen.row.low,
            high=chosen.row.high,
            **dict(zip(KEY, chosen.row.key, strict=True)),
        )

    def of_candidate(self, claim: Claim, chosen: Candidate) -> Verdict:
        """Return the verdict by one row of the summary that answers the claim."""
        row, differences = chosen.row, chosen.differences
        stated = self.candidates.protocols.of(claim)
        images = stated["images"].value if "images" in stated else None
        found = self._compared(claim, row, images)
        if found is None:
            differences = (Difference("undefended", "", "", "C"), *differences)
        elif METRICS[claim.metric].compared == "time" and (base := self._base(claim, row)) is not None:
            differences = tuple(dict.fromkeys((*differences, *base.differences)))
        grade = experiment.grade(differences)
        verdict = _verdict(
            claim,
            verdict="not comparable",
            grade=grade,
            differences=differences,
            training_share=_training_share(differences),
            measured=row.value,
            low=row.low,
            high=row.high,
            **dict(zip(KEY, row.key, strict=True)),
            **self._beside(claim, row),
        )
        if found is None:
            return verdict
        claimed, measurements = found
        margin = equivalence.margin(claim, claimed)
        words = tuple(equivalence.word(claimed, one, margin) for one in measurements)
        scale = claim.value / claimed if claim.unit == "images" and claim.value and claimed else 1.0
        if claim.unit == "images" and not claim.value:
            scale = float(images or row.total or 1)
        shown = _hull(measurements, scale)
        verdict = replace(verdict, margin=margin * scale, **shown)
        if grade == "C":
            return verdict
        word, reason = _decided(words, experiment.strength(chosen.attack, claim))
        return replace(
            verdict,
            verdict=word,
            undecided_by=reason,
            seed_words=words if len(words) > 1 else (),
            stable=self._stable(claim, chosen, word) if grade == "B" else "",
        )

    def _compared(self, claim: Claim, row: SummaryRow, images: Any) -> tuple[float, list[Measurement]] | None:
        """Return the claim and each seed's measurement in the same unit; None where there is nothing to compare."""
        seeds = row.by_seed or (SeedRow(row.value, row.correct, row.total, row.low, row.high),)
        metric = METRICS[claim.metric]
        if metric.compared == "time":
            return self._ratios(claim, row)
        if claim.unit == "images":
            among = images or (seeds[0].total if seeds[0].total else None)
            share = equivalence.claimed_share(claim, among)
            return share, [self._of_share(seed.value / (seed.total or 1), seed) for seed in seeds]
        value = equivalence.claimed_share(claim)
        if metric.compared in ("accuracy", "error"):
            return value, [self._of_share(seed.value, seed) for seed in seeds]
        if metric.compared == "difference":
            return value, [self._of_difference(seed) for seed in seeds]
        return value, [_as_it_is(seed) for seed in seeds]

    def _of_share(self, share: float, seed: SeedRow) -> Measurement:
        """Return a share with its exact interval; as it is where it is no count of images."""
        if seed.total is None:
            return Measurement(share, share, share)
        low, high = intervals.clopper_pearson(round(share * seed.total), seed.total, self._level)
        return Measurement(share, low, high)

    def _of_difference(self, seed: SeedRow) -> Measurement:
        """Return a difference with its paired interval, as wide as the number of looks asks for."""
        found = _as_it_is(seed)
        return Measurement(found.value, *intervals.widened((found.low, found.high), self._level))

    def _ratios(self, claim: Claim, row: SummaryRow) -> tuple[float, list[Measurement]] | None:
        """Return a time as a ratio to the undefended network's: the claimed one, and what was measured."""
        base = self._undefended.get((claim.paper, claim.table, claim.column))
        other = self._base(claim, row)
        if base is None or other is None or not base.value or not other.row.value or claim.value is None:
            return None
        own, bases = row.by_seed, other.row.by_seed
        ratios = [row.value / other.row.value]
        if len(own) == len(bases) and all(one.value for one in bases):
            ratios = [one.value / its.value for one, its in zip(own, bases, strict=True)] or ratios
        return claim.value / base.value, [Measurement(ratio, ratio, ratio) for ratio in ratios]

    def _base(self, claim: Claim, row: SummaryRow) -> Candidate | None:
        """Return what a time is compared with: what stands for its table's undefended network, if that is a row's."""
        base = self._undefended.get((claim.paper, claim.table, claim.column))
        if base is None or base is claim:
            return None
        found = self.candidates.of(base)
        if found is None or found.row.model == row.model:
            return None
        alike = (found.row.dataset, found.row.architecture) == (row.dataset, row.architecture)
        return found if alike else None

    def _beside(self, claim: Claim, row: SummaryRow) -> dict[str, Any]:
        """Return what a verdict says of the strongest attacks, and of the network that images were made on."""
        found: dict[str, Any] = {}
        inside = self._measured.worst_case(claim, row, any_setting=False)
        overall = self._measured.worst_case(claim, row, any_setting=True)
        if inside is not None:
            found |= {
                "strongest_attack": inside.attack,
                "strongest_parameters": str(inside.parameters),
                "strongest_value": inside.value,
                "strongest_low": inside.low,
                "strongest_high": inside.high,
            }
        if overall is not None:
            found |= {
                "overall_value": overall.value,
                "overall_low": overall.low,
                "overall_high": overall.high,
            }
        if claim.setting == "black_box":
            clean = [self._measured.clean(name) for name in parts(row.source)]
            values = [one.value for one in clean if one is not None]
            found |= {"source_accuracy": min(values)} if values and len(values) == len(clean) else {}
        return found

    def _stable(self, claim: Claim, chosen: Candidate, word: VerdictWord) -> Literal["", "yes", "no"]:
        """Say whether the word was the same at half of the training; nothing where that was not measured."""
        half = self._halves.get(chosen.row.model)
        rows = [row for row in self._measured.answers(claim) if row.model == half]
        if not rows or word not in DECIDED:
            return ""
        row = next((row for row in rows if row.source == chosen.row.source), rows[0])
        other = self.of_candidate(claim, replace(chosen, row=row))
        return "yes" if other.verdict == word else "no"

    def _lacking(self, claim: Claim) -> tuple[Difference, ...]:
        """Return what the study lacks, the first thing a reader would have to add, and the data set if that lacks."""
        model = self.candidates.model(claim)
        if model is not None and self._measured.answers(claim):
            return (Difference("lacks.model", model, ""),)
        found = _first_lacking(claim, self._measured.of_defense(claim.defense))
        if claim.dataset in self._measured.datasets:
            return (found,)
        return found, Difference("lacks.dataset", "", claim.dataset)


def _verdict(claim: Claim, **found: Any) -> Verdict:
    """Return a claim's verdict with what was found."""
    own = {name: getattr(claim, name) for name in ("claim_id", "paper", "table", "row", "column")}
    return Verdict(**own, claimed=claim.value, **found)


def _decided(
    words: Sequence[Word], strength: experiment.Strength
) -> tuple[Word, Literal["", "images", "seeds", "attack"]]:
    """Return the word of all seeds, and why it is undecided."""
    word = equivalence.together(words)
    if word == "undecided":
        return word, "images" if len(set(words)) == 1 else "seeds"
    if not equivalence.supported(word, strength):
        return "undecided", "attack"
    return word, ""


def _as_it_is(seed: SeedRow) -> Measurement:
    low = seed.value if seed.low is None else seed.low
    return Measurement(seed.value, low, seed.value if seed.high is None else seed.high)


def _hull(measurements: Sequence[Measurement], scale: float) -> dict[str, Any]:
    """Return the mean over seeds, and the interval that holds each seed's."""
    return {
        "measured": scale * statistics.fmean(one.value for one in measurements),
        "low": scale * min(one.low for one in measurements),
        "high": scale * max(one.high for one in measurements),
    }


def _training_share(differences: Iterable[Difference]) -> float | None:
    """Return the epochs as a share of the paper's, where they differ."""
    for one in differences:
        if one.kind == "training.epochs" and one.there:
            try:
                return float(one.here) / float(one.there)
            except ValueError:  # the members of an ensemble do not agree
                return None
    return None


def _first_lacking(claim: Claim, left: list[SummaryRow]) -> Difference:
    if not left:
        return Difference("lacks.defense", "", claim.defense)
    for name in ("training", "setting", "attack"):
        wanted = getattr(claim, name)
        here = {getattr(row, name) for row in left}
        if wanted not in here:
            return Difference(f"lacks.{name}", ", ".join(sorted(here)), wanted)
        left = [row for row in left if getattr(row, name) == wanted]
    metric = METRICS[claim.metric]
    run = {row.parameters for row in left}
    if not metric.parameter and Parameters.parse(claim.parameters) not in run:
        return Difference("lacks.parameters", ", ".join(map(str, sorted(run))), claim.parameters)
    attacked = {row.attacked for row in left}
    if members(claim) not in attacked:
        return Difference("lacks.members", ", ".join(sorted(attacked)), members(claim))
    metrics = {row.metric for row in left}
    if claim.metric.startswith(FOOLING_SET) and claim.metric not in metrics:
        return Difference("lacks.fooling_set", "", claim.attack)
    return Difference("lacks.metric", ", ".join(sorted(metrics)), claim.metric)
