"""What templates say and ministack's CloudFormation drops or lacks.

AWS pages (AWSCloudFormation/latest/TemplateReference): aws-resource-lambda-function.html (DeadLetterConfig,
ReservedConcurrentExecutions), aws-resource-lambda-eventsourcemapping.html (Enabled), aws-resource-iam-rolepolicy.html;
AWSCloudFormation/latest/UserGuide/aws-properties-stack.html (TemplateURL is an S3 URL) and
using-cfn-nested-stacks.html (a nested stack's unchanged resources stay as they are), aws-properties-resource-tags.html
(stack-level tags reach every resource that can have tags, buckets too);
systems-manager/latest/userguide/parameter-store-advanced-parameters.html (4 KB and 8 KB, and the tier that is chosen).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.settings import Settings

_provisioners = Host(
    "services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_STACK_TAG_PROPERTY", "_cfn_bool", "_update_resource"
)
_cloudformation = Host("services.cloudformation", "_stacks")
_handlers = Host("services.cloudformation.handlers", "_ACTION_HANDLERS")
_lambda = Host("services.lambda_svc", "_functions", "_esms")
_iam = Host("services.iam", "_roles")
_s3 = Host("services.s3", "_bucket_tags")
_ssm = Host("services.ssm", "_parameters")

TIER_MAX_BYTES = {"Standard": 4_096, "Advanced": 8_192}

Handlers = dict[str, Any]


def install(settings: Settings) -> None:
    """Wrap and add resource handlers."""
    resources: dict[str, Handlers] = _provisioners["_RESOURCE_HANDLERS"]
    _after(resources["AWS::Lambda::Function"], _complete_function)
    _after(resources["AWS::Lambda::Function"], lambda name, _: _tell_minute(name, settings))
    _after(resources["AWS::SSM::Parameter"], _settle_tier)
    _after(resources["AWS::Lambda::EventSourceMapping"], _complete_mapping)
    _after(resources["AWS::S3::Bucket"], _tag_bucket)
    _provisioners["_STACK_TAG_PROPERTY"]["AWS::S3::Bucket"] = ("Tags", "list")
    resources["AWS::IAM::RolePolicy"] = {
        "create": _create_role_policy,
        "update": _update_role_policy,
        "delete": _delete_role_policy,
    }
    _show_s3_urls()
    _remember_attributes()


def _after(handlers: Handlers, complete: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Let ``complete`` see to a resource after each creation and update."""
    create, update = handlers["create"], handlers["update"]

    def created(logical_id: str, props: Mapping[str, Any], stack: str) -> Any:
        answer = create(logical_id, props, stack)
        complete(answer[0], props)
        return answer

    def updated(physical_id: str, old: Mapping[str, Any], new: Mapping[str, Any], *rest: Any) -> Any:
        answer = update(physical_id, old, new, *rest)
        complete(answer[0], new)
        return answer

    handlers |= {"create": created, "update": updated}


def _complete_function(name: str, props: Mapping[str, Any]) -> None:
    function = _lambda["_functions"][name]
    target = (props.get("DeadLetterConfig") or {}).get("TargetArn")
    if target:
        function["config"]["DeadLetterConfig"] = {"TargetArn": target}
    else:
        function["config"].pop("DeadLetterConfig", None)
    reserved = props.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)


def _tell_minute(name: str, settings: Settings) -> None:
    """Tell Sluice's functions how long a minute is here: schedules and metrics go by it, and on AWS none is shorter."""
    variables = (_lambda["_functions"][name]["config"].get("Environment") or {}).get("Variables") or {}
    if "SLUICE_STACK" in variables and settings.minute_s != 60:
        variables["SLUICE_MINUTE_S"] = f"{max(1.0, settings.minute_s):.0f}"


def _settle_tier(name: str, _props: Mapping[str, Any]) -> None:
    """Intelligent-Tiering becomes the tier that the value needs, and a tier holds no more than it may."""
    parameter = _ssm["_parameters"][name]
    size = len(parameter["Value"].encode())
    if parameter["Tier"] == "Intelligent-Tiering":
        parameter["Tier"] = "Advanced" if size > TIER_MAX_BYTES["Standard"] else "Standard"
    if size > TIER_MAX_BYTES[parameter["Tier"]]:
        raise ValueError(
            f"{parameter['Tier']} tier parameters support a maximum parameter value of"
            f" {TIER_MAX_BYTES[parameter['Tier']]} characters."
        )


def _complete_mapping(mapping_id: str, props: Mapping[str, Any]) -> None:
    mapping = _lambda["_esms"][mapping_id]
    enabled = bool(_provisioners["_cfn_bool"](props.get("Enabled", True)))
    mapping |= {"Enabled": enabled, "State": "Enabled" if enabled else "Disabled"}


def _tag_bucket(name: str, props: Mapping[str, Any]) -> None:
    _s3["_bucket_tags"][name] = {tag["Key"]: str(tag["Value"]) for tag in props.get("Tags") or []}


# --- AWS::IAM::RolePolicy ---


def _create_role_policy(_logical_id: str, props: Mapping[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    role = _iam["_roles"].get(props["RoleName"])
    if role is None:
        raise ValueError(f"The role with name {props['RoleName']} cannot be found.")
    role.setdefault("InlinePolicies", {})[props["PolicyName"]] = props["PolicyDocument"]
    return f"{props['PolicyName']}|{props['RoleName']}", {}


def _update_role_policy(
    physical_id: str, _old: Mapping[str, Any], new: Mapping[str, Any], stack: str
) -> tuple[str, dict[str, str]]:
    created = _create_role_policy("", new, stack)
    if created[0] != physical_id:
        _delete_role_policy(physical_id, {})
    return created


def _delete_role_policy(physical_id: str, _props: Mapping[str, Any]) -> None:
    policy, _, role_name = physical_id.partition("|")
    role = _iam["_roles"].get(role_name) or {}
    (role.get("InlinePolicies") or {}).pop(policy, None)


# --- GetTemplate ---


def _show_s3_urls() -> None:
    """Show nested templates under S3's own host: SAM CLI deletes them with the stack only if it finds them there."""
    own = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}/"
    original = _handlers["_ACTION_HANDLERS"]["GetTemplate"]

    def get_template(params: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = original(params)
        return (
            status,
            headers,
            body.replace(own.encode(), f"https://s3.{Scope.current().region}.amazonaws.com/".encode()),
        )

    _handlers["_ACTION_HANDLERS"]["GetTemplate"] = get_template


# --- updates of nested stacks ---


def _remember_attributes() -> None:
    """Keep the attributes of a nested stack's unchanged resources: its update asks for them and passes none."""
    original = _provisioners["_update_resource"]

    def update(kind: str, physical_id: str, old: Any, new: Any, stack: str, *rest: Any, **named: Any) -> Any:
        logical_id = named.get("logical_id", rest[0] if rest else None)
        if len(rest) < 2 and named.get("old_attrs") is None and logical_id:
            record = _cloudformation["_stacks"].get(stack) or {}
            known = (record.get("_resources") or {}).get(logical_id) or {}
            return original(kind, physical_id, old, new, stack, logical_id, known.get("Attributes"))
        return original(kind, physical_id, old, new, stack, *rest, **named)

    _provisioners["_update_resource"] = update
