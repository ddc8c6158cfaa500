"""The headless Chromium that takes pictures and runs the browser tests.

Debian's `chromium-headless-shell` is the same engine without the browser around it, which opens a window, toolbars and
renderers of their own for each page: a page takes 0.1 s of a processor with the one and 0.65 s with the other.
"""

import os
import shutil

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs on the path, the first that is there is taken."""
VARIABLE = "SLUICE_CHROMIUM"
"""A program's path in their place."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def program() -> str | None:
    """The program to start; None where there is none."""
    return os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)
