"""What a run says: a line a job in a pipe, one live line in a terminal, failures last and short."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import pty
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import pytest
from snakemake.logging import LoggerManager
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from reproof import cli, run_log, snakemake_driver
from reproof.plan import estimate
from reproof.plan.jobs import RULES, Plan
from reproof.run_log import RunLog, TimeLeft

NO_PLAN: Any = None
"""No estimate is wanted where nothing is drawn live."""
STATS = {"train": 2, "attack_for_transfer": 1, "report": 1, "all": 1, "total": 5}


def record(
    event: LogEvent | None, message: str | None = None, level: int = logging.INFO, **told: Any
) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    made.__dict__ |= {"event": event, **told}
    return made


def begin(job: int, rule: str, *, log: str = "", **wildcards: str) -> logging.LogRecord:
    facts = {"jobid": job, "rule_name": rule, "wildcards": wildcards, "output": [f"{rule}.out"], "log": [log]}
    return record(LogEvent.JOB_INFO, **facts)


def end(job: int) -> logging.LogRecord:
    return record(LogEvent.JOB_FINISHED, job_id=job)


def fail(job: int, rule: str, log: str) -> logging.LogRecord:
    return record(LogEvent.JOB_ERROR, "Error in rule", logging.ERROR, jobid=job, rule_name=rule, log=[log])


def said(*records: logging.LogRecord, stats: Mapping[str, int] = STATS) -> list[str]:
    """Return the lines that a pipe gets of a run."""
    stream = io.StringIO()
    handler = RunLog(None, stream, "whole.log", dict)
    handler.handle(record(LogEvent.RUN_INFO, "Job stats", stats=stats))
    for one in records:
        handler.handle(one)
    handler.close()
    handler.close()
    return stream.getvalue().splitlines()


def whole_run() -> Iterator[logging.LogRecord]:
    for job, (rule, wildcards) in enumerate(
        [
            ("train", {"model": "plain", "seed": "0"}),
            ("train", {"model": "centred", "seed": "0"}),
            ("attack_for_transfer", {"model": "plain", "seed": "0", "suite": "papers"}),
            ("report", {}),
            ("all", {}),
        ]
    ):
        yield begin(job, rule, **wildcards)
        yield record(LogEvent.SHELLCMD, "Shell command: long")
        yield record(LogEvent.PROGRESS, None, done=job, total=5)
        yield end(job)


def test_a_pipe_gets_a_line_a_job_and_the_page() -> None:
    head, log, *jobs, last = said(*whole_run())
    assert head == "4 jobs: 2 train, 1 attack_for_transfer, 1 report"
    assert log == "Snakemake's own log: whole.log"
    assert [line.rsplit("  ", 1)[0] for line in jobs] == [
        "1/4  train plain seed0",
        "2/4  train centred seed0",
        "3/4  attack_for_transfer plain seed0 papers",
        "4/4  report",
    ]
    assert last.startswith("4 of 4 jobs done in ")
    assert last.endswith(": report.out")


def test_warnings_are_told_and_chatter_is_not() -> None:
    stream = io.StringIO()
    handler = RunLog(None, stream, "whole.log", dict)
    for message in ("Building DAG of jobs...", "Using shell: /bin/bash", "Creating conda environment"):
        handler.handle(record(None, message))
    handler.handle(record(LogEvent.RESOURCES_INFO, "Provided cores: 2"))
    handler.handle(record(LogEvent.RUN_INFO, "Job stats", stats={"train": 1, "total": 1}))
    handler.handle(record(None, "Removing temporary output"))
    handler.handle(record(None, None))
    handler.handle(record(None, "The disk is nearly full", logging.WARNING))
    handler.handle(record(None, "Exiting because a job execution failed. Look above", logging.ERROR))
    lines = stream.getvalue().splitlines()
    assert [lines[0], lines[-1]] == ["Creating conda environment", "The disk is nearly full"]
    assert len(lines) == 4


def test_what_was_stopped_says_that_it_goes_on() -> None:
    last = said(begin(1, "train", model="plain"), end(1), begin(2, "train"))[-1]
    assert last.startswith("1 of 4 jobs done in ")
    assert last.endswith("; the same command goes on from there")


@pytest.mark.parametrize(
    "ending", ["KeyboardInterrupt", "reproof: interrupted; the same command goes on from here"]
)
def test_what_the_user_interrupted_did_not_fail(tmp_path: Path, ending: str) -> None:
    log = tmp_path / "train.log"
    log.write_text(f"Traceback (most recent call last):\n{ending}\n")
    lines = said(begin(1, "train", model="plain"), fail(1, "train", str(log)))
    assert lines[2] == "train plain  interrupted"
    assert len(lines) == 4
    assert lines[-1].endswith("; the same command goes on from there")


def test_nothing_to_do_is_said_alone() -> None:
    stream = io.StringIO()
    handler = RunLog(None, stream, "whole.log", dict)
    handler.handle(record(None, "Nothing to be done (all requested files are present and up to date)."))
    handler.close()
    assert stream.getvalue() == "Nothing to be done (all requested files are present and up to date).\n"


def test_a_failure_shows_its_message_last(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("first\n" * 300 + "reproof: TrainingError: the rate\n")
    lines = said(begin(1, "train", model="plain", seed="0"), fail(1, "train", str(log)))
    assert lines[-1] == "reproof: TrainingError: the rate"
    assert f"train plain seed0 failed; the end of {log}:" in lines
    assert any(line.startswith("0 of 4 jobs done in ") and "1 failed" in line for line in lines)
    assert len(lines) <= 200


@pytest.mark.parametrize("count", [2, 40, 300])
def test_many_failures_are_at_most_two_hundred_lines(tmp_path: Path, count: int) -> None:
    logs = [tmp_path / f"{job}.log" for job in range(count)]
    for job, log in enumerate(logs):
        log.write_text("noise\n" * 500 + f"message {job}\n")
    stream = io.StringIO()
    handler = RunLog(None, stream, "whole.log", dict)
    handler.handle(record(LogEvent.RUN_INFO, "Job stats", stats={"train": count, "total": count}))
    for job, log in enumerate(logs):
        handler.handle(begin(job, "train"))
        handler.handle(fail(job, "train", str(log)))
    before = len(stream.getvalue().splitlines())
    handler.close()
    lines = stream.getvalue().splitlines()[before:]
    assert len(lines) <= 200
    assert lines[-1] == f"message {count - 1}"
    assert sum(line.startswith("message") for line in lines) == min(count, 30)
    assert any("270 more failed" in line for line in lines) == (count == 300)


def test_a_log_that_is_not_there_is_said_so() -> None:
    assert said(fail(7, "train", "nowhere.log"))[-1] == "(empty: Snakemake's own log says more)"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, Any]]:
    """Yield the end of a terminal of 40 columns that a run writes to, and a function that reads what it wrote."""
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 40))
    stream = os.fdopen(slave, "w")

    def read() -> str:
        """Return all that was written; then nothing can be written any more."""
        stream.close()
        found = b""
        with contextlib.suppress(OSError):  # no writer is left
            while chunk := os.read(master, 4096):
                found += chunk
        return found.decode()

    yield stream, read
    stream.close()
    os.close(master)


def test_a_terminal_gets_one_line_that_fits(terminal: tuple[TextIO, Any]) -> None:
    stream, read = terminal
    handler = RunLog(None, stream, "whole.log", lambda: {"train": 10.0, "attack": 20.0, "report": 10.0})
    handler.handle(record(LogEvent.RUN_INFO, "Job stats", stats=STATS))
    for one in whole_run():
        handler.handle(one)
    handler.close()
    shown = read()
    lines = shown.replace("\r\n", "\n").split("\n")
    assert [line.rpartition(run_log._ERASE)[2].split(" ")[0] for line in lines[:-1]] == [
        "4",
        "Snakemake's",
        "4",
    ]
    live = [part for part in shown.split(run_log._ERASE) if "\n" not in part and part]
    assert live
    assert max(map(len, live)) <= 39
    assert "1 of 4 · " in shown
    assert all(one != other for one, other in itertools.pairwise(live)), "nothing is drawn twice"


def test_the_live_line_says_what_runs_and_how_long_the_rest_takes(terminal: tuple[TextIO, Any]) -> None:
    stream, _ = terminal
    handler = RunLog(None, stream, "whole.log", lambda: {"train": 60.0, "attack": 600.0, "report": 60.0})
    handler.handle(record(LogEvent.RUN_INFO, "Job stats", stats=STATS))
    handler.handle(begin(1, "train", model="plain", seed="0"))
    handler.handle(end(1))
    handler.handle(begin(2, "train", model="centred", seed="0"))
    handler.handle(begin(3, "attack_for_transfer", model="plain"))
    line = handler._line()
    assert line.startswith("1 of 4 · about ")
    assert line.endswith("left · train centred seed0 and 1 more (0 s)")
    handler.close()


def test_the_time_left_by_hand() -> None:
    """Of 100 s estimated 20 are done and took 40: twice as long. 80 remain, that is 160 s, less 10 under way."""
    left = TimeLeft(
        {"train": 10.0, "train.first": 20.0, "attack": 70.0}, {"train": 3, "attack_for_transfer": 1}
    )
    assert left.seconds(5, 0) is None
    left.done("train", "train.first", 40.0)
    assert left.seconds(40, 10) == pytest.approx((80 * 2 - 10) / 1.25), "1.25 jobs at a time so far"
    assert left.seconds(100, 0) == pytest.approx(160), "never slower than one at a time"
    left.done("attack", "", 200.0)
    assert left.seconds(240, 1000) == 0


def managed(**asked: Any) -> Any:
    """Return what a Snakefile sees of Snakemake's own logging, with a logger of its own."""
    settings = OutputSettings(**asked)
    manager = LoggerManager(logging.Logger("snakemake"), settings)
    return SimpleNamespace(logger_manager=manager, output_settings=settings)


def names(workflow: Any) -> list[str]:
    return [type(handler).__name__ for handler in workflow.logger_manager.logger.handlers]


def test_snakemake_s_own_words_give_way_to_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = managed(enable_file_logging=True)
    workflow.logger_manager.setup_logfile()
    snakemake_driver.speak(workflow, NO_PLAN)
    assert sorted(names(workflow)) == ["FileHandler", "RunLog"]
    (ours,) = [one for one in workflow.logger_manager.logger.handlers if isinstance(one, RunLog)]
    assert ours._log_file.startswith(".snakemake/log/")
    workflow.logger_manager.stop()


@pytest.mark.parametrize(
    "asked", [{"dryrun": True}, {"verbose": True}, {"printshellcmds": True}, {"debug_dag": True}]
)
def test_who_asks_for_other_words_gets_them(asked: dict[str, bool]) -> None:
    workflow = managed(**asked)
    snakemake_driver.speak(workflow, NO_PLAN)
    assert names(workflow) == ["ColorizingTextHandler"]


def test_every_job_and_rule_has_an_estimate() -> None:
    plan = Plan(cli.load_study([], []))
    found = snakemake_driver._estimates(plan)
    trained = [estimate.cost(plan, job).seconds for job in plan.jobs(["train"])]
    assert found["train"] == pytest.approx(sum(trained) / len(trained))
    assert found[next(iter(plan.report().outputs.values()))] == found["report"]
    assert {rule for rule in RULES if any(plan.jobs([rule]))} <= set(found)
