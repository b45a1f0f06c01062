"""Image files of a user's own, read as uint8, and refused where they are not what the study declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from reproof.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MODES = {1: "L", 3: "RGB"}
"""Channels -> what Pillow calls such images of 8 bits."""
WORDS = {
    "1": "black and white of 1 bit",
    "L": "grey",
    "RGB": "colour",
    "RGBA": "colour with transparency (RGBA)",
    "LA": "grey with transparency",
    "P": "a palette",
    "CMYK": "four printing colours (CMYK)",
    "I": "grey of 32 bits",
    "F": "grey of floats",
}


def read(path: Path, shape: tuple[int, int, int], *, resize: bool) -> npt.NDArray[np.uint8]:
    """Return an image (C, H, W); DataError names the file and what it is instead.

    resize: the shorter side is scaled to fit (bilinear, with antialiasing), and the middle is cut out.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = shape
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    try:
        with Image.open(path) as image:
            if image.mode != MODES[channels]:
                raise DataError(_of_another_kind(path, image.mode, channels))
            if image.size != (width, height):
                if not resize:
                    raise DataError(
                        f"{path}: is {image.size[1]} x {image.size[0]} pixels, and {height} x {width} are declared; "
                        "`resize: true` scales all images and cuts their middle out"
                    )
                pixels = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))
            else:
                pixels = np.asarray(image)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is no image that can be read") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: is a damaged image ({error})") from error
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _of_another_kind(path: Path, mode: str, channels: int) -> str:
    is_words = "grey of 16 bits" if mode.startswith("I;16") else WORDS.get(mode, mode)
    wanted = WORDS[MODES[channels]]
    return f"{path}: is {is_words}, and {wanted} of 8 bits is declared (image_shape); convert it first"
