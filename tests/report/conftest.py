"""The made-up study's page, opened in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_up_study
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from reproof.report import render

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    names = ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable")
    found = os.environ.get("REPROOF_CHROMIUM") or next((p for p in map(shutil.which, names) if p), None)
    if not found:
        pytest.fail(
            "The page's tests need Chromium: `apt-get install chromium` (Debian), or `playwright install "
            "chromium` and REPROOF_CHROMIUM=<path of the browser it installed>."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, page_file: Path) -> Iterator[Callable[..., Page]]:
    """Open the page or another file; in the end nothing may have been logged, or asked of a network."""
    contexts = []
    heard: list[str] = []

    def open_one(path: Path = page_file, fragment: str = "", **settings: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1400, "height": 900}} | settings))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: heard.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:"))
                else heard.append(f"request: {request.url}")
            ),
        )
        page.goto(path.as_uri() + fragment)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert heard == []
