"""One driver at a time in a study's folder of results, and nothing of one that died.

Snakemake's own locks stay behind when it is killed, and `--unlock` removes those of every study. So a driver holds a
lock of ours that dies with it: on a file in the folder in which it writes, which two checkouts may share, and on one
beside Snakemake's, which stays where somebody removes that folder during a run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from reproof.artifacts import process_lives
from reproof.errors import ArtifactError
from reproof.warm_client import DRIVER

SNAKEMAKE_LOCKS = Path(".snakemake/locks")
LOCK = ".lock"
"""The file in a study's folder of results that its driver locks, with words on who that is."""
LOOK_SECONDS = 1.0
"""How long a driver tries to get a lock before it refuses: one that only looks, as a dry run, has it for a moment."""
PATIENCE_SECONDS = 60.0
"""How long jobs of a dead driver may take to end once they are cancelled."""


@contextlib.contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Hold the folder of results of a study; ArtifactError where a driver that lives holds it."""
    with contextlib.ExitStack() as held:
        for path in _locks(folder):
            file = _locked(path)
            if file is None:
                raise ArtifactError(
                    f"{folder} is in use: another run works there ({_holder(path)}). Wait for it, or stop it (Ctrl-C "
                    "in its terminal), then run the same command again. Nothing needs unlocking."
                )
            held.enter_context(file)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            file.flush()
        yield


def drop_stale_locks(folder: Path) -> None:
    """Remove the locks that a killed Snakemake left on a study's files, unless a driver lives that may hold them."""
    if all(map(_is_free, _locks(folder))):
        drop_locks(folder)


def drop_locks(folder: Path) -> None:
    """Remove Snakemake's locks on a study's files, and no others."""
    for lock in SNAKEMAKE_LOCKS.glob("*.lock"):
        with contextlib.suppress(OSError):
            if any(line.startswith(f"{folder}/") for line in lock.read_text(encoding="utf-8").splitlines()):
                lock.unlink(missing_ok=True)


def _locks(folder: Path) -> tuple[Path, Path]:
    """Return the files that a study's driver locks: this checkout's own first, then that of the folder."""
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return SNAKEMAKE_LOCKS.with_name(f"reproof-{name}.lock"), folder / LOCK


def _holder(lock: Path) -> str:
    """Return who holds a lock, as that one has written into it."""
    with contextlib.suppress(OSError):
        if words := lock.read_text(encoding="utf-8", errors="replace").strip():
            return words
    return "a process of another machine"


def _is_free(lock: Path) -> bool:
    """Say whether nobody holds a lock. Whoever looks writes nothing, and keeps no other one from looking."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # held, or not ours to read
        return False
    return True


def _locked(lock: Path) -> BinaryIO | None:
    """Return the file, locked until it is closed; None where another process has it.

    A file that was removed before it was locked is locked by nobody: the next driver makes another one.
    """
    end = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("ab")
        except OSError as error:
            raise ArtifactError(
                f"{lock.parent}: may not be written ({error.strerror}). "
                "Make it writable, or run in a checkout of your own."
            ) from error
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        file.close()
        if time.monotonic() > end:
            return None
        time.sleep(0.05)


def job_names(folder: Path) -> str:
    """Return what the names of a study's jobs on a cluster begin with: at most 50 letters, digits, `_` and `-`."""
    return "reproof-" + re.sub(r"[^A-Za-z0-9_-]", "-", folder.name)[:40]


def end_orphans() -> None:
    """End processes of a dead driver in this checkout, such as a conda that goes on filling an environment.

    They are told by the driver's number in their environment, and by where they run. Only where there is a /proc.
    """
    begins = f"{DRIVER}={socket.gethostname()}:".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if not (folder / "cwd").resolve(strict=True).is_relative_to(Path.cwd()):
                continue
            words = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile, or somebody else's
            continue
        numbers = [word[len(begins) :] for word in words if word.startswith(begins)]
        if numbers and numbers[0].isdigit() and not process_lives(int(numbers[0])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(folder.name), signal.SIGKILL)


def cancel_orphans(folder: Path, on_slurm: bool) -> None:
    """Cancel the Slurm jobs of a driver that died: one that fails later would delete what this run has made.

    They are told by their name and by the folder in which they run. on_slurm: whether this run is to use Slurm; then
    it is an ArtifactError that Slurm does not answer. So it is where the jobs do not end.
    """
    if not shutil.which("squeue") or not (orphans := _slurm_jobs(folder, on_slurm)):
        return
    print(
        f"reproof: cancels {len(orphans)} Slurm jobs of an earlier run of this study",
        file=sys.stderr,
        flush=True,
    )
    subprocess.run(["scancel", *orphans], check=False, timeout=PATIENCE_SECONDS)
    end = time.monotonic() + PATIENCE_SECONDS
    while orphans := _slurm_jobs(folder, on_slurm):
        if time.monotonic() > end:
            raise ArtifactError(
                f"Slurm jobs of an earlier run of this study do not end: {', '.join(orphans)}. "
                f"Cancel them (scancel {' '.join(orphans)}), then run the same command again."
            )
        time.sleep(1)


def _slurm_jobs(folder: Path, on_slurm: bool) -> list[str]:
    asked = ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%Z|%j"]
    try:
        told = subprocess.run(
            asked, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        if not on_slurm:  # many a machine has the programs and no Slurm behind them
            return []
        raise ArtifactError(
            f"squeue does not say whether jobs of an earlier run of this study still run ({error}). "
            "Run the same command again when Slurm answers."
        ) from error
    rows = (line.split("|", 2) for line in told.splitlines() if line.count("|") >= 2)
    return [
        number
        for number, where, name in rows
        if name.rpartition("_")[0] == job_names(folder) and Path(where).resolve() == Path.cwd().resolve()
    ]
