"""The decision of a tick with its reasons and figures, and the outcome of it.

Times are epoch seconds; capacity is in the group's own units.
"""

from enum import StrEnum

from sluice.model.frozen import dataclass
from sluice.model.observed import Mode


class Action(StrEnum):
    """The direction of a decision."""

    SCALE_OUT = "scale-out"
    SCALE_IN = "scale-in"
    HOLD = "hold"


class ReasonCode(StrEnum):
    """Why a decision is what it is: log key and metric dimension. In the order in which limits apply."""

    NEED = "need"  # what the queue asks for
    STALE = "stale"  # signals missing or old: never scale in on them
    PAUSED = "paused"
    NOTHING_RECEIVED = "nothing-received"  # messages wait for units in service, and none was received
    IDLE_UNITS = "idle-units"  # messages wait, and units in service take none of them
    NO_GAIN = "no-gain"  # more units completed no more
    DOWNSTREAM = "downstream"  # guard: cap in messages a second, or an alarm that forbids scaling out
    BUDGET = "budget"
    COLD_START = "cold-start"  # nothing was completed yet: scale out by degrees
    LAUNCH_HANGS = "launch-hangs"  # launches that are under way for several lead times
    SPARE_LAUNCHES = "spare-launches"  # launches beside those needed, since some fail
    STEP = "step"  # largest step
    LAUNCH_FAILED = "launch-failed"  # launches that failed in a row
    SHORT_LIVED = "short-lived"  # launches that came into service and did not live
    STABILIZATION_WINDOW = "stabilization-window"  # scale in only after the window
    HELD_MESSAGES = "held-messages"  # all that is in flight is worked on by nobody
    SCALE_IN_FLOOR = "scale-in-floor"  # not to zero before all is done, nor below what may be needed before a launch
    BUSY_CAPACITY = "busy-capacity"  # what is busy stays
    PROTECTED = "protected"  # instances that the group may not take away
    GROUP_PROTECTED = "group-protected"  # idle instances that the group or somebody protects
    GROUP_MIN = "group-min"
    GROUP_MAX = "group-max"
    SUSPENDED = "suspended"  # the group's own processes are suspended
    OTHER_CONTROLLER = "other-controller"  # something else sets the capacity again and again
    VISIBILITY_SHORT = "visibility-short"  # messages become visible while they are worked on; no limit
    HIDDEN_LONG = "hidden-long"  # messages that a consumer hides for hours; no limit
    NO_GROUP = "no-group"


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of a decision: the capacity wanted before and after it, and a sentence for people."""

    code: ReasonCode
    sentence: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure a decision used. `age_s` is None for what was configured; `source` is where it came from."""

    name: str
    value: float | None
    age_s: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted for a fleet at a tick, with every reason; never confused with the outcome."""

    id: str
    fleet: str
    at: float
    mode: Mode
    action: Action
    current: int  # the group's desired capacity when it was read
    raw_need: int  # before any limit
    want: int  # after every limit; equals `current` when the action is HOLD
    reasons: tuple[Reason, ...]
    figures: tuple[Figure, ...]
    sentence: str


class OutcomeStatus(StrEnum):
    """What came of a decision."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"  # nothing to do
    SHADOW = "shadow"  # recorded only
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done about a decision, and what AWS answered."""

    at: float
    status: OutcomeStatus
    answer: str = ""
