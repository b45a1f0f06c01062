"""One sanity check of one model: a red flag where it is raised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

TOO_COARSE = 0.25
"""A check that may miss a larger difference, in whole points, shows nothing by not being raised: a quarter of all
images. 48 images are enough for eight comparisons, 100 for hundreds; 24 are too few for one."""
State = Literal["raised", "too few images to tell", "passed", "not checked"]


class Power(NamedTuple):
    """The smallest true difference that a check notices: of several comparisons the largest of theirs."""

    difference: float
    """As a share of the images; 1 where none would be noticed."""
    images: int

    @property
    def words(self) -> str:
        """Return it as a sentence: `Would notice 15 points at 48 images.`"""
        if self.difference >= 1:
            return f"Would notice no difference at {self.images:,} images."
        return f"Would notice {100 * self.difference:.0f} points at {self.images:,} images."


def state(raised: bool | None, difference: float | None) -> State:
    """Return what a check found. difference: the smallest that it notices; None where it has none."""
    if raised is None:
        return "not checked"
    if raised:
        return "raised"
    return "passed" if difference is None or round(difference, 2) <= TOO_COARSE else "too few images to tell"


@dataclass(frozen=True)
class RedFlag:
    """One sanity check of one model. `raised` is None where the study has no attacks to check it with."""

    model: str
    check: str
    """Key into CHECKS; the column `gate` of red_flags.csv."""
    raised: bool | None
    evidence: str
    """The numbers, in a sentence."""
    rows: tuple[str, ...]
    """The measurements that it compares: `white_box pgd epsilon=0.3`."""
    power: Power | None = None
    """What it would have noticed, raised or not; None where that is no question of numbers."""
    left_out: tuple[str, ...] = ()
    """The attacks that it should compare and cannot, as its evidence names them."""

    @property
    def state(self) -> State:
        """Return what it found, in a word."""
        return state(self.raised, None if self.power is None else self.power.difference)

    @property
    def told(self) -> str:
        """Return the evidence, and of an unraised check what it would have noticed."""
        if self.raised is not False or self.power is None:
            return self.evidence
        return f"{self.evidence} {self.power.words}"


class Check(NamedTuple):
    """What people call a sanity check, and what an honest model shows in it."""

    heading: str
    shows: str


CHECKS: Mapping[str, Check] = {
    "iterative_vs_single_step": Check(
        "Iterative against one step",
        "Iterative attacks are at least as strong as one step in the same budget.",
    ),
    "white_box_vs_transfer": Check(
        "White box against transfer",
        "White-box attacks are at least as strong as transfer in the same budget.",
    ),
    "white_box_vs_noise": Check(
        "White box against noise",
        "White-box attacks are at least as strong as random noise in the same budget.",
    ),
    "white_box_vs_gradient_free": Check(
        "White box against search",
        "White-box attacks are at least as strong as a search without gradients in the same budget.",
    ),
    "search_after_gradients": Check(
        "Search after gradients",
        "A search without gradients, and images made on other models, take few images that gradients left.",
    ),
    "monotone_in_epsilon": Check(
        "Larger budgets",
        "Robust accuracy does not rise with the budget of an attack.",
    ),
    "unbounded_budget": Check(
        "No bound",
        "In a budget that allows to turn every image grey, robust accuracy is no higher than chance level.",
    ),
    "more_steps": Check(
        "More steps",
        "An attack with more steps finds few images more.",
    ),
    "more_restarts": Check(
        "More restarts",
        "An attack with more restarts finds few images more.",
    ),
    "more_queries": Check(
        "More queries",
        "A search with more queries finds few images more.",
    ),
    "adaptive_vs_plain": Check(
        "Adaptive against plain",
        "Attacks on the method's own loss find no more than plain white-box attacks.",
    ),
    "plain_vs_adaptive": Check(
        "Plain against adaptive",
        "An attack on the method's own loss leaves few images that the same attack on the logits takes.",
    ),
    "adaptive_vs_strongest": Check(
        "Adaptive against attack ensemble",
        "An ensemble of attacks finds few images more than the longest attack on the method's own loss.",
    ),
    "autoattack_vs_gradients": Check(
        "Attack ensemble against gradients",
        "An ensemble of attacks finds few images more than all plain white-box attacks.",
    ),
    "paper_attack_vs_worst_case": Check(
        "Papers’ attack against all",
        "All attacks together find few images more than the papers' strongest one, or than it and longer ones by "
        "the same gradients.",
    ),
    "zero_gradients": Check(
        "Zero gradients",
        "Images have a gradient to follow.",
    ),
    "broken_gradients": Check(
        "Broken gradients",
        "Gradients are finite numbers, at every step of every attack.",
    ),
    "misleading_gradients": Check(
        "Misleading gradients",
        "Gradients foretell how the network's answer changes, and are those of the network that is deployed.",
    ),
    "saturated_loss": Check(
        "Saturated loss",
        "The loss is not rounded to zero.",
    ),
    "probabilities": Check(
        "Softmax twice",
        "The network answers with logits, to which softmax has not been applied already.",
    ),
    "randomness": Check(
        "Random answers",
        "The network answers the same image alike, or attacks average over its answers.",
    ),
    "unmoved_images": Check(
        "Images left alone",
        "Each attack moves at least one image.",
    ),
}
"""The sanity checks in their order. "White-box attacks" stands for the strongest of those that follow gradients."""


def unchecked(model: str, check: str, why: str) -> RedFlag:
    """Return the sanity check that a study has no attacks for."""
    return RedFlag(model, check, None, f"Not checked: {why}.", ())


def at_least(count: int, total: int, share: float) -> float:
    """Return the exact probability that so many of `total` images, or more, have what a share of all has."""
    if count == 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    logs = (
        math.lgamma(total + 1)
        - math.lgamma(found + 1)
        - math.lgamma(total - found + 1)
        + found * math.log(share)
        + (total - found) * math.log1p(-share)
        for found in range(count, total + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))
