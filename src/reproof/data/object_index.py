"""All objects that a tree of annotations names, by number: their classes in memory, the rest in kept files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from reproof.data import object_crops
from reproof.data.progress import bar
from reproof.data.splits import Indices
from reproof.data.workers import Workers
from reproof.errors import DataError

UNKNOWN_CLASS = "objects of unknown classes"

ANNOTATIONS_AT_ONCE = 1000
"""Files that a worker reads before it hands on what it found."""


@dataclass(frozen=True)
class ObjectIndex:
    """The objects by number, in the order of the annotations."""

    wnids: list[str]
    """WordNet numbers of the classes that were found."""
    codes: Indices
    """Of each object: its class's place in wnids, or -1 when it cannot be used."""
    kept: list[Path]
    ends: Indices
    """How many objects there are up to the end of each kept file."""
    annotations: int

    def wanted(self, numbers: list[int]) -> Iterator[object_crops.Wanted]:
        """Yield what is known of the objects of these numbers, which rise."""
        files = np.searchsorted(self.ends, np.array(numbers, dtype=np.int64), side="right").tolist()
        position = 0
        while position < len(numbers):
            file = files[position]
            start = int(self.ends[file - 1]) if file else 0
            rows = []
            while position < len(numbers) and files[position] == file:
                rows.append(numbers[position] - start)
                position += 1
            yield from object_crops.look_up(self.kept[file], rows)


def scan(
    workers: Workers,
    annotations: Path,
    folder: Path,
    smallest: int,
    known: Callable[[str], bool],
    faults: Counter[str],
) -> ObjectIndex:
    """Read all annotations; count what cannot be used.

    folder: keeps what was read. smallest: shortest side in pixels of a box that is used. known: whether a WordNet
    number is one of the archive's classes.
    """
    codes: dict[str, int] = {}
    kept, counts, found = [], [], [np.empty(0, dtype=np.int32)]
    files = 0
    with bar("annotations") as shown:
        for read in workers.spread(object_crops.read_annotations, _tasks(annotations, folder)):
            mine = []
            for wnid, side in zip(read.classes, read.sides, strict=True):
                if not known(wnid):
                    faults[UNKNOWN_CLASS] += 1
                    mine.append(-1)
                elif side < smallest:
                    faults[object_crops.SMALL] += 1
                    mine.append(-1)
                else:
                    mine.append(codes.setdefault(wnid, len(codes)))
            faults.update(read.faults)
            kept.append(read.kept)
            counts.append(len(mine))
            found.append(np.array(mine, dtype=np.int32))
            files += read.files
            shown.update(read.files)
    if not files:
        raise DataError(
            f"{annotations} holds no *.xml. Unpack ILSVRC2017_DET.tar.gz again, and run the same command"
        )
    return ObjectIndex(list(codes), np.concatenate(found), kept, np.cumsum(counts, dtype=np.int64), files)


def _tasks(annotations: Path, folder: Path) -> Iterator[object_crops.AnnotationTask]:
    names = object_crops.names(annotations)
    while chosen := tuple(islice(names, ANNOTATIONS_AT_ONCE)):
        yield object_crops.AnnotationTask(annotations, chosen, folder)
