"""What tells a measurement from its claim, in words: a sentence for each `Difference`, made here and read by nobody."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.vocabulary import METRICS
from reproof.judging import difference
from reproof.judging.difference import Difference
from reproof.settings.baseline import CLEAN, UNDEFENDED
from reproof.settings.source_names import AGGREGATED, MEMBER
from reproof.settings.table_words import NO_ATTACK

_AMOUNTS = {
    "images": "images",
    "seeds": "seeds",
    "training_images": "training images",
    "training.epochs": "epochs",
}
"""Differences that are said as so much of so much."""
_SETTINGS = {
    "dataset": "data set’s",
    "architecture": "network’s",
    "defense": "defense’s",
    "training": "training’s",
}
"""The first part of a difference in a setting, in words."""
_VALUES = {"true": "yes", "false": "no", "[]": "none"}
"""Values of settings that tables write otherwise."""
_DIGITS = re.compile(r"\d+\.\d{5,}")
"""A decimal with more digits than anybody chooses."""
_MEMBERS = {
    "": "a whole ensemble",
    MEMBER: "single members of an ensemble",
    AGGREGATED: "all members of an ensemble together",
}


class Clause(NamedTuple):
    """A difference in words."""

    words: str
    data_set: str = ""
    """The data set that it says is lacking; empty where it says something else."""
    short: str = ""
    """The words for a cell with little room; empty where they are the same."""
    grade: str = ""
    """The best grade of an experiment that differs so; empty where nothing was measured."""


def clauses(text: str, claim: Claim | None) -> tuple[Clause, ...]:
    """Return what a cell of differences says. claim: what it was that was not measured alike."""
    return tuple(
        Clause(
            clause(each, claim),
            wording.dataset(each.there) if each.kind == "lacks.dataset" else "",
            "" if _unknown(each, claim) or each.kind not in _SHORT else _SHORT[each.kind](each.there, claim),
            each.grade,
        )
        for each in difference.load(text)
    )


def sentences(text: str, claim: Claim | None) -> tuple[str, ...]:
    """Return the same as words alone."""
    return tuple(each.words for each in clauses(text, claim))


def clause(each: Difference, claim: Claim | None = None) -> str:
    """Return a difference in words: `images: 1000 of 10,000`; ValueError for a kind that there is not.

    claim: what is lacking is named by it; None where no claim is known.
    """
    kind, here, there, _ = each
    if kind.startswith("source.") and kind not in _CLAUSES:
        return f"of the source, {clause(each._replace(kind=kind.removeprefix('source.')), claim)}"
    if kind.startswith("attack."):
        return _of_attack(each, claim)
    if kind in _AMOUNTS:
        return f"{_AMOUNTS[kind]}: {_amount(here, there)}"
    if kind.partition(".")[0] in _SETTINGS and "." in kind:
        return f"{_SETTINGS[kind.partition('.')[0]]} {_setting(kind)}: {_other(kind, here, there)}"
    if _unknown(each, claim):
        return f"{_TITLES[kind.removeprefix('lacks.')](there)} is not built here"
    if kind in _LACKING:
        return _LACKING[kind](here, there, claim)
    if kind not in _CLAUSES:
        raise ValueError(f"{kind!r} is no kind of difference")
    return _CLAUSES[kind](here, there)


def _of_attack(each: Difference, claim: Claim | None) -> str:
    """Return a difference in a setting of the attack; a statement's kinds name their attack, a claim has its own."""
    *named, setting = each.kind.split(".")[1:]
    if setting == "view":
        return f"attack loss: {each.here.replace('_', ' ')}, not {each.there.replace('_', ' ')}"
    if setting == "kind":
        return f"attack: {wording.attack(each.here)}, not {wording.attack(each.there)}"
    attack = wording.attack(named[0]) if named else _attack(claim)
    return f"{attack} {setting.replace('_', ' ')}: {_other(setting, each.here, each.there)}"


def _unknown(each: Difference, claim: Claim | None) -> bool:
    """Say whether what a claim lacks has no plug-in here, in whatever study."""
    return claim is not None and each.kind.removeprefix("lacks.") in claim.not_built


def network(text: str) -> str:
    """Return a network for people: `cnn6 (width 0.25)` is `CNN-6 (width 0.25)`."""
    name, blank, rest = text.partition(" ")
    return f"{wording.architecture(name)}{blank}{rest}"


def sources(text: str) -> str:
    """Return the networks that images were made on: `vgg13*3 + resnet18` is `3 VGG-13 and ResNet-18`."""
    if text in wording.SOURCES:
        return wording.SOURCES[text]
    return " and ".join(map(_source, text.split(" + ")))


def _source(text: str) -> str:
    text, star, count = text.partition("*")
    name, *rest = text.split(":")
    defense, training = [*rest, *(UNDEFENDED, "")[len(rest) :]][:2]
    words = f"{count} {network(name)}" if star else network(name)
    if defense != UNDEFENDED:
        words += f" with {wording.defense(defense)}"
    if training not in ("", CLEAN, defense.partition("[")[0].removesuffix("_training")):
        words += f", trained on {wording.training(training)}"
    return words


def _setting(kind: str) -> str:
    """Return a setting's name in words: `training.adversarial.step_size` is `adversarial step size`."""
    return kind.partition(".")[2].replace("built_on.", "").replace(".", " ").replace("_", " ")


def _other(setting: str, here: str, there: str) -> str:
    """Return a setting's value beside the paper's: `0.01, not 0.1`."""
    own, stated = value(setting, here), value(setting, there)
    if not there:
        return f"{own}, which the paper does not print"
    return f"{own}, where the paper has none" if there == "none" else f"{own}, not {stated}"


def value(setting: str, text: str) -> str:
    """Return a setting's value for people: a budget of 8/255 as such, an attack by its name, true as `yes`."""
    if text in _VALUES:
        return _VALUES[text]
    name = setting.rpartition(".")[2]
    if name == "attack" and text != "none":
        return wording.attack(text)
    if name in ("epsilon", "epsilons", "step_size"):
        text = _DIGITS.sub(lambda found: _levels(found.group()), text)
    text = _DIGITS.sub(lambda found: _share(found.group()), text)
    return _grouped(text).replace("_", " ")


def _levels(text: str) -> str:
    """Return a decimal with more digits than anybody chooses as grey levels of 255: 0.0313725 is `8/255`."""
    levels = 255 * float(text)
    return f"{round(levels)}/255" if math.isclose(levels, round(levels), abs_tol=1e-3) else text


def _share(text: str) -> str:
    """Return a decimal with more digits than anybody chooses as a share: 0.142857143 is `1/7`."""
    share = Fraction(text).limit_denominator(20)
    return str(share) if math.isclose(share, float(text), rel_tol=1e-6) else f"{float(text):.3g}"


def _amount(here: str, there: str) -> str:
    """Return `120 of 10,000`; where it is no part of the paper's, `200, not 100`."""
    if not there:
        return f"{_grouped(here)}, which the paper does not print"
    part = here.isdigit() and there.isdigit() and int(here) < int(there)
    return f"{_grouped(here)}{' of ' if part else ', not '}{_grouped(there)}"


def _grouped(number: str) -> str:
    """Return a whole number of five digits or more with commas: as papers print, 1000 has none."""
    return f"{int(number):,}" if number.isdigit() and len(number) > 4 else number


def _defense(claim: Claim | None) -> str:
    if claim is None:
        return "the defense"
    return "an undefended network" if claim.defense == UNDEFENDED else wording.defense(claim.defense)


def _attack(claim: Claim | None) -> str:
    return wording.attack(claim.attack) if claim is not None else "the attack"


def _not_built(there: str, _: Claim | None) -> str:
    named = "an undefended network" if there == "undefended" else wording.defense(there)
    return f"{named} was not built"


def _lacks_defense(_: str, there: str, claim: Claim | None) -> str:
    return f"{_not_built(there, claim)} in this study"


def _not_trained(there: str, claim: Claim | None) -> str:
    how = "clean images alone" if there == "clean" else wording.training(there)
    return f"{_defense(claim)} was not trained on {how}"


def _lacks_training(_: str, there: str, claim: Claim | None) -> str:
    return f"{_not_trained(there, claim)} in this study"


def _lacks_setting(_: str, there: str, claim: Claim | None) -> str:
    against = f" against {wording.defense(claim.defense)}" if claim is not None else ""
    return f"the {wording.setting(there).lower()} setting was not run{against}"


def _lacks_attack(_: str, there: str, claim: Claim | None) -> str:
    place = f"the {wording.setting(claim.setting).lower()} setting" if claim is not None else "this study"
    what = "clean images were not shown" if there == NO_ATTACK else f"{wording.attack(there)} was not run"
    return f"{what} in {place}"


def _lacks_parameters(here: str, there: str, claim: Claim | None) -> str:
    run = ", ".join(map(wording.parameters, here.split(", ")))
    if not there:
        return f"{_attack(claim)} was run only at {run}, and the claim names none"
    return f"{_attack(claim)} was not run at {wording.parameters(there)} (only at {run})"


def _lacks_members(_: str, there: str, claim: Claim | None) -> str:
    return f"{_attack(claim)} was not run against {_MEMBERS[there]}"


_TITLES: Mapping[str, Callable[[str], str]] = {
    "dataset": wording.dataset,
    "architecture": wording.architecture,
    "defense": wording.defense,
    "attack": wording.attack,
}
"""How a key of a claim's column is called."""
_LACKING: Mapping[str, Callable[[str, str, Claim | None], str]] = {
    "lacks.defense": _lacks_defense,
    "lacks.training": _lacks_training,
    "lacks.setting": _lacks_setting,
    "lacks.attack": _lacks_attack,
    "lacks.parameters": _lacks_parameters,
    "lacks.members": _lacks_members,
}
_SHORT: Mapping[str, Callable[[str, Claim | None], str]] = {
    "lacks.defense": _not_built,
    "lacks.training": _not_trained,
}
_CLAUSES: Mapping[str, Callable[[str, str], str]] = {
    "dataset": lambda here, there: f"data set: {wording.dataset(here)}, not {wording.dataset(there)}",
    "architecture": lambda here, there: f"network: {network(here)}, not {network(there)}",
    "source": lambda here, there: f"source: {sources(here)}, not {sources(there)}",
    "twin": lambda here, there: (
        f"{here.replace('_', ' ')} is {there.replace('_', ' ')} again, with the same seed"
    ),
    "protocol": lambda _here, _there: "what the paper says of its training is not typed in here",
    "weights": lambda _here, _there: "its weights were trained elsewhere, in a way that is not known here",
    "undefended": lambda _here, _there: (
        "a time is compared as the ratio to the undefended network’s, and there is none to compare with"
    ),
    "lacks.model": lambda here, _: (
        f"{here.replace('_', ' ')} stands for all cells that the paper measured on one model, and did not meet "
        "this attack"
    ),
    "lacks.metric": lambda _, there: f"{METRICS[there].words} was not measured",
    "lacks.fooling_set": lambda _, there: (
        f"no image fools all the sources of {wording.attack(there)}, so nothing can be counted"
    ),
    "lacks.dataset": lambda _, there: f"data set {wording.dataset(there)} is not in this study",
    "pairs": lambda here, there: f"{here} of {there} pairs can be compared",
    "compared": lambda _here, _there: "not all that it is compared with was measured",
    "zero_share": lambda _here, _there: "a share of a measured 0 is no number",
}
