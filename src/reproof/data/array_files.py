"""Arrays of a user's own, .npz, .npy or safetensors: read without executing anything, floats told from levels."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reproof.data.own_images import Images
from reproof.data.splits import Indices
from reproof.errors import DataError

Array = npt.NDArray[Any]


def read(path: Path, key: str) -> Array:
    """Return one array of a file; DataError says what is wrong with it. key: its name, where the file holds several."""
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    try:
        if path.suffix == ".safetensors":
            return _one_of(path, _read_safetensors(path), key)
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else _one_of(path, found, key)
    except ValueError as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise DataError(
                f"{path}: holds Python objects, and reading them would execute code of the file, which is never done "
                "here; save arrays of numbers"
            ) from error
        raise DataError(f"{path}: cannot be read ({error})") from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is damaged, or no file of arrays ({error})") from error


def _one_of(path: Path, found: Mapping[str, Array], key: str) -> Array:
    if key not in found:
        raise DataError(f"{path}: holds no array {key!r}; there are: {', '.join(sorted(found)) or 'none'}")
    return np.asarray(found[key])


def _read_safetensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path}: is no whole safetensors file ({error})") from error


def levels(where: str, found: Array, shape: tuple[int, int, int]) -> tuple[Images, str]:
    """Return images as uint8 (N, C, H, W), and what they were in words.

    Accepted are (N, C, H, W), (N, H, W, C) and, of grey images, (N, H, W), of uint8, of floats in [0, 1], or of floats
    or whole numbers in [0, 255]. DataError otherwise. where: the file, for messages.
    """
    images, axes = _channels_first(where, found, shape)
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images), f"{where}: levels from 0 to 255, {axes}"
    if images.dtype.kind not in "fiu":
        raise DataError(f"{where}: images are {images.dtype}, and should be uint8 or floats")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not np.isfinite([low, high]).all():
        raise DataError(f"{where}: images hold NaN or infinity")
    if low < 0 or high > 255:
        raise DataError(
            f"{where}: pixels run from {low:g} to {high:g}, and should lie in [0, 1] or in [0, 255]: give the images "
            "as they were before they were normalised"
        )
    unit = images.dtype.kind == "f" and high <= 1
    exact = images.astype(np.float64) * (255 if unit else 1)
    rounded = exact.round()
    moved = float(np.abs(exact - rounded).max(initial=0.0))
    words = f"{where}: {images.dtype} taken as {'[0, 1]' if unit else '[0, 255]'} (largest {high:g}), {axes}"
    if moved > 1e-3:
        words += f"; rounded to 256 levels, by {moved:.2g} of one at most"
    return rounded.astype(np.uint8), words


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
