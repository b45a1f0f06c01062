from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before torch is imported: test processes share few cores, and idle threads would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WHOLE_MACHINE = Path(__file__).parent / "workflow"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests of a process: Playwright runs only once in it."""
    from tests.browsers import launched

    with launched() as chromium:
        yield chromium


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that run whole workflows, each on all cores, on one worker, one after another."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        if WHOLE_MACHINE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("whole_machine"))
