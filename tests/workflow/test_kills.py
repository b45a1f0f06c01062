"""Kill it anywhere: the same command goes on, with no manual step, to the same tables as an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import SMALLEST, Project, children, kill, wait_for, warm_processes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from project import clone

    project = clone(tmp_path_factory.mktemp("undisturbed") / "project", SMALLEST)
    project.make_in_one_process()
    return results(project)


def results(project: Project) -> dict[str, bytes]:
    folder = project.path / "results/tiny"
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for suffix in ("csv", "safetensors", "parquet", "svg")
        for path in sorted(folder.rglob(f"*.{suffix}"))
    }
    assert len(found) >= 8
    return found


TIMES = int(os.environ.get("REPROOF_KILLS", "3"))
VICTIMS = ("job", "driver", "both", "warm", "all")


@dataclass
class Kills:
    """What became of the kills of one test."""

    live: int = 0
    """That met a live run."""
    at_writes: int = 0
    """That were sent while a file was being written."""
    cut: int = 0
    """After which a half-written file lay there."""
    whole: int = 0
    """Runs that came to their end before the next kill, and whose results were compared."""


def disturb(project: Project, times: int, rng: random.Random, undisturbed: dict[str, bytes]) -> Kills:
    """Kill a run again and again: half of the times while a file is written, else while jobs work or at any moment."""
    kills = Kills()
    for number in range(times):
        run = project.start()
        aside: Path | None = None
        if number % 2 == 0:
            aside = a_write(project, run, rng.randrange(12))
        elif number % 4 == 1:
            wait_for(lambda driver=run: driver.poll() is not None or bool(jobs_of(driver.pid)), 120)
            time.sleep(rng.uniform(0, 3))
        else:
            time.sleep(rng.uniform(0.5, 8))
        victim = VICTIMS[number % len(VICTIMS)]
        below = children(run.pid) if victim == "driver" else []
        if run.poll() is None:
            kills.live += 1
            kills.at_writes += aside is not None
            for pid in pids_of(victim, project, run, aside):
                kill(pid)
        run.wait(timeout=300)
        kills.cut += aside is not None and aside.exists()
        print(number, victim, aside.name if aside else "", kills, flush=True)
        if victim == "driver":
            assert wait_for(lambda found=below: not any(alive(pid) for pid in found), 20), "orphans live on"
        if (project.path / "report/tiny.html").exists():
            kills.whole += 1
            assert results(project) == undisturbed, f"after kill {number}, of {victim}"
            (project.path / "report/tiny.html").unlink()
            (project.path / "results/tiny/models/plain/seed0/record.json").unlink(missing_ok=True)
    return kills


def a_write(project: Project, run: subprocess.Popen[str], skipped: int) -> Path | None:
    """Wait for a run to begin a file after as many others; return its temporary name, or None where the run ends before.

    A write takes a millisecond: that is how often is looked.
    """
    seen = {str(path) for path in half_written(project)}
    skipped += len(seen)
    while run.poll() is None:
        for path in half_written(project):
            if str(path) not in seen:
                seen.add(str(path))
                if len(seen) > skipped:
                    return path
        time.sleep(0.001)
    return None


def half_written(project: Project) -> list[Path]:
    """Return the files that are being written, and those that a killed job has left."""
    found, folders = [], [str(project.path / "results/tiny"), str(project.path / "report")]
    while folders:
        try:
            for entry in os.scandir(folders.pop()):
                if entry.name.endswith((".part", ".partial")):
                    found.append(Path(entry.path))
                elif entry.is_dir():
                    folders.append(entry.path)
        except FileNotFoundError:
            continue
    return found


def pids_of(victim: str, project: Project, run: subprocess.Popen[str], aside: Path | None) -> Iterator[int]:
    """Yield the processes to kill. The one that writes comes first: its number is in the temporary file's name."""
    jobs = victim in ("job", "both", "all")
    if jobs and aside is not None and b"reproof" in command_line(writer := int(aside.name.split(".")[-2])):
        yield writer
    below = (jobs_of(run.pid) or children(run.pid)) if jobs else []
    if victim in ("warm", "all"):
        yield from (pid for pid in warm_processes(project) if pid not in children_of_warm(project))
    if victim in ("driver", "both", "all"):
        yield run.pid
    yield from below


def children_of_warm(project: Project) -> set[int]:
    """Return the forks that do jobs."""
    return {child for pid in warm_processes(project) for child in children(pid)}


def jobs_of(driver: int) -> list[int]:
    """Return the processes that do a driver's jobs."""
    return [pid for pid in children(driver) if b"reproof" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.timeout(900 + 60 * TIMES)
def test_kills_leave_the_result_as_it_was(
    fresh: Callable[..., Project], undisturbed: dict[str, bytes]
) -> None:
    """Three; REPROOF_KILLS=100 in the environment for more, and `-s` to see what they met."""
    project = fresh(SMALLEST)
    seed = random.SystemRandom().randrange(10**6)
    print(f"kill moments from seed {seed}")
    kills = disturb(project, TIMES, random.Random(seed), undisturbed)
    assert kills.live >= TIMES // 2, kills
    assert kills.at_writes or TIMES < 3, "no kill came while a file was written"
    log = project.path / "driver.log"
    project.make()
    assert results(project) == undisturbed, log.read_text()[-3000:]
    assert not half_written(project), "leftovers of killed jobs are swept when their file is made again"


def test_a_second_live_driver_is_refused(fresh: Callable[..., Project]) -> None:
    """The first is halted meanwhile, with its jobs, so that it lives however slow the second one is."""
    project = fresh(SMALLEST)
    data = "results/tiny/data/digits.safetensors"
    first = project.start(data)
    try:
        assert wait_for(lambda: any((project.path / ".snakemake/locks").glob("*")), 60)
        os.killpg(first.pid, signal.SIGSTOP)
        for _ in range(2):
            second = project.run(data)
            assert second.returncode != 0
            assert "results/tiny is in use: another run works there (process" in second.stdout + second.stderr
            project.run("--unlock")  # as Snakemake itself advises; it removes the locks of all who live
            assert not any((project.path / ".snakemake/locks").glob("*"))
        os.killpg(first.pid, signal.SIGCONT)
        assert first.wait(timeout=300) == 0, "the first run goes on"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_a_failed_job_says_why_and_the_others_go_on(fresh: Callable[..., Project]) -> None:
    project = fresh()
    project.edit(
        "config.yaml", "{title: Plain, ", "{title: Plain, training: {optimizer: sgd, learning_rate: 1e30}, "
    )
    failed = "results/tiny/models/plain/seed0/model.safetensors"
    other = "results/tiny/outcomes/centred/seed0/adaptive.parquet"
    done = project.run(failed, other)
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert "TrainingError" in printed
    assert "learning_rate" in printed
    assert "Traceback" not in printed
    assert not (project.path / failed).exists()
    assert (project.path / other).exists(), "three jobs were left to do when the first one failed"
