"""A fleet's document -> Fleet; ConfigError lists every problem at once, each naming its field.

Validated by pydantic: of the libraries compared, the one that reports all faults of a document at once
(docs/decisions.md has the figures).
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sluice.model import Mode, StopOrder

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html: a wait ends after 48 hours
# or 100 heartbeat timeouts, whichever is sooner; one timeout is 30 s to 2 h.
HOOK_CEILING_S = 48 * 3600.0
HOOK_CEILING_TIMEOUTS = 100

QUEUE_URL = "a queue URL, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
QueueUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s/]+/[A-Za-z0-9-]+/[A-Za-z0-9_-]{1,80}(?:\.fifo)?$", description=QUEUE_URL)
]

# Signs of life are looked for once a sweep, each minute: in less than two of them one that lives may show none.
SILENCE_MIN_S = 120.0

# What would be right, for the fields whose pattern says too little to a person.
PATTERNS = {
    "name": "1 to 63 letters, digits and hyphens, the first no hyphen",
    "queue": QUEUE_URL,
    "dead_letter_queue": QUEUE_URL,
    "group": "an Auto Scaling group's name, 1 to 255 characters without colons and control characters",
    "unit": "a systemd unit's name, such as consumer.service",
    "container": "a container's name: letters, digits, underscores, dots and hyphens, the first a letter or digit",
    "document": "a Run Command document's name: 3 to 128 letters, digits, underscores, dots and hyphens",
    "hook": "a lifecycle hook's name: 1 to 255 letters, digits, hyphens, underscores and slashes",
}
# Each queue has a place in the planner's memory, which is one record of the ledger, and a call of SQS in every tick.
QUEUES_MAX = 10
QUEUES_PATH = "/queues/"  # in a document's name: it is one further queue of a fleet
SHOWN = 80  # characters of a wrong value that an error repeats


def _no_truth(value: object) -> object:
    """Refuse true and false where a number belongs: Python takes them for 1 and 0."""
    if isinstance(value, bool):
        said = "true" if value else "false"
        raise ValueError(f"must be a number (got {said})")  # noqa: TRY004 - pydantic reports a ValueError, no TypeError
    return value


# Text that holds a number will do: CloudFormation's parameters come as text.
Number = Annotated[float, BeforeValidator(_no_truth)]
Count = Annotated[int, BeforeValidator(_no_truth)]


class ConfigError(ValueError):
    """A fleet document that cannot be used; `problems` has every fault, each naming its field."""

    def __init__(self, name: str, problems: tuple[str, ...]) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"fleet {name!r}: " + "; ".join(problems))


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", allow_inf_nan=False)


def _sound[S: _Section](section: S, problems: list[str]) -> S:
    """The section, if nothing was found; each problem is `field: what would be right`, on a line of its own."""
    if problems:
        raise ValueError("\n".join(problems))
    return section


class Hints(_Section):
    """What to believe until enough was measured."""

    seconds_per_message: Number = Field(default=1.0, gt=0, le=43_200)  # 12 h: SQS's longest visibility timeout
    concurrency: Count = Field(default=1, ge=1, le=10_000)  # messages that one unit of capacity works on at once
    lead_time_s: Number = Field(default=120.0, ge=0, le=7_200)

    @property
    def service_rate_per_s(self) -> float:
        """Messages per second that one unit of capacity completes."""
        return self.concurrency / self.seconds_per_message

    @property
    def tells_speed(self) -> bool:
        """Whether somebody said how long a message takes; else the default stands for it."""
        return "seconds_per_message" in self.model_fields_set


class Limits(_Section):
    """What comes after need."""

    stale_after_s: Number = Field(default=180.0, ge=1, le=3_600)  # metrics are a minute or two late as a rule
    shrink_window_s: Number | None = Field(default=None, ge=0, le=86_400)  # None: at most a lead time
    max_step: Count | None = Field(default=None, ge=1, le=10_000)
    max_messages_per_s: Number | None = Field(default=None, gt=0)
    veto_alarm: str | None = Field(default=None, min_length=1, max_length=255)
    instance_hours_per_day: Number | None = Field(default=None, gt=0)
    catch_up: Number = Field(default=1.0, gt=0, le=100)  # work off what is already late in target_wait_s / catch_up


class DrainVia(StrEnum):
    """How a consumer is asked to stop."""

    SSM = "ssm"
    SELF = "self"


class DrainPolicy(_Section):
    """How an instance is drained. `hook_timeout_s` is the lifecycle hook's own heartbeat timeout."""

    via: DrainVia = DrainVia.SSM
    unit: str = Field(default="consumer.service", pattern=r"^[A-Za-z0-9@._:\\][A-Za-z0-9@._:\\-]{0,254}$")
    container: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")  # in place of the unit
    document: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{3,128}$")  # None: the stack's own
    stop_timeout_s: Number | None = Field(default=None, ge=1, le=HOOK_CEILING_S)  # None: what is left of the deadline
    hook: str = Field(default="sluice-drain", pattern=r"^[A-Za-z0-9\-_/]{1,255}$")
    deadline_s: Number = Field(default=900.0, ge=1, le=HOOK_CEILING_S)
    silence_s: Number | None = Field(default=None, ge=SILENCE_MIN_S, le=HOOK_CEILING_S)  # None: the deadline alone
    hook_timeout_s: Number = Field(default=120.0, ge=1, le=7_200)
    heartbeat_s: Number = Field(default=45.0, ge=0.5, le=3_600)
    keep_failed: bool = False  # past its deadline, an instance is retained if its group allows that
    hourly_cost: Number | None = Field(default=None, gt=0, le=1_000)  # of one instance, in whatever money

    @property
    def order(self) -> StopOrder:
        """What Run Command is to do."""
        return StopOrder(self.unit, self.container, self.document)

    @model_validator(mode="after")
    def _must_work(self) -> Self:
        ceiling_s = min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * self.hook_timeout_s)
        problems = []
        if self.heartbeat_s > self.hook_timeout_s / 2:
            problems.append(
                f"heartbeat_s: must be at most half of hook_timeout_s {self.hook_timeout_s:g}, so that one lost"
                f" heartbeat does no harm (got {self.heartbeat_s:g})"
            )
        if self.deadline_s > ceiling_s:
            problems.append(
                f"deadline_s: must be at most what the hook can hold, min(48 h, 100 x hook_timeout_s) ="
                f" {ceiling_s:g} (got {self.deadline_s:g})"
            )
        if self.silence_s is not None and self.silence_s > self.deadline_s:
            problems.append(
                f"silence_s: must be at most deadline_s {self.deadline_s:g}, which ends a drain whatever it says"
                f" (got {self.silence_s:g})"
            )
        if self.stop_timeout_s is not None and self.stop_timeout_s > self.deadline_s:
            problems.append(
                f"stop_timeout_s: must be at most deadline_s {self.deadline_s:g}, after which nobody waits for it"
                f" (got {self.stop_timeout_s:g})"
            )
        return _sound(self, problems)


class LaunchPolicy(_Section):
    """When a new instance counts: at once, or, with a launch hook, once its consumer has said that it is ready.

    A boot that is never ready ends by the hook's own timeout, with the default result ABANDON: the group replaces it.
    """

    hook: str | None = Field(default=None, pattern=r"^[A-Za-z0-9\-_/]{1,255}$")


class RedriveMode(StrEnum):
    """Whether dead letters are taken by Sluice as they come, or left to a person."""

    AUTO = "auto"
    MANUAL = "manual"


class Otherwise(StrEnum):
    """What becomes of dead letters whose cause no pattern names."""

    RETRY = "retry"
    QUARANTINE = "quarantine"


def _split(value: object) -> object:
    """Patterns as a list, or as one text with commas, as a template's parameter has them."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Pattern = Annotated[str, Field(min_length=1, max_length=200)]  # as for file names: * and ? stand for others
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=50), BeforeValidator(_split)]


class RedrivePolicy(_Section):
    """What becomes of dead-lettered messages."""

    mode: RedriveMode = RedriveMode.AUTO
    max_redrives: Count = Field(default=3, ge=0, le=100)
    base_delay_s: Number = Field(default=30.0, ge=0, le=900)
    max_delay_s: Number = Field(default=900.0, ge=0, le=900)  # SQS: DelaySeconds is at most 900
    rate_per_s: Number = Field(default=10.0, ge=0.01, le=10_000)
    canary_count: Count = Field(default=3, ge=1, le=10)  # of each failure group, that a redrive tries first: one batch
    canary_wait_s: Number | None = Field(default=None, ge=0, le=3_600)  # None: target wait and one visibility timeout
    edits: bool = False  # a person may change one message's body before it is sent back
    move_tasks: bool = True  # SQS's own move task may bring back the rest of a whole dead-letter queue, where faster
    transient: Patterns = ()  # causes that pass by themselves: retried, even when they burst
    permanent: Patterns = ()  # causes that no retry helps: quarantined at once
    otherwise: Otherwise = Otherwise.RETRY  # what becomes of the causes in neither
    burst_count: Count = Field(default=20, ge=0, le=100_000)  # so many of one failure group ... (0: never)
    burst_window_s: Number = Field(default=120.0, ge=60, le=600)  # ... within so long trip it: it is not retried
    archive_before_s: Number | None = Field(
        default=None, ge=60, le=1_209_600
    )  # None: a quarter of the retention, or a day

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_delay_s > self.max_delay_s:
            return _sound(
                self,
                [f"base_delay_s: must be at most max_delay_s {self.max_delay_s:g} (got {self.base_delay_s:g})"],
            )
        return self


class QueuePolicy(_Section):
    """One of the queues of a fleet, and what is promised of it."""

    queue: QueueUrl
    dead_letter_queue: QueueUrl | None = None
    target_wait_s: Number | None = Field(default=None, ge=1, le=1_209_600)  # None: the fleet's
    priority: Count = Field(default=0, ge=-100, le=100)  # consumers take from a higher one first
    paused: bool = False  # nothing takes from it

    @property
    def name(self) -> str:
        """The queue's name: the last part of its URL."""
        return self.queue.rpartition("/")[2]

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self.queue.endswith(".fifo")

    def problems(self) -> list[str]:
        """What does not fit together, each by its field."""
        if self.dead_letter_queue == self.queue:
            return ["dead_letter_queue: must be another queue than queue"]
        if self.dead_letter_queue and self.dead_letter_queue.endswith(".fifo") != self.fifo:
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue.html
            return ["dead_letter_queue: must be FIFO if queue is, and only then"]
        return []


class Fleet(_Section):
    """One Auto Scaling group, the queue or queues it consumes, and their dead-letter queues.

    Only `target_wait_s` needs thought. A fleet has either `queue` or `queues`: code that is to work with both asks for
    `sources`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")
    queue: QueueUrl | None = None
    dead_letter_queue: QueueUrl | None = None
    queues: tuple[QueuePolicy, ...] = Field(default=(), max_length=QUEUES_MAX)
    group: str = Field(pattern=r"^[^:\x00-\x1f\x7f]{1,255}$")
    target_wait_s: Number = Field(ge=1, le=1_209_600)  # 14 days: SQS's longest retention
    mode: Mode = Mode.ACT
    hints: Hints = Hints()
    limits: Limits = Limits()
    drain: DrainPolicy = DrainPolicy()
    launch: LaunchPolicy = LaunchPolicy()
    redrive: RedrivePolicy = RedrivePolicy()

    @model_validator(mode="after")
    def _queues_fit(self) -> Self:
        problems = []
        if self.queue is not None and self.queues:
            problems.append("queue: must be left out where there are queues: name it as one of them")
        elif self.queue is not None:
            problems += self.sources[0].problems()
        elif self.queues:
            problems += self._problems_of_queues()
        else:
            problems.append("queue: is required")
        if self.launch.hook == self.drain.hook:
            problems.append(f"launch.hook: must be another hook than drain.hook {self.drain.hook!r}")
        return _sound(self, problems)

    def _problems_of_queues(self) -> list[str]:
        problems = []
        if self.dead_letter_queue is not None:
            problems.append("dead_letter_queue: must be left out where there are queues: each names its own")
        first: dict[str, int] = {}
        names: dict[str, int] = {}
        for index, source in enumerate(self.queues):
            problems += [f"queues.{index}.{problem}" for problem in source.problems()]
            if source.queue in first:
                problems.append(f"queues.{index}.queue: must be another queue than queues.{first[source.queue]}.queue")
            elif source.name in names:  # persons, metrics and alarms name a queue by its name
                problems.append(f"queues.{index}.queue: must have another name than queues.{names[source.name]}.queue")
            first.setdefault(source.queue, index)
            names.setdefault(source.name, index)
        for index, source in enumerate(self.queues):
            at = first.get(source.dead_letter_queue or "")
            if at is not None and at != index:
                problems.append(
                    f"queues.{index}.dead_letter_queue: must be no queue that the fleet consumes: queues.{at}"
                )
        return problems

    @property
    def sources(self) -> tuple[QueuePolicy, ...]:
        """The fleet's queues, in the document's order, each with its own target wait."""
        if self.queue is None:
            return tuple(
                source
                if source.target_wait_s is not None
                else source.model_copy(update={"target_wait_s": self.target_wait_s})
                for source in self.queues
            )
        return (
            QueuePolicy.model_construct(
                queue=self.queue, dead_letter_queue=self.dead_letter_queue, target_wait_s=self.target_wait_s
            ),
        )

    @property
    def shared(self) -> bool:
        """Whether its queues are planned for together; else there is one, which is not paused."""
        return self.queue is None and (len(self.queues) > 1 or self.queues[0].paused)

    @property
    def tightest_wait_s(self) -> float:
        """The least target wait of the queues that are not paused; the fleet's own where all are."""
        if self.queue is not None:
            return self.target_wait_s
        waits_s = [source.target_wait_s or self.target_wait_s for source in self.queues if not source.paused]
        return min(waits_s, default=self.target_wait_s)

    @property
    def dead_letter_queues(self) -> tuple[str, ...]:
        """Every dead-letter queue once, in the order of the queues."""
        return tuple(dict.fromkeys(source.dead_letter_queue for source in self.sources if source.dead_letter_queue))

    @property
    def fifo(self) -> bool:
        """Whether any of its queues is FIFO."""
        return any(source.fifo for source in self.sources)

    def through(self, source: QueuePolicy) -> "Fleet":
        """The fleet as if it had this queue alone: for what is done queue by queue."""
        if self.queue is not None:
            return self
        return self.model_copy(
            update={
                "queue": source.queue,
                "dead_letter_queue": source.dead_letter_queue,
                "queues": (),
                "target_wait_s": source.target_wait_s or self.target_wait_s,
            }
        )


def parse(name: str, document: str | Mapping[str, Any]) -> Fleet:
    """Read a fleet's document.

    Args:
        name: what to call the document in errors, and the fleet's name where the document gives none.
        document: a mapping, or its JSON text.

    Raises:
        ConfigError: with every fault of the document, each naming its field and what would be right.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:  # no JSON, numbers too long, nesting too deep
            raise ConfigError(name, (f"document: not JSON: {error}",)) from error
    if not isinstance(document, Mapping):
        raise ConfigError(name, ("document: must be a JSON object with name, queue, group and target_wait_s",))
    try:
        return Fleet.model_validate({"name": name, **document})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        problems = [problem for fault in faults for problem in _in_words(fault)]
        # The check of the whole, which says this otherwise, is not made where a field is at fault.
        if document.get("queue") is None and not document.get("queues") and "queue: is required" not in problems:
            problems.insert(0, "queue: is required")
        raise ConfigError(name, tuple(problems)) from error


def parse_all(
    documents: Mapping[str, str | Mapping[str, Any]],
) -> tuple[tuple[Fleet, ...], tuple[ConfigError, ...]]:
    """Read every document, by name: the fleets that can be used, and the errors of the others.

    A document `<fleet's document>/queues/<any name>` is one further queue of that fleet: an entry of `queues`.
    One that is at fault is left out, and the fleet goes on without it.

    A fleet's name, its group and its queues must be its own; of two documents that claim the same, the first by name
    has it.
    """
    fleets: dict[str, Fleet] = {}
    groups: dict[str, str] = {}
    queues: dict[str, str] = {}
    invalid: list[ConfigError] = []
    further = {name: document for name, document in documents.items() if QUEUES_PATH in name}
    for document_name in sorted(documents.keys() - further.keys()):
        own = {name: further.pop(name) for name in sorted(further) if name.startswith(document_name + QUEUES_PATH)}
        try:
            fleet = parse(document_name, documents[document_name])
        except ConfigError as error:
            invalid.append(error)
            continue
        clashes = []
        if fleet.name in fleets:
            clashes.append(f"name: another document has a fleet {fleet.name!r} already")
        if fleet.group in groups:
            clashes.append(f"group: fleet {groups[fleet.group]!r} manages {fleet.group!r} already")
        clashes += _taken(fleet, queues)
        if clashes:
            invalid.append(ConfigError(document_name, tuple(clashes)))
            continue
        for name, document in own.items():
            try:
                more = _with_queue(fleet, name, document)
            except ConfigError as error:
                invalid.append(error)
                continue
            if taken := _taken(more, queues):
                invalid.append(ConfigError(name, (taken[-1].removeprefix(f"queues.{len(more.queues) - 1}."),)))
                continue
            fleet = more
        fleets[fleet.name] = fleet
        groups[fleet.group] = fleet.name
        queues |= {source.queue: fleet.name for source in fleet.sources}
    invalid += [ConfigError(name, ("document: is a queue of no fleet",)) for name in sorted(further)]
    return tuple(fleets.values()), tuple(invalid)


def _taken(fleet: Fleet, queues: Mapping[str, str]) -> list[str]:
    """What is wrong with a fleet whose queues another one has."""
    return [
        f"{'queue' if fleet.queue is not None else f'queues.{index}.queue'}:"
        f" fleet {queues[source.queue]!r} consumes {source.name!r} already"
        for index, source in enumerate(fleet.sources)
        if source.queue in queues
    ]


def _with_queue(fleet: Fleet, name: str, document: str | Mapping[str, Any]) -> Fleet:
    """A fleet with one further queue, whose document is an entry of `queues`.

    Raises:
        ConfigError: with every fault of the queue's document, each naming its field.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ConfigError(name, (f"document: not JSON: {error}",)) from error
    there = fleet.queues
    if fleet.queue is not None:
        there = (QueuePolicy(queue=fleet.queue, dead_letter_queue=fleet.dead_letter_queue),)
    whole = fleet.model_dump(exclude={"queue", "dead_letter_queue", "queues"}, exclude_unset=True)
    entries = [source.model_dump(exclude_unset=True) for source in there]
    try:
        return parse(name, {**whole, "queues": [*entries, document]})
    except ConfigError as error:
        prefix = f"queues.{len(there)}"
        said = [problem.removeprefix(f"{prefix}.") for problem in error.problems]
        raise ConfigError(name, tuple(problem.replace(prefix, "document", 1) for problem in said)) from error


def _in_words(fault: Any) -> list[str]:
    """One of pydantic's faults as `field: what would be right (got ...)`; a section's own check may hold several."""
    parts = [str(part) for part in fault["loc"]]
    path = ".".join(parts)
    kind, text = fault["type"], str(fault["msg"])
    if kind == "missing":
        return [f"{path}: is required"]
    if kind == "extra_forbidden":
        return [f"{path}: is not a field of a fleet"]
    if kind == "model_type":
        return [f"{path}: must be a JSON object (got {_shown(fault['input'])})"]
    if kind == "value_error":
        said = text.removeprefix("Value error, ").split("\n")
        # What a section says begins with the field; what a field says does not.
        return [_join(path, problem) for problem in said]
    right = PATTERNS.get(parts[-1]) if parts and kind in {"string_pattern_mismatch", "string_type"} else None
    said_right = (
        f"must be {right}" if right else text.replace("Input should", "must", 1).replace("String should", "must", 1)
    )
    return [f"{path or 'document'}: {said_right} (got {_shown(fault['input'])})"]


def _join(path: str, problem: str) -> str:
    """A problem under the path of where it was found."""
    if problem.startswith("must "):
        return f"{path or 'document'}: {problem}"
    return f"{path}.{problem}" if path else problem


def _shown(value: object) -> str:
    """A wrong value, as far as an error repeats it."""
    try:
        return repr(value)[:SHOWN]
    except (ValueError, RecursionError):  # an integer of thousands of digits, nesting too deep
        return f"a {type(value).__name__} too large to show"
