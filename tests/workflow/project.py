from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import warm_python

from reproof import registry
from reproof.settings.defense import DefenseSettings

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CODE = ("Snakefile", "workflow", "src", "profiles", "environment.yml", "environment-cpu.yml", "config.yaml")


def _with_an_attack_loss() -> str:
    """Return a cheap defense of one network with a loss of its own for its attacker, whichever files are there."""
    costs = {}
    for kind in registry.names("defenses"):
        settings = registry.settings_class("defenses", kind)()
        assert isinstance(settings, DefenseSettings)
        if (
            "joint" in settings.attack_losses
            and "weight" in type(settings).model_fields
            and settings.networks == 1
        ):
            costs[kind] = settings.relative_cost()
    return max(kind for kind, cost in costs.items() if cost == min(costs.values()))


JOINT = _with_an_attack_loss()
"""The defense of TINY's model `centred`: it has a setting `weight` and an attack loss `joint`."""

TINY = f"""\
study: tiny
title: Tiny
smoke: true
seeds: [0]
dataset: digits
datasets:
  digits: {{kind: digits, image_size: 16, test_images: 40, validation_images: 20}}
architecture: {{kind: cnn6, width: 0.0625}}
training: {{epochs: 1, batch_size: 128, optimizer: adam, learning_rate: 2e-3}}
models:
  plain: {{title: Plain, defense: {{kind: undefended}}}}
  centred: {{title: Centred, defense: {{kind: {JOINT}}}}}
attacks:
  fgsm: {{kind: fgsm, epsilons: [0.1, 0.3]}}
  pgd: {{kind: pgd, epsilons: [0.3], steps: 2}}
  carlini_wagner: {{kind: carlini_wagner, constants: [10], steps: 5, images: 10}}
suites:
  papers: {{attacks: [fgsm, pgd, carlini_wagner], images: 20}}
  adaptive: {{attacks: [pgd], images: 20, view: joint}}
threats:
  white_box: {{setting: white_box, suite: papers}}
  adaptive: {{setting: adaptive, suite: adaptive, targets: [centred]}}
  black_box: {{setting: black_box, suite: papers, source: plain}}
"""

SMALLEST = """\
study: tiny
smoke: true
seeds: [0]
dataset: digits
datasets:
  digits: {kind: digits, test_images: 40, validation_images: 20}
architecture: {kind: cnn6, width: 0.0625}
training: {epochs: 6, batch_size: 64, optimizer: adam, learning_rate: 2e-3, checkpoint_seconds: 0}
models:
  plain: {defense: {kind: undefended}}
attacks:
  pgd: {kind: pgd, epsilons: [0.1, 0.3], steps: 20}
suites:
  papers: {attacks: [pgd], images: 40}
threats:
  white_box: {setting: white_box, suite: papers}
"""


ALL_JOBS = """
import sys
from pathlib import Path
from reproof import cli
from reproof.plan.jobs import Plan
from reproof.study import reader

for job in Plan(reader.load([Path("config.yaml")])).jobs():
    whole = job.rule in ("tabulate", "draw", "report")
    if cli.main([job.rule] if whole else [job.rule, next(iter(job.outputs.values()))]):
        sys.exit(1)
"""


@dataclass
class Project:
    """A copy of the project with a study of its own."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    warm: bool = True
    """Whether its commands are forks of a Python that is warm; else they are processes that start by themselves."""
    said: str = ""
    """What Snakemake printed while it was made."""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Do what `python -m MODULE ...` or `python -c CODE` does here."""
        if self.warm:
            return warm_python.run(arguments, self.path, self.environment)
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def cold(self) -> Project:
        """Return this one with commands that start by themselves, as a user's do."""
        return replace(self, warm=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        log = (self.path / "driver.log").open("a")
        with log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.path,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python(*self.command(*arguments)[1:])

    def reproof(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.with_our_code().python("-m", "reproof", *arguments)

    def with_our_code(self) -> Project:
        """Return this one with the folder of its code on Python's path, where Snakemake's jobs find it too."""
        return replace(self, environment={**self.environment, "PYTHONPATH": str(self.path / "src")})

    def make(self, *arguments: str) -> str:
        """Run Snakemake, expect success, return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def make_in_one_process(self) -> None:
        """Do all jobs in one process, then let Snakemake note them as done: none pays for Python's start.

        For tests of what is made and made again; those of how it is made use `make`.
        """
        done = self.with_our_code().python("-c", ALL_JOBS)
        assert done.returncode == 0, done.stdout + done.stderr
        self.make("--touch", "--forceall")

    def pending(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run would start."""
        return self.dry(*arguments)[0]

    def jobs(self, *arguments: str) -> set[str]:
        """Return the output files that a dry run would make."""
        return self.dry(*arguments)[1]

    def dry(self, *arguments: str) -> tuple[dict[str, int], set[str]]:
        """Return both."""
        printed = self.make("-n", *arguments)
        jobs: dict[str, int] = {}
        if "Job stats:" in printed:
            for line in printed.split("Job stats:")[1].strip().splitlines()[2:]:
                words = line.split()
                if len(words) != 2 or words[0] == "total":
                    break
                jobs[words[0]] = int(words[1])
        lines = [line.strip() for line in printed.splitlines()]
        return jobs, {
            name.strip()
            for line in lines
            if line.startswith("output: ")
            for name in line.removeprefix("output: ").split(",")
        }

    def tables(self) -> dict[str, str]:
        return {
            path.name: path.read_text() for path in sorted((self.path / "results/tiny/tables").glob("*.csv"))
        }

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.path / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


def clone(folder: Path, study: str, environment: dict[str, str] | None = None) -> Project:
    folder.mkdir(parents=True)
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    (folder / "config.yaml").write_text(study)
    base = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "REPROOF_DRIVER", "REPROOF_STUDY")
    }
    return Project(folder, {**base, "OMP_NUM_THREADS": "1", **(environment or {})})


def children(pid: int) -> list[int]:
    """Return the processes that descend from one, by the kernel's own list."""
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                born = [int(word) for word in (task / "children").read_text().split()]
                found += born
                todo += born
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def words(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")[:-1]


def warm_processes(project: Project) -> list[int]:
    """Return the warm processes of a project's drivers, and their forks, that still live."""
    found = []
    for process in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            if "reproof.warm_process" in words(process) and Path(f"/proc/{process}/cwd").samefile(
                project.path
            ):
                found.append(process)
        except OSError:
            continue
    return sorted(found)


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returned, and the processor time of the processes that it started, in seconds.

    Unlike the time on the wall it is not lengthened by other work, but a slow machine lengthens it too: compare it
    with a yardstick's. Of a project's commands only `cold` ones count.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    returned = call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return returned, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def empty(folder: Path, jobs: int, environment: dict[str, str]) -> Project:
    """Return a workflow of as many jobs that Snakemake alone plans: the yardstick for `timed`."""
    folder.mkdir()
    (folder / "Snakefile").write_text(EMPTY.replace("COUNT", str(jobs // 2)))
    return Project(folder, environment)


EMPTY = """
rule all:
    input: expand("second/{number}", number=range(COUNT))
rule first:
    output: "first/{number}"
    log: "logs/first/{number}"
    params: job="{number}"
    resources: mem_mb=100, runtime=1
    shell: "touch {output} 2> {log}"
use rule first as second with:
    input: "first/{number}"
    output: "second/{number}"
    log: "logs/second/{number}"
"""


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
