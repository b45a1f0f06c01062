"""Arrays of a user's own, .npz, .npy or safetensors: read without executing anything, floats told from levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reproof.data.checks import DARKEST_WHITE
from reproof.data.own_images import Images
from reproof.data.splits import Indices
from reproof.errors import DataError
from reproof.settings.values import format_number

Array = npt.NDArray[Any]
ROUNDING = 1e-6
"""How far a pixel may lie outside its range, as a share of it."""
KINDS = ("U8", "I8", "U16", "I16", "F16", "U32", "I32", "F32", "U64", "I64", "F64", "BOOL")
"""What safetensors calls the types of numbers that NumPy has too."""
STARTS = (b"\x93NUMPY", b"PK", b"\x80")
"""What NumPy's files begin with: .npy, .npz, and a pickle, which is refused in words of its own."""


def read(path: Path, key: str) -> Array:
    """Return one array of a file; DataError says what is wrong with it. key: its name, where the file holds several."""
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path, key)
        with path.open("rb") as file:
            if not file.peek().startswith(STARTS):
                raise DataError(
                    f"{path}: is no file of arrays: NumPy's .npy and .npz and safetensors are read"
                )
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else _one_of(path, found, key)
    except ValueError as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise DataError(
                f"{path}: holds Python objects, and reading them would execute code of the file, which is never done "
                "here; save arrays of numbers"
            ) from error
        raise DataError(f"{path}: cannot be read ({error})") from error
    except DataError:
        raise
    except Exception as error:  # of damaged files NumPy raises nearly everything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: is damaged, or no file of arrays ({reason})") from error


def _one_of(path: Path, found: Mapping[str, Array], key: str) -> Array:
    if key not in found:
        raise _lacking(path, found, key)
    return np.asarray(found[key])


def _lacking(path: Path, found: Iterable[str], key: str) -> DataError:
    return DataError(f"{path}: holds no array {key!r}; there are: {', '.join(sorted(found)) or 'none'}")


def _read_safetensors(path: Path, key: str) -> Array:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            found = list(file.keys())
            if key not in found:
                raise _lacking(path, found, key)
            kind = file.get_slice(key).get_dtype()
            if kind not in KINDS:
                raise DataError(
                    f"{path}: {key} is {kind}, which is no type of NumPy's; save uint8 or float32"
                )
            return np.asarray(file.get_tensor(key))
    except SafetensorError as error:
        raise DataError(f"{path}: is no whole safetensors file ({error})") from error


def levels(
    where: str, found: Array, shape: tuple[int, int, int], said: tuple[float, float] | None = None
) -> tuple[Images, str]:
    """Return images as uint8 (N, C, H, W), and what they were in words.

    Accepted are (N, C, H, W), (N, H, W, C) and, of grey images, (N, H, W), of uint8, of floats in [0, 1], of whole
    numbers in [0, 255] of which one is in the brighter half, or of whatever lies in the range that is said. DataError
    otherwise. where: the file, for messages. said: what black and white are.
    """
    images, axes = _channels_first(where, found, shape)
    if images.dtype == np.uint8 and said is None:
        return np.ascontiguousarray(images), f"{where}: levels from 0 to 255, {axes}"
    if images.dtype.kind not in "fiu":
        raise DataError(f"{where}: images are {images.dtype}, and should be uint8 or floats")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 255.0)
    if not np.isfinite([low, high]).all():
        raise DataError(f"{where}: images hold NaN or infinity")
    black, white = said or _range(where, images, low, high)
    found_levels, moved = to_levels(where, images, (black, white))
    taken = f"[{format_number(black)}, {format_number(white)}]"
    words = f"{where}: {images.dtype} taken as {taken} (largest {high:g}), {axes}"
    if moved > 1e-3:
        words += f"; rounded to 256 levels, by {moved:.2g} of one at most"
    return found_levels, words


def to_levels(where: str, images: Array, said: tuple[float, float]) -> tuple[Images, float]:
    """Return images as levels from black, 0, to white, 255, and how far rounding moved one at most.

    DataError where a pixel lies outside. said: what black and white are.
    """
    black, white = said
    low, high = (float(images.min()), float(images.max())) if images.size else (black, black)
    spare = ROUNDING * (white - black)
    if low < black - spare or high > white + spare:
        raise DataError(
            f"{where}: pixels run from {low:g} to {high:g}, and `range` says that they lie in [{black:g}, {white:g}]"
        )
    exact = (images.astype(np.float64) - black) * (255 / (white - black))
    rounded = exact.round().clip(0, 255)
    return rounded.astype(np.uint8), float(np.abs(exact - rounded).max(initial=0.0))


def _range(where: str, images: Array, low: float, high: float) -> tuple[float, float]:
    """Return what black and white are, where nobody says it and it can be nothing else."""
    if low < 0 or high > 255:
        raise DataError(
            f"{where}: pixels run from {low:g} to {high:g}, and should lie in [0, 1] or in [0, 255]: give the images "
            "as they were before they were normalised, or say in the data set's entry what black and white are, "
            "`range: [BLACK, WHITE]`"
        )
    if images.dtype.kind == "f" and high <= 1 + ROUNDING:
        return 0.0, 1.0
    whole = images.dtype.kind != "f" or bool((images == np.round(images)).all())
    if high > DARKEST_WHITE and whole:
        return 0.0, 255.0
    guess = format_number(np.ceil(high)) if high <= DARKEST_WHITE else "255"
    raise DataError(
        f"{where}: the brightest pixel is {high:g}, which fits neither floats in [0, 1] nor whole levels from 0 to 255;"
        f" say in the data set's entry what black and white are, such as `range: [0, {guess}]`"
    )


def _channels_first(where: str, found: Array, shape: tuple[int, int, int]) -> tuple[Array, str]:
    channels, height, width = shape
    if found.ndim == 4 and found.shape[1:] == shape:
        return found, "(N, C, H, W)"
    if found.ndim == 4 and found.shape[1:] == (height, width, channels):
        return found.transpose(0, 3, 1, 2), "(N, H, W, C)"
    if found.ndim == 3 and channels == 1 and found.shape[1:] == (height, width):
        return found[:, None], "(N, H, W)"
    raise DataError(
        f"{where}: images have the shape {found.shape}; with image_shape {list(shape)} it should be "
        f"(N, {channels}, {height}, {width}) or (N, {height}, {width}, {channels})"
    )


def classes(where: str, found: Array, images: int) -> Indices:
    """Return labels as int64 (N,); DataError where they are no whole numbers, one for each image."""
    if found.dtype.kind not in "iu":
        kind = "text" if found.dtype.kind in "US" else str(found.dtype)
        raise DataError(f"{where}: labels are {kind}, and should be whole numbers from 0 on")
    if found.shape != (images,):
        raise DataError(
            f"{where}: labels have the shape {found.shape}, and there are {images} images: one number each"
        )
    return found.astype(np.int64)
