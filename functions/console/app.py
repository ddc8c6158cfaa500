"""Dashboard -> the widget's HTML; the command line -> JSON. It only reads.

`sluice.widget.service` does the work for the dashboard, `sluice.widget.reads` for programs.

What CloudWatch sends and takes:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
"""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.ports.ledger import ConsoleLedger
from sluice.ports.stack import Ports
from sluice.telemetry import Record, Scope, Unit, emit, keep_from
from sluice.widget.reads import is_read, read
from sluice.widget.service import WidgetService
from sluice.widget.view import WidgetSettings

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer(patch_modules=("botocore",))  # patching all that it knows costs a cold start a tenth of a second
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))


def _ports() -> Ports[ConsoleLedger]:
    from sluice.aws import stack_ports  # noqa: PLC0415 - a description needs no AWS, and botocore takes long to import

    return stack_ports()


@tracer.capture_lambda_handler(capture_response=False)  # the HTML may show messages, which do not belong in a trace
@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: Any) -> str | dict[str, Any]:
    """Lambda's entry: the widget's HTML, its documentation where CloudWatch asks for that, or a program's JSON."""
    if is_read(event):
        found = read(event, _ports, time.time)
        logger.info("request answered", request=next(iter(event)), refused="error" in found)
        return found
    settings = WidgetSettings(
        console_arn=context.invoked_function_arn,
        operator_arn=os.environ.get("SLUICE_OPERATOR_ARN") or None,
        fleets_path=os.environ.get("SLUICE_FLEETS_PATH", ""),
    )
    answer = WidgetService(_ports, time.time, settings).respond(event)
    logger.info(answer.summary, extra={"problems": answer.problems})
    emit(metrics, (Record(None, "WidgetProblems", Unit.COUNT, len(answer.problems)),), Scope.of(os.environ))
    return answer.text
