"""What is uploaded: under its digest, once, to a bucket that is the account's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.deploy.upload import Bucket, BucketError, publish_templates, upload

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Metadata: { BuildMethod: makefile }
    Properties: { ContentUri: layers/core }
  One: &function
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: makefile }
    Properties: { CodeUri: functions/one, Role: !GetAtt Role.Arn }
  Fleet:
    Type: AWS::Serverless::Application
    Properties: { Location: fleet.yaml }
  Role: { Type: AWS::IAM::Role }
"""


class FakeS3:
    """Buckets and objects; an owner is compared where a call names one."""

    def __init__(self, **buckets: str) -> None:
        self.buckets = dict(buckets)  # name -> owner
        self.objects: dict[str, bytes] = {}
        self.status_of_missing = 404
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append((name, arguments))
            return self._answer(name, arguments)

        return call

    def _answer(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        bucket = arguments["Bucket"]
        if name == "create_bucket":
            self.buckets[bucket] = "123456789012"
            return {}
        if bucket not in self.buckets:
            raise _refused(404, name)
        if arguments.get("ExpectedBucketOwner", self.buckets[bucket]) != self.buckets[bucket]:
            raise _refused(403, name)
        if name == "put_object":
            self.objects[arguments["Key"]] = arguments["Body"]
        if name == "head_object" and arguments["Key"] not in self.objects:
            raise _refused(self.status_of_missing, name)
        return {}

    def named(self, name: str) -> list[dict[str, Any]]:
        """The arguments of each call of this name."""
        return [arguments for called, arguments in self.calls if called == name]


def _refused(status: int, name: str) -> ClientError:
    answer: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `build` makes, small."""
    (tmp_path / "code").mkdir()
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "fleet.yaml").write_text("Resources: { Hook: { Type: AWS::AutoScaling::LifecycleHook } }\n")
    for name in ("layers-core", "functions-one"):
        (tmp_path / f"code/{name}.zip").write_bytes(name.encode())
    return tmp_path


def test_template_names_what_was_uploaded_when_packed(folder: Path) -> None:
    """Code by S3's URI and the nested template by its URL; the rest is as written, in long forms."""
    s3 = FakeS3(mine="123456789012")
    url = upload(folder, "template.yaml", Bucket(s3=s3, name="mine", region="eu-west-1", prefix="p"))

    assert url.startswith("https://s3.eu-west-1.amazonaws.com/mine/p/")
    packed = json.loads(s3.objects[url.split("/mine/")[1]])["Resources"]
    uploaded = {content: key for key, content in s3.objects.items()}
    assert packed["Layer"]["Properties"]["ContentUri"] == f"s3://mine/{uploaded[b'layers-core']}"
    assert packed["One"]["Properties"] == {
        "CodeUri": f"s3://mine/{uploaded[b'functions-one']}", "Role": {"Fn::GetAtt": "Role.Arn"},
    }  # fmt: skip
    location = packed["Fleet"]["Properties"]["Location"]
    assert "Hook" in json.loads(s3.objects[location.split("/mine/")[1]])["Resources"]
    assert packed["Role"] == {"Type": "AWS::IAM::Role"}


def test_nothing_is_uploaded_again_when_it_is_there(folder: Path) -> None:
    """The second upload of the same build has the same URL."""
    s3 = FakeS3(mine="123456789012")
    bucket = Bucket(s3=s3, name="mine", region="eu-west-1")
    first = upload(folder, "template.yaml", bucket)
    count = len(s3.named("put_object"))

    assert (upload(folder, "template.yaml", bucket), len(s3.named("put_object"))) == (first, count)


def test_templates_have_their_names_when_published(folder: Path) -> None:
    """In the version's folder, with the same content as when deployed; a second time they are written again."""
    s3 = FakeS3(mine="123456789012")
    bucket = Bucket(s3=s3, name="mine", region="eu-west-1", prefix="tools/sluice")
    deployed = upload(folder, "template.yaml", bucket)

    for _ in range(2):
        urls = publish_templates(folder, ("template.yaml", "fleet.yaml"), "0.2.0", bucket)

    assert urls == {
        name: f"https://s3.eu-west-1.amazonaws.com/mine/tools/sluice/0.2.0/{name}"
        for name in ("template.yaml", "fleet.yaml")
    }
    assert s3.objects["tools/sluice/0.2.0/template.yaml"] == s3.objects[deployed.split("/mine/")[1]]


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
def test_bucket_is_made_when_missing(region: str) -> None:
    """Private, with a tag, in the stack's region; once."""
    s3 = FakeS3()
    bucket = Bucket(s3=s3, name="own", region=region, owner="123456789012")

    assert (bucket.make(), bucket.make()) == (True, False)
    (made,) = s3.named("create_bucket")
    assert made.get("CreateBucketConfiguration") == ({"LocationConstraint": region} if region != "us-east-1" else None)
    (blocked,) = s3.named("put_public_access_block")
    assert set(blocked["PublicAccessBlockConfiguration"].values()) == {True}
    (tagged,) = s3.named("put_bucket_tagging")
    assert tagged["Tagging"]["TagSet"] == [{"Key": "sluice:bucket", "Value": "deployments"}]


def test_bucket_is_refused_when_it_is_another_accounts() -> None:
    """Somebody may have made a bucket of the name before: nothing is uploaded there."""
    bucket = Bucket(s3=FakeS3(own="999999999999"), name="own", region="eu-west-1", owner="123456789012")

    with pytest.raises(BucketError, match="bucket own cannot be used: it is another account's"):
        bucket.make()
    with pytest.raises(BucketError, match="nothing can be uploaded to bucket own: it is another account's"):
        bucket.put(b"code", ".zip")


def test_bucket_is_named_when_it_does_not_exist() -> None:
    """A bucket of the user's is never made."""
    with pytest.raises(BucketError, match="nothing can be uploaded to bucket nowhere"):
        Bucket(s3=FakeS3(), name="nowhere", region="eu-west-1").put(b"code", ".zip")


def test_code_is_uploaded_when_the_bucket_may_not_be_listed() -> None:
    """S3 then answers 403 for what is missing; whoever may write alone can deploy."""
    s3 = FakeS3(mine="123456789012")
    s3.status_of_missing = 403

    key = Bucket(s3=s3, name="mine", region="eu-west-1").put(b"code", ".zip")

    assert s3.objects == {key: b"code"}
