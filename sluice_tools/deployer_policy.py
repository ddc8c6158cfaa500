"""The IAM policy of who deploys Sluice: `make deployer-policy` makes docs/deployer-policy.json from the templates.

CloudFormation makes, changes and deletes each resource with the permissions of who asks it to, or of a role that it is
given. What each type of resource needs is in CloudFormation's own registry, which names the actions of its handlers and
which cfn-lint carries (https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html). This
module takes the types of the templates, leaves out what they do not use, and limits the rest to the stack's names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sluice_tools.cfn import Template

ROOT = Path(__file__).resolve().parents[1]
POLICY_PATH = ROOT / "docs/deployer-policy.json"
TEMPLATES = ("template.yaml", "fleet.yaml", "queue.yaml")
MANAGED_POLICY_MAX = 6_144
"""Characters of a managed policy, spaces and line ends not counted.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

# What the transform AWS::Serverless-2016-10-31 makes of its own types, with the events that the templates use.
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html
SERVERLESS = {
    "AWS::Serverless::Application": ("AWS::CloudFormation::Stack",),
    "AWS::Serverless::LayerVersion": ("AWS::Lambda::LayerVersion",),
    "AWS::Serverless::Function": (
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Events::Rule",
    ),
}

# Actions that handlers name for properties that the templates do not have: pattern -> why none needs it.
UNUSED: Mapping[str, str] = {
    "ec2:*": "no function is in a VPC",
    "elasticfilesystem:*": "no function mounts a file system",
    "s3files:*": "no function mounts a file system",
    "lambda:*CodeSigning*": "no function is signed",
    "lambda:*ScalingConfig": "no function runs on instances of its own",
    "lambda:PassCapacityProvider": "no function runs on instances of its own",
    "lambda:AssociateRuntimeAlias": "no function pins a patch of its runtime",
    "lambda:PutRuntimeManagementConfig": "no function pins a patch of its runtime",
    "lambda:*FunctionConcurrency": "no function has reserved concurrency",
    "lambda:PublishVersion": "no function has versions",
    "dynamodb:*Replica": "the ledger has no replica",
    "dynamodb:*Item": "the ledger has no replica, whose making copies items",
    "dynamodb:Scan": "the ledger has no replica, whose making copies items",
    "dynamodb:Query": "the ledger has no replica, whose making copies items",
    "dynamodb:*Import*": "the ledger is not made from an import",
    "dynamodb:*Kinesis*": "the ledger streams nowhere",
    "dynamodb:*ContributorInsights": "the ledger has no contributor insights",
    "dynamodb:*ResourcePolicy": "the ledger has no policy of its own",
    "kinesis:*": "the ledger streams nowhere",
    "firehose:*": "no log group delivers its lines elsewhere",
    "iam:CreateServiceLinkedRole": "it is for replicas of a table",
    "iam:*PermissionsBoundary": "the roles have no boundary",
    "iam:*RoleDescription": "the roles have no description",
    "logs:*DataProtectionPolicy": "no log group masks data",
    "logs:*IndexPolicy": "no log group has an index",
    "logs:DescribeIndexPolicies": "no log group has an index",
    "logs:*ResourcePolic*": "no log group has a policy of its own",
    "logs:CreateLogDelivery": "no log group delivers its lines elsewhere",
    "logs:PutBearerTokenAuthentication": "no log group takes lines by token",
    "logs:PutLogGroupDeletionProtection": "no log group is protected from deletion",
    "logs:DeleteRetentionPolicy": "each log group has a retention",
    "logs:*LogStream*": "it is for imports of a table",
    "logs:PutLogEvents": "it is for imports of a table",
    "s3:REST.PUT.OBJECT": "no action: the registry names a request there",
    "s3:GetObjectMetadata": "no action: the registry names a request there",
    "s3tables:*": "the archive has no table of metadata",
    "s3:*Metadata*": "the archive has no table of metadata",
    "s3:*Analytics*": "the archive has no analytics",
    "s3:*Inventory*": "the archive has no inventory",
    "s3:*MetricsConfiguration": "the archive has no metrics",
    "s3:*Replication*": "the archive is not replicated",
    "s3:*Website": "the archive is no website",
    "s3:*Cors": "the archive is no website",
    "s3:*CORS": "the archive is no website",
    "s3:*Accelerate*": "the archive is not accelerated",
    "s3:*ObjectLock*": "the archive has no object lock",
    "s3:*IntelligentTiering*": "the archive has no tiers",
    "s3:*Acl": "the archive has no access control list",
    "s3:*Abac": "the archive's tags grant nothing",
    "s3:*Notification": "the archive sends no notifications",
    "s3:*BucketLogging": "the archive's requests are not logged",
    "s3:DeleteObject": "it is for buckets that are emptied, and the archive stays",
    "sns:*DataProtectionPolicy": "the topic masks no data",
    "cloudformation:SetStackPolicy": "the nested fleet has no stack policy",
    "cloudformation:GetStackPolicy": "the nested fleet has no stack policy",
    "cloudformation:UpdateTerminationProtection": "the nested fleet has no protection of its own",
}

# Actions that no handler names: -> why who deploys needs them all the same.
FURTHER: Mapping[str, str] = {
    "cloudformation:CreateChangeSet": "`sam deploy` and `sluice deploy` show what they would change",
    "cloudformation:DescribeChangeSet": "the same",
    "cloudformation:ExecuteChangeSet": "the same",
    "cloudformation:DeleteChangeSet": "the same",
    "cloudformation:DescribeStackEvents": "they show what is made, and why something failed",
    "cloudformation:DescribeStackResources": "they show what is made, and why something failed",
    "cloudformation:GetTemplateSummary": "they ask which parameters a template has",
    "lambda:InvokeFunction": "CloudFormation invokes the function that checks and tags a fleet",
    "s3:PutObject": "the built functions are put into a bucket, from where Lambda takes them",
}

# What each action may reach. The first pattern that fits counts. {stack} is the stack's name, {bucket} the bucket of
# what was built; a further fleet's or queue's stack has a name that begins with the stack's.
REACH: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cloudformation:GetTemplateSummary", ("*",)),
    (
        "cloudformation:CreateChangeSet",
        (
            "arn:aws:cloudformation:*:*:stack/{stack}*",
            "arn:aws:cloudformation:*:aws:transform/Serverless-2016-10-31",
        ),
    ),
    ("cloudformation:*", ("arn:aws:cloudformation:*:*:stack/{stack}*",)),
    ("lambda:InvokeFunction", ("arn:aws:lambda:*:*:function:{stack}-onboarding",)),
    ("lambda:*EventSourceMapping*", ("*",)),
    ("lambda:List*", ("*",)),
    ("lambda:*LayerVersion", ("arn:aws:lambda:*:*:layer:{stack}-*",)),
    ("lambda:*agResource", ("arn:aws:lambda:*:*:function:{stack}-*", "arn:aws:lambda:*:*:event-source-mapping:*")),
    ("lambda:*", ("arn:aws:lambda:*:*:function:{stack}-*",)),
    ("iam:List*s", ("arn:aws:iam::*:role/{stack}-*",)),
    ("iam:*", ("arn:aws:iam::*:role/{stack}-*",)),
    ("dynamodb:*", ("arn:aws:dynamodb:*:*:table/{stack}-*",)),
    ("s3:GetObject*", ("arn:aws:s3:::{bucket}/*",)),
    ("s3:PutObject", ("arn:aws:s3:::{bucket}/*",)),
    ("s3:*", ("arn:aws:s3:::{stack}-*",)),
    ("sqs:*", ("arn:aws:sqs:*:*:{stack}-*",)),
    ("sns:*", ("arn:aws:sns:*:*:{stack}-*",)),
    ("events:*", ("arn:aws:events:*:*:rule/{stack}-*",)),
    ("logs:DescribeLogGroups", ("*",)),
    ("logs:*", ("arn:aws:logs:*:*:log-group:/aws/lambda/{stack}-*",)),
    ("cloudwatch:DescribeAlarms", ("*",)),
    ("cloudwatch:*", ("arn:aws:cloudwatch:*:*:alarm:{stack}-*", "arn:aws:cloudwatch::*:dashboard/{stack}*")),
    ("ssm:*Document*", ("arn:aws:ssm:*:*:document/{stack}-*",)),
    ("ssm:*Parameter*", ("arn:aws:ssm:*:*:parameter/sluice/{stack}/*",)),
    ("ssm:*", ("arn:aws:ssm:*:*:parameter/sluice/{stack}/*", "arn:aws:ssm:*:*:document/{stack}-*")),
    ("autoscaling:Describe*", ("*",)),
    ("autoscaling:*", ("arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/*",)),
)
CONDITIONS = {"iam:PassRole": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}
KEY_CONDITION = {"StringLike": {"kms:ViaService": ["dynamodb.*", "lambda.*", "logs.*", "s3.*", "sns.*", "sqs.*"]}}


@cache
def handlers() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """By resource type: the actions of its handlers, by `create`, `read`, `update` and `delete`."""
    found = {}
    # Found without importing the package, which takes seconds.
    package = find_spec("cfnlint")
    assert package is not None
    assert package.submodule_search_locations is not None
    for path in Path(package.submodule_search_locations[0], "data/schemas/resources").glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        found[str(schema["typeName"])] = {
            name: tuple(each.get("permissions", ())) for name, each in schema.get("handlers", {}).items()
        }
    return found


def types() -> frozenset[str]:
    """The resource types that the templates come to, without custom resources, which a function serves."""
    found: set[str] = set()
    for name in TEMPLATES:
        for resource in Template.load(ROOT / name).body["Resources"].values():
            kind = str(resource["Type"])
            found |= set(SERVERLESS.get(kind, (kind,)))
    return frozenset(kind for kind in found if not kind.startswith("Custom::"))


def named() -> frozenset[str]:
    """Every action that the handlers of these types name. The `list` handlers serve inventories and no deployment."""
    return frozenset(
        action
        for kind in types()
        for handler, actions in handlers()[kind].items()
        if handler != "list"
        for action in actions
    )


def is_unused(action: str) -> bool:
    """Whether no property of the templates needs it."""
    return any(fnmatchcase(action, pattern) for pattern in UNUSED)


def actions() -> frozenset[str]:
    """What who deploys may do, without keys."""
    return frozenset(each for each in named() if not is_unused(each) and not each.startswith("kms:")) | frozenset(
        FURTHER
    )


def reach_of(action: str) -> tuple[str, ...]:
    """What an action may reach.

    Raises:
        LookupError: REACH has no pattern for it.
    """
    for pattern, reach in REACH:
        if fnmatchcase(action, pattern):
            return reach
    raise LookupError(f"{action}: name in REACH what it may reach, or in UNUSED why nothing needs it")


def policy(stack: str = "sluice", bucket: str = "YOUR-BUCKET", key: str | None = None) -> dict[str, Any]:
    """The policy for a stack.

    Args:
        stack: the stack's name, with which those of further fleets and queues begin.
        bucket: where the built functions are put.
        key: ARN of the key of `DataKmsKeyArn`, or None.
    """
    groups: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for action in sorted(actions()):
        condition = json.dumps(CONDITIONS.get(action, {}))
        groups.setdefault((reach_of(action), condition), []).append(action)
    statements = [_statement(names, reach, json.loads(condition)) for (reach, condition), names in groups.items()]
    if key:
        of_keys = sorted(each for each in named() if each.startswith("kms:") and "List" not in each)
        statements.append(_statement(of_keys, (key,), KEY_CONDITION))
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    filled: dict[str, Any] = json.loads(text.replace("{stack}", stack).replace("{bucket}", bucket))
    return filled


def _statement(names: Iterable[str], reach: Iterable[str], condition: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Effect": "Allow",
        "Action": list(names),
        "Resource": places if len(places := list(reach)) > 1 else places[0],
    }
    return made | ({"Condition": dict(condition)} if condition else {})


def size_of(document: Mapping[str, Any]) -> int:
    """A policy's characters as IAM counts them."""
    return len(json.dumps(document, separators=(",", ":")))


def main(arguments: list[str] | None = None) -> None:
    """Print the policy of a stack, or write the published one."""
    parser = argparse.ArgumentParser(prog="python -m sluice_tools.deployer_policy", description=__doc__.split("\n")[0])
    parser.add_argument("--stack", default="sluice", help="the stack's name (sluice)")
    parser.add_argument("--bucket", default="YOUR-BUCKET", help="the bucket of what was built")
    parser.add_argument("--kms-key", help="ARN of the key of DataKmsKeyArn")
    parser.add_argument("--docs", action="store_true", help="write docs/deployer-policy.json instead of printing")
    given = parser.parse_args(arguments)
    document = policy(given.stack, given.bucket, given.kms_key)
    text = json.dumps(document, indent=2) + "\n"
    if given.docs:
        POLICY_PATH.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
