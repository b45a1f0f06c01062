from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from xdist.remote import Producer

# Before torch is imported: test processes share few cores, and idle threads would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

OWN_RUN = (
    "test_additions",
    "test_borrowed",
    "test_conda",
    "test_deletions",
    "test_ensembles",
    "test_kills",
    "test_own_models",
    "test_studies",
    "test_surfaces",
    "test_warm_jobs",
)
"""Workflow tests that do not use the fixture `finished`."""
PLANNED = ("test_altered_experiments", "test_composed_attacks", "test_protocol_of_studies", "test_studies")
"""Unit tests of the plans of all studies, which are made once for them."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests of a process: Playwright runs only once in it."""
    from tests.browsers import launched

    with launched() as chromium:
        yield chromium


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Share the tests out so that those of one finished workflow run meet on one worker.

    Under pytest 9.2 xdist's own groups do nothing: it notes them in a test's `_nodeid`, which nothing reads any more.
    """
    config.option.loadscopereorder = False
    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with workflow tests, which wait a lot, so that small files fill the time of all processes at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/workflow/"))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist's is untyped
    """Each file by itself, so that one process makes what its tests share; what several files share, once."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        if path.parent.name == "workflow":
            return str(path) if path.stem in OWN_RUN else "finished"
        if path.parent.name == "report":
            return "page"
        return "plans" if path.stem in PLANNED else str(path)
