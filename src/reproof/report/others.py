"""What others measured, in words: on the cards of claims, and in the section that shows all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.independent import NO, IndependentMeasurement, attack_title
from reproof.settings.table_words import NO_ATTACK

SHOWN = 3
"""Measurements on one card; the section has all."""
NOT_CHECKED = "not checked in its source"


def attack(found: IndependentMeasurement) -> str:
    """Return what was attacked with: `PGD, L∞, ε = 8/255 (20 steps)`."""
    if found.attack == NO_ATTACK:
        return wording.attack(NO_ATTACK)
    budget = f" epsilon={found.epsilon}" if found.epsilon else ""
    norm = wording.parameters(f"norm={found.norm}{budget}")
    if not found.attack:
        return f"{found.details}, {norm}"
    name = attack_title(found.attack) or wording.attack(found.attack)
    return f"{name}, {norm}{f' ({found.details})' if found.details else ''}"


def model(found: IndependentMeasurement, same: bool, names: Mapping[str, str]) -> str:
    """Return whose model it is, and why: `not the same model: another network`. names: short names of the papers."""
    if same:
        return f"the same model: {found.model}"
    if found.same_model == NO:
        return f"not the same model: {found.model}"
    return f"the model of {names.get(found.same_model, 'a paper that is not here')}: {found.model}"


def facts(
    claim: Claim, measured: Sequence[IndependentMeasurement], names: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what others found of a claim, for its card: those of its own attack and of its own model first."""
    fitting = [found for found in measured if found.of_claim(claim)]
    fitting.sort(key=lambda found: (not found.same_as(claim), found.attack != claim.attack))
    for found in fitting[:SHOWN]:
        yield "others found", _sentence(found, claim, names)
    if len(fitting) > SHOWN:
        yield "others found", f"and {len(fitting) - SHOWN} more, in the section of that name"


def _sentence(found: IndependentMeasurement, claim: Claim, names: Mapping[str, str]) -> str:
    clean = claim.attack == NO_ATTACK
    number = wording.printed(found.clean if clean else found.robust, found.unit)
    under = "without an attack" if clean else f"under {attack(found)}"
    whose = model(found, found.same_as(claim), names)
    doubt = "" if found.checked else f"; {NOT_CHECKED}"
    return f"{number} {under}: {found.architecture} ({whose}); {found.source}{doubt}"
