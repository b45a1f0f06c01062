"""What others measured of the defenses that the papers propose or compare with: no claim, and no evidence of ours."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import yaml
from pydantic import ValidationError

from reproof import registry
from reproof.claims import typed_table
from reproof.claims.claim import Claim
from reproof.claims.paper import FOLDER, Paper
from reproof.claims.vocabulary import FAMILIES, METRICS, Terms, nearest, read_print, trainings, variant_of
from reproof.errors import ClaimError
from reproof.fast_yaml import LOADER
from reproof.settings.parameters import Parameters, PrintedNumber
from reproof.settings.table_words import NO_ATTACK
from reproof.settings.values import Norm

FILE = FOLDER / "independent.csv"
TERMS = FOLDER / "independent.yaml"
COLUMNS = (
    *("defense", "training", "dataset", "architecture", "same_model", "model"),
    *("norm", "epsilon", "attack", "details"),
    *("clean", "robust", "unit", "source", "checked", "note"),
)
NO = "no"
NORMS: tuple[str, ...] = get_args(Norm)
ONE_STEP, STEPS, STRONGEST = range(3)
"""How hard an attack searches: once, step by step, or by several attacks or one made for the defense."""


@dataclass(frozen=True)
class IndependentMeasurement:
    """One published measurement by somebody else than the authors of the claims."""

    defense: str
    """As in claims, without a variant."""
    training: str
    """The examples that the network was trained on; empty where the source does not say."""
    dataset: str
    architecture: str
    """In words: it need not be one that is built here."""
    same_model: str
    """Key of the paper whose model it is, as far as the source tells; NO of a model of no paper here."""
    model: str
    """What makes it that model, or which part of it is another."""
    norm: str
    epsilon: str
    """As printed, for images in [0, 1]; empty of attacks without a budget."""
    attack: str
    """Our key; `none` of clean accuracy alone; empty of an attack made for the defense."""
    details: str
    """What the source says of the attack, in words."""
    clean: str
    """Accuracy as printed, as `robust`; empty where it is not given."""
    robust: str
    unit: str
    source: str
    checked: bool
    """Whether the number was read in its source, not in somebody's account of it."""
    note: str

    def of_claim(self, claim: Claim) -> bool:
        """Say whether a claim promises something that this contradicts or supports.

        The same defense, data set and training, measured white-box: the clean accuracy, or what is left under an
        attack in the same norm that searches no harder than this one.
        """
        if not (self._about(claim) and claim.metric == "accuracy" and claim.setting != "black_box"):
            return False
        if self.training and self.training != claim.training:
            return False
        if claim.attack == NO_ATTACK:
            return self.clean != ""
        declared = registry.attack(claim.attack)
        if self.attack == NO_ATTACK or declared is None or self.norm not in declared.norms[:1]:
            return False
        return self.attack == claim.attack or search(self.attack) >= max(search(claim.attack), STEPS)

    def same_as(self, claim: Claim) -> bool:
        """Say whether a claim is about this very model: its paper's own, no variant of it, or a copy of that."""
        paper = claim.paper == self.same_model or claim.evidence == f"copied from {self.same_model}"
        return paper and claim.defense == self.defense

    def of_paper(self, paper: Paper) -> bool:
        """Say whether a paper makes any claim on this defense and data set."""
        return any(self._about(claim) for claim in paper.claims)

    def _about(self, claim: Claim) -> bool:
        return (variant_of(claim.defense), claim.dataset) == (self.defense, self.dataset)


def search(attack: str) -> int:
    """Return how hard an attack searches: ONE_STEP, STEPS or STRONGEST."""
    declared = registry.attack(attack)
    if declared is None:
        return STRONGEST if attack == "" else ONE_STEP
    return STRONGEST if declared.ensemble else STEPS if declared.iterative else ONE_STEP


def nearest_claim(found: IndependentMeasurement, claims: Iterable[Claim]) -> Claim | None:
    """Return the claim that stands best beside a measurement, of those that it is about; None where there is none.

    An attack comes before none, then the same attack, the defense itself before a variant, white-box before
    adaptive, an attack that searches harder, the nearest epsilon, one with a random start, the order given.
    """
    budget = float(PrintedNumber(found.epsilon)) if found.epsilon else 0.0

    def rank(claim: Claim) -> tuple[float, ...]:
        declared = registry.attack(claim.attack)
        epsilon = Parameters.parse(claim.parameters).number("epsilon")
        return (
            found.robust != "" and claim.attack == NO_ATTACK,
            claim.attack != found.attack,
            claim.defense != found.defense,
            claim.setting != "white_box",
            -search(claim.attack),
            abs((epsilon or 0.0) - budget),
            not (declared is not None and declared.randomised),
        )

    return min(
        (claim for claim in claims if claim.value is not None and found.of_claim(claim)),
        key=rank,
        default=None,
    )


@functools.cache
def terms(path: Path = TERMS) -> Terms:
    """Return our keys that measurements may name whether their plug-ins are here or not; ClaimError names the file."""
    try:
        return Terms.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error


def attack_title(key: str) -> str | None:
    """Return what people call an attack whose file is not here; None of one that is, and of one without a name."""
    own = () if registry.attack(key) else terms().attacks.get(key, ())
    return own[0] if own else None


def read_independent(path: Path = FILE) -> tuple[IndependentMeasurement, ...]:
    """Return the file's measurements in its order; ClaimError names line, column and the nearest right word."""
    found: dict[IndependentMeasurement, int] = {}

    def check_header(header: Sequence[str]) -> None:
        if tuple(header) != COLUMNS:
            raise ClaimError(f"{path}, line 1: the columns are {', '.join(COLUMNS)}; not {', '.join(header)}")

    for place, number, cells in typed_table.rows(path, check_header):
        first = found.setdefault(_measurement(place, cells), number)
        if first != number:
            raise ClaimError(f"{place}: stands already in line {first}")
    return tuple(found)


def _measurement(place: str, cells: Mapping[str, str]) -> IndependentMeasurement:
    for name, text in cells.items():
        if text != " ".join(text.split()):
            raise ClaimError(f"{place}, column {name}: {text!r} has a line break, or a blank too many")
    for name in ("architecture", "model", "source"):
        if not cells[name]:
            raise ClaimError(f"{place}, column {name}: is empty")
    for name, known in _words().items():
        if cells[name] not in known:
            raise ClaimError(
                f"{place}, column {name}: {cells[name]!r} is unknown{nearest(cells[name], filter(None, known))}"
            )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", cells["same_model"]):
        raise ClaimError(
            f"{place}, column same_model: {cells['same_model']!r} should be {NO!r}, or the key of the paper whose "
            "model it is, such as 'mustafa_pcl'"
        )
    _check_attack(place, cells)
    _check_numbers(place, cells)
    words = {name: cells[name] for name in COLUMNS if name != "checked"}
    return IndependentMeasurement(**words, checked=cells["checked"] == "yes")


def _words() -> dict[str, Sequence[str]]:
    """Return the words that a column may hold: what plug-ins and papers know; empty where it is among them."""
    known: dict[str, Sequence[str]] = {
        column: (*registry.keys(family), *registry.terms(family), *terms().of(family))
        for column, family in FAMILIES.items()
    }
    del known["architecture"]
    return {
        **known,
        "attack": (*registry.keys("attacks"), *terms().attacks, NO_ATTACK, ""),
        "training": (*trainings(), ""),
        "norm": (*NORMS, ""),
        "unit": METRICS["accuracy"].units,
        "checked": ("yes", "no"),
    }


def _check_attack(place: str, cells: Mapping[str, str]) -> None:
    attack, norm, epsilon = cells["attack"], cells["norm"], cells["epsilon"]
    if (attack == NO_ATTACK) != (norm == ""):
        raise ClaimError(f"{place}, column norm: is empty where, and only where, the attack is {NO_ATTACK!r}")
    if not attack and not cells["details"]:
        raise ClaimError(f"{place}, column details: is empty; an attack without a key needs words")
    declared = registry.attack(attack)
    if declared is not None and declared.norms and norm not in declared.norms:
        known = " or ".join(map(repr, declared.norms))
        raise ClaimError(f"{place}, column norm: is {norm!r}; that of {attack} is {known}")
    if epsilon and attack == NO_ATTACK:
        raise ClaimError(f"{place}, column epsilon: {epsilon!r} should be empty where there is no attack")
    if epsilon and not _is_budget(epsilon):
        raise ClaimError(f"{place}, column epsilon: {epsilon!r} is no budget such as 0.3 or 8/255")


def _is_budget(text: str) -> bool:
    try:
        return re.fullmatch(r"[\d./]+", text) is not None and float(PrintedNumber(text)) > 0
    except (ValueError, OverflowError):
        return False


def _check_numbers(place: str, cells: Mapping[str, str]) -> None:
    needed = "clean" if cells["attack"] == NO_ATTACK else "robust"
    if not cells[needed]:
        raise ClaimError(f"{place}, column {needed}: is empty")
    if needed == "clean" and cells["robust"]:
        raise ClaimError(f"{place}, column robust: should be empty where there is no attack")
    for name in ("clean", "robust"):
        if not cells[name]:
            continue
        one, match = read_print(cells[name], cells["unit"])
        if match is None or not re.fullmatch(r"[\d.]+", cells[name]):
            raise ClaimError(
                f"{place}, column {name}: {cells[name]!r} is no number printed as {cells['unit']}"
            )
        if not 0 <= one * float(cells[name]) <= 1:
            raise ClaimError(f"{place}, column {name}: {cells[name]} {cells['unit']} is no share of images")
