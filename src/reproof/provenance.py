"""record.json beside each artifact: the job, its code, its inputs, the machine, and the files' hashes."""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reproof import artifacts

ROOT = Path(__file__).parents[2]
"""The checkout that this code belongs to."""
_PACKAGES = (
    "torch",
    "foolbox",
    "pyautoattack",
    "numpy",
    "scikit-learn",
    "safetensors",
    "pyarrow",
    "pandas",
    "matplotlib",
    "snakemake",
)
_ARCHIVED = "src/reproof/archived_commit.txt"
"""`git archive` writes the commit into it (.gitattributes)."""
_CODE = (
    *("src", "workflow", "Snakefile", "config.yaml", "studies", "requirements.lock"),
    *("environment.yml", "environment-cpu.yml"),
)


@dataclass(frozen=True)
class Code:
    """Which code ran."""

    commit: str
    """`unknown` where nothing tells."""
    dirty: bool | None
    """Whether code or studies had local changes; None where nobody can tell."""
    why: str = ""
    """Why something of it is not known."""


@functools.cache
def code(root: Path) -> Code:
    """Return the checkout's commit and whether its code or studies had local changes.

    Of an unpacked archive the commit is what `git archive` wrote into it. A repository around it is another one's.
    """
    archived = (root / _ARCHIVED).read_text(encoding="utf-8").strip() if (root / _ARCHIVED).is_file() else ""
    if re.fullmatch("[0-9a-f]{40}", archived):
        return Code(archived, None, "an unpacked archive: nothing tells whether it was changed")
    if not (root / ".git").exists():
        return Code("unknown", None, "neither a Git checkout nor what `git archive` made")
    try:
        head = _git(root, "rev-parse", "HEAD")
        return Code(head, bool(_git(root, "status", "--porcelain", "--", *_CODE)))
    except FileNotFoundError:
        return Code("unknown", None, "git is not installed")
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines() or ["git failed"]
        return Code("unknown", None, said[0].removeprefix("fatal: "))


def _git(root: Path, *arguments: str) -> str:
    """Return what git says of a checkout, wherever the user's own variables point it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _portable(path: str) -> str:
    """Return a path relative to the working directory where it lies inside."""
    found = Path(path)
    return str(found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found)


def processor() -> str:
    """Return the processor's name in words."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@dataclass
class Run:
    """One job under way: what it has read and written, and the record that will say so."""

    job: Mapping[str, Any]
    """rule, seed, command, digest and the slice of the study (see plan.job.Job.description)."""
    threads: int = 1
    device: str = ""
    device_facts: Callable[[], dict[str, Any]] = dict
    """What else is to be said of the device when the job ends."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts about the run that tables do not hold but the page may show."""
    inputs: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    left_behind: list[Path] = field(default_factory=list)

    def read(self, path: Path) -> Path:
        """Verify an input against its record, note its hash, and return its path."""
        self.inputs[str(path)] = artifacts.verify(path)
        return path

    def wrote(self, path: Path) -> Path:
        """Note an output, for its hash to go into the record."""
        self.files.append(path)
        return path

    def leaves_behind(self, path: Path) -> Path:
        """Note a checkpoint, file or folder, which goes when all is done but the record, and return its path."""
        self.left_behind.append(path)
        return path


@contextlib.contextmanager
def recording(record: Path, job: Mapping[str, Any], threads: int = 1) -> Iterator[Run]:
    """Yield a Run; when the block ends well, write its record last, so that no record means not finished.

    The peak memory is that of the process, and so, in a fork of the warm process, with the pages that both share.
    """
    run = Run(job=job, threads=threads)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    yield run
    found = code(ROOT)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    told = {
        **job,
        "commit": found.commit,
        "dirty": found.dirty,
        **({"code_unknown": found.why} if found.why else {}),
        "versions": versions(),
        "python": _portable(sys.executable),
        "device": run.device or f"CPU: {processor()}",
        "threads": run.threads,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        "peak_memory_bytes": peak,
        **run.device_facts(),
        "inputs": run.inputs,
        "notes": run.notes,
        "files": {
            path.name: {"sha256": artifacts.sha256(path), "bytes": path.stat().st_size} for path in run.files
        },
    }
    for path in run.left_behind:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    artifacts.write_json(record, told)
