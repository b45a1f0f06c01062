"""What a mean accuracy hides: how each class fares, and which images fall to every defense. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reproof.csv_tables import PER_CLASS, PER_IMAGE
from reproof.errors import ArtifactError
from reproof.measuring import intervals, worst_case
from reproof.measuring.outcomes import Bools, Integers, Outcomes, Place
from reproof.settings.baseline import is_baseline
from reproof.settings.parameters import Parameters, written
from reproof.settings.table_words import NO_ATTACK


def per_class(outcomes: Iterable[Outcomes]) -> pd.DataFrame:
    """Return each class's counts without attack and in the worst case of every budget, sorted (csv_tables.PER_CLASS).

    The worst case counts the images that worst_case.worst_case counts, so the classes of a row of summary.csv add
    up to it. Single attacks are left out: ten times measurements.csv, and each is above its budget's worst case.
    """
    counted: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    for one in outcomes:
        found: list[tuple[Place, Integers, Bools]] = [
            (("white_box", "", NO_ATTACK, ""), one.labels, one.clean)
        ]
        for norm, epsilon in worst_case.budgets(one):
            images = worst_case.shared_images(one, norm, epsilon)
            stood = worst_case.worst_case(one, norm, epsilon)
            found.append((worst_case.worst_case_place(norm, epsilon), _labels(one, images), stood))
        for place, labels, right in found:
            for label in np.unique(labels).tolist():
                inside = labels == label
                key = (one.study, one.dataset, one.model, place, label)
                counted[key].append((int((right & inside).sum()), int(inside.sum())))
    order = sorted(counted, key=lambda k: (*k[:3], Parameters.parse(k[3][3]), k[4]))
    return PER_CLASS.frame(_class_count(key, counted[key]) for key in order)


def _class_count(key: tuple[Any, ...], seeds: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a row: the images of one class that one model gets right, its seeds pooled."""
    study, dataset, model, (setting, source, attack, parameters), label = key
    correct, total = (sum(counts) for counts in zip(*seeds, strict=True))
    low, high = intervals.combined(correct, total, [right / all_of_it for right, all_of_it in seeds])
    return {
        "study": study,
        "dataset": dataset,
        "model": model,
        "seeds": len(seeds),
        "setting": setting,
        "source": source,
        "attack": attack,
        "parameters": parameters,
        "label": label,
        "correct": correct,
        "total": total,
        "low": low,
        "high": high,
    }


def per_image(outcomes: Iterable[Outcomes]) -> pd.DataFrame:
    """Return how the networks of each data set's defenses fare on each image in each budget (csv_tables.PER_IMAGE).

    A network is a defended model with one seed, one that met the image under every attack that was made on it in
    this budget. It holds the image: right without attack and under every one; loses it: right without attack, wrong
    under at least one; or misclassified it without attack already. `holder` is the one model that holds the image,
    with any seed; empty where none does, or several do. Undefended networks trained on clean images are left out: no
    image that they lose says anything of a defense. Images come by budget, then by their number in the test split.
    ArtifactError where two models of a data set have another label for one image: then its tests hold different
    images under one number.
    """
    groups: dict[tuple[str, str, str, float], list[Outcomes]] = defaultdict(list)
    for one in outcomes:
        if not is_baseline(one.defense, one.training):
            for norm, epsilon in worst_case.budgets(one):
                groups[one.study, one.dataset, norm, epsilon].append(one)
    # The key of a group prints its budget as the first network does; the order is that of numbers.
    found = [_image_counts(budget, groups[budget]) for budget in sorted(groups)]
    return pd.concat(found, ignore_index=True) if found else PER_IMAGE.frame([])


def _image_counts(budget: tuple[str, str, str, float], networks: Sequence[Outcomes]) -> pd.DataFrame:
    study, dataset, norm, epsilon = budget
    met = [worst_case.shared_images(one, norm, epsilon) for one in networks]
    images = np.unique(np.concatenate(met))
    labels, several = np.full(len(images), -1), np.zeros(len(images), dtype=bool)
    lost, held, misclassified = np.zeros((3, len(images)), dtype="i8")
    holder = np.full(len(images), -1)
    names = sorted({one.model for one in networks})
    for one, own in zip(networks, met, strict=True):
        at = np.searchsorted(images, own)
        other = (labels[at] >= 0) & (labels[at] != _labels(one, own))
        if other.any():
            image = int(own[other][0])
            raise ArtifactError(
                f"test image {image} of {dataset} has label {int(_labels(one, own[other])[0])} for model {one.model} "
                f"and {int(labels[at][other][0])} for another; give data sets with different test images a key each"
            )
        labels[at] = _labels(one, own)
        stood, clean = worst_case.worst_case(one, norm, epsilon), one.clean_on(own)
        held[at] += stood
        lost[at] += clean & ~stood
        misclassified[at] += ~clean
        position = names.index(one.model)
        several[at] |= stood & (holder[at] >= 0) & (holder[at] != position)
        holder[at] = np.where(stood, position, holder[at])
    alone = np.where(several, -1, holder)
    columns = {
        "study": study,
        "dataset": dataset,
        "norm": norm,
        "epsilon": written(epsilon),
        "image": images,
        "label": labels,
        "networks": lost + held + misclassified,
        "lost": lost,
        "held": held,
        "misclassified": misclassified,
        "holder": np.array([*names, ""], dtype=object)[alone],
    }
    return pd.DataFrame(columns, columns=PER_IMAGE.names).astype(PER_IMAGE.dtypes)


def _labels(one: Outcomes, images: Integers) -> Integers:
    return one.labels[np.searchsorted(one.images, images)]
