"""What a run says while it runs: one live line in a terminal, one short line a job in a pipe, failures last.

It is a handler of Snakemake's logger plug-in interface, which `snakemake_driver` puts in the place of the default one:
a plug-in that the command line names must be installed, and a bare `snakemake` in a checkout finds nothing of ours.
Snakemake's own log file keeps every word.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from reproof import wording

TARGET, REPORT = "all", "report"
"""The rule that makes nothing, and the one that makes the page."""
LINES = 150
"""Lines of all failed jobs' logs together that are shown at the end."""
WIDTH = 400
"""Characters of such a line that are shown."""
_IDLE = (
    "Building DAG of jobs",
    "Using shell",
    "Conda environments: ignored",
    "Exiting because a job execution failed",
    "RuleException:\nCalledProcessError",
    "WorkflowError:\nAt least one job did not complete",
)
"""How messages begin that tell nobody anything; what failed is told at the end, in its own words."""

_INTERRUPTED = ("KeyboardInterrupt", "reproof: interrupted")
"""How the log of a job ends that the user stopped: it did not fail."""


@dataclass
class Task:
    """A job under way, or one that failed."""

    name: str
    output: str
    began: float
    log: str = ""


class TimeLeft:
    """How long the rest of a run will take: the plan's estimates, corrected by how long jobs took so far.

    estimates: for each rule and for each job's first output, seconds on one core. counts: jobs of each rule.
    """

    def __init__(self, estimates: Mapping[str, float], counts: Mapping[str, int]):
        self._estimates = estimates
        self._expected = sum(count * self._estimate(rule, "") for rule, count in counts.items())
        self._took = self._estimated = 0.0

    def _estimate(self, rule: str, output: str) -> float:
        """Return a job's estimate; that of its rule, or of the rule that its name begins with, where it has none."""
        if output in self._estimates:
            return self._estimates[output]
        names = [name for name in self._estimates if f"{rule}_".startswith(f"{name}_")]
        return self._estimates[max(names, key=len)] if names else 0.0

    def done(self, rule: str, output: str, seconds: float) -> None:
        """Take notice of a job that took so long."""
        self._took += seconds
        self._estimated += self._estimate(rule, output)

    def seconds(self, elapsed: float, running: float) -> float | None:
        """Return the seconds left; None before any job is done. running: seconds that jobs under way have taken."""
        if not self._took or not self._estimated or elapsed <= 0:
            return None
        ratio = self._took / self._estimated
        left = max(0.0, (self._expected - self._estimated) * ratio - running)
        at_a_time = max(1.0, (self._took + running) / elapsed)
        return left / at_a_time


class RunLog(LogHandlerBase):
    """Says what a run does. stream: where; log_file: Snakemake's own log; estimates: gives TimeLeft's, once wanted."""

    def __init__(
        self, settings: Any, stream: TextIO, log_file: str, estimates: Callable[[], Mapping[str, float]]
    ):
        super().__init__(settings, None)
        self._stream, self._log_file, self._estimates = stream, log_file, estimates
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._running: dict[int, Task] = {}
        self._failed: list[Task] = []
        self._done = self._total = 0
        self._page = self._drawn = ""
        self._began = time.monotonic()
        self._left = TimeLeft({}, {})
        self._over = threading.Event()

    @property
    def writes_to_stream(self) -> bool:
        """Say that the default handler is not wanted beside it."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Say that Snakemake's own log file stays."""
        return False

    @property
    def has_filter(self) -> bool:
        """Say that it chooses by itself what it shows."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Say that it words by itself what it shows."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Say that it draws nothing."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record says, if it says anything to people."""
        event = getattr(record, "event", None)
        told = record.__dict__
        if event == LogEvent.RUN_INFO:
            self._plan(told["stats"])
        elif event == LogEvent.JOB_INFO:
            self._begin(told)
        elif event == LogEvent.JOB_FINISHED:
            self._end(told["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self._fail(told)
        elif record.msg and self._matters(record, event):
            self._say(record.getMessage().rstrip())
        self._draw()

    def _matters(self, record: logging.LogRecord, event: Any) -> bool:
        """Say whether a message is for people: a warning, or what Snakemake does before the jobs begin."""
        if record.getMessage().startswith(_IDLE):
            return False
        return record.levelno >= logging.WARNING or (event is None and not self._total)

    def _plan(self, stats: Mapping[str, int]) -> None:
        counts = {rule: count for rule, count in stats.items() if rule not in ("total", TARGET)}
        self._total, self._done, self._began = sum(counts.values()), 0, time.monotonic()
        self._left = TimeLeft(self._estimates() if self._live else {}, counts)
        listed = ", ".join(f"{count} {rule}" for rule, count in counts.items())
        self._say(f"{wording.counted(self._total, 'job')}: {listed}")
        self._say(f"Snakemake's own log: {self._log_file}")
        if self._live:
            threading.Thread(target=self._tick, daemon=True, name="run-log").start()

    def _begin(self, told: Mapping[str, Any]) -> None:
        words = [told["rule_name"], *(_word(name, value) for name, value in dict(told["wildcards"]).items())]
        output = next(iter(told["output"]), "")
        log = next(iter(told["log"]), "")
        self._running[told["jobid"]] = Task(" ".join(words), output, time.monotonic(), log)

    def _end(self, job: int) -> None:
        task = self._running.pop(job, None)
        if task is None or task.name == TARGET:
            return
        seconds = time.monotonic() - task.began
        self._done += 1
        self._page = task.output if task.name == REPORT else self._page
        self._left.done(task.name.split()[0], task.output, seconds)
        if not self._live:
            width = len(str(self._total))
            self._say(f"{self._done:>{width}}/{self._total}  {task.name}  {wording.duration(seconds)}")
        for line in _told_in(task.log):
            self._say(line)

    def _fail(self, told: Mapping[str, Any]) -> None:
        log = next(iter(told["log"]), "")
        task = self._running.pop(told["jobid"], None) or Task(told["rule_name"], "", 0.0)
        task.log = log
        if _end_of(log, 1)[0].startswith(_INTERRUPTED):
            self._say(f"{task.name}  interrupted")
            return
        self._failed.append(task)
        self._say(f"{task.name}  FAILED")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # who read it is gone
            self._stream.write(f"{_ERASE if self._live else ''}{text}\n")
            self._stream.flush()
            self._drawn = ""

    def _draw(self) -> None:
        """Write the live line anew."""
        if not self._live or not self._total or self._over.is_set():
            return
        with contextlib.suppress(OSError, ValueError):
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            line = _cut(self._line(), columns - 1)
            if line != self._drawn:
                self._stream.write(f"{_ERASE}{line}")
                self._stream.flush()
            self._drawn = line

    def _line(self) -> str:
        """Return done of all, what runs, and the time left."""
        now = time.monotonic()
        tasks = [task for task in self._running.values() if task.name != TARGET]
        parts = [f"{self._done} of {self._total}"]
        left = self._left.seconds(now - self._began, sum(now - task.began for task in tasks))
        if left is not None and self._done < self._total:
            parts.append(f"about {_whole(max(10.0, left))} left")
        if self._failed:
            parts.append(f"{len(self._failed)} failed")
        if tasks:
            more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
            parts.append(f"{tasks[0].name}{more} ({_whole(now - tasks[0].began)})")
        return " · ".join(parts)

    def _tick(self) -> None:
        while not self._over.wait(1.0):
            self.acquire()
            try:
                self._draw()
            finally:
                self.release()

    def close(self) -> None:
        """Say how the run ended; what failed comes last, and its message at the very end."""
        if self._over.is_set():
            return
        self._over.set()
        if self._total:
            self._say(self._ended())
            for line in _told(self._failed):
                self._say(line)
        super().close()

    def _ended(self) -> str:
        took = wording.duration(time.monotonic() - self._began)
        done = f"{self._done} of {wording.counted(self._total, 'job')} done in {took}"
        if self._failed:
            return f"{done}, {len(self._failed)} failed. Snakemake's own log: {self._log_file}"
        if self._done < self._total:
            return f"{done}; the same command goes on from there"
        return f"{done}{f': {self._page}' if self._page else ''}"


_ERASE = "\r\x1b[2K"


def _word(name: str, value: str) -> str:
    return f"{name}{value}" if name == "seed" else value


def _whole(seconds: float) -> str:
    """Return a duration in whole seconds: the last digit of less would flicker."""
    return f"{round(seconds)} s" if seconds < 60 else wording.duration(seconds)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _told(failed: list[Task]) -> list[str]:
    """Return the ends of failed jobs' logs, LINES of them at most, the last job's at the end."""
    shown = failed[-(LINES // 5) :]
    lines = [f"{len(failed) - len(shown)} more failed before these."] if len(failed) > len(shown) else []
    for task in shown:
        log = _end_of(task.log, LINES // len(shown) - 2)
        lines += ["", f"{task.name} failed; the end of {task.log or 'its log'}:", *log]
    return lines


def _told_in(log: str) -> list[str]:
    """Return what a job that ended well told people in its log, such as a warning."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines() if log else []
    except OSError:
        return []
    return [line for line in lines if line.startswith("reproof: ")]


def _end_of(log: str, count: int) -> list[str]:
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    except OSError:
        lines = []
    return [_cut(line, WIDTH) for line in lines[-count:]] or ["(empty: Snakemake's own log says more)"]
