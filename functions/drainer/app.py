"""Lifecycle, Spot and Run Command events, consumers' reports, or a sweep each minute -> steps of drains.

`sluice.draining.service` does the work. It takes what AWS sends and nothing else: operators ask the operator function.
"""

import os
import time
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.service import DrainService, Response
from sluice.draining.sweep import SWEEP_S, Invocation
from sluice.telemetry import Scope, emit, keep_from, summed

# What a sweep leaves of the function's own timeout, to finish the step it is at.
MARGIN_S = 5.0

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))


@cache
def _directory() -> FleetDirectory:
    return FleetDirectory(_ports(), time.time, logger)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Response:
    """Lambda's entry: handle what an event reports, and emit the metrics."""
    started_at = time.time()
    left_s = context.get_remaining_time_in_millis() / 1000
    minute_s = float(os.environ.get("SLUICE_MINUTE_S", "60"))  # an emulator's may be shorter
    invocation = Invocation(
        owner=context.aws_request_id,
        until=started_at + min(SWEEP_S * minute_s / 60, left_s - MARGIN_S),
        sleep=time.sleep,
        tick_s=float(os.environ.get("TICK_SECONDS", "10")),
    )
    service = DrainService(_ports(), time.time, invocation, _directory(), logger)
    try:
        return service.respond(event)
    finally:
        emit(metrics, summed(service.records), Scope.of(os.environ))
