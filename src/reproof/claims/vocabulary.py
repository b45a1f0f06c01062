"""The words and units in which claims are typed in."""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from reproof import registry
from reproof.settings.baseline import CLEAN, TrainingAttack
from reproof.settings.source_names import AGGREGATED, MEMBER, parts
from reproof.settings.table_words import NO_ATTACK, Setting
from reproof.settings.values import Settings

QUANTITY = (
    "dataset",
    "architecture",
    "defense",
    "training",
    "setting",
    "source",
    "attack",
    "parameters",
    "metric",
)
"""The columns that say what a number is about."""
COLUMNS = (
    *("claim_id", "paper", "table", "row", "column"),
    *QUANTITY,
    *("printed", "unit", "value", "evidence", "certainty", "note"),
)
TRAININGS = (CLEAN, *get_args(TrainingAttack))
"""What any network can be trained on."""
SETTINGS: tuple[str, ...] = get_args(Setting)
MEMBERS = (MEMBER, AGGREGATED)
"""Sources of white-box attacks on an ensemble: one member at a time, or the sum over all members."""
BUDGETS = ("epsilon", "c", "steps")
"""Parameters that the papers vary: of more of each an attack is stronger."""
CERTAINTIES = ("certain", "likely", "unsure", "lost")
"""How sure a cell is: as the text has it; legible and placed with support; placed by a guess; not legible."""
NOT_CLAIMED = ("-", "-/-")
"""What `printed` holds where the paper's cell is a dash: a place in the layout without a value."""
LOST = "?"
"""What `printed` holds where the number is lost in the text that the claims table was typed from."""
SEPARATOR = " · "
"""Stands in `row` and `column` between a printed group heading and the label below it."""
TEXT = "Text"
"""The `table` of numbers that stand in the prose."""


@dataclass(frozen=True)
class Metric:
    """What a number measures: the units it is printed in, its range, and whether it is a share."""

    units: tuple[str, ...]
    words: str
    upper: float = math.inf
    lower: float = 0.0
    share: bool = False
    """Whether it is a fraction, such as an accuracy."""
    compared: Literal["accuracy", "error", "difference", "time", "other"] = "other"
    """How a measurement is compared with a claim (judging.equivalence)."""
    parameter: str = ""
    """A parameter of its own, which is given whatever the attack: the accuracy of a time to reach it."""


_SHARE = ("percent", "fraction")


def _accuracy(words: str) -> Metric:
    return Metric(_SHARE, words, 1.0, share=True, compared="accuracy")


def _error(words: str) -> Metric:
    return Metric(_SHARE, words, 1.0, share=True, compared="error")


METRICS: Mapping[str, Metric] = {
    "accuracy": _accuracy("accuracy"),
    "l2_mean": Metric(("distance",), "mean L2 distance of the successful examples"),
    "train_accuracy": _accuracy("accuracy on the training images"),
    "train_error": _error("error on what it was trained on, in the last epoch"),
    "fooling_set_accuracy": _accuracy("accuracy on the adversarial images that fool all their sources"),
    "fooling_set_clean_accuracy": _accuracy(
        "accuracy on the clean images whose adversarial ones fool all their sources"
    ),
    "refused": _error("share of images answered with no class"),
    "wrong_accepted": _error("share of images answered with a wrong class"),
    "failed_majorities": Metric(
        ("images",), "images on which no majority of the members agrees", compared="error"
    ),
    "accuracy_gain": Metric(
        ("points",), "accuracy gained by the boosted vote", 1.0, -1.0, share=True, compared="difference"
    ),
    "nearest_prototype_accuracy": _accuracy("accuracy by the nearest prototype"),
    "nearest_prototype_gain": Metric(
        ("points",),
        "accuracy gained by the nearest prototype over softmax",
        1.0,
        -1.0,
        share=True,
        compared="difference",
    ),
    "epoch_seconds": Metric(("min:s",), "median time of a training epoch", compared="time"),
    "seconds_to_accuracy": Metric(
        ("h:min",), "training time until a validation accuracy", compared="time", parameter="accuracy"
    ),
    "chosen_round": Metric(("rounds",), "the round that was chosen"),
    "icd_crossing_round": Metric(("rounds",), "the round after which the tail's ICD is below the head's"),
    "icc_peak_round": Metric(("rounds",), "the round of the tail's largest ICC"),
    "latent_separation": Metric(("distance",), "latent space separation of an ensemble's members, LSS"),
    "separating_weight": Metric(("fraction",), "the weight ζ at which LSS is largest", 1.0),
    "sweep_accuracy_gain": Metric(
        ("points",),
        "accuracy gained from the smallest ζ to that of the largest LSS",
        1.0,
        -1.0,
        share=True,
        compared="difference",
    ),
    "confidence": Metric(_SHARE, "the network's confidence on one image", 1.0, share=True),
    "strongest_epsilon": Metric(("levels",), "the ε at which a single step succeeds most often", 1.0),
}
_NUMBER = r"(?P<number>[-−]?\d+(?:\.\d+)?)"
_FORMS: Mapping[str, tuple[str, float]] = {
    "percent": (_NUMBER + " ?%?", 1 / 100),
    "points": (_NUMBER + " ?%?", 1 / 100),
    "levels": (_NUMBER, 1 / 255),
    "fraction": (_NUMBER, 1.0),
    "distance": (_NUMBER, 1.0),
    "images": (_NUMBER, 1.0),
    "rounds": (_NUMBER, 1.0),
    "min:s": (r"(?P<large>\d+):(?P<small>[0-5]\d) ?m?", 1.0),
    "h:min": (r"(?P<large>\d+):(?P<small>[0-5]\d) ?h?", 60.0),
}
"""Unit -> how a number in it is printed (parentheses apart), and what one of it is in the metric's own unit."""
UNITS = tuple(_FORMS)


FAMILIES: Mapping[str, registry.Family] = {
    "dataset": "datasets",
    "architecture": "architectures",
    "defense": "defenses",
    "attack": "attacks",
}
"""The columns whose words are plugins, and the plugins' family."""


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)]
"""What a paper calls something: one name, or a list of several."""


class Terms(Settings):
    """What a paper calls what its claims are about: our key -> its names. A key may stand here without a plugin."""

    datasets: dict[str, Names] = Field(default_factory=dict)
    architectures: dict[str, Names] = Field(default_factory=dict)
    defenses: dict[str, Names] = Field(default_factory=dict)
    """Without variants: `pgd_training` for `pgd_training[steps=3]`."""
    attacks: dict[str, Names] = Field(default_factory=dict)

    def of(self, family: registry.Family) -> Mapping[str, tuple[str, ...]]:
        """Return the terms of one family."""
        found: Mapping[str, tuple[str, ...]] = getattr(self, family)
        return found


NO_TERMS = Terms()


def trainings() -> tuple[str, ...]:
    """Return what a network can have been trained on: of every study's choice, or of a defense's own."""
    return _trainings(registry.places())


@functools.cache
def _trainings(_places: tuple[Path, ...]) -> tuple[str, ...]:
    defenses = [registry.defense(name) for name in registry.names("defenses")]
    own = {declared.trains_on for declared in defenses if declared is not None}
    return (*TRAININGS, *sorted(own - set(TRAININGS)))


def parameters() -> tuple[str, ...]:
    """Return the parameters that an attack may have in a claim: the papers' own, and what attacks here vary."""
    return _parameters(registry.places())


@functools.cache
def _parameters(_places: tuple[Path, ...]) -> tuple[str, ...]:
    attacks = [registry.attack(name) for name in registry.names("attacks")]
    own = {name for declared in attacks if declared is not None for name in declared.swept}
    return (*BUDGETS, *sorted(own - set(BUDGETS)))


def variant_of(defense: str) -> str:
    """Return the defense of a variant: `diverse_ensemble` for `diverse_ensemble[boosted]`."""
    return re.sub(r"\[[\w.=,]+\]$", "", defense)


def parts_of(column: str, word: str) -> list[str]:
    """Return the keys that a word of a claim is made of: several of `defensive_features+polarised_contrastive`."""
    return [variant_of(part) for part in parts(word)] if column == "defense" else [word]


def not_built(column: str, word: str) -> list[str]:
    """Return the keys in a word of a claim that no plugin stands for; none of columns without plugins."""
    if column not in FAMILIES or word == NO_ATTACK:
        return []
    family = FAMILIES[column]
    return [part for part in parts_of(column, word) if registry.title(family, part) is None]


def check_word(column: str, word: str, terms: Terms = NO_TERMS) -> None:
    """Raise ValueError with the nearest right word where neither a plugin nor the paper's terms know the word."""
    own = terms.of(FAMILIES[column])
    for part in not_built(column, word):
        if part not in own and variant_of(word) not in own:
            known = [*registry.keys(FAMILIES[column]), *own]
            raise ValueError(
                f"{part!r} is unknown{nearest(part, [*known, NO_ATTACK] if column == 'attack' else known)}"
            )


def read_print(printed: str, unit: str) -> tuple[float, re.Match[str] | None]:
    """Return what one is worth in the unit, and the printed number; None where it is not printed so."""
    form, one = _FORMS[unit]
    inner = printed[1:-1] if printed.startswith("(") and printed.endswith(")") else printed
    return one, re.fullmatch(form, inner)


def last_digit(printed: str, unit: str) -> float:
    """Return one unit of the last printed digit, in the metric's own unit; 0 where it has none."""
    one, match = read_print(printed, unit)
    if match is None:
        return 0.0
    number = match.groupdict().get("number", "")
    return one * 10.0 ** -len(number.partition(".")[2])


def nearest(word: str, known: Iterable[str], shown: int = 1000) -> str:
    """Return the end of a message about an unknown word: the nearest known one, or all of at most `shown`."""
    choices = sorted(set(known))
    near = [choice for choice in choices if word and choice.startswith(word)]
    if len(near) != 1:
        near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(choices)}" if len(choices) <= shown else ""
