"""CloudFormation's custom resource Custom::SluiceFleet -> the fleet's document is fit, or the stack fails and says why.

The document is read with the code that is deployed, together with the stack's others. What it answers is used by
fleet.yaml and queue.yaml. Nothing of the layers is imported before there is somebody to answer (`custom_resource`).
"""

import os
from collections.abc import Mapping
from typing import Any

from custom_resource import Answer, logger, respond


def handler(event: Any, context: Any) -> Any:
    """Answer a request of CloudFormation; what it was told."""
    return respond(event, context.get_remaining_time_in_millis() / 1000.0, check)


def check(kind: str, properties: Mapping[str, Any]) -> Answer:
    """What onboarding finds about the document in a resource's properties."""
    from sluice.aws.account import AwsAccount  # noqa: PLC0415 - a layer that is missing is an answer, too
    from sluice.aws.clients import Clients  # noqa: PLC0415
    from sluice.onboarding import deployment  # noqa: PLC0415

    name, document = properties.get("Name"), properties.get("Document")
    if not isinstance(name, str) or not isinstance(document, Mapping):
        return Answer(("Document: must be an object, and Name its name, as fleet.yaml and queue.yaml give them",))
    account = AwsAccount(Clients(os.environ), os.environ["SLUICE_FLEETS_PATH"])
    verdict = deployment.check(name, document, account, is_new=kind == "Create")
    for problem in verdict.problems:
        logger.warning("problem: %s", problem)
    return Answer(verdict.problems, verdict.data or {})
