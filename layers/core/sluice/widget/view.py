"""What one rendering of the widget shows, as a value."""

from dataclasses import dataclass
from enum import StrEnum

from sluice.config.fleet import ConfigError, Fleet
from sluice.config.history import DrainOnly
from sluice.model.draining import Drain
from sluice.model.planning import Decision, Outcome
from sluice.model.redriving import FailureGroup, RedriveJob
from sluice.planning.shadow.scorecard import Score
from sluice.widget.text import Clock

UTC_CLOCK = Clock()


class Theme(StrEnum):
    """The dashboard's theme."""

    LIGHT = "light"
    DARK = "dark"


class Part(StrEnum):
    """What is read for the widget, each by itself."""

    FLEETS = "the fleets' documents"
    DECISIONS = "the decisions"
    DRAINS = "the drains"
    FAILURE_GROUPS = "the failure groups"
    REDRIVES = "the redrives"
    SHADOW = "the shadow's score"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part that could not be read, and what was said, with what to grant where that is known."""

    part: Part
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
    drain_only: tuple[DrainOnly, ...] = ()  # of the invalid ones: by which version their instances are drained
    unread_versions: tuple[str, ...] = ()  # why earlier versions of some of them are not known
    fleet: Fleet | None = None  # the chosen one
    decisions: tuple[tuple[Decision, Outcome], ...] = ()  # most recent first
    cut: bool = False  # there are more decisions in the time range than were read
    drains: tuple[Drain, ...] = ()
    failure_groups: tuple[FailureGroup, ...] = ()
    jobs: tuple[RedriveJob, ...] = ()  # most recent first
    score: Score | None = None  # of a fleet in shadow mode, of the last day
    week: Score | None = None  # the same of the last seven days
    troubles: tuple[Trouble, ...] = ()
    filter: str = ""  # failure groups without it in their cause are not shown
    notes: tuple[str, ...] = ()  # of the request, such as parameters that mean nothing
    console_arn: str | None = None  # this function: the fleets' tabs call it
    operator_arn: str | None = None  # the buttons call it; without it there are none

    @property
    def drains_only(self) -> bool:
        """Whether the chosen fleet's document is invalid, so that nothing is done for it but draining."""
        return any(self.fleet is each.fleet for each in self.drain_only)

    @property
    def redrive_arn(self) -> str | None:
        """What the buttons at dead letters call; such a fleet is refused there, so that it is offered none."""
        return None if self.drains_only else self.operator_arn

    def unread(self, part: Part) -> bool:
        """Whether nothing is known of a part: then nothing may be said of it, not even that it is empty."""
        return any(trouble.part is part for trouble in self.troubles)
