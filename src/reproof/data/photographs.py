"""Splits that keep all objects of a photograph together and have the same number of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reproof.data.splits import Indices


def divide(
    labels: Indices, photographs: Indices, sizes: Sequence[int], generator: np.random.Generator
) -> Indices:
    """Return the part of each object: sizes[p] objects of each class in part p, a photograph all in one part.

    labels: from 0 on, sum(sizes) of each. -1 stands for the objects of photographs that fit nowhere any more.
    Photographs with many objects come first, at random among equals, each into the part that is farthest from
    full; those with one object fill up what is left.
    """
    wanted = np.array(sizes, dtype=np.int64)
    free = np.repeat(wanted[:, None], int(labels.max()) + 1, axis=1)
    parts = np.full(len(labels), -1, dtype=np.int64)
    _, groups, counts = np.unique(photographs, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(counts)[:-1])
    for group in np.lexsort((generator.permutation(len(counts)), -counts)).tolist():
        if counts[group] == 1:
            classes, objects = labels[members[group]], counts[group : group + 1]
            part = int(np.argmax(free[:, classes[0]] > 0))
        else:
            classes, objects = np.unique(labels[members[group]], return_counts=True)
            left = (free[:, classes] - objects) / wanted[:, None]
            part = int(np.argmax(left.min(axis=1)))
        if (free[part, classes] >= objects).all():
            free[part, classes] -= objects
            parts[members[group]] = part
    return parts
