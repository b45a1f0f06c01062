"""Mean and spread of uint8 images from counts of their 256 levels: exact, whatever the order and the number."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from reproof.data.splits import Indices

_AT_ONCE = 200


def count_levels(images: npt.NDArray[np.uint8], chosen: Indices) -> npt.NDArray[np.int64]:
    """Return how often each level stands in each channel of the chosen images: (C, 256). images: (N, C, H, W)."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(chosen), _AT_ONCE):
        batch = images[chosen[start : start + _AT_ONCE]]
        for channel in range(len(counts)):
            counts[channel] += np.bincount(batch[:, channel].ravel(), minlength=256)
    return counts


def mean_and_std(counts: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each channel's mean and standard deviation in [0, 1], rounded once at the end. counts: (C, 256)."""
    means, deviations = [], []
    for channel in counts.tolist():
        total = sum(channel)
        first = sum(level * count for level, count in enumerate(channel))
        second = sum(level * level * count for level, count in enumerate(channel))
        means.append(first / (255 * total))
        deviations.append(math.sqrt((total * second - first * first) / (255 * total) ** 2))
    return tuple(means), tuple(deviations)
