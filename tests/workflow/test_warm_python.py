"""A fork of the warm Python does what a Python does that starts by itself; it has none of our code in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from project import Project

SHOW = """
import atexit, os, sys
atexit.register(print, "the end")
print(os.getcwd(), dict(sorted(os.environ.items())), sys.argv[1:], [path for path in sys.path if path.endswith("own")])
print([name for name in sys.modules if name.partition(".")[0] == "reproof"], __name__, sys.stdin.read())
print("a word", file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/shown.py").write_text(f"{SHOW}\nsys.exit(3)\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "TOLD": "yes",
        "PYTHONPATH": str(tmp_path / "own"),
    }
    return Project(tmp_path, environment)


@pytest.mark.parametrize(
    ("arguments", "status"), [(("-m", "shown", "one", "--two"), 3), (("-c", SHOW), 0)], ids=["module", "code"]
)
def test_folder_environment_arguments_output_and_status_are_the_commands(
    project: Project, arguments: tuple[str, ...], status: int
) -> None:
    warm, cold = project.python(*arguments), project.cold().python(*arguments)
    assert warm.returncode == cold.returncode == status
    assert warm.stderr == cold.stderr == "a word\n"
    assert warm.stdout == cold.stdout
    assert warm.stdout.endswith("the end\n")
    assert "'TOLD': 'yes'" in warm.stdout
    assert "[] __main__" in warm.stdout, "none of our modules is there beforehand"


def test_what_fails_says_why_and_leaves_the_next_command_alone(project: Project) -> None:
    done = project.python("-m", "broken")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert project.python("-c", "import os; os._exit(7)").returncode == 7
    assert project.python("-c", "print(1)").stdout == "1\n"
