"""AWS's service models, read once for all the clients of a test process.

botocore reads them anew for each session, which takes up to 50 ms a client. A deployed function has one session.
"""

from __future__ import annotations

from typing import Any

import botocore.loaders
import botocore.session

_read: dict[str | None, dict[Any, Any]] = {}
"""What was read, by the search path it was found in."""


def _create_loader(search_path_string: str | None = None) -> botocore.loaders.Loader:
    """A session's own loader, since boto3 adds to its paths, that knows what the others have read."""
    loader = botocore.loaders.create_loader(search_path_string)
    setattr(loader, "_cache", _read.setdefault(search_path_string, {}))  # noqa: B010 - no stub has it
    return loader


def share() -> None:
    """From now on, in this process."""
    botocore.session.create_loader = _create_loader
