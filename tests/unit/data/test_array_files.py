"""Arrays of anybody's become levels from 0 to 255: of what range they are is told, or it is surely known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from reproof.data import array_files
from reproof.errors import DataError

PIXELS = np.array([0.0, 0.1, 0.5, 1.0])
LEVELS = [0, 26, 128, 255]  # 25.5 and 127.5 go to the even one


def levels(pixels: npt.NDArray[Any], said: tuple[float, float] | None = None) -> tuple[list[int], str]:
    images, words = array_files.levels("x.npz", pixels.reshape(1, 1, 2, 2), (1, 2, 2), said)
    assert images.dtype == np.uint8
    return images.ravel().tolist(), words


@pytest.mark.parametrize(
    ("pixels", "said", "words"),
    [
        (PIXELS, None, "float64 taken as [0, 1] (largest 1)"),
        (PIXELS.astype(np.float32) * np.float32(1 + 5e-7), None, "float32 taken as [0, 1]"),
        (np.array(LEVELS, dtype=np.uint8), None, "levels from 0 to 255"),
        (np.array(LEVELS), None, "int64 taken as [0, 255]"),
        (np.array(LEVELS, dtype=np.float32), None, "float32 taken as [0, 255]"),
        (PIXELS * 16, (0.0, 16.0), "float64 taken as [0, 16] (largest 16)"),
        (PIXELS * 2 - 1, (-1.0, 1.0), "float64 taken as [-1, 1]"),
        (PIXELS * 255, (0.0, 255.0), "float64 taken as [0, 255]"),
        ((PIXELS * 65535).round().astype(np.uint16), (0.0, 65535.0), "uint16 taken as [0, 65535]"),
    ],
)
def test_the_same_images_are_the_same_levels(
    pixels: npt.NDArray[Any], said: tuple[float, float] | None, words: str
) -> None:
    found, told = levels(pixels, said)
    assert np.abs(np.subtract(found, LEVELS)).max() <= 1
    assert (found[0], found[3]) == (0, 255)
    assert words in told


def test_rounding_is_told() -> None:
    assert "rounded to 256 levels, by 0.5 of one at most" in levels(PIXELS)[1]
    assert "rounded" not in levels(np.array(LEVELS) / 255)[1]


@pytest.mark.parametrize(("brightest", "guess"), [(1.001, 2), (2, 2), (16, 16), (99.5, 100), (127, 127), (127.5, 255), (254.9, 255)])  # fmt: skip
def test_what_may_be_either_is_refused_with_the_setting_to_give(brightest: float, guess: int) -> None:
    with pytest.raises(DataError, match=rf"brightest pixel is {brightest:g}, .*`range: \[0, {guess}\]`"):
        levels(PIXELS * brightest)


def test_dark_levels_of_a_known_range_stay_dark() -> None:
    assert levels(np.array([0, 1, 2, 3], dtype=np.uint8), (0, 255))[0] == [0, 1, 2, 3]
    assert levels(PIXELS / 10, (0, 1))[0][3] == 26
