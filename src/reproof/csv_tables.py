"""The tables under `tables/`, and those that figures read of a method's training log: what each column holds.

The tables of training and other jobs are in `job_tables.py`: an edit here must not make anyone train again.
"""

from __future__ import annotations

from reproof.table_schema import Column, Schema, columns

FRACTION = "a fraction, or in the metric's own unit"
_MODEL = columns("text", "study dataset architecture defense training")
_PLACE = columns("text", "setting source attack parameters metric")
_COUNTS = (
    Column("value", "real", FRACTION),
    *columns("whole", "correct total", "images"),
    *columns("real", "low high", "ends of the 95 % interval"),
    Column("model", "text"),
)

MEASUREMENTS = Schema(
    "measurements",
    (*_MODEL, Column("seed", "whole"), *_PLACE, *_COUNTS),
)
"""One row per model, seed, attack, parameters and metric."""
SUMMARY = Schema(
    "summary",
    (
        *_MODEL,
        Column("seeds", "whole", "how many"),
        *_PLACE,
        *_COUNTS,
        *columns("real", "value_min value_max", FRACTION),
    ),
)
"""The same over seeds: the mean, pooled counts, the wider interval."""
KEY = ("study", "model", "setting", "source", "attack", "parameters", "metric")
"""Columns that name a row of the summary; a verdict has them too, of the row that it judged."""
VERDICTS = Schema(
    "verdicts",
    (
        *columns("text", "claim_id paper table row column"),
        Column("claimed", "real", FRACTION),
        *columns("text", "verdict grade undecided_by"),
        Column("seed_words", "text", "each seed's own word, joined by `, `; empty of one seed"),
        Column("margin", "real", FRACTION),
        Column("training_share", "real", "epochs as a share of the paper's, where they differ"),
        Column("stable", "text", "yes, no, or empty where half of the training was not measured"),
        Column("differences", "text", "JSON: a list of [kind, here, there, grade]"),
        *columns("text", " ".join(KEY)),
        *columns("real", "measured low high", FRACTION),
        Column("source_accuracy", "real", FRACTION),
        *columns("text", "strongest_attack strongest_parameters"),
        *columns("real", "strongest_value strongest_low strongest_high", FRACTION),
        *columns("real", "overall_value overall_low overall_high", FRACTION),
    ),
)
"""One row per claim with a value; the key is empty where nothing was measured."""
STATEMENTS = Schema(
    "statements",
    (
        *columns("text", "statement_id paper place in_print"),
        *columns("whole", "print_pairs print_holding", "pairs"),
        *columns("text", "print_left print_right", "claim ids"),
        Column("print_difference", "real", FRACTION),
        Column("measured", "text"),
        *columns("whole", "measured_pairs measured_holding", "pairs"),
        *columns("text", "measured_left measured_right", "claim ids"),
        Column("measured_difference", "real", FRACTION),
        *columns("text", "judgement grade"),
        Column("differences", "text", "JSON: a list of [kind, here, there, grade]"),
    ),
)
"""One row per statement of the papers' prose."""
RED_FLAGS = Schema(
    "red_flags",
    (
        *columns("text", "model gate"),
        Column("raised", "flag", "missing: not checked"),
        Column("evidence", "text", "a sentence"),
        Column("rows", "text", "names of trials, joined by `; `"),
        Column(
            "detectable", "real", "smallest difference noticed, a fraction; missing: no question of numbers"
        ),
        Column("images", "whole", "on which that is noticed"),
    ),
)
"""One row per model and check."""
CHECKLIST = Schema("checklist", columns("text", "item group section model answer evidence"))
"""One row per question and model; `model` is empty where the study as a whole is asked."""
PER_CLASS = Schema(
    "per_class",
    (
        *columns("text", "study dataset model"),
        Column("seeds", "whole"),
        *columns("text", "setting source attack parameters"),
        Column("label", "whole"),
        *columns("whole", "correct total", "images"),
        *columns("real", "low high", "ends of the 95 % interval"),
    ),
)
"""One row per model, budget and class."""
PER_IMAGE = Schema(
    "per_image",
    (
        *columns("text", "study dataset norm epsilon"),
        *columns("whole", "image label"),
        *columns("whole", "networks lost held misclassified", "networks"),
        *columns("text", "holder"),
    ),
)
"""One row per data set, budget and test image."""
PARTS = Schema(
    "parts",
    (
        *columns("text", "study dataset model"),
        Column("seeds", "whole"),
        *columns("text", "setting source attack parameters"),
        Column("place", "whole", "counted from 1, in the order in which the parts are tried"),
        *columns("text", "part"),
        Column("access", "text", "how it searches: gradient, ensemble, score, transfer"),
        *columns("whole", "met taken", "images"),
    ),
)
"""One row per model, composed attack, budget and part: the images that were left to it, and those it took."""
RECORDS = Schema(
    "records",
    (
        *columns("text", "path rule name"),
        Column("seed", "whole", "missing where no seed was drawn"),
        *columns("text", "digest commit"),
        Column("dirty", "flag", "code was changed and not committed"),
        Column("device", "text"),
        Column("threads", "whole"),
        Column("started", "text", "time, ISO 8601"),
        Column("seconds", "real"),
        *columns("text", "sha256 command"),
    ),
)
"""One row per file of a reference run: who made it, when, on what, of which code."""
SCHEMAS = {
    schema.name: schema
    for schema in (
        MEASUREMENTS,
        SUMMARY,
        VERDICTS,
        STATEMENTS,
        RED_FLAGS,
        CHECKLIST,
        PER_CLASS,
        PER_IMAGE,
        PARTS,
    )
}
"""Table by its name: the files of `tables/`."""
ROUNDS = Schema(
    "rounds",
    (
        *columns("whole", "round epoch"),
        *columns("real", "gamma accuracy"),
        *columns("real", "head_icc head_icd_min head_icd_mean head_icd_max"),
        *columns("real", "tail_icc tail_icd_min tail_icd_mean tail_icd_max"),
        *columns("whole", "passed pareto", "1 or 0"),
        Column("pgd_accuracy", "real", "missing where it was not needed"),
        Column("chosen", "whole", "1 or 0"),
    ),
)
"""Adaptive-Gravity's training log: one row per round."""
CENTROIDS = Schema(
    "centroids",
    (
        Column("round", "whole"),
        Column("layer", "text", "head or tail"),
        Column("class", "whole"),
        *columns("real", "x y"),
    ),
)
"""Its other table: one row per round, layer and centroid, in a plane of principal components."""
