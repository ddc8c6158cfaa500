"""A drained consumer's work log goes to S3, or the consumer says why it did not."""

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from examples.orders.orders.admin import main as admin
from examples.orders.orders.settings import SettingsError, read_settings
from examples.orders.orders.worklog_copy import CopyError, copy_work_log


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of nobody."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@mock_aws
def test_copy_has_the_whole_log_under_the_instance_s_name(tmp_path: Path) -> None:
    """A second copy takes the place of the first."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="work-logs")
    log = tmp_path / "work.jsonl"
    for text in ("1\n", "1\n2\n"):
        log.write_text(text)
        key = copy_work_log(log, "work-logs", "i-1")
    assert key == "work-log/i-1/work.jsonl"
    assert s3.get_object(Bucket="work-logs", Key=key)["Body"].read() == b"1\n2\n"


@mock_aws
def test_copy_is_refused_in_words_when_there_is_no_such_bucket(tmp_path: Path) -> None:
    """The variable is named."""
    (tmp_path / "work.jsonl").write_text("1\n")
    with pytest.raises(CopyError, match=r"^WORK_LOG_BUCKET: .*NoSuchBucket"):
        copy_work_log(tmp_path / "work.jsonl", "work-logs", "i-1")


def test_settings_are_refused_when_a_bucket_is_given_without_a_file() -> None:
    """Standard output cannot be copied."""
    with pytest.raises(SettingsError, match=r"^WORK_LOG: give the file"):
        read_settings({"QUEUE_URL": "https://queue", "WORK_LOG_BUCKET": "logs"})


@mock_aws
@pytest.mark.parametrize("place", ["file", "s3"])
def test_audit_reads_what_was_sent_from_a_file_or_from_s3(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either way an order that is not stored is named."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/orders.db")
    assert admin(["init"]) == 0
    if place == "s3":
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="work-logs")
        s3.put_object(Bucket="work-logs", Key="sent/ids.txt", Body=b"order-0001\n")
        sent = "s3://work-logs/sent/ids.txt"
    else:
        (tmp_path / "ids.txt").write_text("order-0001\n")
        sent = str(tmp_path / "ids.txt")
    assert admin(["audit", "--sent", sent]) == 1
    assert '"not_stored": ["order-0001"]' in capsys.readouterr().out
