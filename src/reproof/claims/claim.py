"""One printed number, and the networks that its images were made on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reproof import registry
from reproof.claims.vocabulary import (
    FAMILIES,
    QUANTITY,
    SEPARATOR,
    last_digit,
    not_built,
    variant_of,
)
from reproof.settings.baseline import CLEAN, UNDEFENDED
from reproof.settings.parameters import Parameters


@dataclass(frozen=True)
class Claim:
    """One printed number of a paper; `value` is a fraction or in SI units, None for a dash or a lost cell."""

    claim_id: str
    paper: str
    table: str
    row: str
    column: str
    dataset: str
    architecture: str
    defense: str
    training: str
    setting: str
    source: str
    """Networks that transferred images were made on, as `TransferSource` reads it; empty where source is target."""
    attack: str
    parameters: str
    metric: str
    printed: str
    unit: str
    """How it is printed: percent, fraction, points, images, min:s ..."""
    value: float | None
    evidence: str
    certainty: str
    note: str
    """Keys into the paper's `notes`, separated by blanks."""

    @property
    def quantity(self) -> tuple[str, ...]:
        """Return the key that names what was measured, whoever claims it."""
        return tuple(getattr(self, name) for name in QUANTITY)

    @property
    def not_built(self) -> dict[str, list[str]]:
        """Return what it is about that is not built here: column -> keys without a plugin; its sources apart."""
        found = {column: not_built(column, getattr(self, column)) for column in FAMILIES}
        return {column: keys for column, keys in found.items() if keys}

    @property
    def epsilon(self) -> str | None:
        """Return the budget as written in `parameters`; None for claims without one."""
        return Parameters.parse(self.parameters).text("epsilon")

    @property
    def copied(self) -> bool:
        """Say whether its authors took it from another paper: no evidence of theirs."""
        return self.evidence != "measured"

    @property
    def half_digit(self) -> float:
        """Return half a unit of the last printed digit, in the unit of `value`."""
        return 0.5 * last_digit(self.printed, self.unit)


@dataclass(frozen=True)
class TransferSource:
    """One kind of network that transferred images were made on."""

    architecture: str
    defense: str = UNDEFENDED
    training: str = CLEAN
    networks: int = 1

    @classmethod
    def read(cls, text: str) -> tuple[TransferSource, ...]:
        """Return the sources of `vgg13*3 + vgg19:fgsm_training`; ValueError where it is not written so."""
        return tuple(cls._one(part) for part in text.split(" + "))

    @classmethod
    def _one(cls, text: str) -> TransferSource:
        network, star, count = text.partition("*")
        if star and not (count.isdigit() and int(count) > 1):
            raise ValueError(f"{text!r} should end in *2 or more")
        architecture, *rest = network.split(":")
        if len(rest) > 2:
            raise ValueError(f"{text!r} should read architecture:defense:training")
        defense = rest[0] if rest else UNDEFENDED
        training = rest[1] if len(rest) > 1 else _trains_on(defense)
        return cls(architecture, defense, training, int(count) if star else 1)

    def __str__(self) -> str:
        """Return it in words: `5 vgg13`, `vgg19 with fgsm_training`."""
        text = f"{self.networks} {self.architecture}" if self.networks > 1 else self.architecture
        if self.defense != UNDEFENDED:
            text += f" with {self.defense}"
        if self.training not in (CLEAN, _trains_on(self.defense)):
            text += f", trained on {self.training} examples"
        return text


def _trains_on(defense: str) -> str:
    """Return the examples that a defense trains on by itself; clean images where it is not built here."""
    declared = registry.defense(variant_of(defense))
    return declared.trains_on if declared else CLEAN


def claim_id(paper: str, table: str, row: str, column: str) -> str:
    """Return the id of a cell, made of its labels: `mustafa_pcl.table_9.pgd.eps_0_1.ours_f_star`."""
    pieces = [piece for label in (table, row, column) for piece in label.split(SEPARATOR)]
    return ".".join([paper, *(_slug(piece) for piece in pieces)])


_SPELLED = {"ε": "eps", "α": "alpha", "λ": "lambda", "ζ": "zeta", "&": "and", "*": "_star_"}


def _slug(label: str) -> str:
    text = label.lower()
    for sign, word in _SPELLED.items():
        text = text.replace(sign, word)
    return "_".join(part for part in re.split(r"[^a-z0-9]+", text) if part)
