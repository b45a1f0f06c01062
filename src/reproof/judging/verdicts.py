"""Claims beside measurements: `judge`, the only place where the two meet. Imports no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import METRICS
from reproof.csv_tables import KEY
from reproof.judging.difference import Difference, dump
from reproof.judging.measured import Measured, SummaryRow, members
from reproof.judging.study_facts import ModelFacts, StudyFacts
from reproof.settings.baseline import is_baseline
from reproof.settings.parameters import Parameters
from reproof.settings.source_names import parts
from reproof.settings.values import format_number

FOOLING_SET = "fooling_set"
"""What the metrics begin with that count only the images that fool all their sources."""

VerdictWord = Literal["reproduced", "lower", "higher", "not comparable", "not measured", "not claimed"]


@dataclass(frozen=True)
class Verdict:
    """A claim beside the row of the summary that was chosen for it, in the columns of verdicts.csv.

    `differences`: those of the row, or the reason why there is none; then the key and the values are empty.
    `strongest_*`: what is left of the same model under every attack of the study in the same budget, beside the
    same claim.
    """

    claim_id: str
    paper: str
    table: str
    row: str
    column: str
    claimed: float | None
    verdict: VerdictWord
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
    strongest_attack: str = ""
    strongest_parameters: str = ""
    strongest_value: float | None = None
    strongest_low: float | None = None
    strongest_high: float | None = None
    strongest_verdict: VerdictWord | Literal[""] = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Return the cells of csv_tables.KEY, which name the row that was judged."""
        return tuple(getattr(self, name) for name in KEY)

    def cells(self) -> dict[str, Any]:
        """Return its row of verdicts.csv, by column."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "differences": dump(self.differences),
        }


def judge(claim: Claim, measured: Measured, facts: StudyFacts, paper: Paper | None = None) -> Verdict:
    """Return the claim's verdict against a study's summary.

    A claim is reproduced when it lies in the measured interval widened by the tolerance (for metrics other
    than shares: by that share of the claim); `lower` and `higher` say where the measurement lies.
    Only a measurement of the same defense, training, setting, attack, parameters and metric is chosen: of the
    same data set and network first, made on a transfer source of the paper's kind (a narrower one too), then the
    one with the fewest differences. On another data set or network
    (a narrower one included), or from another transfer source, it is shown and not judged. What the study did less
    of is listed; it changes no verdict. A dash or a lost cell is not claimed.
    """
    own = {name: getattr(claim, name) for name in ("claim_id", "paper", "table", "row", "column")}
    if claim.value is None:
        return Verdict(**own, claimed=None, verdict="not claimed")
    candidates = measured.answers(claim)
    if not candidates:
        return Verdict(
            **own, claimed=claim.value, verdict="not measured", differences=_lacking(claim, measured)
        )
    ranked = []
    for row in candidates:
        foreign = _foreign(claim, row, facts.models, paper)
        smaller = _smaller(claim, row, facts, paper)
        order = (
            row.dataset != claim.dataset,
            row.architecture != claim.architecture,
            _source_of_another_kind(claim, row, facts.models),
            len(foreign),
            len(smaller),
            -(row.total or 0),
            row.model,
            row.source,
            row.study,
            row.dataset,
        )
        ranked.append((order, row, foreign, smaller))
    _, row, foreign, smaller = min(ranked, key=lambda entry: entry[0])
    tolerance = facts.tolerance * (1 if METRICS[claim.metric].share else abs(claim.value))
    strongest = measured.worst_case(claim, row)
    key: dict[str, Any] = dict(zip(KEY, row.key, strict=True))
    return Verdict(
        **own,
        claimed=claim.value,
        verdict="not comparable" if foreign else _compare(claim.value, row, tolerance),
        differences=(*foreign, *smaller),
        **key,
        measured=row.value,
        low=row.low,
        high=row.high,
        **({} if strongest is None else _beside(claim.value, strongest, tolerance, foreign)),
    )


def _beside(
    claimed: float, strongest: SummaryRow, tolerance: float, foreign: list[Difference]
) -> dict[str, Any]:
    """Return what a verdict says of the strongest attack."""
    return {
        "strongest_attack": strongest.attack,
        "strongest_parameters": str(strongest.parameters),
        "strongest_value": strongest.value,
        "strongest_low": strongest.low,
        "strongest_high": strongest.high,
        "strongest_verdict": "not comparable" if foreign else _compare(claimed, strongest, tolerance),
    }


def _compare(claimed: float, row: SummaryRow, tolerance: float) -> VerdictWord:
    low = row.value if row.low is None else row.low
    high = row.value if row.high is None else row.high
    rounding = 1e-12
    if claimed > high + tolerance + rounding:
        return "lower"
    if claimed < low - tolerance - rounding:
        return "higher"
    return "reproduced"


def _foreign(
    claim: Claim, row: SummaryRow, models: Mapping[str, ModelFacts], paper: Paper | None
) -> list[Difference]:
    """Return the differences that make it another quantity than the claimed one."""
    differences = []
    if row.dataset != claim.dataset:
        differences.append(Difference("dataset", row.dataset, claim.dataset))
    network = _network(row.architecture, models.get(row.model))
    if network != claim.architecture:
        differences.append(Difference("architecture", network, claim.architecture))
    own = paper.budgets.get(claim.dataset) if paper is not None else None
    if claim.unit == "images" and own is not None and own.test_images is not None and row.total is not None:
        here = row.total // row.seeds
        if here != own.test_images:
            differences.append(Difference("counted_images", str(here), str(own.test_images)))
    if claim.setting == "black_box":
        made_on = _made_on(row, models)
        if made_on and set(made_on) != set(TransferSource.read(claim.source)):
            differences.append(Difference("source", " + ".join(map(_notation, made_on)), claim.source))
    return differences


def _source_of_another_kind(claim: Claim, row: SummaryRow, models: Mapping[str, ModelFacts]) -> bool:
    """Say whether a transfer attack was made on another network or defense than the paper's, whatever its width."""
    if claim.setting != "black_box":
        return False
    made_on = _made_on(row, models, named_by_width=False)
    return bool(made_on) and set(made_on) != set(TransferSource.read(claim.source))


def _made_on(
    row: SummaryRow, models: Mapping[str, ModelFacts], *, named_by_width: bool = True
) -> tuple[TransferSource, ...]:
    """Return the kinds of networks that a row's images were made on, with their numbers; none where unknown.

    named_by_width: a network narrower than the paper's is another kind.
    """
    names = parts(row.source)
    if any(name not in models for name in names):
        return ()
    kinds = Counter(
        (
            _network(one.architecture, one) if named_by_width else one.architecture,
            one.defense,
            one.training,
        )
        for one in (models[name] for name in names)
    )
    return tuple(TransferSource(*kind, networks=number) for kind, number in kinds.items())


def _notation(source: TransferSource) -> str:
    """Return a source as claims write it: `vgg19:fgsm_training:fgsm*2`."""
    plain = is_baseline(source.defense, source.training)
    text = source.architecture if plain else f"{source.architecture}:{source.defense}:{source.training}"
    return f"{text}*{source.networks}" if source.networks > 1 else text


def _network(architecture: str, facts: ModelFacts | None) -> str:
    if facts is None or facts.width == 1:
        return architecture
    return f"{architecture} (width {format_number(facts.width)})"


def _smaller(claim: Claim, row: SummaryRow, facts: StudyFacts, paper: Paper | None) -> list[Difference]:
    """Return how the study's training and attack differ from the paper's, as far as both are known."""
    if paper is None:
        return []
    pairs: list[tuple[str, float | None, float | None]] = []
    own, model = paper.budgets.get(claim.dataset), facts.models.get(row.model)
    if own is not None:
        images = row.total // row.seeds if row.total is not None else None
        if not claim.metric.startswith(FOOLING_SET):  # whose number of images is the attack's success
            pairs.append(("images", images, own.test_images))
        if model is not None:
            pairs.append(("epochs", model.epochs, own.epochs))
            pairs.append(("training_images", model.train_images, own.train_images))
        pairs.append(("seeds", row.seeds, own.seeds))
    differences = [
        Difference(name, format_number(here), format_number(there))
        for name, here, there in pairs
        if here is not None and there is not None and here != there
    ]
    place = (row.model, row.setting, row.source, row.attack)
    settings = facts.suite_overrides.get(place, facts.attacks.get(row.attack, {}))
    for name, there in sorted(paper.attacks.get(claim.attack, {}).items()):
        here = settings.get(name)
        if isinstance(here, int | float) and not math.isclose(here, there):
            differences.append(Difference(f"attack.{name}", format_number(here), format_number(there)))
    return differences


def _lacking(claim: Claim, measured: Measured) -> tuple[Difference, ...]:
    """Return what the study lacks, the first thing a reader would have to add; then the data set, if it lacks that."""
    found = _first_lacking(claim, measured.of_defense(claim.defense))
    if claim.dataset in measured.datasets:
        return (found,)
    return found, Difference("lacks.dataset", "", claim.dataset)


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
