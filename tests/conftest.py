from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: test processes share few cores, and idle threads would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WHOLE_MACHINE = Path(__file__).parent / "workflow"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that run whole workflows, each on all cores, on one worker, one after another."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        if WHOLE_MACHINE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("whole_machine"))
