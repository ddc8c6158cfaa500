"""What a user knows of a fleet, and what of it reaches the simulated Sluice as its hints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice_tools.plan import read_fleet

TARGET_WAIT_S, BOOT_S = 120.0, 60.0  # where neither an option nor a document says


@dataclass(frozen=True, slots=True)
class Known:
    """Seconds, from the options and from a fleet's document; None where neither says."""

    target_wait_s: float
    boot_s: float
    takes_s: float | None  # of one message on one instance, as `--seconds-per-message` says
    hint_seconds: float | None  # that Sluice is given as seconds per message
    hint_lead_s: float | None  # that Sluice is given as lead time


def known(fleet: Path | None, takes_s: float | None, target_wait_s: float | None, boot_s: float | None) -> Known:
    """What the options say, and where they do not, the document. Hints are the document's, where it has them.

    A simulated instance works on one message at a time. So one that works on several at once by its document is taken
    as one that needs that much less time for each.

    Args:
        fleet: a file with a fleet's document.
        takes_s: `--seconds-per-message`.
        target_wait_s: `--target-wait`.
        boot_s: `--boot`.

    Raises:
        FileError: the document cannot be used.
    """
    hint_seconds, hint_lead_s = takes_s, boot_s
    if fleet is not None:
        document = read_fleet(fleet)
        target_wait_s = document.target_wait_s if target_wait_s is None else target_wait_s
        if document.hints.has_speed_hint:
            hint_seconds = 1.0 / document.hints.service_rate_per_s
        if document.hints.has_lead_hint:
            hint_lead_s = document.hints.lead_time_s
    boot_s = hint_lead_s if boot_s is None else boot_s
    return Known(
        TARGET_WAIT_S if target_wait_s is None else target_wait_s,
        BOOT_S if boot_s is None else boot_s,
        takes_s,
        hint_seconds,
        hint_lead_s,
    )


def hinted(specs: Sequence[str], seconds: float | None, lead_s: float | None) -> list[str]:
    """Policies as given, with the hints for each Sluice that says nothing about hints itself."""
    pairs = [("hint_seconds", seconds), ("hint_lead_s", lead_s)]
    hints = ",".join(f"{name}={value:g}" for name, value in pairs if value is not None)
    return [_with(spec, hints) if hints else spec for spec in specs]


def _with(spec: str, hints: str) -> str:
    name, _, given = spec.partition(":")
    if name != "sluice" or "hint" in given:
        return spec
    return f"{name}:{given},{hints}" if given else f"{name}:{hints}"
