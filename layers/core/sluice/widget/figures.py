"""A decision's figures as operators read them: a label in words, and the value with its unit.

The planner names its figures for the log and for metrics (`planning.explanation`). A figure that is not named here is
shown by that name, without a unit; a test finds it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sluice.model.decisions import Figure
from sluice.widget.text import UNKNOWN, counted, duration, number
from sluice.wording import exactly


class Labelled(NamedTuple):
    """A figure in words."""

    label: str
    value: str


def _messages(value: float) -> str:
    return f"{number(value)} {'message' if value == 1 else 'messages'}"


def _rate(value: float) -> str:
    return f"{_messages(value)} a second"


def _units(value: float) -> str:
    return f"{number(value)} in capacity"


def _instances(value: float) -> str:
    return counted(round(value), "unit")


_LABELS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "visible": ("Messages waiting", _messages),
    "in_flight": ("Messages in flight", _messages),
    "delayed": ("Messages delayed", _messages),
    "oldest_wait_s": ("Oldest message has waited", duration),
    "oldest_age_s": ("Oldest message by CloudWatch", duration),
    "arrivals_per_s": ("Arrivals now", _rate),
    "forecast_per_s": ("Arrivals expected", _rate),
    "forecast_error_per_s": ("Usual error of that", _rate),
    "service_rate_per_s": ("Completed by one unit", _rate),
    "lead_time_s": ("Lead time of a launch", duration),
    "target_wait_s": ("Target wait", exactly),
    "planned_wait_s": ("Wait that is planned for", duration),
    "window_s": ("Stabilization window", duration),
    "working": ("In service", _instances),
    "launching": ("Launching", _instances),
    "units_enough": ("Units that find enough work", _instances),
    "held": ("In flight, no consumer at work on them", _messages),
    "need_of_batches": ("Needed for a batch", _units),
    "visible_doubted": ("Count that is read again", _messages),
    "returned_per_s": ("Received again", _rate),
    "poison": ("Received again and again", _messages),
}
# The beginnings of the names of figures about one of several queues; the queue's name follows.
_OF_QUEUE: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "visible in ": ("Messages waiting in", _messages),
    "oldest_wait_s in ": ("Oldest message has waited in", duration),
    "need of ": ("Needed for", _units),
}


def labelled(figure: Figure) -> Labelled:
    """A figure's label and its value with the unit; a dash for a value that was not read."""
    label: str = figure.name
    form: Callable[[float], str] = number
    if figure.name in _LABELS:
        label, form = _LABELS[figure.name]
    else:
        for start, (words, of_queue) in _OF_QUEUE.items():
            if figure.name.startswith(start):
                label, form = f"{words} {figure.name.removeprefix(start)}", of_queue
    value = UNKNOWN if number(figure.value) == UNKNOWN else form(figure.value or 0.0)
    return Labelled(label, value)
