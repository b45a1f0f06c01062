"""Sanity checks of the network itself, by what was probed at clean images and where white-box attacks begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from reproof import wording
from reproof.diagnostics import power
from reproof.diagnostics.comparison import ALPHA, count_robust, side_of
from reproof.diagnostics.sanity_check import Power, RedFlag, at_least, unchecked
from reproof.diagnostics.trials import Results, named, trial_of
from reproof.measuring.outcomes import Trial

ZERO_GRADIENTS = 0.05
"""The share of images without any gradient that is harmless."""
MISLEADING_GRADIENTS = 0.25
"""The share of images whose gradient may foretell wrongly what the network does: a deep network has many bends."""
ZERO_LOSSES = 0.5
"""The share of images whose loss float32 rounds to zero that is harmless. More are, too, where an attack goes on from
there all the same: where it brings robust accuracy down to the chance level."""
ROUNDING = 1e-4
"""The distance between two passes' logits that is rounding, however small the logits are."""
_NO_ATTACK = "the study has no white-box attack on this model's logits"
Probes = Sequence[Mapping[str, Any]]
"""What was probed of a model (attacking.probes), one for each seed; empty without a white-box attack on its logits."""


def zero_gradients(model: str, plain: Sequence[Results], probes: Probes) -> RedFlag:
    """Check that images have a gradient to follow. plain: the white-box attacks by gradients."""
    check = "zero_gradients"
    counted: dict[str, tuple[str, str, int, int]] = {}
    if probes:
        counted[""] = ("Of the clean images", "", *_probed(probes, "zero_gradients"))
    for results in plain:
        known = [n for n in _notes(results) if n.get("gradient_zero_share") is not None and n.get("attacked")]
        first = trial_of(results)
        attack = first.attack
        if known and attack not in counted:
            zeros = sum(round(n["gradient_zero_share"] * n["attacked"]) for n in known)
            where = f"Where white-box {wording.attack_inside(attack, first.kind)} begins, of the images that it attacks"
            counted[attack] = (where, first.name, zeros, sum(n["attacked"] for n in known))
    if not counted:
        return unchecked(model, check, _NO_ATTACK)
    where, name, zero, total = min(
        counted.values(), key=lambda c: (at_least(c[2], c[3], ZERO_GRADIENTS), -c[2] / c[3], c[0])
    )
    p_value = min(1.0, at_least(zero, total, ZERO_GRADIENTS) * len(counted))
    without = sum(not probe["differentiable"] for probe in probes)
    ending = ": the loss does not depend on the image by any gradient" if without else ""
    evidence = (
        f"{where}, {zero} of {total} have a gradient of exactly zero{ending}; up to "
        f"{100 * ZERO_GRADIENTS:.0f} % are harmless (p = {p_value:.2g})."
    )
    noticed = max(_notices(ZERO_GRADIENTS, shown, len(counted)) for *_, shown in counted.values())
    return RedFlag(model, check, p_value < ALPHA, evidence, (name,) if name else (), noticed)


def broken_gradients(model: str, attacked: Sequence[Results], probes: Probes) -> RedFlag:
    """Check that gradients are finite numbers. attacked: white-box and adaptive attacks of every kind."""
    check = "broken_gradients"
    found: dict[str, tuple[float, str]] = {}
    for results in attacked:
        first = trial_of(results)
        shares = [
            share for note in _notes(results) if (share := note.get("gradient_broken_share")) is not None
        ]
        if shares and first.attack not in found:
            found[first.attack] = (max(shares), first.name)
    broken = sum(probe.get("broken_gradients", 0) for probe in probes)
    if broken and not any(share for share, _ in found.values()):
        evidence = (
            f"At {broken} of {sum(probe['images'] for probe in probes)} clean images the gradient of cross-entropy is "
            "NaN or infinite; an attack can only pass such an image by, so any at all are a fault."
        )
        return RedFlag(model, check, True, evidence, ())
    if not found:
        return unchecked(model, check, "no attack that follows gradients noted what they were")
    share, name = max(found.values())
    evidence = (
        f"Of the gradients that {name} took, {100 * share:.3g} % were NaN or infinite; an attack can only pass such "
        "an image by, so any at all are a fault."
    )
    return RedFlag(model, check, share > 0, evidence, (name,))


_MISLEADING = (
    (
        "misled",
        ("compared",),
        "At {} of {} clean images the gradient does not foretell how the lead of the largest logit changes along "
        "random directions",
    ),
    (
        "astray",
        ("followed",),
        "At {} of {} clean images the gradient does not add up to how the network changes on the way to an image of "
        "another class",
    ),
    (
        "unresolved",
        ("compared", "unresolved"),
        "At {} of {} clean images the gradient cannot be compared with what the network does: the lead of the largest "
        "logit moves by less than float32 rounds",
    ),
    (
        "hidden",
        ("asked",),
        "For {} of {} images, clean or moved a little, the network answers otherwise where a gradient is asked for, "
        "and no attack loss that its defense declares answers as what is deployed",
    ),
)
"""A count of the probe, the counts that make its total, and what it says."""


def misleading_gradients(model: str, probes: Probes) -> RedFlag:
    """Check that gradients are those of what the network does: at each step, on the way to another class, deployed."""
    check = "misleading_gradients"
    if not probes:
        return unchecked(model, check, _NO_ATTACK)
    counted = []
    for wrong, known, words in _MISLEADING:
        count = sum(probe.get(wrong, 0) for probe in probes)
        total = sum(probe.get(fact, 0) for probe in probes for fact in known)
        if total:
            counted.append((at_least(count, total, MISLEADING_GRADIENTS), count, total, words))
    if not any(probe.get(fact, 0) for probe in probes for fact in ("compared", "unresolved", "followed")):
        # Only of what has no gradient at all: whether answers are hidden says nothing then.
        return unchecked(model, check, "at no clean image does the lead of the largest logit have a gradient")
    # The first of those that say the same: of an honest network, no image by either.
    least, count, total, words = min(counted, key=lambda found: found[0])
    p_value = min(1.0, least * len(counted))
    harmless = f"up to {100 * MISLEADING_GRADIENTS:.0f} % are harmless"
    evidence = f"{words.format(count, total)}; {harmless} (p = {p_value:.2g})."
    noticed = max(_notices(MISLEADING_GRADIENTS, shown, len(counted)) for _, _, shown, _ in counted)
    return RedFlag(model, check, p_value < ALPHA, evidence, (), noticed)


def _notes(results: Results) -> list[Mapping[str, Any]]:
    """Return what was noted of an attack, one for each seed."""
    return [one.notes.get(t.threat, {}).get(t.source, {}).get(t.attack, {}) for t, one in results]


def saturated_loss(model: str, plain: Sequence[Results], probes: Probes) -> RedFlag:
    """Check that the loss is not rounded to zero, or that an attack goes on from there all the same."""
    check = "saturated_loss"
    if not probes:
        return unchecked(model, check, _NO_ATTACK)
    zero, total = _probed(probes, "zero_losses")
    certain, _ = _probed(probes, "saturated")
    margin = float(np.median([probe["margin"] for probe in probes]))
    p_value = at_least(zero, total, ZERO_LOSSES)
    noticed = _notices(ZERO_LOSSES, total)
    evidence = (
        f"Of {total} clean images, {zero} have a cross-entropy that float32 rounds to zero, and {certain} a "
        f"probability of exactly one: the largest logit leads by {margin:.3g} (median), and beyond about 16 the "
        "gradient of cross-entropy no longer holds the true class; "
    )
    counted = [(side, *count_robust(side)) for side in map(side_of, plain) if count_robust(side)[1]]
    strongest = min(counted, key=lambda item: (item[1] / item[2], item[0].name), default=None)
    if p_value < ALPHA and strongest is not None:
        side, left, shown = strongest
        if left <= shown * max(probe["largest_class"] for probe in probes):
            evidence += (
                f"attacks succeed all the same: {side.words} leaves a robust accuracy of {left} of {shown} "
                "images."
            )
            return RedFlag(model, check, False, evidence, (side.name,))
    evidence += f"up to {100 * ZERO_LOSSES:.0f} % are harmless (p = {p_value:.2g})."
    return RedFlag(model, check, p_value < ALPHA, evidence, (), noticed)


def probabilities(model: str, probes: Probes) -> RedFlag:
    """Check that the network answers with logits, to which softmax has not been applied already."""
    check = "probabilities"
    if not probes:
        return unchecked(model, check, _NO_ATTACK)
    raised = any(probe["probabilities"] for probe in probes)
    total = sum(probe["images"] for probe in probes)
    evidence = (
        f"For each of {total} clean images the outputs lie between 0 and 1 and sum to 1: the loss applies softmax "
        "a second time, and its gradients all but vanish."
        if raised
        else f"For {total} clean images the outputs are no probabilities."
    )
    return RedFlag(model, check, raised, evidence, ())


def randomness(model: str, average: Callable[[], Sequence[Trial]], probes: Probes) -> RedFlag:
    """Check that the network answers alike, or that attacks average. average: gives the trials of those."""
    check = "randomness"
    if not probes:
        return unchecked(model, check, _NO_ATTACK)
    total = sum(probe["images"] for probe in probes)
    if not any(probe["random"] for probe in probes):
        return RedFlag(
            model, check, False, f"Two passes over the same {total} clean images answer alike.", ()
        )
    difference = max(probe["difference"] for probe in probes)
    changed, _ = _probed(probes, "changed")
    averaging = average()
    alike = not changed and difference < ROUNDING
    evidence = f"Two passes over the same {total} clean images " + (
        "answer alike, but not the further passes over some of them; "
        if alike
        else f"differ by up to {difference:.3g} in a logit and in the class of {changed}; "
    )
    evidence += (
        f"{named(averaging[0])} averages over passes."
        if averaging
        else "no attack averages its gradients over passes."
    )
    return RedFlag(model, check, not averaging, evidence, tuple(trial.name for trial in averaging))


def _notices(harmless: float, total: int, counts: int = 1) -> Power:
    """Return what a check of so many counts notices in one of them beyond a harmless share."""
    return power.of_share(harmless, total, lambda count: at_least(count, total, harmless) * counts < ALPHA)


def _probed(probes: Probes, name: str) -> tuple[int, int]:
    """Return a count over the probes of all seeds, and of how many images."""
    return sum(probe[name] for probe in probes), sum(probe["images"] for probe in probes)
