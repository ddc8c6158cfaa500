"""Archives of code and layers, unpacked once for all processes of all functions.

ministack unpacks a function's code and every layer for each process that it starts: nearly a second of a processor and
40 MB each time. Here a process gets a link to what was unpacked before. On AWS both are read-only
(lambda/latest/dg/python-package.html: code in /var/task, layers in /opt), so that sharing them shows no difference.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_runtime = Host("core.lambda_runtime", "zipfile")

_unpacking = threading.Lock()


class SharedArchive(zipfile.ZipFile):
    """An archive whose members exist once in the sandbox, whoever extracts them."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Put a link to the unpacked members in the place of an empty folder; anything else is extracted as ever."""
        if members is not None or pwd is not None or not isinstance(self.filename, str) or any(Path(path).iterdir()):
            super().extractall(path, members, pwd)
            return
        digest = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
        shared = Path(tempfile.gettempdir()) / f"unpacked-{digest}"
        with _unpacking:
            if not shared.exists():
                fresh = tempfile.mkdtemp(prefix="unpacking-")
                super().extractall(fresh)
                Path(fresh).rename(shared)
        Path(path).rmdir()
        Path(path).symlink_to(shared, target_is_directory=True)


def install() -> None:
    """Let ministack's Lambda runtime unpack by `SharedArchive`."""
    _runtime["zipfile"] = SimpleNamespace(
        ZipFile=SharedArchive, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )
