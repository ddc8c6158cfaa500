"""Requests of people, from the widget, the command line or an invoke -> what they ask for, and an answer.

Requests about dead letters are answered by `sluice.redriving.commands`, releases of instances by
`sluice.operator.releases`. Whatever only AWS sends is refused: batches of records, lifecycle, Spot and Run Command
events, schedules and consumers' reports are for the redriver and the drainer. So whoever may invoke this function can
do what its requests do, and nothing else.
"""

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.draining.executor import DrainExecutor
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.telemetry import DrainTelemetry
from sluice.operator.releases import Releaser
from sluice.ports.ledger import OperatorLedger
from sluice.ports.stack import Ports
from sluice.redriving.commands import JOB_ACTS, Persons
from sluice.redriving.context import MINUTE_S, Answer, Invocation, Shift
from sluice.telemetry import Log, emit, keep_from

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics()

WIDGET = "widgetContext"  # what CloudWatch adds to a widget's event


@dataclass(slots=True)
class Operator(Invocation):
    """One invocation at work on one request."""

    ports: Ports[OperatorLedger]
    log: Log = field(default=logger)

    def requests(self) -> Mapping[str, Callable[[object, str], Answer]]:
        """What may be asked for, by the request's key; each is given what was asked, and who asks."""
        persons = Persons(self)
        # The releases' records go to this invocation's own tally.
        runner = DrainExecutor(self.ports, self.now, self.shift.until, DrainTelemetry(self.log, self.tally))
        releaser = Releaser(self.ports, FleetDirectory(self.ports, self.now, self.log), runner, self.log)
        return {
            "redrive": persons.redrive,
            "look": persons.look_at_job,
            **{kind: partial(persons.act_on_job, kind) for kind in JOB_ACTS},
            "archive": persons.archive_group,
            "edit": persons.edit,
            "restore": persons.restore,
            "quarantine": persons.quarantine,
            "peek": persons.look_inside,
            "release": releaser.release,
        }


def answer(event: object, operator: Operator) -> Answer:
    """Read a request and do what it asks. What is no request is logged and refused."""
    requests = operator.requests()
    keys = [str(key) for key in event if key != WIDGET] if isinstance(event, Mapping) else [type(event).__name__]
    if isinstance(event, Mapping) and len(keys) == 1 and keys[0] in requests:
        (kind,) = keys
        by = "the widget" if WIDGET in event else "an invoke"
        return operator.tried(kind, lambda: requests[kind](event[kind], by))
    got = ", ".join(sorted(keys)[:20]) or "nothing"
    operator.log.warning("an event that is no request: refused", keys=sorted(keys)[:20])
    return {
        "error": "event: must be one request, such as"
        ' {"redrive": {"fleet": ..., "all": true}} or {"release": {"fleet": ..., "instance_id": ...}}, and has'
        f" {got[:500]}; requests are {', '.join(requests)}. What AWS sends (SQS batches, lifecycle, Spot and Run"
        " Command events, schedules, consumers' reports) is taken by the redriver and the drainer alone"
    }


def respond(event: object, operator: Operator, function_arn: str) -> Answer | str:
    """The answer, as HTML where the widget asks."""
    answered = answer(event, operator)
    if not isinstance(event, Mapping) or WIDGET not in event:
        return answered
    from sluice.widget.answers import render_answer  # noqa: PLC0415 - requests of commands need no HTML

    return render_answer(answered, event, function_arn)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer | str:
    """Lambda's entry: read the request, do it, tell."""
    shift = Shift.begun(
        context.aws_request_id,
        time.time(),
        context.get_remaining_time_in_millis() / 1000,
        float(os.environ.get("SLUICE_MINUTE_S") or MINUTE_S),
        sleep=time.sleep,
        uniform=random.SystemRandom().random,
    )
    operator = Operator(_ports(), time.time, shift)

    try:
        return respond(event, operator, context.invoked_function_arn)
    finally:
        emit(metrics, operator.tally)
