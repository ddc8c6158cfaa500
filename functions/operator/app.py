"""An operator's request, from the widget, the command line or a direct invocation -> its answer.

`sluice.operator.service` does the work; this function gives it the ports, the clock and the time that is left.
"""

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.operator.service import WIDGET, OperatorService
from sluice.ports.ledger import OperatorLedger
from sluice.ports.stack import Ports
from sluice.redriving.context import MINUTE_S, Answer, RedriveInvocation
from sluice.telemetry import Scope, emit, keep_from

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer(patch_modules=("botocore",))  # patching all that it knows costs a cold start a tenth of a second
metrics = Metrics()


def service(ports: Ports[OperatorLedger], now: Callable[[], float], invocation: RedriveInvocation) -> OperatorService:
    """The service of one invocation, which writes to this function's log."""
    return OperatorService(ports, now, invocation, logger)


def respond(event: object, operator: OperatorService, function_arn: str) -> Answer | str:
    """The answer: JSON, or HTML where the widget asks."""
    answered = operator.answer(event)
    if not isinstance(event, Mapping) or WIDGET not in event:
        return answered
    from sluice.widget.answers import render_answer  # noqa: PLC0415 - requests from the command line need no HTML

    return render_answer(answered, event, function_arn)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer | str:
    """Lambda's entry: answer one request, then write the metrics."""
    invocation = RedriveInvocation.started(
        context.aws_request_id,
        time.time(),
        context.get_remaining_time_in_millis() / 1000,
        float(os.environ.get("SLUICE_MINUTE_S") or MINUTE_S),
        uniform=random.SystemRandom().random,
    )
    operator = service(_ports(), time.time, invocation)
    try:
        return respond(event, operator, context.invoked_function_arn)
    finally:
        emit(metrics, operator.records, Scope.of(os.environ))
