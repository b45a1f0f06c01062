from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import TINY, Project, clone


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished tiny study; a test that changes it works on a copy."""
    project = clone(tmp_path_factory.mktemp("tiny") / "project", TINY)
    project.said = project.make()
    return project


@pytest.fixture
def changeable(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished study, with Snakemake's own notes and the files' times."""
    shutil.copytree(finished.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", finished.environment)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Project]:
    """Make a copy of the project that has run nothing yet."""
    count = 0

    def make(study: str = TINY, environment: dict[str, str] | None = None) -> Project:
        nonlocal count
        count += 1
        return clone(tmp_path / f"project{count}", study, environment)

    return make
