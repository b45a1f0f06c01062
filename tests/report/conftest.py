"""The made-up study's page, opened in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_up_study
import pytest
from playwright.sync_api import Browser, Page
from tests.browsers import UNFOLD, quiet

from reproof.report import render


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> made_up_study.Tree:
    return made_up_study.write(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(scope="session")
def html(tree: made_up_study.Tree) -> str:
    return render(made_up_study.report_data(tree, made_up_study.STALE))


@pytest.fixture(scope="session")
def page_file(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "made_up.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def open_page(browser: Browser, page_file: Path) -> Iterator[Callable[..., Page]]:
    """Open the page or another file, by default with all that is folded built and unfolded.

    In the end nothing may have been logged, or asked of a network.
    """
    with quiet(browser) as opened:

        def open_one(
            path: Path = page_file, fragment: str = "", unfolded: bool = True, **settings: Any
        ) -> Page:
            page = opened(path, fragment, **settings)
            if unfolded and settings.get("java_script_enabled", True):
                page.evaluate(UNFOLD)
            return page

        yield open_one
