"""A study on a machine that is ours for minutes and has no network: what goes there, is done there, and comes back.

A bundle is the code, the prepared data, the weights that are there, and the checkpoints of trainings that were cut. On
the machine jobs run in their order of worth (plan/worth.py) until the time is up; a training that is under way goes on
from its last checkpoint, there or here. Back come weights, checkpoints, outcomes and records, no adversarial images.
What is carried is cut into parts, each small enough for a trip.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import lzma
import math
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path

from reproof import artifacts, plugin_folders, surroundings
from reproof.errors import ArtifactError, StudyError
from reproof.plan import estimate, freshness, worth
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.plan.machine import CORE, GPU, Machine
from reproof.plan.model_jobs import IMPORTED_LATE
from reproof.plan.time_slices import label
from reproof.wording import counted, memory

PART_BYTES = 60 * 2**20
"""A trip takes 64 MiB."""
CODE = ("src", "config.yaml", "studies", "tools/borrowed_gpu.sh")
BUNDLE, RETURN = "bundle.tar.xz", "return.tar.xz"
CHECKPOINT = "checkpoint.safetensors"
TRAVELLING = ("train",)
"""Rules whose checkpoint goes along and comes back; an attack's holds images, too many to carry."""
CARRIED = "carried.json"
"""In a bundle: the study's files in it with their digests, which need not come back."""


@dataclass
class Done:
    """What a call got done before its time was up."""

    ended: list[Job] = field(default_factory=list)
    cut: list[Job] = field(default_factory=list)
    """Those that were under way: trainings go on from their checkpoints."""
    failed: list[Job] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)
    """Those that did not fit, or that wait for one that did not."""

    def words(self) -> str:
        """Return it in a line for each kind."""
        named = {"cut": self.cut, "failed": self.failed}
        lines = [f"{counted(len(self.ended), 'job')} done, {len(self.left)} left"]
        return "\n".join(
            [*lines, *(f"{word}: {', '.join(map(label, jobs))}" for word, jobs in named.items() if jobs)]
        )


Command = Callable[[Sequence[str], Plan], int]
"""The command line: words and the plan of their study -> exit status."""


def asked(plan: Plan, chosen: argparse.Namespace, command: Command) -> str:
    """Do what the sub-command `borrow` is asked for and return what happened."""
    if chosen.what == "bring":
        return bring(plan, chosen.folder)
    if chosen.what == "pack":
        parts, words = pack(plan, chosen.folder, chosen.wheels), ""
    else:
        if not 0 < chosen.minutes < math.inf or chosen.jobs < 1:
            raise StudyError("borrow: --minutes should be a number above 0, --jobs at least 1")
        _require_writable(chosen.folder)
        words = run(plan, command, 60 * chosen.minutes, chosen.first, chosen.jobs).words() + "\n"
        parts = collect(plan, chosen.folder)
    return words + "\n".join(f"{part} ({memory(part.stat().st_size)})" for part in parts)


def _require_writable(folder: Path) -> None:
    """Refuse, before hours of work, a folder that its results could not be written into: StudyError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StudyError(f"borrow: nothing can be written into {folder}: {error.strerror}") from error


def pack(plan: Plan, folder: Path, wheels: Path | None = None) -> list[Path]:
    """Write a bundle of a study into a folder and return its parts. wheels: a folder of wheels to go along.

    StudyError where data are not prepared yet, or where code has changes that no commit holds: records name a commit.
    """
    unprepared = [job.name for job in plan.jobs(["prepare"]) if not Path(job.outputs["data"]).is_file()]
    if unprepared:
        command = f"{plan.report().rerun} {plan.prepare(unprepared[0]).outputs['data']}"
        raise StudyError(
            f"{unprepared[0]}: is not prepared yet, and there is no network there. Run: {command}"
        )
    buffer, carried = io.BytesIO(), {}
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add_code(archive)
        for path in _of_study(plan):
            archive.add(path, str(path))
            if path.is_file():
                carried[str(path)] = artifacts.sha256(path)
        for wheel in sorted(wheels.glob("*.whl")) if wheels is not None else ():
            archive.add(wheel, f"wheels/{wheel.name}")
        _add_text(archive, CARRIED, json.dumps(carried))
        _add_text(archive, "arguments", shlex.join(plan.study.arguments) + "\n")
    return _write_parts(buffer.getvalue(), folder, BUNDLE)


def _add_code(archive: tarfile.TarFile) -> None:
    """Add the code as it is committed; of a folder that is no checkout, as it is."""
    if not Path(".git").exists():
        for name in CODE:
            if Path(name).exists():
                archive.add(name, filter=lambda entry: None if "__pycache__" in entry.name else entry)
        return
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", *CODE], capture_output=True, text=True, check=True
    ).stdout
    if changed:
        raise StudyError(f"commit your changes first: records name the commit that ran.\n{changed.rstrip()}")
    packed = subprocess.run(["git", "archive", "HEAD", *CODE], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as given:
        for entry in given:
            archive.addfile(entry, given.extractfile(entry) if entry.isfile() else None)


def _of_study(plan: Plan) -> Iterable[Path]:
    """Yield the files of a study that go along: of models all, of results the records, which say what is done."""
    yield from (path for path in plan.own_files if path.exists())
    for job in plan.jobs(worth.WORKING):
        if job.rule == "attack":
            continue
        if "model" in job.outputs:
            yield from sorted(Path(job.outputs["model"]).parent.glob("[!.]*"))
        elif Path(job.outputs["record"]).is_file():
            yield from (Path(job.outputs[kind]) for kind in ("data", "record") if kind in job.outputs)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))


def _write_parts(content: bytes, folder: Path, name: str) -> list[Path]:
    """Write content, compressed, as parts `name.00`, `name.01` and so on; older ones go."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}.[0-9][0-9]"):
        old.unlink()
    packed, parts = lzma.compress(content, preset=1), []
    for number, first in enumerate(range(0, len(packed), PART_BYTES)):
        parts.append(folder / f"{name}.{number:02d}")
        parts[-1].write_bytes(packed[first : first + PART_BYTES])
    return parts


def unpack(folder: Path, name: str, target: Path) -> None:
    """Unpack the parts that lie in a folder; ArtifactError where one is missing or damaged."""
    parts = sorted(folder.glob(f"{name}.[0-9][0-9]"))
    if not parts:
        raise ArtifactError(f"{folder}: there is no {name}.00 in it, nor another part of {name}")
    try:
        content = lzma.decompress(b"".join(part.read_bytes() for part in parts))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(target, filter="data")
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise ArtifactError(
            f"{folder}: the {counted(len(parts), 'part')} of {name} are no whole archive ({error}); bring all of them"
        ) from error


def run(plan: Plan, command: Command, seconds: float, first: Sequence[str] = (), at_once: int = 1) -> Done:
    """Do a study's jobs in their order of worth, until so many seconds are over.

    command: what does a job, in a process of its own. first: models that lead. at_once: jobs at a time; where they
    share a GPU, their records say so. A job that is expected to take longer than what is left is not begun, unless it
    is a training.
    """
    ends = time.monotonic() + seconds
    machine = GPU if surroundings.count_gpus() else CORE
    waiting = [job for through in worth.order(plan, machine, first) for job in through.jobs]
    _import_all(waiting)
    done, running = Done(), dict[int, tuple[Job, ForkProcess]]()
    while True:
        for job in list(waiting):
            if len(running) < at_once and _may_begin(plan, job, [*waiting, *_jobs(running)], ends, machine):
                waiting.remove(job)
                process = ForkProcess(target=_do, args=(plan, job, command))
                process.start()
                running[process.sentinel] = (job, process)
        if not running:
            break
        ready = wait(list(running), timeout=max(0.0, ends - time.monotonic()))
        if not ready:
            for job, process in running.values():
                process.kill()
                process.join()
                done.cut.append(job)
            break
        for sentinel in ready:
            job, process = running.pop(int(str(sentinel)))
            process.join()
            (done.failed if process.exitcode else done.ended).append(job)
            print(f"{'failed' if process.exitcode else 'done'}: {label(job)}", flush=True)
    done.left = waiting
    return done


def _jobs(running: dict[int, tuple[Job, ForkProcess]]) -> list[Job]:
    return [job for job, _ in running.values()]


def _may_begin(plan: Plan, job: Job, others: Sequence[Job], ends: float, machine: Machine) -> bool:
    """Say whether all that a job reads is there, and whether the time that is left is enough for it."""
    pending = {path for other in others if other is not job for path in other.outputs.values()}
    reads = {path for paths in job.inputs.values() for path in paths}
    if reads & pending or not all(Path(path).is_file() for path in reads):
        return False
    left = ends - time.monotonic()
    return left > 0 and (job.rule in TRAVELLING or estimate.cost(plan, job, machine).seconds <= left)


def _import_all(jobs: Sequence[Job]) -> None:
    """Import once what the jobs run, for their processes are forks; nothing is computed here, and no GPU asked for."""
    for rule in {job.rule for job in jobs}:
        importlib.import_module(IMPORTED_LATE.get(rule, "reproof"))
    for module in {module for job in jobs for module in job.modules}:
        plugin_folders.import_plug_in(module)
        importlib.import_module(module)


def _do(plan: Plan, job: Job, command: Command) -> None:
    """Do a job in a process of its own, with its words in a log."""
    log = Path(plan.folder, "logs", job.rule, f"{job.name.replace(' ', '-')}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as words:
        os.dup2(words.fileno(), 2)
        with contextlib.redirect_stderr(words):
            status = command([job.rule, next(iter(job.outputs.values()))], plan)
    os._exit(status)


def collect(plan: Plan, folder: Path) -> list[Path]:
    """Write what is to come back into a folder and return its parts: what was done since, and no adversarial images."""
    buffer = io.BytesIO()
    carried = artifacts.read_json(Path(CARRIED)) if Path(CARRIED).is_file() else {}

    def is_new(path: Path) -> bool:
        return path.is_file() and carried.get(str(path)) != artifacts.sha256(path)

    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for job in plan.jobs(worth.WORKING):
            if job.rule == "prepare":
                continue
            record = Path(job.outputs["record"])
            if not is_new(record):
                found = [record.with_name(CHECKPOINT)] if job.rule in TRAVELLING else []
            else:
                made = (record.with_name(name) for name in artifacts.read_record(record)["files"])
                found = [*(path for path in made if path != Path(job.outputs.get("adversarial", ""))), record]
            for path in filter(is_new, found):
                archive.add(path, str(path))
    return _write_parts(buffer.getvalue(), folder, RETURN)


def bring(plan: Plan, folder: Path) -> str:
    """Lay what came back into the study's folder and say what it was.

    What other code or another study made is left out, and so is what is here already; a file that its record does not
    describe raises ArtifactError.
    """
    laid, refused, begun = [], [], []
    with tempfile.TemporaryDirectory() as place:
        unpack(folder, RETURN, Path(place))
        for job in plan.jobs(worth.WORKING):
            there = Path(place, job.outputs["record"])
            if estimate.cost(plan, job).done:
                continue
            if not there.is_file():
                if job.rule in TRAVELLING and there.with_name(CHECKPOINT).is_file():
                    _lay([there.with_name(CHECKPOINT)], Path(place))
                    begun.append(job)
                continue
            record = artifacts.read_record(there)
            if freshness.difference(record, job):
                refused.append(job)
                continue
            images = Path(job.outputs.get("adversarial", "")).name  # which stay there
            files = [there.with_name(name) for name in record["files"] if name != images]
            for path in files:
                if not path.is_file() or artifacts.sha256(path) != record["files"][path.name]["sha256"]:
                    raise ArtifactError(f"{path.relative_to(place)}: is not what its record describes")
            _lay([*files, there], Path(place))
            if job.rule in TRAVELLING:
                Path(job.outputs["record"]).with_name(CHECKPOINT).unlink(missing_ok=True)
            elif job.rule == "attack":  # what was begun here and is done there
                shutil.rmtree(Path(job.outputs["adversarial"]).with_suffix(".checkpoint"), ignore_errors=True)
            laid.append(job)
    lines = [f"{counted(len(laid), 'job')} laid into {plan.folder}"]
    lines += [f"begun, to go on from its checkpoint: {label(job)}" for job in begun]
    lines += [f"left out, other code or settings made it: {label(job)}" for job in refused]
    return "\n".join(lines)


def _lay(files: Sequence[Path], place: Path) -> None:
    """Copy files to the same paths here, all as new as each other: clocks differ."""
    for path in files:
        target = path.relative_to(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
