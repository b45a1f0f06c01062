"""Jobs that a driver's warm process forks: what they inherit, how they end, and when they start by themselves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from project import TINY, Project, children, clone, kill, wait_for, warm_processes, words

from reproof import cli
from reproof.plan.jobs import Plan

DATA = "results/tiny/data/digits.safetensors"
MODEL = "results/tiny/models/plain/seed0/model.safetensors"
SLOW = TINY.replace("epochs: 1", "epochs: 100000")


@dataclass
class Driver:
    """A process that stands for Snakemake, and how it starts jobs."""

    project: Project
    process: subprocess.Popen[bytes] = field(
        default_factory=lambda: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    )

    @property
    def folder(self) -> Path:
        return self.project.path / "warm"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.project.environment,
            "PYTHONPATH": str(self.project.path / "src"),
            "REPROOF_DRIVER": f"{os.uname().nodename}:{self.process.pid}",
            "REPROOF_WARM": str(self.folder),
        }

    def start(self, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "reproof", *arguments],
            cwd=self.project.path,
            env={**self.environment, **changed},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def run(self, *arguments: str, **changed: str) -> tuple[int, str]:
        job = self.start(*arguments, **changed)
        printed, _ = job.communicate(timeout=120)
        return job.returncode, printed

    def expected(self, rule: str, output: str) -> tuple[str, ...]:
        """Return the arguments with which the workflow has a job done."""
        with contextlib.chdir(self.project.path):
            job = cli.find(Plan(cli.load_study([], [])), rule, output)
        return rule, output, "--expect", job.expectation, "--threads", "1"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A driver whose data set is prepared; TINY's trainings last for ever."""
    folder = tmp_path_factory.mktemp("warm")
    made = Driver(clone(folder / "project", SLOW))
    status, printed = made.run(*made.expected("prepare", DATA))
    assert status == 0, printed
    yield made
    made.end()


@pytest.fixture(scope="module")
def training(driver: Driver) -> tuple[str, ...]:
    return driver.expected("train", MODEL)


@contextlib.contextmanager
def training_fork(driver: Driver, training: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a job that trains and the fork that does it, once both of the fork's watches stand."""
    before = warm_processes(driver.project)
    job = driver.start(*training)
    try:
        assert wait_for(lambda: len(warm_processes(driver.project)) == len(before) + 1, 60)
        (found,) = set(warm_processes(driver.project)) - set(before)
        assert wait_for(lambda: len(list(Path(f"/proc/{found}/task").iterdir())) >= 3, 10)
        yield job, found
    finally:
        job.kill()
        job.communicate()


def test_one_process_serves_all_jobs_of_a_driver(driver: Driver) -> None:
    """The fixture's job started it, in a folder that nobody else can enter."""
    (before,) = warm_processes(driver.project)
    record = driver.project.path / DATA.replace(".safetensors", ".record.json")
    assert json.loads(record.read_text())["peak_memory_bytes"] > 0
    jobs = [driver.start(*driver.expected("prepare", DATA)) for _ in range(2)]
    assert [job.communicate()[0] for job in jobs] == ["", ""]
    assert [job.returncode for job in jobs] == [0, 0]
    assert warm_processes(driver.project) == [before]
    assert driver.folder.stat().st_mode & 0o777 == 0o700


def test_a_fork_is_gone_within_a_second_of_the_process_that_asked(
    driver: Driver, training: tuple[str, ...]
) -> None:
    with training_fork(driver, training) as (job, process):
        job.kill()
        assert wait_for(lambda: process not in warm_processes(driver.project), 1)


def test_a_killed_fork_ends_its_job_as_a_killed_job_ends(driver: Driver, training: tuple[str, ...]) -> None:
    with training_fork(driver, training) as (job, process):
        kill(process)
        printed, _ = job.communicate(timeout=10)
    assert job.returncode == 128 + signal.SIGKILL
    assert "was killed, perhaps because memory ran out" in printed


def test_an_interrupt_of_the_group_ends_a_fork_in_order(driver: Driver, training: tuple[str, ...]) -> None:
    """As the keyboard sends it: to the job and, in its group, to the fork."""
    with training_fork(driver, training) as (job, process):
        os.killpg(job.pid, signal.SIGINT)
        printed, _ = job.communicate(timeout=60)
        assert process not in warm_processes(driver.project)
    assert (job.returncode, printed.count("reproof: interrupted")) == (130, 1), printed
    assert "Traceback" not in printed


def test_what_is_wrong_is_said_by_the_job(driver: Driver) -> None:
    status, printed = driver.run("train", "results/tiny/nothing", "--expect", "0")
    assert status == 1
    assert "no train job of study 'tiny' makes results/tiny/nothing" in printed


@pytest.mark.parametrize(
    "changed",
    [{"OMP_NUM_THREADS": "2"}, {"REPROOF_WARM": "0"}, {"SOMETHING": "else"}, {"REPROOF_DRIVER": "elsewhere:1"}],
)  # fmt: skip
def test_jobs_start_by_themselves_where_a_fork_would_not_be_the_same(
    changed: dict[str, str], driver: Driver, training: tuple[str, ...]
) -> None:
    before = warm_processes(driver.project)
    job = driver.start(*training, **changed)
    try:
        assert wait_for(lambda: is_busy(job.pid), 60), "it works"
        assert warm_processes(driver.project) == before
    finally:
        job.kill()
        job.communicate()


def is_busy(process: int) -> bool:
    """Say whether a process has loaded torch."""
    try:
        return "libtorch" in Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return False


def test_a_folder_that_others_can_enter_is_not_used(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    status, printed = driver.run(*driver.expected("prepare", DATA), REPROOF_WARM=str(tmp_path / "open"))
    assert (status, printed) == (0, "")
    assert not list((tmp_path / "open").iterdir())


def test_edited_code_is_refused_and_ends_the_warm_process(tmp_path: Path) -> None:
    """As it is without one. Taken back, the next job starts another one."""
    made = Driver(clone(tmp_path / "project", TINY))
    path = made.project.path / "src/reproof/datasets/digits.py"
    text = path.read_text()
    try:
        arguments = made.expected("prepare", DATA)
        assert made.run(*arguments) == (0, "")
        (first,) = warm_processes(made.project)
        path.write_text(text + "\nEXTRA = 1\n")
        status, printed = made.run(*arguments)
        assert status == 1
        assert "changed while snakemake was running" in printed
        assert wait_for(lambda: not warm_processes(made.project), 5)
        path.write_text(text)
        assert made.run(*arguments) == (0, "")
        (second,) = warm_processes(made.project)
        assert second != first
    finally:
        made.end()


def test_a_halted_driver_outlives_the_end_of_a_fork(fresh: Callable[..., Project]) -> None:
    """The kernel hangs up a halted group once the last of its processes that another group could wake has ended."""
    project = fresh(SLOW)
    run = project.start(MODEL)

    def halted() -> bool:
        return "\nState:\tT" in Path(f"/proc/{run.pid}/status").read_text()

    try:
        assert wait_for(lambda: len(warm_processes(project)) == 2, 120), (
            project.path / "driver.log"
        ).read_text()
        (fork,) = {below for process in warm_processes(project) for below in children(process)}
        os.killpg(run.pid, signal.SIGSTOP)
        assert wait_for(halted, 10)
        kill(fork)
        assert wait_for(lambda: not words(fork), 10)
        assert not wait_for(lambda: not halted(), 0.5)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_a_driver_that_is_killed_leaves_neither_process_nor_folder(fresh: Callable[..., Project]) -> None:
    project = fresh(SLOW)
    run = project.start(MODEL)
    assert wait_for(lambda: len(warm_processes(project)) == 2, 120), (project.path / "driver.log").read_text()
    (folder,) = {Path(words(process)[-1]).parent for process in warm_processes(project)}
    assert folder.is_dir()
    kill(run.pid)
    run.wait()
    assert wait_for(lambda: not warm_processes(project), 5)
    assert not folder.exists()
