"""Which changes of a property replace a resource, in change sets, for resource types that ministack does not know.

ministack says "may be replaced" of any change to such a type. AWS states for each property what its update requires, in
AWSCloudFormation/latest/TemplateReference; a test compares this table with the same of AWS's own resource schemas.
Only what a change set tells is changed here, and not what an update does.
"""

from __future__ import annotations

from sluice_tools.sandbox.emulator.host import Host

_stacks = Host("services.cloudformation.stacks", "_property_recreation")

# Resource type -> the properties whose change always replaces it. Of a type without any nothing does.
ALWAYS: dict[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "AWS::AutoScaling::AutoScalingGroup": "AutoScalingGroupName InstanceId",
        "AWS::CloudFormation::Stack": "",
        "AWS::CloudWatch::Alarm": "AlarmName",
        "AWS::CloudWatch::Dashboard": "DashboardName",
        "AWS::EC2::LaunchTemplate": "LaunchTemplateName",
        "AWS::Events::Rule": "Name",
        "AWS::IAM::RolePolicy": "PolicyName RoleName",
        "AWS::Lambda::EventSourceMapping": (
            "EventSourceArn SelfManagedEventSource StartingPosition StartingPositionTimestamp"
        ),
        "AWS::Lambda::Permission": (
            "Action EventSourceToken FunctionName FunctionUrlAuthType InvokedViaFunctionUrl Principal PrincipalOrgID"
            " SourceAccount SourceArn"
        ),
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::S3::Bucket": "BucketName BucketNamePrefix BucketNamespace",
        "AWS::S3::BucketPolicy": "Bucket",
        "AWS::SQS::QueuePolicy": "",
        "AWS::SSM::Document": "DocumentType Name",
    }.items()
}
# Those whose change replaces it in some cases.
SOMETIMES: dict[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "AWS::AutoScaling::AutoScalingGroup": (
            "LaunchConfigurationName LaunchTemplate MixedInstancesPolicy VPCZoneIdentifier"
        ),
        "AWS::Events::Rule": "EventBusName",
        "AWS::SSM::Document": "Attachments Content DocumentFormat Requires TargetType VersionName",
    }.items()
}


def install() -> None:
    """Answer for the types of the table; ministack answers for the others."""
    known = _stacks["_property_recreation"]

    def recreation(kind: str, name: str) -> str:
        return recreation_of(kind, name) or str(known(kind, name))

    _stacks["_property_recreation"] = recreation


def recreation_of(kind: str, name: str) -> str | None:
    """What a change of a property requires, as `RequiresRecreation` of a change set; None for an unknown type."""
    if kind not in ALWAYS:
        return None
    if name in ALWAYS[kind]:
        return "Always"
    return "Conditionally" if name in SOMETIMES.get(kind, ()) else "Never"
