"""Digests of the user's own files and folders, read once for each state of a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from reproof.errors import StudyError

MEMORY = Path(__file__).parents[1] / "__pycache__" / "own_files.json"
"""What files were found to hold, by place, size and time: a plan is read at every job, and files may be large."""
LARGE = 2**20
"""Bytes from which on reading a file or folder again costs more than remembering it."""
MOST = 5000
"""Files and folders that are remembered."""
_known: dict[str, str] = {}


def of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder.

    StudyError where there is none. Files whose names begin with a dot do not count in a folder.
    """
    try:
        if not path.is_dir():
            return _of_file(path)
        key = _stamp_of_folder(path)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    if (known := _remember(key)) is None:
        total = hashlib.sha256()
        for file in files_in(path):
            total.update(os.fsencode(f"{file.relative_to(path)} {_hash(file)}\n"))
        known = _keep(key, total.hexdigest(), large=True)
    return known


def files_in(folder: Path) -> list[Path]:
    """Return all files in a folder, however deep, sorted; none whose name, or whose folder's, begins with a dot."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _of_file(path: Path) -> str:
    now = path.stat()
    key = f"{path.resolve()} {now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}"
    if (known := _remember(key)) is None:
        known = _keep(key, _hash(path), large=now.st_size >= LARGE)
    return known


def _stamp_of_folder(path: Path) -> str:
    total = hashlib.sha256()
    for file in files_in(path):
        now = file.stat()
        total.update(os.fsencode(f"{file} {now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}\n"))
    return f"{path.resolve()} {total.hexdigest()}"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remember(key: str) -> str | None:
    if not _known:
        with contextlib.suppress(OSError, ValueError, TypeError):
            _known.update(json.loads(MEMORY.read_text(encoding="utf-8")))
    return _known.get(key)


def _keep(key: str, digest: str, *, large: bool) -> str:
    """Note a digest, for later processes too where that saves them something."""
    _known[key] = digest
    if large:
        with contextlib.suppress(OSError):
            MEMORY.parent.mkdir(exist_ok=True)
            temporary = MEMORY.with_name(f"{MEMORY.name}.{os.getpid()}")
            kept = _known if len(_known) < MOST else {key: digest}
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(MEMORY)
    return digest
