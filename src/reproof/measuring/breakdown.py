"""What a mean accuracy hides: how each class fares, and which images fall to every defense. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from reproof import csv_tables
from reproof.errors import ArtifactError
from reproof.measuring import intervals, worst_case
from reproof.measuring.outcomes import Bools, Integers, Outcomes, Place
from reproof.settings.values import format_number


@dataclass(frozen=True)
class ClassCount:
    """One row of per_class.csv: the images of one class that one model gets right, its seeds pooled."""

    study: str
    dataset: str
    model: str
    seeds: int
    setting: str
    source: str
    attack: str
    parameters: str
    label: int
    correct: int
    total: int
    low: float
    high: float
    """Ends of the 95 % interval: Wilson's of the counts, or the spread over seeds where that is wider."""


@dataclass(frozen=True)
class ImageCount:
    """One row of per_image.csv: how the networks of a data set's defenses fare on one image in one budget.

    A network is a defended model with one seed. `networks` is `lost` + `held` + `misclassified`.
    """

    study: str
    dataset: str
    norm: str
    epsilon: str
    image: int
    label: int
    networks: int
    """Those that met the image under every attack that was made on them in this budget."""
    lost: int
    """Right without attack, wrong under at least one."""
    held: int
    """Right without attack and under every one."""
    misclassified: int
    """Wrong already without attack."""
    holder: str
    """The one model that holds the image, with any seed; empty where none does, or several do."""


CLASS_COLUMNS = tuple(field.name for field in fields(ClassCount))
IMAGE_COLUMNS = tuple(field.name for field in fields(ImageCount))


def files(outcomes: Sequence[Outcomes]) -> dict[str, str]:
    """Return each table's file name and its text."""
    return {
        "per_class.csv": csv_tables.to_csv(map(asdict, per_class(outcomes)), CLASS_COLUMNS),
        "per_image.csv": csv_tables.to_csv(map(asdict, per_image(outcomes)), IMAGE_COLUMNS),
    }


def per_class(outcomes: Iterable[Outcomes]) -> list[ClassCount]:
    """Return each class's counts without attack and in the worst case of every budget, sorted.

    The worst case counts the images that tables.worst_case counts, so the classes of a row of summary.csv add up
    to it. Single attacks are left out: ten times measurements.csv, and each is above its budget's worst case.
    """
    counted: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    for one in outcomes:
        found: list[tuple[Place, Integers, Bools]] = [(("white_box", "", "none", ""), one.labels, one.clean)]
        for norm, epsilon in worst_case.budgets(one):
            images = worst_case.shared_images(one, norm, epsilon)
            stood = worst_case.worst_case(one, norm, epsilon)
            found.append((worst_case.worst_case_place(norm, epsilon), _labels(one, images), stood))
        for place, labels, right in found:
            for label in np.unique(labels).tolist():
                inside = labels == label
                key = (one.study, one.dataset, one.model, place, label)
                counted[key].append((int((right & inside).sum()), int(inside.sum())))
    return [
        _class_count(key, counted[key])
        for key in sorted(counted, key=lambda k: (*k[:3], *_place_order(k[3]), k[4]))
    ]


def _class_count(key: tuple[Any, ...], seeds: Sequence[tuple[int, int]]) -> ClassCount:
    study, dataset, model, (setting, source, attack, parameters), label = key
    correct, total = (sum(counts) for counts in zip(*seeds, strict=True))
    low, high = intervals.combined(correct, total, [right / all_of_it for right, all_of_it in seeds])
    return ClassCount(
        study,
        dataset,
        model,
        len(seeds),
        setting,
        source,
        attack,
        parameters,
        label,
        correct,
        total,
        low,
        high,
    )


def _place_order(place: Place) -> tuple[bool, str, float]:
    """Return an order in which no attack comes first, then each norm's budgets by size."""
    if place[2] == "none":
        return False, "", 0.0
    norm, epsilon = (part.partition("=")[2] for part in place[3].split())
    return True, norm, float(epsilon)


def per_image(outcomes: Iterable[Outcomes]) -> list[ImageCount]:
    """Return how many networks of each data set's defenses lose and hold each image in each budget, sorted.

    Undefended networks trained on clean images are left out: no image that they lose says anything of a defense.
    Images come by budget, then by their number in the test split. ArtifactError where two models of a data set
    have another label for one image: then its tests hold different images under one number.
    """
    groups: dict[tuple[str, str, str, float], list[Outcomes]] = defaultdict(list)
    for one in outcomes:
        if one.defense != "undefended" or one.training != "clean":
            for norm, epsilon in worst_case.budgets(one):
                groups[one.study, one.dataset, norm, epsilon].append(one)
    return [count for budget in sorted(groups) for count in _image_counts(budget, groups[budget])]


def _image_counts(budget: tuple[str, str, str, float], networks: Sequence[Outcomes]) -> Iterable[ImageCount]:
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
    columns = (images, labels, lost, held, misclassified, np.where(several, -1, holder))
    for image, label, falls, stands, wrong, alone in zip(*(c.tolist() for c in columns), strict=True):
        yield ImageCount(
            study,
            dataset,
            norm,
            format_number(epsilon),
            image,
            label,
            networks=falls + stands + wrong,
            lost=falls,
            held=stands,
            misclassified=wrong,
            holder=names[alone] if alone >= 0 else "",
        )


def _labels(one: Outcomes, images: Integers) -> Integers:
    return one.labels[np.searchsorted(one.images, images)]
