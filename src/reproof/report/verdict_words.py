"""The words of verdicts, the grades of their evidence, the margins and the marks of doubt: signs, and what they mean.

The numbers are those that verdicts are made with (judging.equivalence).
"""

from __future__ import annotations

from reproof.judging import equivalence

_INTERVAL = f"{100 * (1 - equivalence.ERROR):g} % interval"


def _points(share: float) -> str:
    return f"{100 * share:g} point{'' if share == 0.01 else 's'}"


VERDICTS = {
    "reproduced": ("✓", f"The whole {_INTERVAL} of the measurement lies within the margin of the claim."),
    "lower": ("▼", "The whole interval lies below the claim, farther than the margin."),
    "higher": ("▲", "The whole interval lies above the claim, farther than the margin."),
    "undecided": (
        "◐",
        "None of these: too few images, so that the interval reaches over the margin’s edge; seeds that disagree; or "
        "an attack of another strength than the paper’s.",
    ),
    "not comparable": ("≠", "Grade C: another experiment was measured. It is shown, and not judged."),
    "not measured": ("○", "This study did not run what the claim is about; the cell says what is lacking."),
    "not claimed": ("–", "The paper prints a dash here, or the number is lost in the text that was read."),
}
"""Word -> its sign, and what it means."""
JUDGED = ("reproduced", "lower", "higher", "undecided")
"""The words of a measurement that was judged: of grade A or B."""
GRADES = {
    "A": "The paper’s own experiment: nothing that the paper prints is contradicted, and what it leaves open is a "
    "listed reading. Only the number of test images and of seeds may differ.",
    "B": "The amount or manner of training (epochs, batch, rate, schedule, images) differs, or the strength of the "
    "attack, or the network that the authors released is not the printed one: judged, and counted apart. It is stable "
    "if the word was the same at half of that training.",
    "C": "The method, or what it was done to, differs (network, data set, source, a printed setting of the defense): "
    "shown, and not judged.",
}
"""Grade -> what it says of the experiment that was measured."""
MARGINS = (
    (
        "an accuracy or an error",
        f"{_points(equivalence.POINTS)}; where the claimed error is small, half of it, but never less than "
        f"{_points(equivalence.LEAST)}",
    ),
    ("a number of images", "the same, as a share of the images that it was counted among"),
    ("a gain, or another difference", "half of the claimed one, at least half of its last printed digit"),
    (
        "a time",
        f"{100 * equivalence.TIMES:g} % of the claimed ratio to the undefended network’s time; seconds are not "
        "compared",
    ),
    ("anything else", f"{100 * equivalence.OTHERS:g} % of the claim"),
)
"""What is claimed -> how far a measurement may lie from it and still be the same."""
STRENGTHS = {
    "weaker": (
        "weaker attack",
        "the attack is weaker than the paper’s: what it leaves shows neither reproduced nor higher",
    ),
    "stronger": (
        "stronger attack",
        "the attack is stronger than the paper’s: what it leaves never shows lower",
    ),
    "other": (
        "another attack",
        "the attack differs from the paper’s, and which is the stronger is not known: it shows nothing",
    ),
}
"""Strength of an attack beside the paper's -> why that leaves a claim undecided: for a cell, and in full."""
CERTAINTIES = {
    "likely": "Legible in the text that was read; its place is reconstructed, and another fact supports it.",
    "unsure": "Legible in the text that was read; its place in the table is a guess.",
    "lost": "Lost in the text that was read: the paper prints a number here that could not be made out.",
}
"""What the marks at uncertain cells mean."""
