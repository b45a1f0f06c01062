"""Tests that share what takes long to make meet on one worker; each other file goes to whichever is free."""

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
    """The whole way: with plain xdist those of each group were seen on both workers."""
    groups = (
        ("workflow/test_chain", "workflow/test_reruns"),
        ("report/test_page", "report/test_cards"),
        ("unit/test_studies", "unit/test_altered_experiments"),
        ("unit/test_other",),
        ("workflow/test_kills",),
    )
    for name in (name for group in groups for name in group):
        path = tmp_path / f"tests/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SHARED.format(name=path.stem.removeprefix("test_")))
    (tmp_path / "tests/conftest.py").write_bytes((TESTS / "conftest.py").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-rP", "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    seen = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("WORKER")]
    assert len(seen) == 16
    assert len({worker for _, worker in seen}) == 2, "both have something to do"
    for group in groups:
        names = {name.partition("test_")[2] for name in group}
        assert len({worker for name, worker in seen if name in names}) == 1, seen


def listed(name: str) -> tuple[str, ...]:
    """Return a tuple of conftest.py."""
    (found,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((TESTS / "conftest.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    assert isinstance(found, tuple)
    return found


def test_files_that_go_together_are_there() -> None:
    assert {path.stem for path in (TESTS / "unit").rglob("*.py")} >= {*listed("PLANNED")}


def test_a_file_that_goes_by_itself_uses_no_run_of_others() -> None:
    """`OWN_RUN` holds files that are there, and none that asks for the shared run, however indirectly."""
    for name in listed("OWN_RUN"):
        text = (TESTS / f"workflow/{name}.py").read_text(encoding="utf-8")
        assert "finished" not in text
        assert "changeable" not in text or "def changeable(" in text, f"{name} uses the shared run's copy"
