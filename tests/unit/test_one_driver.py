from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reproof import one_driver
from reproof.errors import ArtifactError
from reproof.warm_client import DRIVER

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("process 17 on elsewhere", file=file, flush=True)
print("held", flush=True)
time.sleep(60)
"""
OURS, OTHERS = Path("results/digits"), Path("results/digits_wide")


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, Path]:
    """Return the lock that a killed Snakemake left on the files of each of two studies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(one_driver, "LOOK_SECONDS", 0.1)
    one_driver.SNAKEMAKE_LOCKS.mkdir(parents=True)
    found = {}
    for number, folder in enumerate((OURS, OTHERS)):
        found[folder] = one_driver.SNAKEMAKE_LOCKS / f"{number}.output.lock"
        found[folder].write_text(f"{folder}/page.html\n{folder}/tables/summary.csv\n")
    return found


@pytest.fixture
def alive(locks: dict[Path, Path]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a driver that holds the folder of the first study."""
    OURS.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, OURS / one_driver.LOCK], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder
        holder.kill()


def test_a_folder_is_held_by_one_driver_until_it_dies(alive: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ArtifactError, match=r"results/digits is in use: .*\(process 17 on elsewhere\)"):
        one_driver.only_driver(OURS).__enter__()
    with one_driver.only_driver(OTHERS):
        pass
    alive.kill()
    alive.wait()
    with one_driver.only_driver(OURS):
        assert (OURS / one_driver.LOCK).read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(ArtifactError, match="in use"):
            one_driver.only_driver(OURS).__enter__()
    with one_driver.only_driver(OURS):
        pass


def test_locks_of_a_driver_that_lives_stay_and_those_of_other_studies(
    alive: subprocess.Popen[bytes], locks: dict[Path, Path]
) -> None:
    """Two studies run in one checkout; one ends, and begins again while the other runs."""
    one_driver.drop_stale_locks(OURS)
    assert locks[OURS].exists()
    alive.kill()
    alive.wait()
    one_driver.drop_stale_locks(OURS)
    assert not locks[OURS].exists()
    assert locks[OTHERS].exists()


def test_a_study_that_was_never_run_gets_no_folder(locks: dict[Path, Path]) -> None:
    one_driver.drop_stale_locks(OURS)
    assert not OURS.exists()
    assert not locks[OURS].exists()


def test_a_look_writes_nothing_and_two_may_look_at_once(
    locks: dict[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a dry run in somebody else's results, beside another one."""
    with one_driver.only_driver(OURS):
        pass
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *words: Any, **more: Any) -> Any:
        if mode != "rb" and path.name.endswith(one_driver.LOCK) and path.parent != one_driver.SNAKEMAKE_LOCKS:
            raise PermissionError(path)
        return opened(path, mode, *words, **more)

    with (OURS / one_driver.LOCK).open("rb") as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        monkeypatch.setattr(Path, "open", read_only)
        one_driver.drop_stale_locks(OURS)
    assert not locks[OURS].exists()


def test_a_lock_that_cannot_be_opened_counts_as_held(locks: dict[Path, Path]) -> None:
    (OURS / one_driver.LOCK).mkdir(parents=True)
    one_driver.drop_stale_locks(OURS)
    assert locks[OURS].exists()


def test_a_driver_waits_for_one_that_only_looks(
    locks: dict[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_driver, "LOOK_SECONDS", 30.0)
    OURS.mkdir(parents=True)
    look = (OURS / one_driver.LOCK).open("wb")
    fcntl.flock(look, fcntl.LOCK_SH)
    end = threading.Timer(0.1, look.close)
    end.start()
    with one_driver.only_driver(OURS):
        assert look.closed
    end.join()


def test_a_folder_that_is_removed_during_a_run_stays_held(locks: dict[Path, Path]) -> None:
    with one_driver.only_driver(OURS):
        shutil.rmtree(OURS)
        with pytest.raises(ArtifactError, match=rf"digits is in use: .*\(process {os.getpid()} on "):
            one_driver.only_driver(OURS).__enter__()
        locks[OURS].parent.mkdir(exist_ok=True)
        locks[OURS].write_text(f"{OURS}/page.html\n")
        one_driver.drop_stale_locks(OURS)
        assert locks[OURS].exists(), "nor does a dry run take it for free"
    with one_driver.only_driver(OURS):
        pass


@pytest.mark.parametrize("number", [0, 1])
def test_a_lock_that_is_removed_before_it_is_held_is_made_anew(
    number: int, locks: dict[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next driver makes a file of the same name, and holds that."""
    path, removed, flock = one_driver._locks(OURS)[number], [], fcntl.flock

    def late(file: Any, how: int) -> None:
        if not removed and Path(file.name) == path:
            removed.append(path.unlink())
        flock(file, how)

    monkeypatch.setattr(one_driver.fcntl, "flock", late)
    with one_driver.only_driver(OURS):
        assert len(removed) == 1
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_folder_that_cannot_be_written_is_named(locks: dict[Path, Path]) -> None:
    Path("results").write_text("a file")
    with pytest.raises(ArtifactError, match="results/digits: may not be written"):
        one_driver.only_driver(OURS).__enter__()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_what_a_dead_driver_left_here_is_ended_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a conda that goes on filling the environment which the next run removes and makes anew."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here / ".snakemake", elsewhere):
        folder.mkdir(parents=True)
    with subprocess.Popen(["true"]) as gone:
        pass

    def started(folder: Path, driver: str | None) -> subprocess.Popen[bytes]:
        known = {} if driver is None else {DRIVER: driver}
        return subprocess.Popen(["sleep", "60"], cwd=folder, env={"PATH": os.environ["PATH"], **known})

    host = socket.gethostname()
    orphan = started(here / ".snakemake", f"{host}:{gone.pid}")
    others = [
        started(here, f"{host}:{os.getpid()}"),
        started(here, f"another-{host}:{gone.pid}"),
        started(here, None),
        started(elsewhere, f"{host}:{gone.pid}"),
    ]
    monkeypatch.chdir(here)
    try:
        one_driver.end_orphans()
        assert orphan.wait(10) == -signal.SIGKILL
        assert [other.poll() for other in others] == [None] * 4
    finally:
        for process in (orphan, *others):
            process.kill()
            process.wait()


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that holds the queue of a made-up Slurm: `number|working directory|name` a line."""
    queue = tmp_path / "queue"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {
        "squeue": f'[ "$2" = "--user={os.getuid()}" ] && cat {queue}',
        "scancel": f'echo $@ > {tmp_path}/cancelled; for job; do sed -i "/^$job|/d" {queue}; done',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return queue


def test_jobs_of_a_dead_driver_are_cancelled_and_no_others(
    slurm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stays = [
        f"12|{tmp_path}|{one_driver.job_names(OTHERS)}_0af1-2b",
        f"13|{tmp_path}/elsewhere|{one_driver.job_names(OURS)}_0af1-2b",
        f"14|{tmp_path}|somebody's own",
    ]
    slurm.write_text("\n".join([f"11|{tmp_path}|{one_driver.job_names(OURS)}_0af1-2b", *stays]) + "\n")
    one_driver.cancel_orphans(OURS, on_slurm=False)
    assert slurm.read_text().splitlines() == stays
    assert (tmp_path / "cancelled").read_text() == "11\n"
    assert capfd.readouterr().err == "reproof: cancels 1 Slurm jobs of an earlier run of this study\n"


def test_jobs_that_do_not_end_are_named(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_driver, "PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(one_driver.time, "monotonic", iter([0.0, 9.0]).__next__)
    (tmp_path / "programs/scancel").write_text("#!/bin/sh\n")
    slurm.write_text(f"11|{tmp_path}|{one_driver.job_names(OURS)}_0af1-2b\n")
    with pytest.raises(ArtifactError, match=r"do not end: 11\. Cancel them \(scancel 11\)"):
        one_driver.cancel_orphans(OURS, on_slurm=True)


def test_a_slurm_that_does_not_answer_matters_to_a_run_on_it_alone(slurm: Path) -> None:
    one_driver.cancel_orphans(OURS, on_slurm=False)
    with pytest.raises(ArtifactError, match="squeue does not say"):
        one_driver.cancel_orphans(OURS, on_slurm=True)


def test_without_slurm_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    one_driver.cancel_orphans(OURS, on_slurm=True)


@pytest.mark.parametrize("name", ["digits", "a.b c", "x" * 200])
def test_names_of_jobs_are_ones_that_slurm_s_plug_in_takes(name: str) -> None:
    found = one_driver.job_names(Path("results") / name)
    assert len(found) <= 50
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz-")
