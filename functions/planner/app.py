"""A shard's step, schedule, alarm or operator -> rounds over fleets. `sluice.planning.service` does the work."""

# ruff: noqa: E402 - nothing that is imported is garbage: not looking for any makes a cold start a sixth shorter
import gc

gc.disable()

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.chains import records_of
from sluice.model.timing import Timing
from sluice.notices import Noter
from sluice.planning.reports import Answer
from sluice.planning.service import Invocation, PlannerService, Warmth
from sluice.telemetry import Scope, emit, keep_from

gc.freeze()  # what is there now stays: later collections need not go through it
gc.enable()

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer(patch_modules=("botocore",))  # patching all that it knows costs a cold start a tenth of a second
warm = Warmth()
noter = Noter()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))


def timing() -> Timing:
    """The stack's cadence, by the environment; in an emulator a minute, and so a metric's period, may be shorter."""
    usual = Timing()
    return Timing(
        tick_s=float(os.environ.get("TICK_SECONDS", usual.tick_s)),
        metric_period_s=float(os.environ.get("SLUICE_MINUTE_S", usual.metric_period_s)),
    )


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Lambda's entry: steps of shards, or what brings them on; and the metrics, whatever was raised."""
    scope, ends_at = Scope.of(os.environ), time.time() + context.get_remaining_time_in_millis() / 1000
    invocation = Invocation(context.aws_request_id, ends_at, scope.stack, scope.detail)
    service = PlannerService(_ports(), time.time, timing(), invocation, logger, warm)
    steps = records_of(event)
    try:
        return service.take(steps) if steps else service.respond(event)
    finally:
        emit(metrics, service.records, scope)
        if steps:  # the minute tells by itself what it sees
            noter.note(service.records, service.ports.ledger.needs, time.time(), logger)
