"""Kill it anywhere: the same command goes on, with no manual step, to the same tables as an undisturbed run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import SMALLEST, Project, children, kill, wait_for


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from project import clone

    project = clone(tmp_path_factory.mktemp("undisturbed") / "project", SMALLEST)
    project.make()
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
    """Kill drivers, jobs, or both, at random moments; return how many kills met a live run."""
    met = 0
    victims = ["driver", "job", "both"]
    for number in range(times):
        run = project.start()
        time.sleep(rng.uniform(0.5, 9.0))
        below = children(run.pid)
        victim = victims[number % 3]
        if run.poll() is None:
            met += 1
            jobs = [pid for pid in below if b"reproof" in command_line(pid)]
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


def check(project: Project, times: int, undisturbed: dict[str, bytes]) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"kill moments from seed {seed}")
    met = disturb(project, times, random.Random(seed))
    assert met >= times // 2, f"only {met} of {times} kills met a live run"
    log = project.path / "driver.log"
    project.make()
    assert results(project) == undisturbed, log.read_text()[-3000:]
    leftovers = [p for p in (project.path / "results").rglob("*") if p.name.endswith((".part", ".partial"))]
    assert len(leftovers) <= times, "leftovers of killed jobs are swept when their file is made again"


def test_three_kills_leave_the_result_as_it_was(
    fresh: Callable[..., Project], undisturbed: dict[str, bytes]
) -> None:
    check(fresh(SMALLEST), 3, undisturbed)


@pytest.mark.slow
def test_twenty_kills_leave_the_result_as_it_was(
    fresh: Callable[..., Project], undisturbed: dict[str, bytes]
) -> None:
    check(fresh(SMALLEST), 20, undisturbed)


def test_a_second_live_driver_is_refused(fresh: Callable[..., Project]) -> None:
    project = fresh(SMALLEST)
    first = project.start()
    try:
        assert wait_for(lambda: any((project.path / ".snakemake/locks").glob("*")), 60)
        second = project.run()
        assert second.returncode != 0
        assert "lock" in (second.stdout + second.stderr).lower()
        assert first.poll() is None, "the first run goes on"
        assert first.wait(timeout=300) == 0
    finally:
        kill(first.pid)
        first.wait()


def test_a_failed_job_says_why_and_the_others_go_on(fresh: Callable[..., Project]) -> None:
    project = fresh()
    project.edit("config.yaml", "learning_rate: 2e-3}", "learning_rate: 1e30, optimizer: sgd}")
    project.edit("config.yaml", "optimizer: adam, ", "")
    done = project.run()
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert "TrainingError" in printed
    assert "learning_rate" in printed
    assert "Traceback" not in printed
