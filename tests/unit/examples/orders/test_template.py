"""The example's template, unit and user data agree with what its programs read and do."""

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from examples.orders.orders.locating import locate_database
from examples.orders.orders.postgres import PostgresDatabase
from examples.orders.orders.settings import SettingsError, read_settings
from examples.orders.orders.sqlite import SqliteDatabase
from sluice_tools.cfn import Template

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "orders"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template, parsed."""
    return dict(Template.load(EXAMPLE / "template.yaml").body)


@pytest.fixture(scope="module")
def user_data(template: dict[str, Any]) -> str:
    """The script that an instance runs at its first boot, before its values are filled in."""
    launch = template["Resources"]["ConsumerTemplate"]["Properties"]["LaunchTemplateData"]
    script: str = launch["UserData"]["Fn::Base64"]["Fn::Sub"]
    return script


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """The systemd unit's settings, each with its values in order."""
    settings: dict[str, list[str]] = {}
    for line in (EXAMPLE / "deploy" / "orders-consumer@.service").read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def consumer_env(user_data: str) -> dict[str, str]:
    """The variables that user data gives the consumer."""
    block = re.search(r"consumer\.env <<END\n(.*?)\nEND\n", user_data, re.DOTALL)
    assert block is not None
    return dict(line.split("=", 1) for line in block[1].splitlines())


class Asked(dict[str, str]):
    """Variables that remember which of them were looked at."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """As a mapping does."""
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.parametrize("drain_via", ["ssm", "self"])
def test_consumer_takes_the_settings_that_user_data_gives_it(
    template: dict[str, Any], user_data: str, drain_via: str
) -> None:
    """With the parameters' defaults: every variable is one that it reads, and every value one that it accepts."""
    values = {name: str(its.get("Default", "")) for name, its in template["Parameters"].items()}
    values |= {"DrainVia": drain_via, "LifecycleHook": "hook", "AWS::StackName": "orders", "AWS::Region": "eu-west-1"}
    values |= {"OrderQueue": "https://queue", "DeadLetterQueue": "https://dead"}
    given = {
        name: re.sub(r"\$\{([^}]+)\}", lambda match: values[match[1]], value)
        for name, value in consumer_env(user_data).items()
    }
    settings = read_settings(given)
    assert (settings.queue_url, settings.dead_letter_queue_url) == ("https://queue", "https://dead")
    assert settings.database_url_parameter == "/orders/database-url"
    assert (settings.self_drain is None) == (drain_via == "ssm")
    assert settings.self_drain is None or settings.self_drain.group_name == "orders-consumers"

    asked = Asked(given)
    read_settings(asked)
    # The region is for boto3.
    only_for_self = {"GROUP_NAME", "LIFECYCLE_HOOK"} if drain_via == "ssm" else set()
    assert set(given) - asked.names == {"AWS_DEFAULT_REGION"} | only_for_self


def test_user_data_is_a_script_when_its_values_are_filled_in(user_data: str) -> None:
    """Bash accepts it, and nothing of it is left for CloudFormation that bash would take for its own."""
    script = re.sub(r"\$\{[^}]+\}", "value", user_data)
    assert script.startswith("#!/bin/bash\n")
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "set -euo pipefail" in script


def test_user_data_installs_the_unit_that_the_artifact_holds(user_data: str) -> None:
    """One unit for each consumer, named as Sluice's drain is to find them."""
    assert "systemctl enable --now orders-consumer@$number.service" in user_data
    assert "/opt/orders/deploy/orders-consumer@.service" in user_data
    assert (EXAMPLE / "deploy" / "orders-consumer@.service").is_file()
    makefile = (EXAMPLE / "Makefile").read_text()
    assert 'cp -R deploy "$$tree/"' in makefile
    assert "zipfile -c orders.zip deploy lib" in makefile


def test_unit_ends_the_consumer_by_sigterm_and_waits_for_its_drain(unit: dict[str, list[str]]) -> None:
    """The contract: SIGTERM, time to finish, and a start again whenever it ends by itself."""
    assert unit["KillSignal"] == ["SIGTERM"]
    assert int(unit["TimeoutStopSec"][0]) >= 60
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["ExecStart"] == ["/usr/bin/python3.13 -m orders.consumer"]
    assert unit["ExecStartPre"] == ["/usr/bin/python3.13 -m orders.admin init"]


def test_group_begins_at_zero_and_leaves_its_size_to_sluice(template: dict[str, Any]) -> None:
    """No desired capacity: an update of the stack must not undo what Sluice set."""
    group = template["Resources"]["ConsumerGroup"]["Properties"]
    assert group["MinSize"] == "0"
    assert "DesiredCapacity" not in group


def test_outputs_are_what_sluice_asks_for(template: dict[str, Any]) -> None:
    """Queue, dead-letter queue and group, and the unit that the artifact holds."""
    outputs = template["Outputs"]
    assert {"QueueUrl", "QueueArn", "DeadLetterQueueUrl", "DeadLetterQueueArn", "GroupName"} <= set(outputs)
    assert (EXAMPLE / "deploy" / outputs["DrainUnit"]["Value"].replace("*", "")).is_file()
    assert fnmatch(template["Parameters"]["SandboxUnits"]["Default"], outputs["DrainUnit"]["Value"])


def test_user_data_keeps_the_work_log_when_a_bucket_is_given(user_data: str) -> None:
    """In the folder that systemd makes for the unit, in the bucket and under the keys that the role may write."""
    bash = user_data[user_data.index("if [ -n '${WorkLogBucket}' ]") :].partition("fi\n")[0] + "fi\n"
    kept = ["[Service]", "Environment=WORK_LOG=/var/log/orders/work-%i.jsonl", "WORK_LOG_BUCKET=kept"]
    for bucket, lines in (("kept", kept), ("", [])):
        script = bash.replace("${WorkLogBucket}", bucket).replace("$settings/work-log.conf", "/dev/stdout")
        done = subprocess.run(["bash", "-eu"], input=script, text=True, capture_output=True, check=True)
        assert done.stdout.split() == lines
    assert "LogsDirectory=orders" in (EXAMPLE / "deploy/orders-consumer@.service").read_text()


def test_every_parameter_is_described_and_bounded(template: dict[str, Any]) -> None:
    """An operator who is asked for it knows what is meant, and a slip is refused at once."""
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"], name
        if parameter["Type"] == "Number":
            assert {"MinValue", "MaxValue"} <= set(parameter), name
        if parameter["Type"] == "String":
            assert {"AllowedPattern", "AllowedValues", "MaxLength"} & set(parameter), name


# --- the database's URL, which user data leaves in Systems Manager ---


class FakeSsm:
    """Parameter Store with one parameter, or an error."""

    def __init__(self, value: str = "", error: Exception | None = None) -> None:
        self.value, self.error = value, error

    def get_parameter(self, **asked: object) -> dict[str, dict[str, str]]:
        """Answer for one parameter."""
        if self.error:
            raise self.error
        assert asked == {"Name": "/orders/database-url", "WithDecryption": True}
        return {"Parameter": {"Value": self.value}}


def locate(url: str | None, ssm: FakeSsm) -> object:
    """Locate it."""
    return locate_database(url, "/orders/database-url", ssm)  # type: ignore[arg-type]


def test_database_is_the_parameters_when_no_url_is_given() -> None:
    """Decrypted, and without a line end that a file may have left."""
    assert isinstance(locate(None, FakeSsm("postgresql://user:secret@host/orders\n")), PostgresDatabase)


def test_database_is_the_urls_when_both_are_given() -> None:
    """Systems Manager is not asked then."""
    assert isinstance(locate("sqlite:///x.db", FakeSsm(error=AssertionError())), SqliteDatabase)


def test_database_is_a_file_when_nothing_is_given() -> None:
    """The embedded default."""
    assert isinstance(locate_database(None, None), SqliteDatabase)


@pytest.mark.parametrize(
    ("ssm", "said"),
    [
        (FakeSsm(error=ClientError({"Error": {"Code": "ParameterNotFound"}}, "GetParameter")), "there is none"),
        (FakeSsm(error=ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetParameter")), "ssm:GetParameter"),
        (FakeSsm(error=ClientError({"Error": {"Code": "Throttling"}}, "GetParameter")), "Throttling"),
        (FakeSsm(error=EndpointConnectionError(endpoint_url="https://ssm")), "https://ssm"),
        (FakeSsm("mysql://user:secret@host"), "give sqlite:///"),
    ],
)
def test_parameter_is_named_when_it_is_of_no_use(ssm: FakeSsm, said: str) -> None:
    """What to do about it, and never what it holds."""
    with pytest.raises(SettingsError, match=f"^DATABASE_URL_PARAMETER: .*{said}") as caught:
        locate(None, ssm)
    assert "secret" not in str(caught.value)
