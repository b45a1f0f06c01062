"""A real browser for the tests of the page: whatever it logs, and whatever it asks of a network, is a failure."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

UNFOLD = """
async () => {
  while (document.querySelector('.later, main details:not([open])')) {
    document.querySelectorAll('main details').forEach((fold) => { fold.open = true; });
    await new Promise((done) => setTimeout(done, 5));
  }
}
"""
"""Unfolds all that is folded on a page, once it is built."""


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Yield a headless Chromium; without one the test fails and says how to get it."""
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


@contextlib.contextmanager
def quiet(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Yield a function that opens files; in the end nothing may have been logged, or asked of a network."""
    contexts = []
    heard: list[str] = []

    def open_one(path: Path, fragment: str = "", **settings: Any) -> Page:
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


def until(page: Page, expression: str, arg: Any = None) -> None:
    """Wait until an expression is true on a page; its policy forbids the browser to evaluate texts by itself."""
    for _ in range(500):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never true: {expression}")
