"""Kill it anywhere: the same command goes on, with no manual step, to the same tables as an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import SMALLEST, Project, children, kill, wait_for


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


def disturb(project: Project, times: int, rng: random.Random) -> int:
    """Kill drivers, jobs, or both, at random moments: of the whole run, or while jobs are at work.

    Return how many kills met a live run.
    """
    met = 0
    victims = ["driver", "job", "both"]
    for number in range(times):
        run = project.start()
        if number % 2:
            wait_for(lambda driver=run: driver.poll() is not None or bool(jobs_of(driver.pid)), 120)
            time.sleep(rng.uniform(0, 4))
        else:
            time.sleep(rng.uniform(0.5, 9))
        below = children(run.pid)
        victim = victims[number % 3]
        if run.poll() is None:
            met += 1
            jobs = jobs_of(run.pid)
            if victim in ("driver", "both"):
                kill(run.pid)
            if victim in ("job", "both"):
                for pid in jobs or below:
                    kill(pid)
        run.wait(timeout=120)
        if victim == "driver":
            assert wait_for(lambda found=below: not any(alive(pid) for pid in found), 20), "orphans live on"
        if (project.path / "report/tiny.html").exists():
            (project.path / "report/tiny.html").unlink()
            (project.path / "results/tiny/models/plain/seed0/record.json").unlink(missing_ok=True)
    return met


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


def test_kills_leave_the_result_as_it_was(
    fresh: Callable[..., Project], undisturbed: dict[str, bytes]
) -> None:
    """Three; REPROOF_KILLS=100 in the environment for more."""
    times = int(os.environ.get("REPROOF_KILLS", "3"))
    project = fresh(SMALLEST)
    seed = random.SystemRandom().randrange(10**6)
    print(f"kill moments from seed {seed}")
    met = disturb(project, times, random.Random(seed))
    assert met >= times // 2, f"only {met} of {times} kills met a live run"
    log = project.path / "driver.log"
    project.make()
    assert results(project) == undisturbed, log.read_text()[-3000:]
    leftovers = [p for p in (project.path / "results").rglob("*") if p.name.endswith((".part", ".partial"))]
    assert len(leftovers) <= times, "leftovers of killed jobs are swept when their file is made again"


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
