"""SQS message move tasks: the console's "Start DLQ redrive", done at its rate.

AWS pages: AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html (source must be a dead-letter queue
of an SQS queue; at most 500 a second; one active task a queue; no destination: back where each message came from),
API_ListMessageMoveTasks.html (at most ten, newest first; a handle only while running), API_CancelMessageMoveTask.html
(what was moved stays moved); SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html (a redriven message is a
new one: its receive count and enqueue time begin again; only visible messages are moved).
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice_tools.sandbox.emulator.events import Scope, Ticker
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.queues import Queues, sqs

_concurrency = Host("core.concurrency", "esm_wake")

RATE_MAX_PER_S = 500
"""Most messages a second that a task can be asked to move, and what SQS moves at best."""
TICK_S = 0.05
"""How often a task moves what its rate allows."""
LISTED_MAX = 10
"""Most tasks in one ListMessageMoveTasks."""

log = logging.getLogger("sandbox.move")


@dataclass(slots=True)
class Task:
    """One move task."""

    scope: Scope
    source_arn: str
    destination_arn: str | None
    rate_per_s: int | None
    started_at: float
    to_move: int
    handle: str
    status: str = "RUNNING"
    moved: int = 0
    allowance: float = 0.0
    reason: str = ""
    stepped_at: float = field(default_factory=time.monotonic)


class MoveTasks:
    """Every task, and the clock that moves them on."""

    def __init__(self, queues: Queues) -> None:
        """Move messages under the queues' lock."""
        self._queues = queues
        self._tasks: list[Task] = []
        self._ticker = Ticker("sandbox-move-tasks", TICK_S, self.tick)

    def install(self) -> None:
        """Add the three actions."""
        sqs["_HANDLERS"] |= {
            "StartMessageMoveTask": self._start,
            "ListMessageMoveTasks": self._list,
            "CancelMessageMoveTask": self._cancel,
        }
        self._ticker.start()

    def close(self) -> None:
        """Move nothing more."""
        self._ticker.close()

    # --- requests ---

    def _start(self, data: Mapping[str, Any], _url: str) -> dict[str, Any]:
        with self._queues.lock:
            source_arn = data.get("SourceArn") or ""
            source = _queue(source_arn)
            feeding = _feeding(source_arn)
            if not feeding:
                raise _refusal("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
            destination_arn = data.get("DestinationArn") or None
            if destination_arn is not None:
                destination = _queue(destination_arn)
                if destination["is_fifo"] != source["is_fifo"]:
                    raise _refusal("InvalidParameterValue", "Source and destination must be queues of the same type.")
                if destination_arn == source_arn:
                    raise _refusal("InvalidParameterValue", "Source and destination queues cannot be the same.")
            rate = data.get("MaxNumberOfMessagesPerSecond")
            if rate is not None and not 1 <= int(rate) <= RATE_MAX_PER_S:
                raise _refusal(
                    "InvalidParameterValue",
                    f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. Must be between 1 and "
                    f"{RATE_MAX_PER_S}.",
                )
            if any(task.source_arn == source_arn and task.status in {"RUNNING", "CANCELLING"} for task in self._tasks):
                raise _refusal(
                    "UnsupportedOperation",
                    "There is already a task running. Only one active task is allowed for a source queue arn at a "
                    "given time.",
                )
            names = {"taskId": str(uuid.uuid4()), "sourceArn": source_arn}
            task = Task(
                scope=Scope.current(),
                source_arn=source_arn,
                destination_arn=destination_arn,
                rate_per_s=None if rate is None else int(rate),
                started_at=time.time(),
                to_move=len(source["messages"]),
                handle=base64.b64encode(json.dumps(names).encode()).decode(),
            )
            self._tasks.insert(0, task)
            return {"TaskHandle": task.handle}

    def _list(self, data: Mapping[str, Any], _url: str) -> dict[str, Any]:
        source_arn = data.get("SourceArn") or ""
        _queue(source_arn)
        limit = min(int(data.get("MaxResults") or 1), LISTED_MAX)
        tasks = [task for task in self._tasks if task.source_arn == source_arn][:limit]
        return {"Results": [_public(task) for task in tasks]}

    def _cancel(self, data: Mapping[str, Any], _url: str) -> dict[str, Any]:
        with self._queues.lock:
            task = next((t for t in self._tasks if t.handle == data.get("TaskHandle")), None)
            if task is None or task.scope != Scope.current():
                raise _refusal("ResourceNotFoundException", "Task does not exist.")
            if task.status != "RUNNING":
                raise _refusal(
                    "UnsupportedOperation", f"Only active tasks can be cancelled; this one is {task.status}."
                )
            task.status = "CANCELLED"
            return {"ApproximateNumberOfMessagesMoved": task.moved}

    # --- moving ---

    def tick(self, now: float) -> None:
        """Move what each running task may move by now."""
        for task in list(self._tasks):
            if task.status != "RUNNING":
                continue
            with self._queues.lock, task.scope.entered():
                try:
                    self._step(task, now)
                except Exception as error:
                    log.exception("a move task failed")
                    task.status, task.reason = "FAILED", str(error)

    def _step(self, task: Task, now: float) -> None:
        elapsed_s, task.stepped_at = time.monotonic() - task.stepped_at, time.monotonic()
        task.allowance = min(task.allowance + elapsed_s * (task.rate_per_s or RATE_MAX_PER_S), RATE_MAX_PER_S)
        source = _queue(task.source_arn)
        movable = [message for message in source["messages"] if message["visible_at"] <= now]
        if not movable:
            # What is in flight stays: a task moves what can be received.
            task.status = "COMPLETED"
            return
        for message in movable[: int(task.allowance)]:
            target = self._target(task, message)
            if target is None:
                task.status, task.reason = "FAILED", "CouldNotDetermineMessageSource"
                return
            target["messages"].append(_renewed(message, target, now))
            source["messages"] = [m for m in source["messages"] if m is not message]
            task.allowance -= 1
            task.moved += 1
            _concurrency["esm_wake"].set()

    @staticmethod
    def _target(task: Task, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Where a message goes: the task's destination, else the queue it was dead-lettered from."""
        arn = task.destination_arn or (message.get("sys") or {}).get("DeadLetterQueueSourceArn")
        return _find(arn) if arn else None


def _queue(arn: str) -> dict[str, Any]:
    found = _find(arn)
    if found is None:
        raise _refusal("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter "
                       "doesn't exist.")  # fmt: skip
    return found


def _find(arn: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = sqs["_queue_by_arn"](arn)
    except ValueError:
        return None
    return found


def _feeding(arn: str) -> list[dict[str, Any]]:
    """The queues whose dead-letter queue this is."""
    return [
        queue
        for queue in sqs["_queues"].values()
        if json.loads(queue["attributes"].get("RedrivePolicy") or "{}").get("deadLetterTargetArn") == arn
    ]


def _renewed(message: Mapping[str, Any], target: dict[str, Any], now: float) -> dict[str, Any]:
    """A message as SQS sends it anew: same body and attributes, new id, counts and times from the beginning."""
    renewed = copy.deepcopy(dict(message))
    renewed.pop("dead_lettered_at", None)
    renewed.pop("enqueued_at", None)
    system = {key: value for key, value in (renewed.get("sys") or {}).items() if key != "DeadLetterQueueSourceArn"}
    system["SentTimestamp"] = str(int(now * 1000))
    if target["is_fifo"]:
        target["fifo_seq"] += 1
        renewed["seq"] = str(target["fifo_seq"]).zfill(20)
    return renewed | {
        "id": str(uuid.uuid4()),
        "sent_at": now,
        "visible_at": now + int(target["attributes"].get("DelaySeconds") or 0),
        "receive_count": 0,
        "first_receive_at": None,
        "receipt_handle": None,
        "sys": system,
    }


def _public(task: Task) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Status": task.status,
        "SourceArn": task.source_arn,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": int(task.started_at * 1000),
    }
    if task.destination_arn:
        shown["DestinationArn"] = task.destination_arn
    if task.rate_per_s:
        shown["MaxNumberOfMessagesPerSecond"] = task.rate_per_s
    if task.status == "RUNNING":
        shown["TaskHandle"] = task.handle
    if task.reason:
        shown["FailureReason"] = task.reason
    return shown


def _refusal(code: str, message: str) -> Exception:
    error: Exception = sqs["_Err"](code, message)
    return error
