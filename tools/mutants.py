"""Break what attacks and judges, one small edit at a time, and see whether the tests notice.

    PYTHONPATH=src OMP_NUM_THREADS=1 python tools/mutants.py [PART ...]

Each mutant of mutants.yaml is a known trap: it is applied in a temporary copy, and the few quick tests that should
fail are run. One that they let pass is printed as SURVIVED, and the exit code is 1: write the test that fails. PART
chooses mutants by a part of their name or file. tests/unit/test_mutants.py holds that every edit still fits its file.

Tests run in forked processes, so that torch is imported once; the copy's own code is imported anew by each.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
"""A mutant that runs longer counts as killed: it never ends."""
NOT_CODE = (".*", "results", "report", "reference", "benchmarks")
FAILED, SURVIVED = 1, 0
"""pytest's exit codes that say something of a mutant; any other one says that the tests could not be run."""


class Mutant(NamedTuple):
    """One edit of one file, and the tests that should notice it."""

    name: str
    """What goes wrong."""
    file: str
    """Below src/reproof."""
    old: str
    """Stands there exactly once."""
    new: str
    tests: Sequence[str]
    """pytest's names of files or tests, below tests."""


def read() -> list[Mutant]:
    """Return the mutants of mutants.yaml."""
    listed = yaml.safe_load((ROOT / "tools/mutants.yaml").read_text(encoding="utf-8"))
    return [Mutant(**one) for one in listed]


def mutated(mutant: Mutant, text: str) -> str:
    """Return a file's text with the edit; ValueError where it does not fit exactly once."""
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has `{mutant.old}` {text.count(mutant.old)} times")
    return text.replace(mutant.old, mutant.new)


def left_out(folder: str, names: list[str]) -> set[str]:
    """Return what a copy of the project needs no copy of."""
    found = shutil.ignore_patterns("__pycache__")(folder, names)
    return found | (shutil.ignore_patterns(*NOT_CODE)(folder, names) if Path(folder) == ROOT else set())


def outcome(copy: Path, tests: Sequence[str], seconds: int = SECONDS) -> int:
    """Return pytest's exit code for tests of a copy of the project, run in a process of their own."""
    child = os.fork()
    if not child:
        os.chdir(copy)
        sys.path[:0] = [str(copy / "src"), str(copy)]
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        signal.alarm(seconds)
        import pytest

        named = [f"tests/{name}" for name in dict.fromkeys(tests)]
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=no", *named])))
    _, status = os.waitpid(child, 0)
    return FAILED if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def main(chosen: Sequence[str]) -> int:
    """Run the chosen mutants and print what became of each; return 1 if one survived, 2 if the tests cannot be run."""
    sys.dont_write_bytecode = True
    with warnings.catch_warnings():  # what tests import: once here, and not in every child
        warnings.simplefilter("ignore")
        import foolbox  # noqa: F401
        import pandas  # noqa: F401
        import pyautoattack  # noqa: F401
    mutants = [one for one in read() if not chosen or any(part in one.name + one.file for part in chosen)]
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=left_out)
        if outcome(copy, [test for one in mutants for test in one.tests], 10 * SECONDS) != SURVIVED:
            print("the tests fail, or cannot be run, without a mutant")
            return 2
        for one in mutants:
            started, file = time.monotonic(), copy / "src/reproof" / one.file
            text = file.read_text(encoding="utf-8")
            file.write_text(mutated(one, text), encoding="utf-8")
            code = outcome(copy, one.tests)
            file.write_text(text, encoding="utf-8")
            if code not in (FAILED, SURVIVED):
                print(f"{one.name}: the tests cannot be run (pytest's exit code {code})")
                return 2
            survived += [one.name] if code == SURVIVED else []
            word = "SURVIVED" if code == SURVIVED else "killed"
            print(f"{word:8} {time.monotonic() - started:5.1f} s  {one.name}", flush=True)
    print(f"{len(survived)} of {len(mutants)} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
