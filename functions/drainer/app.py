"""Steps of chains, AWS's events of instances and commands, consumers' reports, or a sweep each minute -> drains' steps.

`sluice.draining.service` does the work. It takes what AWS sends and nothing else: operators ask the operator function.
"""

import os
import time
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.chains import is_handed_step
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.service import MARGIN_S, DrainService, Response
from sluice.notices import Noter
from sluice.telemetry import Scope, emit, keep_from, summed

noter = Noter()
logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer(patch_modules=("botocore",))  # patching all that it knows costs a cold start a tenth of a second
held_at: dict[str, float] = {}  # see sluice.draining.holding
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))


@cache
def _directory() -> FleetDirectory:
    return FleetDirectory(_ports(), time.time, logger)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Response:
    """Lambda's entry: handle what an event reports, and emit the metrics."""
    ends_at = time.time() + context.get_remaining_time_in_millis() / 1000
    service = DrainService(_ports(), time.time, ends_at - MARGIN_S, _directory(), logger, held_at)
    try:
        return service.take_step(event) if is_handed_step(event) else service.respond(event)
    finally:
        emit(metrics, summed(service.records), Scope.of(os.environ))
        noter.note(service.records, _ports().ledger.needs, time.time(), logger)
