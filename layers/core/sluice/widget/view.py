"""What one rendering of the widget shows, as a value."""

from dataclasses import dataclass
from enum import StrEnum

from sluice.config import ConfigError, Fleet
from sluice.model import Decision, Drain, FailureGroup, Outcome, RedriveJob
from sluice.widget.text import Clock

UTC_CLOCK = Clock()


class Theme(StrEnum):
    """The dashboard's theme."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part that could not be read: what it is, and what was said, with what to grant where that is known."""

    part: str
    problem: str


@dataclass(frozen=True, slots=True)
class View:
    """All that one rendering shows. Times are epoch seconds."""

    now: float
    since: float
    until: float
    clock: Clock = UTC_CLOCK
    fleets_path: str = "/sluice/<stack>/fleets/"
    fleets: tuple[str, ...] = ()  # names of those that can be used
    invalid: tuple[ConfigError, ...] = ()
    fleet: Fleet | None = None  # the chosen one
    decisions: tuple[tuple[Decision, Outcome], ...] = ()  # most recent first
    cut: bool = False  # there are more decisions in the time range than were read
    drains: tuple[Drain, ...] = ()
    failure_groups: tuple[FailureGroup, ...] = ()
    jobs: tuple[RedriveJob, ...] = ()  # most recent first
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()  # of the request, such as parameters that mean nothing
    console_arn: str | None = None  # this function: the fleets' tabs call it
    redriver_arn: str | None = None  # the buttons call it; without it there are none
