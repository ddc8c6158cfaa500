"""Migrations of the ledger's records, kind by kind: what each version changed.

Version 1 of every kind is what 0.1.0 wrote. A migration takes a record as its version has it, and gives it as the next
one does. Mostly that is a table: where a field has moved to, or which word a value has become. What is in no table
stays as it is, and is reported if the next version does not know it.
"""

from collections.abc import Mapping

from sluice.aws.ledger.forms import Record
from sluice.model.consumers import UNNAMED


def moved(record: Record, places: Mapping[str, tuple[str, ...]], dropped: frozenset[str] = frozenset()) -> Record:
    """A record with its fields in other places.

    Args:
        record: the record.
        places: where each field goes: the names of the objects that it is in, and its own.
        dropped: fields that are left out without a report, since nothing was ever done with them.
    """
    result: Record = {}
    for name, value in record.items():
        if name in dropped:
            continue
        *parts, last = places.get(name, (name,))
        part = result
        for each in parts:
            part = part.setdefault(each, {})
        part[last] = value
    return result


def reworded(record: object, name: str, words: Mapping[str, str]) -> None:
    """Replace a field's value by the word that it has become; any other value stays."""
    if isinstance(record, dict) and isinstance(value := record.get(name), str):
        record[name] = words.get(value, value)


# --------------------------------------------------------------------------- the planner's memory

# Fields of version 1, and where version 2 has them.
MEMORY_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    "learned_at": ("learned_at",),
    "service_rate": ("service_rate", "estimate"),
    "completing": ("service_rate", "completed"),
    "unlike": ("service_rate", "outlier_run"),
    "completed_until": ("service_rate", "learned_until"),
    "lead_time": ("launches", "to_service"),
    "first_work": ("launches", "to_first_message"),
    "reported": ("launches", "reported"),
    "reported_number": ("launches", "reported_number"),
    "launches": ("launches", "under_way"),
    "starting": ("launches", "first_unit"),
    "arrivals": ("arrivals", "history"),
    "week": ("arrivals", "week"),
    "expected": ("arrivals", "forecasts"),
    "errors": ("arrivals", "errors"),
    "outlook": ("arrivals", "chosen"),
    "pulses": ("batches", "pulses"),
    "pulses_since": ("batches", "pulses_since"),
    "pulses_until": ("batches", "pulses_until"),
    "awaited": ("batches", "expected"),
    "awaited_until": ("batches", "expected_until"),
    "regular": ("batches", "arrived_share"),
    "returns": ("redeliveries", "history"),
    "returns_carry": ("redeliveries", "carry"),
    "failing": ("redeliveries", "failing_share"),
    "suspects": ("redeliveries", "suspects"),
    "poison": ("redeliveries", "poison"),
    "sightings": ("samples",),
    "kept_back": ("margin", "share"),
    "held_since": ("margin", "held_since"),
    "late": ("margin", "late"),
    "needs": ("needs", "needs"),
    "needs_since": ("needs", "since"),
    "needs_until": ("needs", "until"),
    "spent_day": ("spending", "day_at"),
    "spent_s": ("spending", "spent_s"),
    "shadow": ("shadow",),
    "queues": ("queues",),
}
SHADOW_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("target_wait_s", "at", "fleet", "waiting", "others", "ticks", "empty_at")},
    "restarted": ("restarted",),
    "queues": ("queues",),
    "weighted": ("real", "weighted"),
    "needs": ("needs", "needs"),
    "needs_since": ("needs", "since"),
    "needs_until": ("needs", "until"),
    "spent_day": ("spending", "day_at"),
    "spent_s": ("spending", "spent_s"),
    "hours": ("score", "hours"),
    "days": ("score", "days"),
}
# Nothing was ever planned with these.
MEMORY_DROPPED_BY_2 = frozenset({"grown_at", "shrunk_at", "timed"})


def _memory_to_2(record: Record) -> Record:
    """Version 2 has the memory in parts that change together, where version 1 was flat."""
    record = moved(record, MEMORY_MOVED_TO_2, MEMORY_DROPPED_BY_2)
    for queue in record.get("queues", ()):
        if isinstance(queue, dict) and "sightings" in queue:
            queue["samples"] = queue.pop("sightings")
    shadow = record.get("shadow")
    if isinstance(shadow, dict):
        real, going = shadow.pop("real", (0.0, 0.0)), shadow.pop("going", (0.0, 0.0))
        shadow = moved(shadow, SHADOW_MOVED_TO_2)
        names = ("serving", "draining", "drained_s", "drained")
        shadow.setdefault("real", {}).update(zip(names, (*real, *going), strict=True))
        record["shadow"] = shadow
    return record


# How sure a batch is follows from its own repeats.
BATCHES_DROPPED_BY_3 = frozenset({"arrived_share", "schedules"})


def _memory_to_3(record: Record) -> Record:
    """Version 3 does not judge schedules of batches: the repeats of each that is expected are its judgement."""
    if isinstance(batches := record.get("batches"), dict):
        record["batches"] = moved(batches, {}, BATCHES_DROPPED_BY_3)
    return record


MEMORY_MOVED_TO_4: Mapping[str, tuple[str, ...]] = {
    "control": ("decisions", "control"),
    "on_record": ("decisions", "on_record"),
}


def _memory_to_4(record: Record) -> Record:
    """Version 4 has what is remembered of decisions in one part."""
    return moved(record, MEMORY_MOVED_TO_4)


# Nothing was gained by a forecast by the usual week.
ARRIVALS_DROPPED_BY_5 = frozenset({"week"})


def _memory_to_5(record: Record) -> Record:
    """Version 5 has no usual week of arrivals."""
    if isinstance(arrivals := record.get("arrivals"), dict):
        record["arrivals"] = moved(arrivals, {}, ARRIVALS_DROPPED_BY_5)
    return record


MEMORY = (_memory_to_2, _memory_to_3, _memory_to_4, _memory_to_5)

# --------------------------------------------------------------------------- decisions

ACTIONS_IN_2 = {"grow": "scale-out", "shrink": "scale-in"}
REASONS_IN_2 = {
    "unproven": "cold-start",
    "stabilising": "stabilization-window",
    "backlog": "scale-in-floor",
    "tail": "busy-capacity",
}


# It was the id of the decision in the same record.
OUTCOME_DROPPED_BY_2 = frozenset({"decision_id"})


def _decision_to_2(record: Record) -> Record:
    """Version 2 has the field's words for actions and reasons, and an outcome without its decision's id."""
    decision, outcome = record.get("decision"), record.get("outcome")
    reworded(decision, "action", ACTIONS_IN_2)
    if isinstance(decision, dict):
        for reason in decision.get("reasons", ()):
            reworded(reason, "code", REASONS_IN_2)
        record["decision"] = moved(decision, {"hot": ("tick_again",)})
    if isinstance(outcome, dict):
        record["outcome"] = moved(outcome, {}, OUTCOME_DROPPED_BY_2)
    return record


# A fleet was ticked again within a minute only where its decision said so.
DECISION_DROPPED_BY_3 = frozenset({"tick_again"})


def _decision_to_3(record: Record) -> Record:
    """Version 3 does not say whether the fleet is ticked again: each fleet is, at each tick of the stack."""
    if isinstance(decision := record.get("decision"), dict):
        record["decision"] = moved(decision, {}, DECISION_DROPPED_BY_3)
    return record


DECISION = (_decision_to_2, _decision_to_3)

# --------------------------------------------------------------------------- drains

DRAIN_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    "hook": ("action", "hook"),
    "hook_at": ("action", "began_at"),
    "destination": ("action", "destination"),
    "command_id": ("stop", "command_id"),
    "asked_at": ("stop", "asked_at"),
    "asked_count": ("stop", "asked_count"),
    "unanswered_count": ("stop", "unanswered_count"),
    "failed_count": ("stop", "failed_count"),
    "retry_at": ("stop", "retry_at"),
    "killed": ("stop", "killed"),
    "heartbeat_at": ("heartbeats", "last_at"),
    "heartbeat_count": ("heartbeats", "count"),
    "alive_at": ("signs", "last_at"),
    "in_flight": ("signs", "in_flight"),
    "keeping": ("retention", "requested"),
    "retained_at": ("retention", "since"),
}


def _drain_to_2(record: Record) -> Record:
    """Version 2 has a drain in parts that change together; it has no action before the lifecycle action is known."""
    record = moved(record, DRAIN_MOVED_TO_2)
    action = record.get("action", {})
    if action.get("hook") is None:
        record["action"] = None
    elif action.get("began_at") is None:
        action["began_at"] = record.get("started_at")
    return record


DRAIN_MOVED_TO_3: Mapping[str, tuple[str, ...]] = {
    "deadline_at": ("deadline", "at"),
    "longest_at": ("deadline", "longest_at"),
}


def _drain_to_3(record: Record) -> Record:
    """Version 3 has the deadline in a part, and among the signs of life that there is nothing to finish."""
    nothing = record.pop("nothing", None)
    record = moved(record, DRAIN_MOVED_TO_3)
    record.setdefault("signs", {})["nothing"] = nothing
    return record


DRAIN = (_drain_to_2, _drain_to_3)

# --------------------------------------------------------------------------- consumers

CONSUMER_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    "word": ("status",),
    "word_at": ("status_at",),
    "in_hand": ("in_flight",),
}


def _consumer_to_2(record: Record) -> Record:
    """Version 2 has the field's words for what a consumer reports."""
    return moved(record, CONSUMER_MOVED_TO_2)


def _consumer_to_3(record: Record) -> Record:
    """Version 3 has the last report of each of an instance's consumers; the one it had was the unnamed consumer's."""
    status, at, in_flight = (record.pop(name, None) for name in ("status", "status_at", "in_flight"))
    if status is not None and at is not None:
        record["reports"] = [{"consumer": UNNAMED, "status": status, "at": at, "in_flight": in_flight}]
    return record


CONSUMER = (_consumer_to_2, _consumer_to_3)

# --------------------------------------------------------------------------- quarantined messages

QUARANTINED_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    "sample": ("excerpt", "sample"),
    "attributes": ("excerpt", "attributes"),
    "payload": ("excerpt", "payload"),
}


def _quarantined_to_2(record: Record) -> Record:
    """Version 2 has what the index shows of a message itself in a part."""
    return moved(record, QUARANTINED_MOVED_TO_2)


QUARANTINED = (_quarantined_to_2,)

# --------------------------------------------------------------------------- redrive jobs

JOB_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    "failure_group": ("selection", "failure_group"),
    "message_id": ("selection", "message_id"),
    "message_ids": ("selection", "message_ids"),
    "cause": ("selection", "cause"),
    "quarantined_from": ("selection", "quarantined_from"),
    "quarantined_to": ("selection", "quarantined_to"),
    "attribute": ("selection", "attribute"),
    "left_groups": ("selection", "muted_groups"),
    "from_dead_letters": ("selection", "from_dead_letters"),
    "queue": ("selection", "queue"),
    "again": ("selection", "again"),
    "to": ("target", "fleet"),
    "to_queue": ("target", "queue"),
    "phase": ("progress", "phase"),
    "cursor": ("progress", "cursor"),
    "selected_count": ("progress", "selected_count"),
    "sent_count": ("progress", "sent_count"),
    "failed_count": ("progress", "failed_count"),
    "doubtful_count": ("progress", "doubtful_count"),
    "returned_count": ("progress", "returned_count"),
    "stopped_groups": ("progress", "stopped_groups"),
    "rate_per_s": ("pacing", "rate_per_s"),
    "next_at": ("pacing", "next_at"),
    "pace_per_s": ("pacing", "measured_per_s"),
    "runner": ("lease", "owner"),
    "runner_until": ("lease", "until"),
    "move": ("move", "handle"),
    "left_count": ("move", "waiting_count"),
    "acts": ("actions",),
}
JOB_ACTION_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {"who": ("by",), "what": ("action",)}


def _job_to_2(record: Record) -> Record:
    """Version 2 has a job in parts that change together; it says muted groups, and actions of operators."""
    record = moved(record, JOB_MOVED_TO_2)
    if record.get("move", {}).get("handle") is None:
        record["move"] = None  # no move task is under way
    actions = record.get("actions")
    if isinstance(actions, list):
        record["actions"] = [moved(each, JOB_ACTION_MOVED_TO_2) for each in actions]
    return record


# Which invocation worked on a job: since then the fleet's chain says that.
JOB_DROPPED_BY_3 = frozenset({"lease"})


def _job_to_3(record: Record) -> Record:
    """Version 3 has no lease: a fleet's chain has one worker at its jobs."""
    return moved(record, {}, JOB_DROPPED_BY_3)


def _job_to_4(record: Record) -> Record:
    """Version 4 tells a job whose messages came back from one that was stopped before all of them were sent."""
    progress = record.get("progress")
    if record.get("state") == "stopped" and isinstance(progress, dict) and progress.get("stopped_groups"):
        names = ("sent_count", "failed_count", "doubtful_count")
        if sum(progress.get(name, 0) for name in names) >= progress.get("selected_count", 0):
            record["state"] = "came-back"
    return record


JOB = (_job_to_2, _job_to_3, _job_to_4)

# --------------------------------------------------------------------------- failure groups


def _failure_group_to_2(item: Record) -> Record:
    """Version 2 has a group muted instead of archived, and counts failed retries beside what version 1 had counted.

    Whoever mutes or unmutes a group removes `archived_at`, so that it never contradicts `muted_at`.
    """
    archived_at, again_count = item.pop("archived_at", None), item.pop("again_count", None)
    if archived_at is not None:
        item.setdefault("muted_at", archived_at)
    if again_count is not None:
        counts = (again_count, item.get("failed_retry_count", {"N": "0"}))
        item["failed_retry_count"] = {"N": str(sum(int(count["N"]) for count in counts))}
    return item


FAILURE_GROUP = (_failure_group_to_2,)
