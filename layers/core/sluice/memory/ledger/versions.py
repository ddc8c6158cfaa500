"""Versions of records: whoever writes one must have read the latest."""

from sluice.ports.errors import ConflictError


def check(given: int, kept: int, what: str) -> None:
    """Hold a record's version against the one that is kept (0: none).

    Raises:
        ConflictError: they differ.
    """
    if given != kept:
        raise ConflictError(f"{what} is at version {kept}, not {given}: read it again")
