"""Scanners over the templates, offline: cfn-lint, checkov, and parliament over what roles and resources permit.

Each prints its findings and one closing line with its figures. An exception needs a reason; one that nothing needs any
more is a finding too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sluice_tools.cfn import Resolved, Template

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ("template.yaml", "fleet.yaml", "queue.yaml", "examples/orders/template.yaml")
SCAN = ROOT / ".envs/scan/bin"

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
# Parameters under which every statement of the templates is there; those that a template lacks are left out.
GIVEN = {
    "QueueUrl": QUEUE,
    "DeadLetterQueueUrl": f"{QUEUE}-dead-letters",
    "GroupName": "workers",
    "TargetWaitSeconds": "60",
    "FleetName": "orders",
    "DataKmsKeyArn": KEY,
    "AlarmEmail": "on-call@example.com",
    "ArtifactBucket": "artifacts",
    "Subnets": "subnet-0a1b2c3d",
    "SecurityGroups": "sg-0a1b2c3d",
    "DrainVia": "self",
    "LifecycleHook": "sluice-drain",
}
# What an attribute of a resource comes to, which is not known before deployment.
ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-west-1:123456789012:table/{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:eu-west-1:123456789012:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::Serverless::Function": "arn:aws:lambda:eu-west-1:123456789012:function:{name}",
    "AWS::SNS::Topic": "arn:aws:sns:eu-west-1:123456789012:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:eu-west-1:123456789012:{name}",
}
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sns-topic.html: what Ref returns
REFERRED_BY_ARN = frozenset({"AWS::SNS::Topic"})

# (check, resource, both as patterns) -> why it does not hold here.
EXCUSED: Mapping[tuple[str, str], str] = {
    (
        "CKV_AWS_27",
        "*Queue",
    ): "encrypted with the key of SQS itself, SqsManagedSseEnabled, which this check does not know",
    ("CKV_AWS_115", "*"): "a reserved concurrency is taken from the account's, of which a new account has 10 in all",
    (
        "CKV_AWS_116",
        "*",
    ): "OnFailure of EventInvokeConfig does it where nobody waits for the answer; the check does not know it",
    (
        "CKV_AWS_117",
        "*",
    ): "the functions call AWS's public interfaces alone; a network would add its costs and no protection",
    ("CKV_AWS_173", "*"): "the variables hold names and no secrets; Lambda encrypts them with its own key",
    ("CKV_AWS_18", "*.Archive"): "the account's CloudTrail shows who reads objects; a log needs one more bucket",
    (
        "RESOURCE_STAR",
        "*-PlannerRole.work",
    ): "CloudWatch returns composite alarms only to a role that may describe all",
    (
        "RESOURCE_STAR",
        "*-OnboardingRole.work",
    ): "CloudWatch returns composite alarms only to a role that may describe all",
    (
        "RESOURCE_MISMATCH",
        "*-DrainerRole.work",
    ): "SendCommand needs a statement for the document and one, with a condition, for the instances",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a scanner has against one resource or policy."""

    check: str
    resource: str
    text: str

    def excuse(self, excused: Mapping[tuple[str, str], str]) -> tuple[str, str] | None:
        """The exception that covers it, if there is one."""
        return next(
            (one for one in excused if fnmatchcase(self.check, one[0]) and fnmatchcase(self.resource, one[1])), None
        )


@dataclass(frozen=True, slots=True)
class Report:
    """One scanner's result."""

    scanner: str
    looked_at: str  # the figures, such as "139 checks passed"
    open: tuple[Finding, ...]
    used: frozenset[tuple[str, str]]  # exceptions that cover something
    excepted: int  # findings that are covered

    def __str__(self) -> str:
        """Findings, a line each, and the closing line."""
        lines = [f"{self.scanner}: {one.check} {one.resource}: {one.text}" for one in self.open]
        covered = f"{counted(self.excepted, 'exception')} ({counted(len(self.used), 'reason')})"
        return "\n".join([*lines, f"{self.scanner}: {self.looked_at}; {counted(len(self.open), 'finding')}, {covered}"])


def counted(number: int, what: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def report(
    scanner: str, looked_at: str, findings: Iterable[Finding], excused: Mapping[tuple[str, str], str] = EXCUSED
) -> Report:
    """Part findings into those with a reason and the others."""
    excuses = [(finding, finding.excuse(excused)) for finding in findings]
    return Report(
        scanner,
        looked_at,
        tuple(finding for finding, excuse in excuses if excuse is None),
        frozenset(excuse for _, excuse in excuses if excuse is not None),
        sum(excuse is not None for _, excuse in excuses),
    )


def run(command: Sequence[str | Path], expected: Sequence[int]) -> str:
    """A scanner's output.

    Raises:
        RuntimeError: it ended otherwise than by passing or by finding something.
    """
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode not in expected:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def scan_templates(paths: Sequence[Path]) -> Report:
    """cfn-lint; its exceptions are in .cfnlintrc and in the templates' Metadata, each with its reason on the line."""
    # Exit status: bits for errors, warnings and informational findings; 1 and 32 are failures of its own.
    text = run([ROOT / ".venv/bin/cfn-lint", "--format", "json", "--", *paths], (0, *range(2, 32)))
    found = [
        Finding(one["Rule"]["Id"], f"{one['Filename']}:{one['Location']['Start']['LineNumber']}", one["Message"])
        for one in json.loads(text or "[]")
    ]
    ignored_rules: set[str] = set()
    for path in (ROOT / ".cfnlintrc", *paths):
        for line in path.read_text().splitlines():
            if ignored := re.search(r"ignore_checks:(.*)", line):
                rules, _, reason = ignored[1].partition("#")
                ignored_rules |= set(re.findall(r"[EWI]\d{4}", rules))
                if not reason.strip():
                    found.append(Finding("exception", path.name, f"{rules.strip()} needs its reason on the line"))
    closing = (
        f"{counted(len(paths), 'template')} in 3 regions, {counted(len(ignored_rules), 'ignored rule')} with reasons"
    )
    return report("cfn-lint", closing, found)


def resolved(template: Template) -> Resolved:
    """A template with everything that its conditions can add."""
    return template.resolve({name: value for name, value in GIVEN.items() if name in template.parameters})


def scan_settings(paths: Sequence[Path]) -> Report:
    """Checkov over resolved templates: it knows neither YAML's merge keys nor every use of a condition."""
    with tempfile.TemporaryDirectory() as folder:
        files: list[str] = []
        for index, path in enumerate(paths):
            file = Path(folder) / f"{index}-{path.stem}.json"
            template = Template.load(path)
            plain = resolved(template)
            shared = {
                part: plain.value(template.body[part])
                for part in ("AWSTemplateFormatVersion", "Transform", "Globals")
                if part in template.body
            }
            file.write_text(json.dumps({**shared, "Resources": plain.resources}, indent=1))
            files += ["-f", str(file)]
        text = run(
            [SCAN / "checkov", "--framework", "cloudformation", "--skip-download", "--compact", "-o", "json", *files],
            (0, 1),
        )
    result = json.loads(text)
    (checked,) = result if isinstance(result, list) else [result]
    found = [
        Finding(one["check_id"], one["resource"], one["check_name"]) for one in checked["results"]["failed_checks"]
    ] + [Finding("parsing", str(one), "could not be read") for one in checked["results"].get("parsing_errors", [])]
    return report("checkov", f"{counted(checked['summary']['passed'], 'check')} passed", found)


def policies(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every policy of a template but who may assume a role: (name, document), with ARNs in place of references."""
    found = resolved(Template.load(path))

    def arn(placeholder: re.Match[str]) -> str:
        name, _, attribute = placeholder[1].partition(".")
        kind = found.resources[name]["Type"]
        is_arn = attribute == "Arn" or (kind in REFERRED_BY_ARN and not attribute)
        return ARNS[kind].format(name=name.lower()) if is_arn else name.lower()

    for name, resource in found.resources.items():
        properties = resource.get("Properties", {})
        documents = {f"{name}.{one['PolicyName']}": one["PolicyDocument"] for one in properties.get("Policies", [])}
        if "PolicyDocument" in properties:
            documents[name] = properties["PolicyDocument"]
        for called, document in documents.items():
            yield called, json.loads(re.sub(r"<(\w+(?:\.\w+)?)>", arn, json.dumps(document)))


def scan_permissions(paths: Sequence[Path]) -> Report:
    """Parliament: actions, resources and condition keys that AWS does not know, and needless `*`."""
    with tempfile.TemporaryDirectory() as folder:
        statements = 0
        for index, path in enumerate(paths):
            for name, document in policies(path):
                (Path(folder) / f"{index}-{path.stem}-{name}.json").write_text(json.dumps(document))
                statements += len(document["Statement"])
        files = sorted(Path(folder).glob("*.json"))
        text = run(
            [SCAN / "python", "-W", "ignore", SCAN / "parliament", "--directory", folder, "--json",
             "--include_policy_extension", ".json", "--minimum_severity", "LOW"], (0, 1),
        )  # fmt: skip
    lines = [json.loads(line) for line in text.splitlines()]
    found = [
        Finding(
            one["issue"],
            Path(one["location"]["filepath"]).stem,
            f"{one['title']}: {one['detail']} {one['location'].get('string', '')}",
        )
        for one in lines
    ]
    return report(
        "parliament", f"{counted(statements, 'policy statement')} in {counted(len(files), 'document')}", found
    )


def unused(reports: Iterable[Report], excused: Mapping[tuple[str, str], str] = EXCUSED) -> list[tuple[str, str]]:
    """Exceptions that nothing needs any more."""
    needed = {one for result in reports for one in result.used}
    return [one for one in excused if one not in needed]


def main() -> int:
    """Run all scanners over the project's templates; 1 where one has a finding."""
    paths = [ROOT / name for name in TEMPLATES]
    reports = []
    for scan in (scan_templates, scan_settings, scan_permissions):
        began = time.monotonic()
        reports.append(scan(paths))
        print(f"{reports[-1]}, {time.monotonic() - began:.0f} s", flush=True)
    spare = unused(reports)
    for check, resource in spare:
        print(f"exception {check} for {resource} covers nothing any more: take it out of sluice_tools/scan.py")
    return int(bool(spare) or any(result.open for result in reports))


if __name__ == "__main__":
    sys.exit(main())
