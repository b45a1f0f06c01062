"""Fixed splits: stratified by class, from a seed, nested (the first 100 are among the first 200)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reproof.errors import DataError

Indices = npt.NDArray[np.int64]


def order(labels: Indices, generator: np.random.Generator) -> Indices:
    """Return a random permutation of range(len(labels)) each of whose prefixes is stratified.

    The count of every class in every prefix differs from its proportional share by at most 1 - 1 / (2 K - 2),
    for K classes: Tijdeman 1980, "The chairman assignment problem", the best bound there is. Images within a
    class come in random order; classes that are equally due come in an order drawn once.
    """
    present = generator.permutation(np.unique(labels))
    queues = [generator.permutation(np.flatnonzero(labels == label)) for label in present]
    sizes = np.array([len(queue) for queue in queues], dtype=np.int64)
    total, classes = len(labels), len(present)
    slack = 2 * classes - 2
    taken = np.zeros(classes, dtype=np.int64)
    result = np.empty(total, dtype=np.int64)
    for position in range(total):
        due = (position + 1) * sizes - taken * total
        eligible = due * slack >= total if slack else due > 0
        urgency = np.where(eligible, (total - total / max(slack, 1) - due) / sizes, np.inf)
        chosen = int(np.argmin(urgency))
        result[position] = queues[chosen][taken[chosen]]
        taken[chosen] += 1
    return result


def carve(labels: Indices, sizes: tuple[int, ...], generator: np.random.Generator) -> tuple[Indices, ...]:
    """Return disjoint parts of range(len(labels)) of the given sizes, then what is left, each in `order`.

    The first part is nested: from the same seed a smaller one is the beginning of a larger one. DataError
    when a size is not positive or nothing would be left.
    """
    if min(sizes, default=1) < 1 or sum(sizes) >= len(labels):
        parts = " + ".join(str(size) for size in sizes)
        raise DataError(f"cannot set {parts} images aside out of {len(labels)} and keep some to train on")
    rest = np.arange(len(labels), dtype=np.int64)
    result = []
    for size in sizes:
        rest = rest[order(labels[rest], generator)]
        result.append(rest[:size])
        rest = rest[size:]
    return (*result, rest[order(labels[rest], generator)])
