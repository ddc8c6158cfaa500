"""What `sluice backtest` takes on its command line: which options go together, and the range of each number."""

from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

from sluice_tools.backtest.study import EXPERIMENTS

SOURCES = ("--trace", "--queue", "--matrix", "--worlds")
# An option -> the sources of traffic with which it means something; elsewhere it would be ignored, and is refused.
BELONGS_TO = {
    "--seconds-per-message": ("--trace", "--queue"),
    "--target-wait": ("--trace", "--queue"),
    "--fleet": ("--trace", "--queue"),
    "--boot": ("--trace", "--queue"),
    "--group": ("--queue",),
    "--days": ("--queue",),
    "--tune": ("--trace", "--queue", "--matrix"),
    "--launch-failure": ("--trace", "--queue", "--matrix"),
    "--hourly-cost": ("--trace", "--queue", "--matrix"),
    "--instance-type": ("--trace", "--queue", "--matrix"),
    "--report": ("--trace", "--queue", "--matrix"),
    "--traces": ("--matrix",),
    "--seeds": ("--worlds",),
    "--region": ("--queue",),
    "--profile": ("--queue",),
    "--endpoint-url": ("--queue",),
}
WAIT_MOST_S = 1_209_600.0  # 14 days: SQS keeps no message longer
TAKES_MOST_S = 43_200.0  # 12 hours: SQS's longest visibility timeout
# An option -> its least value, whether that is out of range, its greatest value, and whether that is out of range.
RANGES = {
    "--seconds-per-message": (0.0, True, TAKES_MOST_S, False),
    "--target-wait": (0.0, True, WAIT_MOST_S, False),
    "--boot": (0.0, False, TAKES_MOST_S, False),
    "--tune": (0.0, False, 1.0, True),
    "--launch-failure": (0.0, False, 1.0, True),
    "--hourly-cost": (0.0, True, inf, False),
    "--seed": (0.0, False, inf, False),
    "--seeds": (1.0, False, inf, False),
    "--jobs": (1.0, False, inf, False),
}


def check(given: Mapping[str, Any]) -> None:
    """Refuse what cannot be used, before anything is read or simulated.

    Args:
        given: options as typed, with their values; None or False where one was not given.

    Raises:
        ValueError: an option is out of place or out of range; the message begins with it.
    """
    given = {flag: value for flag, value in given.items() if value is not None and value is not False}
    if "--stack" in given:
        raise ValueError(f"--stack: must be left out; a queue has its history without a stack (got {given['--stack']})")
    sources = [flag for flag in SOURCES if flag in given]
    if not sources:
        raise ValueError(f"{SOURCES[0]}: exactly one of {', '.join(SOURCES)} must be given")
    if len(sources) > 1:
        raise ValueError(f"{sources[0]}: must be left out with {sources[1]}; each has its own traffic")
    for flag, value in given.items():
        if flag in BELONGS_TO and sources[0] not in BELONGS_TO[flag]:
            belongs = " and ".join(BELONGS_TO[flag])
            raise ValueError(f"{flag}: must be left out with {sources[0]}; it belongs to {belongs} (got {value})")
        if flag in RANGES:
            _in_range(flag, value)
    if "--report" in given and given["--report"].is_dir():
        raise ValueError(f"--report: must be a file (got the folder {given['--report']})")
    if "--traces" in given:
        _experiments(given["--traces"])


def _in_range(flag: str, value: float) -> None:
    least, above, most, below = RANGES[flag]
    fits_least = value > least if above else value >= least
    fits_most = value < most if below else value <= most
    if isfinite(value) and fits_least and fits_most:
        return
    lower = f"above {least:g}" if above else f"at least {least:g}"
    upper = f" and {'below' if below else 'at most'} {most:,.10g}" if most < inf else ""
    raise ValueError(f"{flag}: must be {lower}{upper} (got {value:g})")


def _experiments(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"--traces: must be a folder (got {folder})")
    if not (folder / EXPERIMENTS).is_file():
        raise ValueError(f"--traces: must have a file {EXPERIMENTS} of trace,seconds_per_message (got {folder})")
