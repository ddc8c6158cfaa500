"""Headless Chromium for the browser tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from sluice_tools import chromium


def launched() -> Iterator[Browser]:
    """The browser, for a fixture; the test is skipped where there is none."""
    program = chromium.program()
    if program is None:
        pytest.skip(
            "BROWSER TESTS NOT RUN: no Chromium; install Debian's package chromium-headless-shell or chromium, or set"
            f" {chromium.VARIABLE} to a program's path"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=chromium.FLAGS)
        yield browser
        browser.close()
