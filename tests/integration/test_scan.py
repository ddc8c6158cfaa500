"""The scanners of `make check`: each fails on a planted fault, and an exception covers no more than it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice_tools.scan import EXCUSED, Finding, Report, report, scan_permissions, scan_settings, scan_templates, unused

BUCKET = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Plain:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: plain
      AccessControl: PublicReadWrite
"""
QUEUE = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Orders:
    Type: AWS::SQS::Queue
"""
POLICY = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Work:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - { Effect: Allow, Action: sqs:RecieveMessage, Resource: "arn:aws:sqs:eu-west-1:123456789012:orders" }
          - { Effect: Allow, Action: "sqs:DeleteMessage", Resource: "*" }
          - { Effect: Allow, Action: "s3:GetObject", Resource: "arn:aws:sqs:eu-west-1:123456789012:orders" }
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Where a faulty template is written to."""
    return tmp_path / "planted.yaml"


def checks(found: Report) -> set[str]:
    """What a scanner found."""
    return {one.check for one in found.open}


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What is found in a queue without a deletion policy, and in one for which that is ignored without a reason."""
    bare, ignored = (tmp_path_factory.mktemp("linted") / name for name in ("bare.yaml", "ignored.yaml"))
    bare.write_text(QUEUE)
    ignored.write_text(QUEUE + "Metadata:\n  cfn-lint:\n    config:\n      ignore_checks: [I3011]\n")
    return checks(scan_templates([bare, ignored]))


def test_cfn_lint_fails_when_a_stateful_resource_has_no_deletion_policy(linted: set[str]) -> None:
    """I3011 is informational: the stricter rules are on."""
    assert "I3011" in linted


def test_cfn_lint_fails_when_an_ignored_rule_has_no_reason(linted: set[str]) -> None:
    """An exception in a template's Metadata carries its reason on the line."""
    assert "exception" in linted


def test_checkov_fails_when_a_bucket_is_open_and_plain(planted: Path) -> None:
    """A bucket that everybody may write to, without versions."""
    planted.write_text(BUCKET)

    assert {"CKV_AWS_21", "CKV_AWS_57"} <= checks(scan_settings([planted]))


def test_parliament_fails_when_a_policy_names_what_aws_does_not_know(planted: Path) -> None:
    """A misspelt action would grant nothing, `*` too much, and another service's resource nothing."""
    planted.write_text(POLICY)

    assert {"UNKNOWN_ACTION", "RESOURCE_STAR", "RESOURCE_MISMATCH"} <= checks(scan_permissions([planted]))


def test_exception_covers_only_what_it_names_when_findings_are_parted() -> None:
    """Another resource with the same fault stays a finding, and an exception without use is told."""
    excused = {("CKV_1", "*.Archive"): "a reason", ("CKV_2", "*"): "another"}
    found = report(
        "checkov", "", [Finding("CKV_1", "Bucket.Archive", ""), Finding("CKV_1", "Bucket.Other", "")], excused
    )

    assert [one.resource for one in found.open] == ["Bucket.Other"]
    assert unused([found], excused) == [("CKV_2", "*")]
    assert all(EXCUSED.values())
