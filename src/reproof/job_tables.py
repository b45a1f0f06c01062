"""The tables that trainings and other jobs leave beside their networks: what each column holds. Imports no torch."""

from __future__ import annotations

from reproof.table_schema import Column, Schema, columns

HISTORY = Schema(
    "history",
    (
        Column("epoch", "whole", "from 1 on"),
        Column("loss", "real", "the method's own, averaged over images"),
        Column("train_accuracy", "real", "of what was trained on; missing where no label was guessed"),
        Column("validation_accuracy", "real", "missing without validation images"),
        Column("learning_rate", "real", "of the last step"),
    ),
)
"""One row per epoch of a training."""
SEPARATION = Schema(
    "separation",
    (*columns("text", "first second"), Column("margin", "real"), Column("separable", "flag")),
)
"""One row per pair of members, then per member and `all others`, then `mean`."""
SURFACE = Schema(
    "surface",
    (
        Column("kind", "text", "surface or line"),
        Column("image", "whole", "of the test images, from 0 on"),
        Column("epsilon_1", "real", "missing in a line"),
        Column("epsilon_2", "real"),
        Column("loss", "real", "six digits"),
        Column("correct", "flag"),
    ),
)
"""One row per image and shift."""
