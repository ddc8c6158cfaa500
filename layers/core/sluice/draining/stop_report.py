"""What a stop says of how systemd stops a unit: its lines for Sluice, and what there is to mend, as sentences.

The stop document prints one line for each service before it stops it, and another if systemd did not take its drop-in:

    sluice-stop unit=worker.service kill_mode=control-group stop_timeout_s=90 unchanged=shell

The settings are the unit's own. `unchanged` says why its signal could not go to the main process alone. What cannot be
read is left out: a document of the user's own prints no such line.
"""

import math
import re
from collections.abc import Iterable

from sluice.model.frozen import dataclass
from sluice.wording import exactly

LINE = "sluice-stop "
# systemd.time(7), as far as systemctl prints it
TIMES_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
# Why the drop-in was without effect, or left the kill mode as it is, and what to do about it.
UNCHANGED = {
    "no-drop-in": "Sluice could not write a drop-in for unit {unit} below /run/systemd/system, so it was stopped by its"
    " own settings. Run the SSM agent as root.",
    "no-reload": "systemd did not read Sluice's drop-in for unit {unit}, so it was stopped by its own settings. Run"
    " systemctl daemon-reload on an instance to see why.",
    "no-main-process": "systemd does not know the main process of unit {unit}, so all of its processes get the signal"
    " to stop. Set Type= or PIDFile= in the unit.",
    "not-handled": "The main process of unit {unit} does not handle the signal to stop. It ends at once, whatever it"
    " works on, or not at all if it ignores the signal. Have it handle SIGTERM. If it is a shell script, start the"
    " consumer with exec.",
    "shell": "Unit {unit} is run by a shell script that does not pass the signal to stop on, so all of its processes"
    " get it. Start the consumer with exec in the script.",
}


@dataclass(frozen=True, slots=True)
class UnitStop:
    """A unit's own settings for its stop; `stop_timeout_s` is math.inf if it has none."""

    unit: str
    kill_mode: str
    stop_timeout_s: float
    unchanged: str = ""  # a key of UNCHANGED; empty if a stop by Sluice is as it should be


def read_output(output: str) -> tuple[UnitStop, ...]:
    """The units of which a stop's output speaks; it may be cut off."""
    found: dict[str, dict[str, str]] = {}
    for line in output.splitlines(keepends=True):
        if line.startswith(LINE) and line.endswith("\n"):
            fields = dict(word.split("=", 1) for word in line.removeprefix(LINE).split() if "=" in word)
            found[fields.get("unit", "")] = found.get(fields.get("unit", ""), {}) | fields
    return tuple(stop for name, fields in found.items() if name and (stop := _unit_stop(name, fields)))


def read_properties(output: str) -> tuple[UnitStop, ...]:
    """The services in the output of `systemctl show --property=Id,LoadState,KillMode,TimeoutStopUSec`."""
    units = (dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in output.split("\n\n"))
    return tuple(
        UnitStop(unit["Id"], unit["KillMode"], _seconds(unit["TimeoutStopUSec"]))
        for unit in units
        if unit.keys() >= {"Id", "KillMode", "TimeoutStopUSec"} and unit.get("LoadState") != "not-found"
    )


def advice(stops: Iterable[UnitStop], deadline_s: float) -> tuple[str, ...]:
    """What there is to mend about the units, each as a sentence or two. Only the first of several alike is named."""
    sentences: dict[str, str] = {}
    for stop in stops:
        if stop.unchanged:
            text = UNCHANGED.get(stop.unchanged, "Unit {unit} was stopped by its own settings.")
            sentences.setdefault(stop.unchanged, text.format(unit=stop.unit))
        if stop.stop_timeout_s < deadline_s:
            sentences.setdefault(
                "stop-timeout",
                f"Unit {stop.unit} has a TimeoutStopSec of {exactly(stop.stop_timeout_s)}, which is shorter than"
                f" drain.deadline_s ({exactly(deadline_s)}). Sluice raises it for its own stops alone: set"
                f" TimeoutStopSec={deadline_s:.0f} in the unit.",
            )
    return tuple(sentences.values())


def _unit_stop(name: str, fields: dict[str, str]) -> UnitStop | None:
    try:
        return UnitStop(name, fields["kill_mode"], float(fields["stop_timeout_s"]), fields.get("unchanged", ""))
    except (KeyError, ValueError):
        return None


def _seconds(text: str) -> float:
    """A time as systemctl prints it, such as "1min 30s"; math.inf for "infinity", and for what is no time."""
    parts = re.findall(r"([\d.]+)([a-z]+)", text)
    if not parts or any(unit not in TIMES_S for _, unit in parts):
        return math.inf
    return sum(float(number) * TIMES_S[unit] for number, unit in parts)
