"""A fleet's document -> Fleet; ConfigError lists every problem at once, each naming its field.

Validated by pydantic: of the libraries compared, the one that reports all faults of a document at once
(docs/adr/0002-fleet-documents-are-validated-with-pydantic.md has the figures).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from sluice.config.drain_section import (
    HOOK_CEILING_S,
    HOOK_CEILING_TIMEOUTS,
    DrainPolicy,
    DrainVia,
    LaunchPolicy,
)
from sluice.config.fields import Count, Flag, Number, QueueUrl, Section, validated
from sluice.config.problems import ConfigError, describe_fault, read_object
from sluice.config.redrive_section import Otherwise, RedriveMode, RedrivePolicy
from sluice.config.sections import Hints, Limits, Settings
from sluice.config.settings import DocumentWithSettings
from sluice.model.observed import Mode
from sluice.model.queue_names import same_queue

__all__ = [
    "HOOK_CEILING_S",
    "HOOK_CEILING_TIMEOUTS",
    "QUEUES_PATH",
    "ConfigError",
    "DrainPolicy",
    "DrainVia",
    "Fleet",
    "Hints",
    "LaunchPolicy",
    "Limits",
    "Otherwise",
    "QueuePolicy",
    "RedriveMode",
    "RedrivePolicy",
    "Settings",
    "parse",
    "parse_all",
]

# Each queue takes room in the planner's memory, which is one record of the ledger, and one call of SQS in every tick.
QUEUES_MAX = 10
QUEUES_PATH = "/queues/"  # a document with this in its name is one further queue of a fleet


class QueuePolicy(Section):
    """One queue of a fleet, with its dead-letter queue, its target wait in seconds and its priority."""

    queue: QueueUrl
    dead_letter_queue: QueueUrl | None = None
    target_wait_s: Number | None = Field(default=None, ge=1, le=1_209_600)  # None: the fleet's target wait
    priority: Count = Field(default=0, ge=-100, le=100)  # consumers take from the queue with the highest priority first
    paused: Flag = False  # no consumer takes from it

    @property
    def name(self) -> str:
        """The queue's name: the last part of its URL."""
        return self.queue.rpartition("/")[2]

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self.queue.endswith(".fifo")

    def problems(self) -> list[str]:
        """The fields that do not fit together, each as a sentence that begins with the field."""
        if self.dead_letter_queue and same_queue(self.dead_letter_queue, self.queue):
            problem = (
                f"dead_letter_queue: must not be the queue itself (got {self.queue}); give the queue that its redrive"
                " policy names, or leave it out"
            )
            return [problem]
        if self.dead_letter_queue and self.dead_letter_queue.endswith(".fifo") != self.fifo:
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue.html
            kind = "a FIFO queue" if self.fifo else "a standard queue"
            problem = (
                f"dead_letter_queue: must be {kind}, as queue {self.name} is (got {self.dead_letter_queue}); give a"
                " dead-letter queue of the same type"
            )
            return [problem]
        return []


# Both are asked for several times a tick.


@lru_cache(maxsize=512, typed=True)
def _with_waits(queues: tuple[QueuePolicy, ...], target_wait_s: float) -> tuple[QueuePolicy, ...]:
    """A fleet's queues, each with a target wait of its own."""
    return tuple(
        queue if queue.target_wait_s is not None else queue.model_copy(update={"target_wait_s": target_wait_s})
        for queue in queues
    )


@lru_cache(maxsize=512, typed=True)
def _of_one_queue(queue: str, dead_letter_queue: str | None, target_wait_s: float | None) -> tuple[QueuePolicy, ...]:
    """What a fleet of one queue has in place of `queues`."""
    return (QueuePolicy.model_construct(queue=queue, dead_letter_queue=dead_letter_queue, target_wait_s=target_wait_s),)


class Fleet(Section):
    """One Auto Scaling group, the queue or queues it consumes, and their dead-letter queues.

    A user has to choose only `target_wait_s`. A fleet has either `queue` or `queues`. Code that works with both reads
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

    @field_validator("queues")
    @classmethod
    def _spelled_alike(cls, queues: tuple[QueuePolicy, ...]) -> tuple[QueuePolicy, ...]:
        """A dead-letter queue that several queues share has the first one's spelling with all of them."""
        seen: list[str] = []
        alike: list[QueuePolicy] = []
        for source in queues:
            if url := source.dead_letter_queue:
                spelling = next((one for one in seen if same_queue(one, url)), url)
                seen.append(spelling)
                source = source.model_copy(update={"dead_letter_queue": spelling})  # noqa: PLW2901 - spelled alike
            alike.append(source)
        return tuple(alike)

    @model_validator(mode="after")
    def _queues_fit(self) -> Self:
        problems = []
        if self.queue is not None and self.queues:
            problems.append(f"queue: must be left out if queues is given (got {self.queue}); add it to queues instead")
        elif self.queue is not None:
            problems += self.sources[0].problems()
        elif self.queues:
            problems += self._problems_of_queues()
        else:
            problems.append("queue: is required")
        if self.launch.hook == self.drain.hook:
            problems.append(
                f"launch.hook: must be another hook than drain.hook (both are {self.drain.hook!r}); a launch and a"
                " termination need a hook each"
            )
        return validated(self, problems)

    def _problems_of_queues(self) -> list[str]:
        problems = []
        if self.dead_letter_queue is not None:
            problems.append(
                f"dead_letter_queue: must be left out if queues is given (got {self.dead_letter_queue}); give each"
                " entry of queues its own dead_letter_queue"
            )
        names: dict[str, int] = {}
        for index, source in enumerate(self.queues):
            problems += [f"queues.{index}.{problem}" for problem in source.problems()]
            at = self._place_of(source.queue)
            if at is not None and at < index:
                problems.append(
                    f"queues.{index}.queue: must be another queue than queues.{at}.queue (both are"
                    f" {source.queue}); leave one of them out"
                )
            elif source.name in names:
                problems.append(
                    f"queues.{index}.queue: must have another name than queues.{names[source.name]}.queue (both are"
                    f" {source.name}), because metrics and alarms tell queues apart by name"
                )
            names.setdefault(source.name, index)
        for index, source in enumerate(self.queues):
            at = self._place_of(source.dead_letter_queue) if source.dead_letter_queue else None
            if at is not None and at != index:
                problems.append(
                    f"queues.{index}.dead_letter_queue: must not be a queue that the fleet consumes (got"
                    f" {source.dead_letter_queue}, which is queues.{at}.queue)"
                )
        return problems

    def _place_of(self, url: str) -> int | None:
        """Where in `queues` a queue is that the fleet consumes, in whichever spelling."""
        return next((index for index, source in enumerate(self.queues) if same_queue(source.queue, url)), None)

    @property
    def sources(self) -> tuple[QueuePolicy, ...]:
        """The fleet's queues in the document's order, each with its own target wait in seconds."""
        if self.queue is None:
            return _with_waits(self.queues, self.target_wait_s)
        return _of_one_queue(self.queue, self.dead_letter_queue, self.target_wait_s)

    @property
    def shared(self) -> bool:
        """Whether several queues, or a paused one, are planned for together. Otherwise there is one queue."""
        return self.queue is None and (len(self.queues) > 1 or self.queues[0].paused)

    @property
    def tightest_wait_s(self) -> float:
        """The least target wait in seconds of the queues that are not paused; the fleet's own if all are paused."""
        if self.queue is not None:
            return self.target_wait_s
        return min(self._waits_s, default=self.target_wait_s)

    @property
    def longest_wait_s(self) -> float:
        """The longest of them: a message that has waited longer is late, whichever queue it is in."""
        if self.queue is not None:
            return self.target_wait_s
        return max(self._waits_s, default=self.target_wait_s)

    @property
    def _waits_s(self) -> list[float]:
        return [source.target_wait_s or self.target_wait_s for source in self.queues if not source.paused]

    @property
    def dead_letter_queues(self) -> tuple[str, ...]:
        """Every dead-letter queue once, in the order of the queues."""
        return tuple(dict.fromkeys(source.dead_letter_queue for source in self.sources if source.dead_letter_queue))

    @property
    def fifo(self) -> bool:
        """Whether any of its queues is FIFO."""
        return any(source.fifo for source in self.sources)

    def with_only(self, source: QueuePolicy) -> "Fleet":
        """The fleet as if it had only this queue: for work that is done queue by queue."""
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


# The names of each section's fields, from which an error about an unknown field proposes the nearest.
_SECTIONS: dict[str, type[Section]] = {
    "hints": Hints,
    "limits": Limits,
    "drain": DrainPolicy,
    "launch": LaunchPolicy,
    "redrive": RedrivePolicy,
}
_FIELDS = {"": tuple(Fleet.model_fields)} | {name: tuple(kind.model_fields) for name, kind in _SECTIONS.items()}


def parse(name: str, document: str | Mapping[str, Any]) -> Fleet:
    """Read a fleet's document.

    Its `settings`, an object or the JSON text of one, hold fields of `hints`, `limits`, `drain` and `redrive`. They are
    merged into the document's own sections. An error about one of them begins with `settings.`, as the user typed it.

    Args:
        name: the document's name in errors, and the fleet's name if the document gives none.
        document: a mapping, or its JSON text.

    Raises:
        ConfigError: the document cannot be used. `problems` has every fault, each with its field, its value, what the
            field may be, and a remedy where one is known.
    """
    document = _object(name, document)
    document_with_settings = DocumentWithSettings(document)
    problems = list(document_with_settings.problems)
    fleet = None
    try:
        fleet = Fleet.model_validate({"name": name, **document_with_settings.merged})
    except ValidationError as error:
        faults = error.errors(include_url=False)
        found = [problem for fault in faults for problem in describe_fault(fault, _FIELDS)]
        # pydantic checks the whole document, which would report this, only if every field by itself is right.
        if document.get("queue") is None and not document.get("queues") and "queue: is required" not in found:
            found.insert(0, "queue: is required")
        problems += [document_with_settings.as_typed(problem) for problem in found]
    if fleet is None or problems:
        raise ConfigError(name, tuple(problems))
    return fleet


def _object(name: str, document: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """A document as a mapping.

    Raises:
        ConfigError: the document is neither a mapping nor the JSON text of an object.
    """
    try:
        return read_object("document", document)
    except ValueError as error:
        raise ConfigError(name, (str(error),)) from error


def parse_all(
    documents: Mapping[str, str | Mapping[str, Any]],
) -> tuple[tuple[Fleet, ...], tuple[ConfigError, ...]]:
    """Read every document of a stack.

    A document `<fleet's document>/queues/<any name>` is one further queue of that fleet, an entry of its `queues`. If
    it is invalid, the fleet is used without it. No two fleets may have the same name, group or queue: of two documents
    that claim one, the first in the order of document names has it.

    Args:
        documents: each document, a mapping or its JSON text, by name.

    Returns:
        The fleets that can be used, and one ConfigError for each document that cannot.
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
            clashes.append(f"name: another document has a fleet {fleet.name!r} already; choose another name")
        if fleet.group in groups:
            clashes.append(
                f"group: fleet {groups[fleet.group]!r} scales group {fleet.group!r} already; choose another group"
            )
        clashes += _queue_conflicts(fleet, queues)
        if clashes:
            invalid.append(ConfigError(document_name, tuple(clashes)))
            continue
        for name, document in own.items():
            try:
                more = _with_queue(fleet, name, document)
            except ConfigError as error:
                invalid.append(error)
                continue
            if taken := _queue_conflicts(more, queues):
                invalid.append(ConfigError(name, (taken[-1].removeprefix(f"queues.{len(more.queues) - 1}."),)))
                continue
            fleet = more
        fleets[fleet.name] = fleet
        groups[fleet.group] = fleet.name
        queues |= {source.queue: fleet.name for source in fleet.sources}
    invalid += [
        ConfigError(
            name, (f"document: belongs to fleet {name.partition(QUEUES_PATH)[0]!r}, which is missing or invalid",)
        )
        for name in sorted(further)
    ]
    return tuple(fleets.values()), tuple(invalid)


def _queue_conflicts(fleet: Fleet, queues: Mapping[str, str]) -> list[str]:
    """A problem for each queue of a fleet that another fleet consumes already; `queues` has the fleet by queue URL."""
    return [
        f"{'queue' if fleet.queue is not None else f'queues.{index}.queue'}:"
        f" fleet {queues[source.queue]!r} consumes queue {source.name!r} already; choose another queue"
        for index, source in enumerate(fleet.sources)
        if source.queue in queues
    ]


def _with_queue(fleet: Fleet, name: str, document: str | Mapping[str, Any]) -> Fleet:
    """A fleet with one further queue, whose document is an entry of `queues`.

    Raises:
        ConfigError: the queue's document cannot be used. `problems` has every fault, each with its field.
    """
    document = _object(name, document)
    there = fleet.queues
    if fleet.queue is not None:
        there = (QueuePolicy(queue=fleet.queue, dead_letter_queue=fleet.dead_letter_queue),)
    whole = fleet.model_dump(exclude={"queue", "dead_letter_queue", "queues"}, exclude_unset=True)
    entries = [source.model_dump(exclude_unset=True) for source in there]
    try:
        return parse(name, {**whole, "queues": [*entries, document]})
    except ConfigError as error:
        prefix = f"queues.{len(there)}"
        own = [problem.removeprefix(f"{prefix}.") for problem in error.problems]
        raise ConfigError(name, tuple(problem.replace(prefix, "document", 1) for problem in own)) from error
