"""Archives of code and layers, unpacked once for all processes of all functions.

ministack unpacks a function's code and every layer for each process that it starts: nearly a second of a processor and
40 MB each time. Here a process gets a link to what was unpacked before. On AWS both are read-only
(lambda/latest/dg/python-package.html: code in /var/task, layers in /opt), so that sharing them shows no difference.
"""

from __future__ import annotations

import functools
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

    def namelist(self) -> list[str]:
        """The members, or none where they are unpacked: ministack looks where each would go, for 0.1 s."""
        return [] if self._shared is not None and self._shared.exists() else super().namelist()

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Put a link to the unpacked members in the place of an empty folder; anything else is extracted as ever."""
        if members is not None or pwd is not None or self._shared is None or any(Path(path).iterdir()):
            super().extractall(path, super().namelist() if members is None else members, pwd)
            return
        with _unpacking:
            if not self._shared.exists():
                fresh = tempfile.mkdtemp(prefix="unpacking-")
                super().extractall(fresh)
                Path(fresh).rename(self._shared)
        Path(path).rmdir()
        Path(path).symlink_to(self._shared, target_is_directory=True)

    @functools.cached_property
    def _shared(self) -> Path | None:
        """Where the members of an archive in a file are unpacked, by its content."""
        if not isinstance(self.filename, str):
            return None
        digest = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
        return Path(tempfile.gettempdir()) / f"unpacked-{digest}"


def install() -> None:
    """Let ministack's Lambda runtime unpack by `SharedArchive`."""
    _runtime["zipfile"] = SimpleNamespace(
        ZipFile=SharedArchive, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )
