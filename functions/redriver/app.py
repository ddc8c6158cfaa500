"""Dead letters, jobs' steps, the schedule's minute or a consumer's report -> what became of them.

`redriving.service` does the work. The stack has two functions with this code: one for the dead-letter queues' event
source mappings, one for the steps of redrive jobs and the schedule.
"""

import os
import random
import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.notices import Noter
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.context import MINUTE_S, Answer, QueueFactsRead, RedriveInvocation
from sluice.redriving.service import RedriverService
from sluice.telemetry import Scope, emit, keep_from

noter = Noter()
logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer(patch_modules=("botocore",))  # patching all that it knows costs a cold start a tenth of a second
metrics = Metrics()
_facts: QueueFactsRead = {}  # what queues are, for the invocations of this process


def service(ports: Ports[RedriverLedger], now: Callable[[], float], invocation: RedriveInvocation) -> RedriverService:
    """The service of one invocation, which writes to this function's log."""
    return RedriverService(ports, now, invocation, logger)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Lambda's entry: do what an event asks for, then write the metrics."""
    invocation = RedriveInvocation.started(
        context.aws_request_id,
        time.time(),
        context.get_remaining_time_in_millis() / 1000,
        float(os.environ.get("SLUICE_MINUTE_S") or MINUTE_S),
        uniform=random.SystemRandom().random,
    )
    redriver = service(_ports(), time.time, invocation)
    redriver.facts = _facts
    try:
        return redriver.respond(event)
    finally:
        emit(metrics, redriver.records, Scope.of(os.environ))
        noter.note(redriver.records, _ports().ledger.needs, time.time(), logger)
