"""AWS services invoking functions: asynchronously, retried, to the dead-letter target, and only where permitted.

ministack invokes a rule's function once and asks nobody. Here a service must be permitted by the function's own
policy (or by the role that the target names), a failed invocation is tried again twice, and then the event goes to
the function's dead-letter target or on-failure destination. An event that may not be delivered goes to the dead-letter
queue of the rule's target, if that queue's own policy lets EventBridge send.

AWS pages: lambda/latest/dg/invocation-async-error-handling.html (two retries, a minute and two minutes later),
lambda/latest/dg/access-control-resource-based.html, eventbridge/latest/userguide/eb-use-resource-based.html,
eventbridge/latest/userguide/eb-rule-dlq.html (no retry without permission; the queue's policy, the attributes),
scheduler/latest/UserGuide/setting-up.html (execution role),
AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html (service principal of alarm actions).
"""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.authorisation import Authorisation
from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.host import Host

_lambda = Host(
    "services.lambda_svc", "function_policy_for_arn", "_get_func_record_for_ref", "_execution_record_for_config",
    "invoke_async_with_retry", "_route_async_failure", "_create_esm", "_functions", "_execute_function",
)  # fmt: skip
_eventbridge = Host("services.eventbridge", "_invoke_target", "_dispatch_to_lambda")
_evaluator = Host("core.iam_evaluator", "EvalContext", "evaluate_resource_policy")
_responses = Host("core.responses", "error_response_json")
_sqs = Host("services.sqs", "_act_send_message", "_queue_by_arn")
_provisioners = Host("services.cloudformation.provisioners", "_RESOURCE_HANDLERS")

EVENTS, SCHEDULER, ALARMS = "events.amazonaws.com", "scheduler.amazonaws.com", "lambda.alarms.cloudwatch.amazonaws.com"
"""Principals under which services invoke functions."""

log = logging.getLogger("sandbox.lambda")

_firing: contextvars.ContextVar[tuple[Mapping[str, Any], Mapping[str, Any]]] = contextvars.ContextVar("sandbox_firing")
"""The rule (or schedule) and target being dispatched."""


QUEUE_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""What the function's role needs on a queue before Lambda maps it."""


class Lambdas:
    """Invocation of functions by services."""

    def __init__(self, authorisation: Authorisation) -> None:
        """Ask ``authorisation`` what roles may do."""
        self._authorisation = authorisation

    def install(self) -> None:
        """Take the place of ministack's delivery from rules, schedules and failures, and of its mappings."""
        original = _eventbridge["_invoke_target"]

        def invoke_target(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], *rest: Any) -> Any:
            token = _firing.set((rule, target))
            try:
                return original(target, event, rule, *rest)
            finally:
                _firing.reset(token)

        _eventbridge["_invoke_target"] = invoke_target
        _eventbridge["_dispatch_to_lambda"] = self._from_rule
        to_destination = _lambda["_route_async_failure"]

        def route_failure(target_arn: str, name: str, event: Any, result: Mapping[str, Any]) -> None:
            config = (_lambda["_functions"].get(name) or {}).get("config") or {}
            if target_arn == (config.get("DeadLetterConfig") or {}).get("TargetArn") and ":sqs:" in target_arn:
                self._dead_letter(target_arn, config, event, result)
            else:
                to_destination(target_arn, name, event, result)

        _lambda["_route_async_failure"] = route_failure
        _drop_events_of_deleted_functions()
        self._check_mappings()

    def _from_rule(self, function_arn: str, payload: str) -> None:
        rule, target = _firing.get()
        scheduled = ":schedule/" in rule.get("Arn", "")
        if role := target.get("RoleArn"):
            permitted = self._authorisation.role_may(role, "lambda:InvokeFunction", function_arn)
            who = role
        else:
            who = SCHEDULER if scheduled else EVENTS
            permitted = service_may_invoke(who, function_arn, rule.get("Arn", ""))
        if permitted:
            invoke(function_arn, json.loads(payload))
            return
        log.error("%s: %s may not invoke %s; nothing is delivered", rule.get("Name"), who, function_arn)
        if queue_arn := (target.get("DeadLetterConfig") or {}).get("Arn"):
            attributes = {"RULE_ARN": rule.get("Arn", ""), "TARGET_ARN": function_arn, "ERROR_CODE": "NO_PERMISSIONS"}
            _put_aside(who, queue_arn, payload, attributes)

    def _dead_letter(self, queue_arn: str, config: Mapping[str, Any], event: Any, result: Mapping[str, Any]) -> None:
        """Send an event that failed for good, as it was, to the function's dead-letter queue."""
        if not self._authorisation.role_may(config["Role"], "sqs:SendMessage", queue_arn):
            log.error("%s may not send to %s: the event is lost", config["Role"], queue_arn)
            return
        queue = _sqs["_queue_by_arn"](queue_arn)
        if queue is None:
            log.error("%s does not exist: the event is lost", queue_arn)
            return
        body = result.get("body")
        message = body.get("errorMessage", "") if isinstance(body, dict) else str(body)
        _sqs["_act_send_message"](
            {
                "QueueUrl": queue["url"],
                "MessageBody": json.dumps(event),
                "MessageAttributes": {
                    "ErrorCode": {"DataType": "Number", "StringValue": "200"},
                    "ErrorMessage": {"DataType": "String", "StringValue": str(message)[:1024] or "unknown"},
                },
            },
            queue["url"],
        )

    def _check_mappings(self) -> None:
        """Refuse a mapping whose function's role may not read the queue, as Lambda does."""
        create = _lambda["_create_esm"]

        def create_mapping(data: Mapping[str, Any]) -> Any:
            if problem := self._mapping_problem(data):
                return _responses["error_response_json"]("InvalidParameterValueException", problem, 400)
            return create(data)

        _lambda["_create_esm"] = create_mapping
        resource = _provisioners["_RESOURCE_HANDLERS"]["AWS::Lambda::EventSourceMapping"]
        created = resource["create"]

        def create_resource(logical_id: str, props: Mapping[str, Any], stack: str) -> Any:
            if problem := self._mapping_problem(props):
                raise ValueError(problem)
            return created(logical_id, props, stack)

        resource["create"] = create_resource

    def _mapping_problem(self, data: Mapping[str, Any]) -> str:
        source = data.get("EventSourceArn") or ""
        _, config, _ = _lambda["_get_func_record_for_ref"](data.get("FunctionName") or "")
        if ":sqs:" not in source or not config:
            return ""
        for action in QUEUE_ACTIONS:
            if not self._authorisation.role_may(config["Role"], action, source):
                return f"The provided execution role does not have permissions to call {action.split(':')[1]} on SQS"
        return ""


def _drop_events_of_deleted_functions() -> None:
    """Run no retry of a function that was deleted while its event waited.

    ministack keeps the function's record for the retries: it would run code that is gone and make its log group anew.
    """
    execute = _lambda["_execute_function"]

    def execute_function(record: Mapping[str, Any], event: Any) -> Any:
        name = (record.get("config") or record).get("FunctionName")
        if name not in _lambda["_functions"]:
            log.info("%s was deleted: its event is dropped", name)
            return {"body": None, "log": ""}
        return execute(record, event)

    _lambda["_execute_function"] = execute_function


def invoke(function_arn: str, event: Any) -> None:
    """Invoke a function of the present scope asynchronously; retries and dead-lettering follow by themselves."""
    record, config, name = _lambda["_get_func_record_for_ref"](function_arn)
    if not record or not config:
        log.error("there is no function %s to invoke", name)
        return
    _lambda["invoke_async_with_retry"](_lambda["_execution_record_for_config"](record, config), event)


def _put_aside(service: str, queue_arn: str, event: str, attributes: Mapping[str, str]) -> None:
    """Send an event that cannot be delivered, as it was, to its target's dead-letter queue, if the queue lets that."""
    queue = _sqs["_queue_by_arn"](queue_arn)
    if queue is None:
        log.error("%s does not exist: the event is lost", queue_arn)
        return
    context = _context("sqs:SendMessage", queue_arn, attributes["RULE_ARN"])
    policy = queue["attributes"].get("Policy") or ""
    if _evaluator["evaluate_resource_policy"](policy, context, service=service).decision != "Allow":
        log.error("the policy of %s does not let %s send: the event is lost", queue_arn, service)
        return
    texts = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
    _sqs["_act_send_message"](
        {"QueueUrl": queue["url"], "MessageBody": event, "MessageAttributes": texts}, queue["url"]
    )


def service_may_invoke(service: str, function_arn: str, source_arn: str) -> bool:
    """Whether the function's policy lets an AWS service invoke it on behalf of a source."""
    found = _lambda["function_policy_for_arn"](function_arn)
    if found is None:
        return False
    context = _context("lambda:InvokeFunction", function_arn, source_arn)
    decision = _evaluator["evaluate_resource_policy"](found[0], context, service=service)
    return bool(decision.decision == "Allow")


def _context(action: str, resource_arn: str, source_arn: str) -> Any:
    """What a service asks on behalf of a source of the present account."""
    scope = Scope.current()
    return _evaluator["EvalContext"](
        principal_arn="",
        principal_type="Service",
        principal_account=scope.account,
        action=action,
        resource_arn=resource_arn,
        region=scope.region,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": scope.account},
    )
