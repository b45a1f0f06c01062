"""How a study's experiment differs from the paper's protocol, setting by setting, and its grade. Imports no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from reproof import registry
from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper
from reproof.claims.protocol import Grade, Stated, grade_of, normal
from reproof.claims.vocabulary import QUANTITY
from reproof.judging.difference import Difference
from reproof.judging.measured import SummaryRow
from reproof.judging.study_facts import ModelFacts, StudyFacts
from reproof.settings.baseline import is_baseline
from reproof.settings.parameters import Parameters
from reproof.settings.source_names import parts
from reproof.settings.table_words import NO_ATTACK
from reproof.settings.values import format_number

Strength = Literal["same", "weaker", "stronger", "other"]

FOOLING_SET = "fooling_set"
"""What the metrics begin with that count only the images that fool all their sources."""
POINTS = ("kind", "images", "epsilons", "psnrs", "constants")
"""Settings of an attack that say where it is measured, or on how many images; the claim's own parameters say it."""
WIDTH = "architecture.width"
VIEW, LOGITS = "view", "logits"
"""What a suite calls the attack loss, and the usual one: cross-entropy on the logits."""


class Protocols:
    """What each claim's paper states of its experiment; of a copied number, the paper that measured it."""

    def __init__(self, papers: Iterable[Paper]):
        self._papers = {paper.key: paper for paper in papers}
        self._printed = {
            (paper.key, _quantity(claim)): claim
            for paper in self._papers.values()
            for claim in sorted(paper.claims, key=lambda one: one.copied, reverse=True)
        }
        self._stated: dict[Claim, Mapping[str, Stated]] = {}

    def origin(self, claim: Claim) -> str:
        """Return the paper that measured a claim, itself or through copies of copies; "" where it is none of ours."""
        if not claim.copied:
            return claim.paper
        source = claim.evidence.removeprefix("copied from ")
        if source not in self._papers:
            return ""
        first = self._printed.get((source, _quantity(claim)))
        return source if first is None else self.origin(first)

    def of(self, claim: Claim) -> Mapping[str, Stated]:
        """Return what is stated of a claim's experiment, by setting."""
        if claim not in self._stated:
            self._stated[claim] = self._read(claim)
        return self._stated[claim]

    def _read(self, claim: Claim) -> Mapping[str, Stated]:
        origin = self.origin(claim)
        if claim.copied and origin:
            return self._papers[origin].protocol_of(replace(claim, evidence="measured", table=""))
        paper = self._papers.get(claim.paper)
        return {} if paper is None else paper.protocol_of(claim)

    def of_source(self, claim: Claim, source: ModelFacts) -> Mapping[str, Stated]:
        """Return what is stated of the network that a claim's images were made on."""
        return self.of(
            replace(
                claim,
                architecture=source.architecture,
                defense=source.defense,
                training=source.training,
                setting="white_box",
                source="",
                attack=NO_ATTACK,
                parameters="",
                metric="accuracy",
            )
        )


def _quantity(claim: Claim) -> tuple[str, ...]:
    return tuple(str(getattr(claim, column)) for column in QUANTITY)


def grade(differences: Iterable[Difference]) -> Grade:
    """Return the grade of an experiment: the last of its differences'."""
    return max((one.grade or "A" for one in differences), default="A")


def of_model(claim: Claim, model: ModelFacts, stated: Mapping[str, Stated]) -> list[Difference]:
    """Return how a study's model differs from the claim's: data set, network, and every setting."""
    differences = []
    for kind in ("dataset", "architecture"):
        here, there = getattr(model, kind), getattr(claim, kind)
        if here != there and not (kind == "architecture" and _is_published(claim, model)):
            differences.append(Difference(kind, here, there, "C"))
    other = {one.kind for one in differences}
    return [*differences, *_of_settings(claim, model, stated, other)]


def _of_settings(
    claim: Claim, model: ModelFacts, stated: Mapping[str, Stated], other: Collection[str] = ()
) -> Iterator[Difference]:
    """Yield how a model's settings differ. other: `dataset`, `architecture`: another one has other settings.

    A model whose weights its paper's authors published was trained as theirs was, however that may be.
    """
    if _is_published(claim, model):
        yield from _of_published(claim, model, stated)
        other = {*other, "architecture", "defense", "training", "training_images"}
    elif model.weights:
        other = {*other, "training", "training_images"}
        yield Difference("weights", "", "", "B")
    elif "training.epochs" not in stated:
        yield Difference("protocol", "", "", "B")
        if not stated:
            width = model.settings.get(WIDTH, 1)
            if normal(width) != normal(1):  # whatever a network is called after, it is as wide as published
                yield Difference(WIDTH, text(width), "", "C")
            return
    for name in sorted({*model.chosen, *(name for name in stated if _is_a_model_s(name))}):
        if name.partition(".")[0] in other:
            continue
        known, here = stated.get(name), model.settings.get(name)
        if known is None:
            yield Difference(name, text(here), "", grade_of(name))
        elif (name in model.settings or known.value is not None) and not as_stated(name, model, stated):
            yield Difference(name, text(here), text(known.readings(model.settings)[0]), grade_of(name, known))


def as_stated(name: str, model: ModelFacts, stated: Mapping[str, Stated]) -> bool:
    """Say whether a model's setting is what the paper states, or one of the readings. name: one that is stated."""
    here = normal(_share_of_epochs(name, model.settings.get(name), model.epochs))
    readings = stated[name].readings(model.settings)
    return here in [normal(_share_of_epochs(name, there, _epochs(stated))) for there in readings]


def _of_published(claim: Claim, model: ModelFacts, stated: Mapping[str, Stated]) -> Iterator[Difference]:
    """Yield where a network that a paper's authors published is not the one that the paper prints, at grade B.

    Nobody knows on which of the two the printed numbers were measured. What the paper does not print, it tells.
    """
    network = sorted(name for name in stated.keys() & model.settings if name.startswith("architecture."))
    for name in network:
        known, here = stated[name], model.settings[name]
        if known.place and not known.allows(here):
            yield Difference(name, text(here), text(known.value), "B")
    if not network and model.architecture != claim.architecture:
        yield Difference("architecture", model.architecture, claim.architecture, "B")


def _is_published(claim: Claim, model: ModelFacts) -> bool:
    """Say whether a model's weights are those that the authors who measured a claim published."""
    return model.weights == claim.paper and not claim.copied


def _is_a_model_s(name: str) -> bool:
    return name.partition(".")[0] in (
        *("dataset", "architecture", "defense"),
        *("training", "training_images"),
    )


def _epochs(stated: Mapping[str, Stated]) -> float | None:
    epochs = stated.get("training.epochs")
    return float(epochs.value) if epochs is not None else None


def _share_of_epochs(name: str, value: Any, epochs: float | None) -> Any:
    """Return a warm-up on clean images as a share of the epochs, however it is given; any other value as it is.

    A learning rate's (`training.warmup_epochs`) is always a number of epochs.
    """
    of_method = name.endswith("warmup_epochs") and name.startswith(("defense.", "training.adversarial."))
    length = normal(value) if of_method else None
    if isinstance(length, float):
        return length if length < 1 or not epochs else length / epochs
    return value


def of_source(
    claim: Claim, row: SummaryRow, models: Mapping[str, ModelFacts], protocols: Protocols
) -> list[Difference]:
    """Return how the networks that images were made on differ from the claim's: their kind, and their training.

    None of them has the weights of another one or of the target, as one trained alike with the same seed would.
    """
    names = parts(row.source)
    if claim.setting != "black_box":
        return []
    if any(name not in models for name in names):
        return [Difference("source", row.source, claim.source, "C")]
    made_on = [models[name] for name in names]
    kinds = Counter((one.architecture, one.defense, one.training) for one in made_on)
    here = [TransferSource(*kind, networks=number) for kind, number in kinds.items()]
    differences = []
    if set(here) != set(TransferSource.read(claim.source)):
        differences.append(Difference("source", " + ".join(map(_notation, here)), claim.source, "C"))
    met = [models[row.model], *made_on] if row.model in models else made_on
    for place, one in enumerate(met):
        for other in met[:place]:
            if one.is_twin_of(other):
                differences.append(Difference("source.twin", one.model, other.model, "C"))
    for source in made_on:
        stated = protocols.of_source(claim, source)
        for found in _of_settings(replace(claim, architecture=source.architecture), source, stated):
            family = found.kind.partition(".")[0]
            another = family in ("dataset", "architecture", "defense") and not _is_published(claim, source)
            worst: Grade = "C" if another else "B"
            differences.append(found._replace(kind=f"source.{found.kind}", grade=worst))
    return list(dict.fromkeys(differences))


def _notation(source: TransferSource) -> str:
    """Return a source as claims write it: `vgg19:fgsm_training:fgsm*2`."""
    plain = is_baseline(source.defense, source.training)
    name = source.architecture if plain else f"{source.architecture}:{source.defense}:{source.training}"
    return f"{name}*{source.networks}" if source.networks > 1 else name


def of_attack(
    claim: Claim, row: SummaryRow, facts: StudyFacts, stated: Mapping[str, Stated]
) -> list[Difference]:
    """Return how the attack differs from the claim's in its settings."""
    settings = facts.attack((row.model, row.setting, row.source, row.attack))
    if not settings:
        return []
    kind = str(settings.get("kind", row.attack))
    declared = registry.attack(kind)
    defaults = {} if declared is None else {name: f.default for name, f in declared.model_fields.items()}
    own = {*POINTS, VIEW, *Parameters.parse(claim.parameters).names}
    differences = [Difference("attack.kind", kind, claim.attack, "C")] if kind != claim.attack else []
    differences += _of_view(claim, str(settings.get(VIEW, LOGITS)), stated.get(f"attack.{VIEW}"))
    beside = {f"attack.{name}": value for name, value in settings.items()}
    for name in sorted(settings.keys() - own):
        here, known = settings[name], stated.get(f"attack.{name}")
        if known is None:
            if name in defaults and normal(here) != normal(defaults[name]):
                differences.append(Difference(f"attack.{name}", text(here), "", "B"))
        elif not known.allows(here, beside):
            there = text(known.readings(beside)[0])
            differences.append(Difference(f"attack.{name}", text(here), there, grade_of("attack", known)))
    return differences


def _of_view(claim: Claim, here: str, known: Stated | None) -> Iterator[Difference]:
    """Yield that another loss was maximised; of an adaptive attack of which none is stated, any may be meant."""
    if known is None:
        if here != LOGITS and claim.setting != "adaptive":
            yield Difference(f"attack.{VIEW}", here, LOGITS, "B")
    elif not known.allows(here):
        yield Difference(f"attack.{VIEW}", here, text(known.value), grade_of("attack", known))


def strength(differences: Iterable[Difference], claim: Claim) -> Strength:
    """Return how strong the attack is beside the paper's: one that differs both ways, or by a rate, is other.

    So is every one that differs where more of it need not leave less: of images shown to another network than the one
    they were made on, which more steps may fit to that one alone, and of every quantity but accuracy (failed
    majorities, gains, distances).
    """
    declared = registry.attack(claim.attack)
    one_sided = claim.metric == "accuracy" and claim.setting != "black_box"
    grows_with = () if declared is None else declared.strengthened_by
    found: set[Strength] = set()
    for one in differences:
        family, _, name = one.kind.partition(".")
        if family == "attack":
            here, there = _number(one.here), _number(one.there)
            if here is None or there is None or not (one_sided and name in grows_with):
                found.add("other")
            else:
                found.add("stronger" if here > there else "weaker")
    return found.pop() if len(found) == 1 else "other" if found else "same"


def _number(value: str) -> float | None:
    if value in ("true", "false"):
        return float(value == "true")
    found = normal(value)
    return found if isinstance(found, float) else None


def of_size(claim: Claim, row: SummaryRow, stated: Mapping[str, Stated]) -> list[Difference]:
    """Return on how many images and with how many seeds it was measured, where the paper had others."""
    images = None
    if row.total is not None and not claim.metric.startswith(FOOLING_SET):
        images = row.total // row.seeds
    differences = []
    for kind, here in (("images", images), ("seeds", row.seeds)):
        known = stated.get(kind)
        if known is not None and here is not None and not known.allows(here):
            differences.append(Difference(kind, format_number(here), text(known.value), "A"))
    return differences


def text(value: Any) -> str:
    """Return a setting's value as tables write it: 8/255 as 0.0313725, a list in brackets, `none` for nothing."""
    found = normal(value)
    if found is None:
        return "none"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        return format_number(found)
    if isinstance(found, tuple):
        return f"[{', '.join(map(text, found))}]"
    return found if isinstance(found, str) else json.dumps(found)
