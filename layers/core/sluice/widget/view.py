"""What one rendering of the widget shows, as a value made of parts that change together."""

from dataclasses import dataclass
from enum import StrEnum

from sluice.config.fleet import ConfigError, Fleet
from sluice.config.history import DrainOnly
from sluice.model.decisions import Decision, Outcome
from sluice.model.draining import Drain
from sluice.model.need import OperatorNeed
from sluice.model.redrive_jobs import RedriveJob
from sluice.model.redriving import FailureGroup
from sluice.planning.shadow.scorecard import Score
from sluice.widget.text import Clock

UTC_CLOCK = Clock()
FLEETS_PER_PAGE = 25  # of the overview, and of the status for programs: up to four queries each take about a second


class Theme(StrEnum):
    """The dashboard's theme."""

    LIGHT = "light"
    DARK = "dark"


class Source(StrEnum):
    """What the widget reads; each source can fail without the others."""

    FLEETS = "the fleets' documents"
    DECISIONS = "the decisions"
    DRAINS = "the drains"
    FAILURE_GROUPS = "the failure groups"
    REDRIVES = "the redrives"
    SHADOW = "the shadow comparison"
    NEEDS = "the needs of fleets"
    LATE = "the fleets that are late"


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A source that could not be read, and the error, with what to grant where that is known."""

    source: Source
    problem: str


@dataclass(frozen=True, slots=True)
class WidgetSettings:
    """What the widget knows about its stack."""

    console_arn: str | None = None  # the widget's own function: tabs, filters and message lists call it
    operator_arn: str | None = None  # the buttons that act call it; None: there are no such buttons
    fleets_path: str = "/sluice/<stack>/fleets/"  # of the fleets' documents in Parameter Store

    @property
    def stack(self) -> str:
        """The stack's name, which is the second part of that path."""
        parts = self.fleets_path.strip("/").split("/")
        return parts[1] if len(parts) > 1 else "<stack>"


@dataclass(frozen=True, slots=True)
class Period:
    """The time range that is shown, and the time zone. Times are epoch seconds."""

    now: float
    since: float
    until: float  # after `since`
    clock: Clock = UTC_CLOCK

    def second(self, at: float) -> str:
        """Such as `14:03:10`, with the day before it where it is not today."""
        return self.clock.second(at, self.now)

    def minute(self, at: float) -> str:
        """Such as `14:03`, with the day before it where it is not today."""
        return self.clock.minute(at, self.now)


@dataclass(frozen=True, slots=True)
class FleetDocuments:
    """The fleets of the stack, by their documents."""

    names: tuple[str, ...] = ()  # of the fleets that can be shown
    invalid: tuple[ConfigError, ...] = ()
    drain_only: tuple[DrainOnly, ...] = ()  # of the invalid ones: the version by which their instances are drained
    unread_versions: tuple[str, ...] = ()  # errors: earlier versions that could not be read


@dataclass(frozen=True, slots=True)
class FleetRecords:
    """What the ledger has about the fleet that is shown."""

    decisions: tuple[tuple[Decision, Outcome], ...] = ()  # of the time range, most recent first
    truncated: bool = False  # the time range has more decisions than were read
    drains: tuple[Drain, ...] = ()
    failure_groups: tuple[FailureGroup, ...] = ()
    jobs: tuple[RedriveJob, ...] = ()  # most recent first
    day_score: Score | None = None  # of a fleet in shadow mode, over the last day
    week_score: Score | None = None  # the same over the last seven days
    needs: tuple[OperatorNeed, ...] = ()  # of all fleets: what needs an operator, and some of what did lately


@dataclass(frozen=True, slots=True)
class View:
    """All that one rendering shows."""

    period: Period
    settings: WidgetSettings = WidgetSettings()
    documents: FleetDocuments = FleetDocuments()
    fleet: Fleet | None = None  # the one that is shown
    records: FleetRecords = FleetRecords()
    failures: tuple[ReadFailure, ...] = ()
    filter: str = ""  # only failure groups with this text in their cause or id are shown
    notes: tuple[str, ...] = ()  # about the request, such as unknown parameters

    @property
    def drains_only(self) -> bool:
        """Whether the fleet's document is invalid, so that draining is all that is done for it."""
        return any(self.fleet is each.fleet for each in self.documents.drain_only)

    @property
    def redrive_arn(self) -> str | None:
        """What the buttons at dead letters call; None for a fleet that only drains: its redrives are refused."""
        return None if self.drains_only else self.settings.operator_arn

    def is_unread(self, source: Source) -> bool:
        """Whether a source could not be read: then the widget must not show it as empty."""
        return any(failure.source is source for failure in self.failures)
