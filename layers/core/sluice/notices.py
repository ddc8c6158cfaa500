"""Notices: one names the fleets that begin to need an operator, and another says when that is over.

    a function's figure is above its limit (`telemetry.LIMITS`) --> `Noter`: a record of fleet and reason in the ledger
    the planner's minute                                        --> `write`: what is new and what is over, in one notice

What a notice reported is kept in the ledger after it was published: a crash in between has it published twice, and
never not at all. A need is over when it was not seen for HELD_S, so that one that comes and goes is not reported each
time. Nothing of a message is in a notice.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from sluice.model.frozen import dataclass
from sluice.model.need import OperatorNeed, ReportedNeed
from sluice.ports.errors import PortError, answer_of
from sluice.ports.ledger.needs import Needs
from sluice.telemetry import LIMITS, Detail, Log, Record
from sluice.wording import capitalised, count

REPEAT_S = 60.0  # a need that goes on is noted so often by a process: a tick sees it six times as often
# A need is over when it was not seen for so long. Events that follow within a quarter of an hour are one need, and
# waiting dead letters are looked at each ten minutes.
HELD_S = {
    "DrainsExpired": 900.0,
    "DrainsInterrupted": 900.0,
    "Quarantined": 900.0,
    "DeadLetterLifeUsed": 1_500.0,
    "DeadLettersMoveOn": 1_500.0,
}
HELD_USUALLY_S = 300.0
AGES = frozenset({"TickAge", "StepAge", "RetainedAge"})  # figures that say since when, in seconds
# Of fleets that have alarms of their own these alone are reported: no such alarm is about them.
WITHOUT_ALARM = frozenset(
    {
        "StepAge",
        "InvalidFleets",
        "NothingReceived",
        "LaunchesHang",
        "LaunchesShortLived",
        "ProtectedIdle",
        "SetByAnother",
        "VisibilityShort",
        "DeadLettersMoveOn",
    }
)
NAMED = 10  # fleets in a sentence
SUBJECT_MAX = 100  # characters: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html


@dataclass(frozen=True, slots=True)
class NeedClauses:
    """What is said of a need: clauses that the fleets' names follow, and what to do."""

    began: str
    to_do: str
    over: str


REASONS = {
    "TickAge": NeedClauses(
        "no tick has succeeded for 5 minutes, so the group keeps its size",
        "Read the lines with the fleet's name in the log of {stack}-planner. They say what failed and what to mend.",
        "ticks succeed again",
    ),
    "StepAge": NeedClauses(
        "a step of its drains or redrive jobs is 5 minutes late",
        "Read the last ERROR line in the logs of {stack}-drainer and {stack}-redriver.",
        "drains and redrive jobs are on time again",
    ),
    "InvalidFleets": NeedClauses(
        "the fleet's document is invalid, so the fleet is not scaled",
        "Read the line with the fleet's name in the log of {stack}-planner. It names every problem. Then deploy the"
        " document again.",
        "the fleet's document is valid again",
    ),
    "MessageLifeUsed": NeedClauses(
        "a message has used half of its queue's retention, after which SQS deletes it",
        "Raise the queue's retention now, which applies to the messages that are there. Then read the fleet's last"
        " decision in the dashboard.",
        "no message has used half of its queue's retention",
    ),
    "NothingReceived": NeedClauses(
        "messages wait, and no consumer takes any",
        "Read the fleet's last decision in the dashboard, and the consumer's own log on an instance: does it run, may"
        " it receive from the queue, is it the right queue?",
        "consumers take messages again",
    ),
    "LaunchesHang": NeedClauses(
        "launches have been under way for three times as long as usual",
        "Read the fleet's last decision in the dashboard, and the group's activities: a launch waits for its lifecycle"
        " hook, its health check or its capacity.",
        "launches are as fast as usual again",
    ),
    "LaunchesShortLived": NeedClauses(
        "the last three launches ended soon after they came into service",
        "Read the fleet's last decision in the dashboard, and the group's activities: they say why instances were"
        " terminated.",
        "launches stay in service again",
    ),
    "ProtectedIdle": NeedClauses(
        "instances that do nothing are protected from scale-in, so they are kept and paid for",
        "Read the fleet's last decision in the dashboard. Remove the protection of these instances, or find out what"
        " sets it.",
        "no instance that does nothing is protected from scale-in",
    ),
    "SetByAnother": NeedClauses(
        "something else than Sluice sets the group's desired capacity",
        "Read the fleet's last decision in the dashboard. Find what sets it (a scaling policy, a scheduled action or a"
        " deployment), and leave the group to one of them.",
        "nothing else than Sluice sets the group's desired capacity",
    ),
    "VisibilityShort": NeedClauses(
        "messages are worked on twice, because the queue's visibility timeout is shorter than the work",
        "Raise the queue's visibility timeout above the longest that a message takes, or let consumers extend it while"
        " they work. The fleet's last decision in the dashboard has both times.",
        "messages are not worked on twice any more",
    ),
    "DrainsExpired": NeedClauses(
        "an instance was released at its deadline, before its consumer was done",
        "SQS delivers its message again by itself. Compare drain.deadline_s with the time that the longest message"
        " takes, and read the unit's journal in the dashboard.",
        "no further instance was released at its deadline for 15 minutes",
    ),
    "DrainsInterrupted": NeedClauses(
        "a consumer was killed before it had finished",
        "SQS delivers its messages again by itself. Read the instance's note in the log of {stack}-drainer. Compare"
        " drain.deadline_s with the time that the longest message takes, and read the unit's journal: it may also have"
        " run out of memory.",
        "no further consumer was killed for 15 minutes",
    ),
    "RetainedAge": NeedClauses(
        "an instance has been retained for inspection for 1 hour",
        "Inspect it, then release it by a request to {stack}-operator. It costs money until then.",
        "no instance has been retained for 1 hour",
    ),
    "Quarantined": NeedClauses(
        "messages were quarantined",
        "Open the dashboard, which has their failure groups. Mend the cause, then redrive the group, with a dry run"
        " first.",
        "no further message was quarantined for 15 minutes",
    ),
    "DeadLetterLifeUsed": NeedClauses(
        "a dead letter that waits in its queue has used half of its retention",
        "Redrive it from the dashboard, or leave it: it is quarantined before its time is over. With redrive.mode auto"
        " no dead letter should wait: see that the event source mapping of {stack}-redriver is enabled, that Lambda's"
        " recursion detection has not stopped the function, and that the function is not throttled.",
        "no dead letter that waits in its queue has used half of its retention",
    ),
    "DeadLettersMoveOn": NeedClauses(
        "its dead-letter queue has a dead-letter queue of its own, to which SQS moves dead letters that Sluice then"
        " never sees",
        "Remove the redrive policy of the dead-letter queue. Then move the messages of the other queue back with a"
        " redrive in the SQS console. Until then Sluice does not read how long waiting dead letters have left.",
        "its dead-letter queue has no dead-letter queue of its own any more",
    ),
}


def needs_in(records: Iterable[Record], now: float) -> tuple[OperatorNeed, ...]:
    """The needs that an invocation's records show; of one fleet and reason the worst."""
    worst: dict[tuple[str, str], OperatorNeed] = {}
    for record in records:
        if record.fleet is None or record.value <= LIMITS.get(record.name, float("inf")):
            continue
        key = (record.name, record.fleet)
        if key not in worst or worst[key].value < record.value:
            worst[key] = OperatorNeed(record.name, record.fleet, now, record.value)
    return tuple(worst.values())


class Noter:
    """Notes a process's needs in the ledger; those that go on once a minute."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str], float] = {}

    def note(self, records: Iterable[Record], needs: Needs, now: float, log: Log) -> None:
        """Note the needs that an invocation's records show. What cannot be noted is logged, and fails nothing.

        Args:
            records: the invocation's metrics.
            needs: where they are noted.
            now: epoch seconds.
            log: takes what could not be noted.
        """
        for need in needs_in(records, now):
            key = (need.reason, need.fleet)
            if now - self._noted.get(key, 0.0) < REPEAT_S:
                continue
            error = answer_of(lambda need=need: needs.note(need))  # type: ignore[misc] # a lambda's default has no type
            if isinstance(error, PortError):
                log.warning("no notice reports that a fleet needs an operator", fleet=need.fleet, problem=str(error))
                return  # the others would meet the same
            self._noted[key] = now


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice: an email's subject and its text."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a notice is about: needs that are new, and those that are over."""

    began: Sequence[ReportedNeed] = ()
    over: Sequence[ReportedNeed] = ()
    deleted: Sequence[str] = ()  # fleets that needed an operator, and are no more

    @property
    def is_none(self) -> bool:
        """Whether there is nothing to report."""
        return not (self.began or self.over or self.deleted)


def present(
    seen: Iterable[OperatorNeed], fleets: Collection[str], detail: Detail, now: float
) -> dict[tuple[str, str], OperatorNeed]:
    """The needs that are to be reported of, by reason and fleet; the worst first."""
    found: dict[tuple[str, str], OperatorNeed] = {}
    for need in sorted(seen, key=lambda need: need.seen_at):
        is_reported = need.reason in REASONS and (detail is Detail.STACK or need.reason in WITHOUT_ALARM)
        if is_reported and need.fleet in fleets and now - need.seen_at < HELD_S.get(need.reason, HELD_USUALLY_S):
            found[need.reason, need.fleet] = need
    return dict(sorted(found.items(), key=lambda each: (-each[1].value, each[0])))


def changes(
    needs: Iterable[OperatorNeed], reported: Sequence[ReportedNeed], fleets: Collection[str]
) -> tuple[Change, list[ReportedNeed]]:
    """What is to be reported, and what has been reported after that.

    Args:
        needs: those that are present.
        reported: what was reported before.
        fleets: the names of all fleets that exist.
    """
    before = {(each.reason, each.fleet): each for each in reported}
    after: dict[tuple[str, str], ReportedNeed] = {}
    for need in needs:
        since = need.seen_at - (need.value if need.reason in AGES else 0.0)
        key = (need.reason, need.fleet)
        after[key] = before.get(key) or ReportedNeed(need.reason, need.fleet, since)
    over = [each for key, each in before.items() if key not in after]
    change = Change(
        began=[each for key, each in after.items() if key not in before],
        over=[each for each in over if each.fleet in fleets],
        deleted=sorted({each.fleet for each in over if each.fleet not in fleets}),
    )
    return change, list(after.values())


def write(change: Change, stack: str) -> Notice:
    """The notice of a change; it has at least one part."""
    began = list(dict.fromkeys(each.fleet for each in change.began))
    others = list(dict.fromkeys([*(each.fleet for each in change.over), *change.deleted]))
    if began:
        subject = f"{_counted(began)} {_verb(began)} an operator"
    else:
        subject = f"{_counted(others)} no longer {_verb(others)} an operator"
    lines = [capitalised(subject) + f" in the stack {stack}."]
    for reason, said in REASONS.items():
        if of_reason := [each for each in change.began if each.reason == reason]:
            lines += ["", _sentence(said.began, of_reason, "since"), f"What to do: {said.to_do.format(stack=stack)}"]
    for reason, said in REASONS.items():
        if of_reason := [each for each in change.over if each.reason == reason]:
            lines += ["", _sentence(said.over, of_reason, "it had begun at")]
    if change.deleted:
        lines += ["", f"Deleted while in need of an operator: {named(change.deleted)}."]
    return Notice(f"Sluice {stack}: {subject}"[:SUBJECT_MAX], "\n".join(lines) + "\n")


def named(fleets: Sequence[str]) -> str:
    """Such as "fleet orders", "fleets orders and mails" or "fleets orders, mails and 12 more"."""
    if len(fleets) == 1:
        return f"fleet {fleets[0]}"
    first = list(fleets) if len(fleets) <= NAMED else list(fleets[: NAMED - 1])
    last = first.pop() if len(fleets) <= NAMED else f"{len(fleets) - len(first)} more"
    return f"fleets {', '.join(first)} and {last}"


def _counted(fleets: Sequence[str]) -> str:
    return named(fleets) if len(fleets) == 1 else count(len(fleets), "fleet")


def _sentence(clause: str, needs: Sequence[ReportedNeed], word: str) -> str:
    since = datetime.fromtimestamp(min(each.since for each in needs), UTC)
    return f"{capitalised(clause)}: {named([each.fleet for each in needs])} ({word} {since:%Y-%m-%d %H:%M} UTC)."


def _verb(fleets: Sequence[str]) -> str:
    return "needs" if len(fleets) == 1 else "need"
