"""What `sluice doctor --instances` asks instances, and what it says of their units."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.unit_settings import unit_warnings
from tests.support.drainer_day import a_fleet

SHOWN = "Id=worker@1.service\nLoadState=loaded\nKillMode={mode}\nTimeoutStopUSec={timeout}\n"


class FakeSsm:
    """Systems Manager: the first look finds the command in progress, the second its output."""

    def __init__(self, output: str) -> None:
        self.output, self.looks = output, 0
        self.sent: list[dict[str, Any]] = []

    def send_command(self, **request: Any) -> dict[str, Any]:
        """Take a command."""
        self.sent.append(request)
        return {"Command": {"CommandId": "c-1"}}

    def list_command_invocations(self, **_request: Any) -> dict[str, Any]:
        """How it stands."""
        self.looks += 1
        status = "InProgress" if self.looks == 1 else "Success"
        steps = [{"Output": self.output if self.looks > 1 else ""}]
        return {"CommandInvocations": [{"Status": status, "CommandPlugins": steps}] * len(self.sent[0]["InstanceIds"])}


def warnings(ssm: Any, ids: int = 1, **drain: Any) -> tuple[str, ...]:
    """What is said of a fleet with so many instances."""
    clients: Any = SimpleNamespace(ssm=ssm)
    return unit_warnings(clients, a_fleet(**drain), [f"i-{number}" for number in range(ids)], lambda _: None)


@pytest.mark.parametrize(
    ("mode", "timeout", "said"),
    [
        ("mixed", "15min", ()),
        ("mixed", "infinity", ()),
        ("mixed", "1min 30s", ("TimeoutStopSec of 90 s",)),
        ("control-group", "15min", ("KillMode=control-group",)),
        ("control-group", "1min 30s", ("TimeoutStopSec of 90 s", "KillMode=control-group")),
    ],
)
def test_units_settings_are_reported_when_they_would_lose_work(mode: str, timeout: str, said: tuple[str, ...]) -> None:
    """A kill mode that reaches all processes, and a stop timeout below the deadline."""
    found = warnings(FakeSsm(SHOWN.format(mode=mode, timeout=timeout)))
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))


SYSTEMCTL = r"""#!/bin/sh
case "$*" in
  *ConsistsOf*' workers.target')
    printf 'ConsistsOf=worker@1.service\nWants=amazon-ssm-agent.service worker@1.service web.service log.socket\n' ;;
  *ConsistsOf*) printf 'ConsistsOf=\nWants=\n' ;;
  *) echo "$*" >> "$0.asked" ;;
esac
"""


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("consumer.service", "consumer.service"),
        ("worker@*.service, web", "worker@*.service web"),
        ("workers.target", "web.service worker@1.service"),
        ("a.service workers.target", "a.service web.service worker@1.service"),
        ("nothing.target", None),
    ],
)
def test_instance_shows_the_services_that_a_stop_would_stop(tmp_path: Path, unit: str, shown: str | None) -> None:
    """A target stands for its services without the agent, a pattern for itself, and nothing is asked of no unit."""
    ssm = FakeSsm("")
    warnings(ssm, unit=unit)
    (command,) = ssm.sent[0]["Parameters"]["commands"]
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-c", command], check=True, env=environ, cwd=tmp_path)
    asked = tmp_path / "systemctl.asked"
    expected = f"show --property=Id,LoadState,KillMode,TimeoutStopUSec -- {shown}\n"
    assert (asked.read_text() if asked.exists() else None) == (expected if shown else None)


def test_five_instances_are_asked_at_most() -> None:
    """A group's instances are alike."""
    ssm = FakeSsm(SHOWN.format(mode="mixed", timeout="15min"))
    assert warnings(ssm, ids=9, unit="workers.target") == ()
    (request,) = ssm.sent
    assert len(request["InstanceIds"]) == 5


def test_nobody_is_asked_when_there_is_nobody_or_no_unit() -> None:
    """An empty group, and a container."""
    ssm = FakeSsm("")
    assert (warnings(ssm, ids=0), warnings(ssm, container="worker")) == ((), ())
    assert ssm.sent == []


def test_unit_that_is_missing_and_command_that_is_refused_are_reported() -> None:
    """Each as a sentence."""

    def refuse(**_request: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "SendCommand")

    assert warnings(FakeSsm(SHOWN.replace("loaded", "not-found")))[0].startswith("No unit consumer.service was found")
    assert "were not checked" in warnings(SimpleNamespace(send_command=refuse))[0]
