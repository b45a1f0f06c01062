"""Data sets that torchvision knows: files checked before anything reads them, fetched where they are missing.

Files lie under `data_root` in torchvision's layout. A file with a wrong md5 stops the run before any file is
parsed. When all are right nothing is written there; missing ones are downloaded by torchvision into a folder
beside, checked, and moved into place one by one. Torchvision then reads a folder of links to checked files: it
sees nothing else, neither what it would unpickle unchecked nor copies left by older versions of itself.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from reproof import artifacts
from reproof.data import splits, statistics
from reproof.data.dataset import DataDescription, Dataset
from reproof.errors import DataError
from reproof.settings.dataset import PublishedDatasetSettings

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")
Images = npt.NDArray[np.uint8]

STALLED_SECONDS = 60
"""A download that brings nothing for so long has failed."""


@dataclass(frozen=True)
class File:
    """A file that torchvision reads."""

    path: str
    """Place under data_root."""
    md5: str
    part: Part
    """The part of the data set with which torchvision fetches it."""
    packed_md5: str | None = None
    """The md5 of `path`.gz, which will do instead; None where there is no such file."""


Batches = Iterator[tuple[Images, splits.Indices]]


@dataclass(frozen=True)
class Download:
    """How torchvision fetches and reads a data set."""

    title: str
    files: tuple[File, ...]
    addresses: tuple[str, ...]
    """Where a person can fetch them."""
    fetch: Callable[[Path, Part], object]
    """Download what a part needs into a folder."""
    read: Callable[[Path, Part], Batches]
    """From a folder, yield a part's images (N, C, H, W) and labels, one file at a time."""


def idx_download(reader: Any, unpacked_md5s: dict[str, str]) -> Download:
    """Return the download of MNIST or a set in its format. reader: torchvision's class, which checks only the .gz."""
    packed = {name.removesuffix(".gz"): md5 for name, md5 in reader.resources}

    def read(folder: Path, part: Part) -> Batches:
        raw = reader(folder, train=part == "train")
        yield raw.data.numpy()[:, None], raw.targets.numpy()

    return Download(
        title=reader.__name__,
        files=tuple(
            File(f"{reader.__name__}/raw/{name}", md5, "train" if "train" in name else "test", packed[name])
            for name, md5 in unpacked_md5s.items()
        ),
        addresses=tuple(f"{reader.mirrors[0]}{name}" for name, _ in reader.resources),
        fetch=lambda folder, part: reader(folder, train=part == "train", download=True),
        read=read,
    )


def cifar_download(reader: Any) -> Download:
    """Return the download of CIFAR-10 or CIFAR-100. reader: torchvision's class, which would hold all files twice."""
    listed = {"train": reader.train_list, "test": reader.test_list}
    meta = [reader.meta["filename"], reader.meta["md5"]]

    def read(folder: Path, part: Part) -> Batches:
        for file in listed[part]:
            single = type(reader.__name__, (reader,), {"train_list": [file], "test_list": []})
            raw = single(folder, train=True)
            yield raw.data.transpose(0, 3, 1, 2), np.array(raw.targets, dtype=np.int64)

    return Download(
        title=reader.__name__,
        files=tuple(
            File(f"{reader.base_folder}/{name}", md5, part)
            for part in PARTS
            for name, md5 in (*listed[part], *([meta] if part == "test" else []))
        ),
        addresses=(reader.url,),
        fetch=lambda folder, part: reader(folder, train=part == "train", download=True),
        read=read,
    )


def prepare(settings: PublishedDatasetSettings, root: Path, download: Download) -> Dataset:
    """Return the data set with its splits; only images that a split uses are kept, in the files' order.

    DataError when files are missing and cannot be fetched, or are not what they should be.
    """
    sizes, border = settings.sizes(), settings.train_available
    images = np.empty((border + settings.test_available, *settings.shape), dtype=np.uint8)
    with _checked(download, root.expanduser().absolute()) as folder:
        of_training = _read(download, folder, "train", settings, images[:border])
        of_test = _read(download, folder, "test", settings, images[border:])
    labels = np.concatenate([of_training, of_test])
    training, testing = (np.random.default_rng([settings.split_seed, part]) for part in range(len(PARTS)))
    validation, train = splits.carve(of_training, (sizes["validation"],), training)
    train = train[: sizes["train"]]
    test = border + splits.order(of_test, testing)[: sizes["test"]]
    used = np.sort(np.concatenate([train, validation, test]))
    if len(used) < len(images):
        images, labels = images[used], labels[used]
    train, validation, test = (np.searchsorted(used, split) for split in (train, validation, test))
    mean, std = statistics.mean_and_std(statistics.count_levels(images, train))
    channels, height, width = settings.shape
    return Dataset(
        name=settings.key,
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        splits={
            "train": torch.from_numpy(train),
            "validation": torch.from_numpy(validation),
            "test": torch.from_numpy(test),
        },
        description=DataDescription(
            channels=channels,
            height=height,
            width=width,
            classes=len(settings.class_names),
            mean=mean,
            std=std,
        ),
    )


def _read(
    download: Download, folder: Path, part: Part, settings: PublishedDatasetSettings, into: Images
) -> splits.Indices:
    """Copy a part's images into an array of their number and return their labels."""
    found, count = [], 0
    for images, labels in download.read(folder, part):
        into[count : count + len(images)] = images[: len(into) - count]
        count += len(images)
        found.append(labels)
    files = ", ".join(file.path for file in download.files if file.part == part)
    again = f"Delete {files} and run the same command again to fetch them anew."
    if count != len(into):
        raise DataError(
            f"{download.title}: the {part} part has {count} images instead of {len(into)}. {again}"
        )
    together = np.concatenate(found)
    counts = np.bincount(together, minlength=len(settings.class_names))
    if len(counts) > len(settings.class_names):
        raise DataError(f"{download.title}: the {part} part has labels up to {len(counts) - 1}. {again}")
    if not counts.all():
        empty = ", ".join(settings.class_names[label] for label in np.flatnonzero(counts == 0))
        raise DataError(f"{download.title}: the {part} part has no image of class {empty}. {again}")
    return together


# Files: checked, fetched, linked.


@contextlib.contextmanager
def _checked(download: Download, root: Path) -> Iterator[Path]:
    """Yield a folder in torchvision's layout that holds checked files and nothing else."""
    found = _find(download, root)
    if len(found) < len(download.files):
        _fetch(download, root, [file for file in download.files if file not in found])
        found = _find(download, root)
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reproof-")))
            for file, path in found.items():
                target = folder / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                if path.name == target.name:
                    target.symlink_to(path)
                else:
                    _unpack(path, target, file.md5)
        except OSError as error:
            where = "the folder for temporary files (TMPDIR)"
            raise DataError(f"{download.title}: {_explain(where, error) or error}") from error
        yield folder


def _find(download: Download, root: Path) -> dict[File, Path]:
    """Return where each file is that is there, checked; DataError names those with a wrong md5."""
    found: dict[File, Path] = {}
    wrong = []
    for file in download.files:
        candidates = [(root / file.path, file.md5)]
        if file.packed_md5 is not None:
            candidates.append((root / f"{file.path}.gz", file.packed_md5))
        for path, expected in candidates:
            md5 = _md5(path)
            if md5 is None:
                continue
            found[file] = path
            if md5 != expected:
                wrong.append(f"{path} has md5 {md5} instead of {expected}")
            break
    if wrong:
        raise DataError(
            f"{download.title}: {'; '.join(wrong)}: damaged, cut short or another file. Nothing was read. Delete it "
            "and run the same command again to download it, or put the right file there."
        )
    return found


def _md5(path: Path) -> str | None:
    """Return a file's md5; None where there is no such file. DataError when it may not or cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}). Make it a readable file and run again."
        ) from error


def _unpack(packed: Path, target: Path, md5: str) -> None:
    with gzip.open(packed) as source, target.open("wb") as unpacked:
        shutil.copyfileobj(source, unpacked)
    if _md5(target) != md5:
        raise DataError(f"{packed} does not unpack to the file with md5 {md5}. Delete it and fetch it again.")


def _fetch(download: Download, root: Path, missing: Sequence[File]) -> None:
    """Download missing files and move into place what arrived whole; DataError when some did not."""
    beside = root / f".fetching-{os.getpid()}-{socket.gethostname()}"
    failure: Exception | None = None
    left = list(missing)
    try:
        try:
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root)
            beside.mkdir()
            with _patience():
                for part in dict.fromkeys(file.part for file in missing):
                    download.fetch(beside, part)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            failure = error
        for file in missing:
            if _settle(beside / file.path, root / file.path, file.md5):
                left.remove(file)
    except OSError as error:
        failure = error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if left:
        raise DataError(_instruct(download, root, left, failure)) from failure


def _settle(arrived: Path, place: Path, md5: str) -> bool:
    """Move a downloaded file into place if it is whole; say whether it was."""
    if _md5(arrived) != md5:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    with arrived.open("rb") as file:
        os.fsync(file.fileno())
    arrived.replace(place)
    return True


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Let a connection that brings nothing fail, instead of waiting for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _sweep(root: Path) -> None:
    """Remove what downloads left behind that were killed on this machine."""
    leftover = re.compile(rf"\.fetching-(\d+)-{re.escape(socket.gethostname())}")
    for entry in root.iterdir():
        match = leftover.fullmatch(entry.name)
        if match and (int(match[1]) == os.getpid() or not artifacts.process_lives(int(match[1]))):
            shutil.rmtree(entry, ignore_errors=True)


def _instruct(download: Download, root: Path, left: Sequence[File], failure: Exception | None) -> str:
    cause = _explain(root, failure) if isinstance(failure, OSError) else None
    if cause is None and failure is not None:
        said = " ".join(str(failure).split()).rstrip(".")
        cause = f"They could not be downloaded: {said or type(failure).__name__}."
    listed = "".join(f"\n  {file.path}  (md5 {file.md5})" for file in left)
    return (
        f"{download.title}: files are missing under {root} (data_root). "
        f"{cause or 'What was downloaded is not whole, or not the right files.'} Run the same command again, "
        f"or put them there by hand, unpacked, from {' '.join(download.addresses)}:{listed}"
    )


def _explain(folder: Path | str, error: OSError) -> str | None:
    """Return what is wrong with a folder and how to mend it; None when the error is about something else."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"No room is left on the disk of {folder}: free some space."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{folder} may not be written ({error.strerror}): make it writable."
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return f"A file stands where the folder {folder} should be, or the reverse: move it away."
    return None
