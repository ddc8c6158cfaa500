"""CloudFormation's custom resource Custom::SluiceFleet -> the fleet's values, or the reasons why the deployment fails.

The document is read with the deployed code, together with the stack's others, and the account is checked as by
`sluice doctor`. fleet.yaml and queue.yaml use the values. No layer is imported before `custom_resource` can answer, so
that CloudFormation gets an answer even if a layer is broken.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any

from answer import Answer
from custom_resource import GUARD_S, logger, respond


def handler(event: Any, context: Any) -> Any:
    """Lambda's entry: answer a request of CloudFormation; returns the answer."""
    remaining_s = context.get_remaining_time_in_millis() / 1000.0
    until = monotonic() + remaining_s - GUARD_S
    return respond(event, remaining_s, partial(check, time_left_s=lambda: until - monotonic()))


def check(
    properties: Mapping[str, Any],
    properties_before: Mapping[str, Any] | None,
    time_left_s: Callable[[], float],
) -> Answer:
    """Check the document in a resource's properties, which replace `properties_before` (None: there were none).

    What the document names is given the stack's tag, unless SLUICE_SETS_TAGS says that the user sets it.
    """
    from sluice.aws.account import AwsAccount  # noqa: PLC0415 - a missing layer must be answered too
    from sluice.aws.clients import Clients  # noqa: PLC0415
    from sluice.aws.deployment import AwsDeployment  # noqa: PLC0415
    from sluice.aws.tags import AwsTagWriter  # noqa: PLC0415
    from sluice.config.fleet import Fleet  # noqa: PLC0415
    from sluice.onboarding import deployment  # noqa: PLC0415
    from sluice.onboarding.cached_account import cached  # noqa: PLC0415
    from sluice.onboarding.checks import inspect  # noqa: PLC0415
    from sluice.onboarding.tags import enroll  # noqa: PLC0415

    name, document = properties.get("Name"), properties.get("Document")
    if not isinstance(name, str) or not isinstance(document, Mapping):
        return Answer(("Document: must be an object, and Name must be text, as fleet.yaml and queue.yaml give them",))
    old = properties_before.get("Document") if properties_before else None
    clients, path = Clients(os.environ), os.environ["SLUICE_FLEETS_PATH"]
    stack, sets_tags = path.strip("/").split("/")[1], os.environ["SLUICE_SETS_TAGS"] == "true"

    def tag(fleet: Fleet, queues_alone: bool) -> tuple[str, ...]:
        if not sets_tags:
            return ()
        account, writer = AwsAccount(clients), AwsTagWriter(clients)
        return there.once_granted(lambda: enroll(fleet, stack, account, writer, queues_alone=queues_alone))

    there = AwsDeployment(clients, path)
    verdict = deployment.check(
        name,
        document,
        there,
        before=old if isinstance(old, Mapping) else None,
        inspect=inspect(
            cached(AwsAccount(clients)),
            time_left_s,
            stack=stack,
            region=os.environ["AWS_REGION"],
            will_tag=sets_tags,
            fields=deployment.PARAMETERS,
        ),
        enroll=tag,
    )
    for problem in verdict.problems:
        logger.warning("problem: %s", problem)
    for problem in verdict.known_problems:
        logger.warning("known problem, which does not fail the update: %s", problem)
    for warning in verdict.warnings:
        logger.warning("warning: %s", warning)
    for resource in verdict.tagged:
        logger.info("tagged: %s", resource)
    return Answer(verdict.problems, verdict.data or {})
