"""Objects of photographs, found in XML annotations and cut out along their boxes.

Imports no torch: these functions run in processes that start often. Each result is kept in a folder, with what
it was made from, so that work that was interrupted goes on; a result that is damaged or older than its source is
made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image

from reproof import artifacts
from reproof.errors import DataError

Box = tuple[int, int, int, int]
"""First and last column and row (xmin, ymin, xmax, ymax), counted from 0; the last ones belong to the box."""

BROKEN_ANNOTATION = "broken annotations"
NO_BOX = "objects without a box"
EMPTY_BOX = "empty boxes"
MISSING_IMAGE = "objects whose image is missing"
BROKEN_IMAGE = "objects whose image is broken"
OUTSIDE = "boxes outside the image"
SMALL = "boxes that are too small"
CUT = "boxes cut at the image's edge"
WRONG_SIZE = "objects whose annotation gives the image a wrong size"

_LARGEST_ANNOTATION = 1 << 24
_LARGEST_FILE = 1 << 28
_LARGEST_IMAGE = 1 << 26
"""Bytes of an annotation and of an image file, and pixels of an image; what is larger counts as broken."""


def names(folder: Path) -> Iterator[str]:
    """Yield every `*.xml` under a folder as a relative path without its ending, always in the same order."""
    todo = [""]
    while todo:
        inner = todo.pop()
        try:
            with os.scandir(folder / inner) as entries:
                found = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as error:
            raise DataError(
                f"{folder / inner} cannot be read ({error.strerror}). Make it readable."
            ) from error
        for name, is_folder in found:
            if not is_folder and name.endswith(".xml"):
                yield f"{inner}{name[:-4]}"
        todo += [f"{inner}{name}/" for name, is_folder in reversed(found) if is_folder]


def _read(path: Path, largest: int) -> bytes | None:
    """Return a file's bytes; None when it is missing or too large. DataError when the disk or a right fails."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). It is not a matter of the file's content: make it "
            "readable, or check the disk, and run the same command again"
        ) from error
    return data if len(data) <= largest else None


def _fingerprint(paths: list[Path]) -> str:
    """Return a digest of files' sizes and times: another one says that something was changed."""
    total = hashlib.sha256()
    for path in paths:
        try:
            stat = path.stat()
            total.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
        except OSError:
            total.update(b"-\n")
    return total.hexdigest()


def key(*facts: object) -> str:
    """Return a name for facts that JSON can hold: another one for other facts."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _keep(path: Path, value: dict[str, Any]) -> None:
    """Write JSON below its own digest."""
    text = json.dumps(value)
    artifacts.write_text(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def _kept(path: Path) -> dict[str, Any] | None:
    """Return what was kept; None when there is nothing, or nothing whole."""
    with contextlib.suppress(OSError, ValueError):
        digest, _, text = path.read_text(encoding="utf-8").partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() == digest:
            found: dict[str, Any] = json.loads(text)
            return found
    return None


# Annotations.


@dataclass(frozen=True)
class AnnotationTask:
    """Some annotations to read, and the folder where the result is kept."""

    annotations: Path
    names: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Annotated:
    """The objects of an AnnotationTask, in order; names and boxes stay in the file `kept`."""

    kept: Path
    files: int
    classes: list[str]
    sides: list[int]
    """The shorter side of each object's box."""
    faults: dict[str, int]


@dataclass(frozen=True)
class Wanted:
    """An object to cut out."""

    name: str
    box: Box
    declared: tuple[int, int] | None
    """Width and height of its image, as the annotation says."""


def read_annotations(task: AnnotationTask) -> Annotated:
    """Return the objects of a task's annotations; faults are counted, none is fatal."""
    paths = [task.annotations / f"{name}.xml" for name in task.names]
    kept = task.folder / f"{key(task.names)}.json"
    seen = _fingerprint(paths)
    found = _kept(kept)
    if found is None or found["seen"] != seen:
        faults: Counter[str] = Counter()
        objects: list[tuple[int, str, Box]] = []
        sizes: list[tuple[int, int] | None] = []
        for index, path in enumerate(paths):
            size = None
            try:
                listed, size = parse(_read(path, _LARGEST_ANNOTATION))
            except ValueError:
                faults[BROKEN_ANNOTATION] += 1
                listed = []
            sizes.append(size)
            for name, box in listed:
                if box is None:
                    faults[NO_BOX] += 1
                elif box[2] < box[0] or box[3] < box[1]:
                    faults[EMPTY_BOX] += 1
                else:
                    objects.append((index, name, box))
        found = {
            "seen": seen,
            "names": task.names,
            "sizes": sizes,
            "objects": objects,
            "faults": dict(faults),
        }
        _keep(kept, found)
    return Annotated(
        kept=kept,
        files=len(paths),
        classes=[name for _, name, _ in found["objects"]],
        sides=[min(box[2] - box[0], box[3] - box[1]) + 1 for _, _, box in found["objects"]],
        faults=found["faults"],
    )


def parse(data: bytes | None) -> tuple[list[tuple[str, Box | None]], tuple[int, int] | None]:
    """Return an annotation's objects (class, box) and the image's size that it gives; ValueError when broken."""
    if data is None or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: an encoding that is not known
        raise ValueError from error
    if root.tag != "annotation":
        raise ValueError
    objects = []
    for node in root.iterfind("object"):
        box = _numbers(node.find("bndbox"), "xmin", "ymin", "xmax", "ymax")
        name = (node.findtext("name") or "").strip()
        objects.append((name, None if box is None else (box[0], box[1], box[2], box[3])))
    size = _numbers(root.find("size"), "width", "height")
    return objects, None if size is None else (size[0], size[1])


def _numbers(node: ElementTree.Element | None, *tags: str) -> list[int] | None:
    """Return the whole numbers below a node; None when one of them is missing or is none."""
    if node is None:
        return None
    found = []
    for tag in tags:
        try:
            number = float(node.findtext(tag) or "")
        except ValueError:
            return None
        if not math.isfinite(number) or abs(number) >= 1 << 31:
            return None
        found.append(round(number))
    return found


def look_up(kept: Path, rows: list[int]) -> list[Wanted]:
    """Return objects of an Annotated by their places in it."""
    found = _kept(kept)
    if found is None:
        raise DataError(f"{kept} was changed while it was in use. Run the same command again")
    result = []
    for row in rows:
        index, _, (left, top, right, bottom) = found["objects"][row]
        size = found["sizes"][index]
        declared = None if size is None else (size[0], size[1])
        result.append(Wanted(found["names"][index], (left, top, right, bottom), declared))
    return result


# Images.


@dataclass(frozen=True)
class CropTask:
    """Some objects to cut out, and the folder where the result is kept."""

    images: Path
    wanted: tuple[Wanted, ...]
    size: int
    resize: str
    smallest: int
    folder: Path


@dataclass(frozen=True)
class Crop:
    """What became of an object: a row of pixels in a file, or a fault."""

    fault: str | None
    row: int = -1
    photograph: str = ""
    """A digest of the image file's bytes: two copies of a photograph are one."""
    sums: tuple[int, ...] = ()
    """Of each channel's levels."""
    squares: tuple[int, ...] = ()
    """Of each channel's squared levels."""
    marks: tuple[str, ...] = ()
    """What was wrong with an object that is used nevertheless: CUT, WRONG_SIZE."""


@dataclass(frozen=True)
class Crops:
    """What became of a CropTask's objects, in order; `pixels` holds uint8 rows of (3, size, size)."""

    pixels: Path
    crops: list[Crop]


def crop(task: CropTask) -> Crops:
    """Cut a task's objects out of their images; faults are told, none is fatal."""
    own = key([(wanted.name, wanted.box, wanted.declared) for wanted in task.wanted])
    kept, pixels = task.folder / f"{own}.json", task.folder / f"{own}.pixels"
    seen = _fingerprint([_image_path(task.images, wanted.name) for wanted in task.wanted])
    found = _kept(kept)
    if found is not None and found["seen"] == seen and found["sha256"] == _sha256(pixels):
        return Crops(pixels, [_crop_of(facts) for facts in found["crops"]])
    rows: list[npt.NDArray[np.uint8]] = []
    crops = []
    photographs = _Photographs(task.images)
    for wanted in task.wanted:
        opened = photographs.open(wanted.name)
        if isinstance(opened, str):
            crops.append(Crop(opened))
            continue
        image, photograph = opened
        marks = (WRONG_SIZE,) if wanted.declared not in (None, image.size) else ()
        box = inside(wanted.box, *image.size)
        if box is None:
            crops.append(Crop(OUTSIDE, marks=marks))
            continue
        if min(box[2] - box[0], box[3] - box[1]) + 1 < task.smallest:
            crops.append(Crop(SMALL, marks=marks))
            continue
        if box != wanted.box:
            marks = (*marks, CUT)
        row = cut(image, box, task.size, task.resize)
        levels = row.reshape(3, -1).astype(np.int64)
        sums, squares = levels.sum(axis=1).tolist(), (levels * levels).sum(axis=1).tolist()
        crops.append(Crop(None, len(rows), photograph, tuple(sums), tuple(squares), marks))
        rows.append(row)
    with artifacts.writing(pixels) as temporary:
        with temporary.open("wb") as file:
            for row in rows:
                file.write(row.tobytes())
        digest = _sha256(temporary)
    _keep(kept, {"seen": seen, "sha256": digest, "crops": [vars(made) for made in crops]})
    return Crops(pixels, crops)


def _crop_of(facts: dict[str, Any]) -> Crop:
    return Crop(
        fault=facts["fault"],
        row=facts["row"],
        photograph=facts["photograph"],
        sums=tuple(facts["sums"]),
        squares=tuple(facts["squares"]),
        marks=tuple(facts["marks"]),
    )


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _image_path(images: Path, name: str) -> Path:
    return images / f"{name}.JPEG"


_BROKEN_BYTES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's readers of JPEG and PNG raise at broken bytes."""


class _Photographs:
    """Images by name; the last one stays open, because objects of one image come one after the other."""

    def __init__(self, images: Path):
        self.images = images
        self._name: str | None = None
        self._opened: tuple[Image.Image, str] | str = ""

    def open(self, name: str) -> tuple[Image.Image, str] | str:
        """Return the image and a digest of its file, or the fault that it has."""
        if name != self._name:
            self._opened = ""  # the last image goes before the next one comes
            self._name, self._opened = name, self._decode(_image_path(self.images, name))
        return self._opened

    def _decode(self, path: Path) -> tuple[Image.Image, str] | str:
        data = _read(path, _LARGEST_FILE)
        if data is None:
            return BROKEN_IMAGE if path.is_file() else MISSING_IMAGE
        try:
            return decode(data), hashlib.sha256(data).hexdigest()[:32]
        except _BROKEN_BYTES:
            return BROKEN_IMAGE


def decode(data: bytes) -> Image.Image:
    """Return an image in RGB, as stored: a camera's note about its orientation is not followed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        if image.width * image.height > _LARGEST_IMAGE:
            raise ValueError
        image.load()
        return image.convert("RGB")


def inside(box: Box, width: int, height: int) -> Box | None:
    """Return the part of a box that lies in the image; None when there is none."""
    left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], width - 1), min(box[3], height - 1)
    return (left, top, right, bottom) if left <= right and top <= bottom else None


def cut(image: Image.Image, box: Box, size: int, resize: str) -> npt.NDArray[np.uint8]:
    """Return what a box holds, stretched to (3, size, size); pixels outside of the box have no part in it."""
    left, top, right, bottom = box
    found = image.crop((left, top, right + 1, bottom + 1))
    scaled = found.resize((size, size), Image.Resampling[resize.upper()])
    return np.ascontiguousarray(np.asarray(scaled, dtype=np.uint8).transpose(2, 0, 1))
