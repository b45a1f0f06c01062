"""The verdicts and the marks of doubt: their signs, and what they mean."""

from __future__ import annotations

VERDICTS = {
    "reproduced": ("✓", "The claim lies inside the measured interval, widened by the study's tolerance."),
    "lower": ("▼", "The measurement is lower than the claim by more than interval and tolerance allow."),
    "higher": ("▲", "The measurement is higher than the claim by more than interval and tolerance allow."),
    "not comparable": (
        "≠",
        "Something like it was measured, on another data set, network or transfer source: shown, not judged.",
    ),
    "not measured": ("○", "This study did not run what the claim is about; the cell says what is lacking."),
    "not claimed": ("–", "The paper prints a dash here, or the number is lost in the text that was read."),
}
CERTAINTIES = {
    "likely": "Legible in the text that was read; its place is reconstructed, and another fact supports it.",
    "unsure": "Legible in the text that was read; its place in the table is a guess.",
    "lost": "Lost in the text that was read: the paper prints a number here that could not be made out.",
}
"""What the marks at uncertain cells mean."""
