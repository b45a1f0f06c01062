"""Outcomes per image -> measurements with counts -> summary over seeds. Imports no torch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reproof.csv_tables import MEASUREMENTS, SUMMARY
from reproof.errors import ArtifactError
from reproof.measuring import intervals
from reproof.measuring.outcomes import Bools, Outcomes, Place, Trial
from reproof.measuring.worst_case import (
    budgets,
    only_refused,
    only_refused_unbounded,
    settings_within,
    worst_case,
    worst_case_place,
    worst_case_unbounded,
)
from reproof.settings.parameters import Parameters
from reproof.settings.source_names import AGGREGATED, MEMBER
from reproof.settings.table_words import BOOSTED, NO_ATTACK, WORST_UNBOUNDED

Cells = dict[str, Any]
"""A row of measurements.csv, by column."""


def measure(outcomes: Iterable[Outcomes], others: Iterable[Cells] = ()) -> pd.DataFrame:
    """Return the measurements of each model and seed, and other rows with them, sorted (csv_tables.MEASUREMENTS).

    Accuracy under one attack is the share of its images whose adversarial version is classified correctly.
    The worst case of a norm and epsilon is the share classified correctly clean and under every attack in
    that budget, in whatever setting (`worst_case`) or in one (`worst_case_in_setting`), over the images that all
    of those attacks share; `worst_case_unbounded` is the same of all attacks that have no epsilon, however far they
    go. `l2_mean`: the mean distance of the images that were correct and no longer are, for attacks without
    epsilon; none, no row.
    `refused`, `wrong_accepted`: the shares that a model answers with no class and with a wrong one, where it ever
    refuses; with the accuracy they make 1. In a worst case an image is `wrong_accepted` where any attack makes it so.
    `failed_majorities`: the number of images on which an ensemble finds no majority. `fooling_set_accuracy`,
    `fooling_set_clean_accuracy`: of the images that fool all the networks they were made on, the share that another
    model classifies correctly, and the share of their clean originals; no row where no image does. `accuracy_gain`:
    how much more accurate a boosted vote is than the plain one of the same members. `nearest_prototype_accuracy`,
    `nearest_prototype_gain`: the share of images of which the nearest prototype's class is right, and by how much it
    exceeds the accuracy. An ensemble that is attacked through each member in turn has a row for each, and one of source
    `member`: their mean, with the interval of as many images.
    """
    outcomes = list(outcomes)
    found = [*others, *_gains(outcomes)]
    for one in outcomes:
        clean_place = ("white_box", "", NO_ATTACK, "")
        found += _counted(one, clean_place, one.clean, one.clean_refused_on(one.images))
        found += _failed(one, clean_place, one.clean_failed)
        found += _by_nearest_prototype(one, clean_place, one.clean, one.clean_nearest)
        found += _means_over_members(one)
        for trial in one.trials:
            place = (trial.setting, trial.source, trial.attack, trial.parameters)
            found += _counted(one, place, trial.correct, trial.refused)
            found += _failed(one, place, trial.failed)
            found += _on_fooling_set(one, trial, place)
            found += _by_nearest_prototype(one, place, trial.correct, trial.nearest_prototype)
            fooled = one.clean_on(trial.images) & ~trial.correct
            if trial.unbounded and fooled.any():
                distance = float(trial.l2[fooled].mean())
                found.append(_row(one, *place, "l2_mean", distance, None, None, None))
        for norm, epsilon in budgets(one):
            for setting in ("", *settings_within(one, norm, epsilon)):
                stood, refused = (count(one, norm, epsilon, setting) for count in (worst_case, only_refused))
                found += _counted(one, worst_case_place(norm, epsilon, setting), stood, refused)
        stood = worst_case_unbounded(one)
        if len(stood):
            found += _counted(one, ("all", "", WORST_UNBOUNDED, ""), stood, only_refused_unbounded(one))
    return _sorted(MEASUREMENTS.frame(found))


def _counted(one: Outcomes, place: Place, correct: Bools, refused: Bools) -> Iterable[Cells]:
    """Yield the accuracy and, of a model that ever refuses, the shares of refused and of wrong and accepted images."""
    counted = {"accuracy": correct}
    if one.clean_refused is not None:
        counted |= {"refused": refused, "wrong_accepted": ~correct & ~refused}
    for metric, chosen in counted.items():
        count, total = int(chosen.sum()), len(chosen)
        yield _row(one, *place, metric, count / total, count, total, intervals.wilson(count, total))


def _failed(one: Outcomes, place: Place, failed: Bools | None) -> Iterable[Cells]:
    """Yield on how many images no majority is found, where a model votes."""
    if failed is not None:
        count, total = int(failed.sum()), len(failed)
        low, high = intervals.wilson(count, total)
        yield _row(one, *place, "failed_majorities", count, None, total, (low * total, high * total))


def _by_nearest_prototype(
    one: Outcomes, place: Place, correct: Bools, nearest: Bools | None
) -> Iterable[Cells]:
    """Yield the accuracy of the nearest prototype's class (Mustafa, Eq. 6), and by how much it exceeds the model's own.

    The images are the same, and were made on the model as it decides.
    """
    if nearest is None:
        return
    count, total = int(nearest.sum()), len(nearest)
    yield _row(
        one, *place, "nearest_prototype_accuracy", count / total, count, total, intervals.wilson(count, total)
    )
    worse, better = int((correct & ~nearest).sum()), int((nearest & ~correct).sum())
    interval = intervals.paired(worse, better, total)
    yield _row(one, *place, "nearest_prototype_gain", (better - worse) / total, None, total, interval)


def _on_fooling_set(one: Outcomes, trial: Trial, place: Place) -> Iterable[Cells]:
    """Yield what a model makes of the images that fool all of other networks (Seiler, Tables II and III).

    A model that the images were made on is wrong on all of them, by their choice; it has no row.
    """
    fools = trial.fooling_set
    if fools is None or not fools.any() or trial.setting != "black_box":
        return
    clean = one.clean_on(trial.images)
    for metric, correct in (
        ("fooling_set_accuracy", trial.correct),
        ("fooling_set_clean_accuracy", clean),
    ):
        count, total = int(correct[fools].sum()), int(fools.sum())
        yield _row(one, *place, metric, count / total, count, total, intervals.wilson(count, total))


def _means_over_members(one: Outcomes) -> Iterable[Cells]:
    """Yield the means of `_counted` over the members that an ensemble was attacked through, one at a time."""
    groups: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in one.trials:
        if trial.setting == "white_box" and trial.elsewhere not in ("", AGGREGATED):
            groups[trial.attack, trial.parameters].append(trial)
    for (attack, parameters), trials in sorted(groups.items()):
        place = ("white_box", MEMBER, attack, parameters)
        total = len(trials[0].images)
        counted = [list(_counted(one, place, trial.correct, trial.refused)) for trial in trials]
        for cells in zip(*counted, strict=True):
            value = sum(cell["correct"] for cell in cells) / (len(trials) * total)
            # The members meet the same images, so the interval is that of one of them, not of all together.
            interval = intervals.wilson(round(value * total), total)
            yield _row(one, *place, cells[0]["metric"], value, None, total, interval)


def _gains(outcomes: Sequence[Outcomes]) -> list[Cells]:
    """Return what the boosted votes gain over the plain ones under the same images."""
    found = []
    plain = {(o.dataset, o.architecture, o.training, o.seed, o.members, o.defense): o for o in outcomes}
    for one in outcomes:
        key = (one.dataset, one.architecture, one.training, one.seed, one.members)
        other = plain.get((*key, one.defense.removesuffix(BOOSTED)))
        if other is None or not one.defense.endswith(BOOSTED):
            continue
        both = {(t.setting, t.source, t.attack, t.parameters): t for t in other.trials}
        for trial in one.trials:
            place = (trial.setting, trial.source, trial.attack, trial.parameters)
            before = both.get(place)
            if (
                before is None
                or trial.setting != "black_box"
                or not np.array_equal(before.images, trial.images)
            ):
                continue  # of a white-box attack each vote has images of its own
            worse, better = (before.correct & ~trial.correct).sum(), (trial.correct & ~before.correct).sum()
            total = len(trial.images)
            interval = intervals.paired(int(worse), int(better), total)
            value = (int(better) - int(worse)) / total
            found.append(_row(one, *place, "accuracy_gain", value, None, total, interval))
    return found


def _row(
    one: Outcomes,
    setting: str,
    source: str,
    attack: str,
    parameters: str,
    metric: str,
    value: float,
    correct: int | None,
    total: int | None,
    interval: intervals.Interval | None,
) -> Cells:
    low, high = interval if interval is not None else (None, None)
    own = {name: getattr(one, name) for name in (*_MODEL, "seed")}
    place = {"setting": setting, "source": source, "attack": attack, "parameters": parameters}
    counts = {"value": value, "correct": correct, "total": total, "low": low, "high": high}
    return {**own, **place, "metric": metric, **counts}


_MODEL = ("study", "dataset", "architecture", "defense", "training", "model")
_QUANTITY = (*_MODEL, "setting", "source", "attack", "parameters", "metric")
"""What is measured once for each seed."""


def _sorted(measurements: pd.DataFrame) -> pd.DataFrame:
    """Return measurements in their order: c=2 before c=10, seeds last."""
    texts = sorted(measurements["parameters"].unique(), key=Parameters.parse)
    places = {text: place for place, text in enumerate(texts)}
    return measurements.sort_values(
        [*_QUANTITY, "seed"],
        key=lambda column: column.map(places) if column.name == "parameters" else column,
        ignore_index=True,
    )


def summarise(measurements: pd.DataFrame) -> pd.DataFrame:
    """Return one row per quantity over its seeds (csv_tables.SUMMARY): the mean, pooled counts, the wider interval.

    ArtifactError where a quantity is measured twice for a seed.
    """
    ordered = _sorted(measurements)
    twice = ordered[ordered.duplicated([*_QUANTITY, "seed"])]
    if len(twice):
        first = twice.iloc[0]
        raise ArtifactError(
            f"model {first.model}: {first.attack} {first.parameters} is measured twice for a seed"
        )
    seeds = ordered.groupby(list(_QUANTITY), sort=False)
    values = seeds["value"].agg(list)
    found = pd.DataFrame(
        {
            "seeds": seeds.size(),
            "value": [float(np.mean(own)) for own in values],
            "correct": seeds["correct"].sum(min_count=1),
            "total": seeds["total"].sum(min_count=1),
            "value_min": seeds["value"].min(),
            "value_max": seeds["value"].max(),
        }
    )
    # Of one seed alone.
    ends = zip(seeds["low"].first(), seeds["high"].first(), strict=True)
    counts = zip(found["correct"], found["total"], strict=True)
    widened = [_interval(*row) for row in zip(values, counts, ends, strict=True)]
    found[["low", "high"]] = np.array(widened, dtype="f8").reshape(-1, 2)
    return found.reset_index()[SUMMARY.names].astype(SUMMARY.dtypes)


def _interval(values: list[float], counts: tuple[Any, Any], ends: intervals.Interval) -> intervals.Interval:
    """Return the interval of a mean over seeds: that of pooled counts where there are any; NaN where there is none."""
    if not any(map(pd.isna, counts)):
        return intervals.combined(int(counts[0]), int(counts[1]), values)
    return ends if len(values) == 1 else intervals.seed_spread(values) or (math.nan, math.nan)
