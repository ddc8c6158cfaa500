"""CloudFormation's custom resource Custom::SluiceFleet -> the fleet can work, or the stack fails and says why.

The document is read with the code that is deployed, together with the stack's others, and the account is looked at as
`sluice doctor` does. What it answers is used by fleet.yaml and queue.yaml. Nothing of the layers is imported before
there is somebody to answer (`custom_resource`).
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any

from custom_resource import GUARD_S, Answer, logger, respond


def handler(event: Any, context: Any) -> Any:
    """Answer a request of CloudFormation, and return the answer."""
    remaining_s = context.get_remaining_time_in_millis() / 1000.0
    until = monotonic() + remaining_s - GUARD_S
    return respond(event, remaining_s, partial(check, time_left_s=lambda: until - monotonic()))


def check(
    properties: Mapping[str, Any],
    properties_before: Mapping[str, Any] | None,
    time_left_s: Callable[[], float],
) -> Answer:
    """What onboarding finds about the document in a resource's properties, which take the place of others."""
    from sluice.aws.account import AwsAccount  # noqa: PLC0415 - a layer that is missing is an answer, too
    from sluice.aws.clients import Clients  # noqa: PLC0415
    from sluice.aws.deployment import AwsDeployment  # noqa: PLC0415
    from sluice.onboarding import deployment  # noqa: PLC0415
    from sluice.onboarding.cached_account import cached  # noqa: PLC0415
    from sluice.onboarding.checks import inspect  # noqa: PLC0415

    name, document = properties.get("Name"), properties.get("Document")
    if not isinstance(name, str) or not isinstance(document, Mapping):
        return Answer(("Document: must be an object, and Name its name, as fleet.yaml and queue.yaml give them",))
    old = properties_before.get("Document") if properties_before else None
    clients, path = Clients(os.environ), os.environ["SLUICE_FLEETS_PATH"]
    key_arn = properties.get("QueueKmsKeyArn")
    verdict = deployment.check(
        name,
        document,
        AwsDeployment(clients, path),
        before=old if isinstance(old, Mapping) else None,
        inspect=inspect(
            cached(AwsAccount(clients)),
            time_left_s,
            stack=path.strip("/").split("/")[1],
            region=os.environ["AWS_REGION"],
            granted_keys={key_arn} if key_arn else set(),
            fields=deployment.PARAMETERS,
        ),
    )
    for problem in verdict.problems:
        logger.warning("problem: %s", problem)
    for problem in verdict.known_problems:
        logger.warning("a problem that was there before: %s", problem)
    for warning in verdict.warnings:
        logger.warning("warning: %s", warning)
    return Answer(verdict.problems, verdict.data or {})
