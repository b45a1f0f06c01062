"""Tests that share a finished workflow run meet on one worker; all others go to whichever is free."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
SHARED = """
import os, time
def test_{name}_one(): print("WORKER", "{name}", os.environ["PYTEST_XDIST_WORKER"]); time.sleep(0.1)
def test_{name}_two(): print("WORKER", "{name}", os.environ["PYTEST_XDIST_WORKER"]); time.sleep(0.1)
"""


def test_they_meet_there_when_pytest_runs_with_two_workers(tmp_path: Path) -> None:
    """The whole way: with plain xdist these four were seen on both workers."""
    folder = tmp_path / "tests/workflow"
    folder.mkdir(parents=True)
    (tmp_path / "tests/conftest.py").write_bytes((TESTS / "conftest.py").read_bytes())
    for name in ("chain", "reruns"):
        (folder / f"test_{name}.py").write_text(SHARED.format(name=name))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-rP", "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    seen = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("WORKER")]
    assert len(seen) == 4
    assert len({worker for _, worker in seen}) == 1, seen


def test_a_file_that_goes_by_itself_uses_no_run_of_others() -> None:
    """`OWN_RUN` holds files that are there, and none that asks for the shared run, however indirectly."""
    (own,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((TESTS / "conftest.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OWN_RUN"
    )
    for name in own:
        text = (TESTS / f"workflow/{name}.py").read_text(encoding="utf-8")
        assert "finished" not in text
        assert "changeable" not in text or "def changeable(" in text, f"{name} uses the shared run's copy"
