"""AWS services invoking functions: asynchronously, retried, to the dead-letter target, and only where permitted.

ministack invokes a rule's function once and asks nobody. Here a service must be permitted by the function's own
policy (or by the role that the target names), a failed invocation is tried again twice, and then the event goes to
the function's dead-letter target or on-failure destination.

AWS pages: lambda/latest/dg/invocation-async-error-handling.html (two retries, a minute and two minutes later),
lambda/latest/dg/access-control-resource-based.html, eventbridge/latest/userguide/eb-use-resource-based.html,
scheduler/latest/UserGuide/setting-up.html (execution role),
AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html (service principal of alarm actions).
"""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Mapping
from typing import Any

from tools.sandbox.emulator.events import Scope
from tools.sandbox.emulator.host import Host

_lambda = Host(
    "services.lambda_svc", "function_policy_for_arn", "_get_func_record_for_ref", "_execution_record_for_config",
    "invoke_async_with_retry",
)  # fmt: skip
_eventbridge = Host("services.eventbridge", "_invoke_target", "_dispatch_to_lambda")
_evaluator = Host("core.iam_evaluator", "EvalContext", "evaluate", "evaluate_resource_policy", "_gather_role_policies")

EVENTS, SCHEDULER, ALARMS = "events.amazonaws.com", "scheduler.amazonaws.com", "lambda.alarms.cloudwatch.amazonaws.com"
"""Principals under which services invoke functions."""

log = logging.getLogger("sandbox.lambda")

_firing: contextvars.ContextVar[tuple[Mapping[str, Any], Mapping[str, Any]]] = contextvars.ContextVar("sandbox_firing")
"""The rule (or schedule) and target being dispatched."""


class Lambdas:
    """Invocation of functions by services."""

    def install(self) -> None:
        """Take the place of ministack's delivery from rules and schedules to functions."""
        original = _eventbridge["_invoke_target"]

        def invoke_target(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], *rest: Any) -> Any:
            token = _firing.set((rule, target))
            try:
                return original(target, event, rule, *rest)
            finally:
                _firing.reset(token)

        _eventbridge["_invoke_target"] = invoke_target
        _eventbridge["_dispatch_to_lambda"] = self._from_rule

    def _from_rule(self, function_arn: str, payload: str) -> None:
        rule, target = _firing.get()
        scheduled = ":schedule/" in rule.get("Arn", "")
        if role := target.get("RoleArn"):
            permitted = role_may_invoke(role, function_arn)
            who = role
        else:
            who = SCHEDULER if scheduled else EVENTS
            permitted = service_may_invoke(who, function_arn, rule.get("Arn", ""))
        if not permitted:
            log.error("%s: %s may not invoke %s; nothing is delivered", rule.get("Name"), who, function_arn)
            return
        invoke(function_arn, json.loads(payload))


def invoke(function_arn: str, event: Any) -> None:
    """Invoke a function of the present scope asynchronously; retries and dead-lettering follow by themselves."""
    record, config, name = _lambda["_get_func_record_for_ref"](function_arn)
    if not record or not config:
        log.error("there is no function %s to invoke", name)
        return
    _lambda["invoke_async_with_retry"](_lambda["_execution_record_for_config"](record, config), event)


def service_may_invoke(service: str, function_arn: str, source_arn: str) -> bool:
    """Whether the function's policy lets an AWS service invoke it on behalf of a source."""
    found = _lambda["function_policy_for_arn"](function_arn)
    if found is None:
        return False
    context = _context(function_arn, {"aws:sourcearn": source_arn, "aws:sourceaccount": Scope.current().account})
    decision = _evaluator["evaluate_resource_policy"](found[0], context, service=service)
    return bool(decision.decision == "Allow")


def role_may_invoke(role_arn: str, function_arn: str) -> bool:
    """Whether a role may invoke the function."""
    policies = _evaluator["_gather_role_policies"](role_arn.rsplit("/", 1)[-1], Scope.current().account)
    return bool(_evaluator["evaluate"](_context(function_arn, {}), policies).decision == "Allow")


def _context(function_arn: str, keys: Mapping[str, str]) -> Any:
    scope = Scope.current()
    return _evaluator["EvalContext"](
        principal_arn="",
        principal_type="Service",
        principal_account=scope.account,
        action="lambda:InvokeFunction",
        resource_arn=function_arn,
        region=scope.region,
        service_context=dict(keys),
    )
