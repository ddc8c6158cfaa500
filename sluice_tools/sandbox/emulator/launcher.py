"""What a launch makes of a launch template: an EC2 record, credentials of the instance profile, and a machine.

What the machine runs is said by the tag ``sluice:sandbox-command`` of the group or its launch template (on EC2 the
user data installs the same program as a systemd unit). Tags ``sluice:sandbox-env:NAME`` become its environment, and
``sluice:sandbox-unit`` names the units that systemd on the machine knows, separated by spaces: each runs the program,
and a target among them consists of the others. ``sluice:sandbox-stop-timeout`` is their TimeoutStopSec in seconds,
``sluice:sandbox-kill-mode`` their KillMode and ``sluice:sandbox-restart`` their Restart, with systemd's defaults. As
with systemd, no other unit is there, and without the first tag none.
Without a command the instance is only recorded.

AWS pages: autoscaling/ec2/userguide/launch-templates.html (version $Default and $Latest),
AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html (credentials of the instance profile's role),
AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and rebalance-recommendations.html (events, metadata).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sluice_tools.sandbox.emulator.events import Bus, Scope, iso
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.machines import Machine, Machines
from sluice_tools.sandbox.emulator.settings import Settings
from sluice_tools.sandbox.emulator.units import KILL_MODES, STOP_TIMEOUT_S, UnitSettings

_ec2 = Host(
    "services.ec2", "_instances", "_tags", "_launch_templates", "_launch_instances_internal", "_terminate_instances",
    "_resolve_launch_template_data", "_resolve_iam_instance_profile", "_DEFAULT_SUBNET_ID", "_instance_xml",
    "_parse_lt_data",
)  # fmt: skip
_iam = Host("services.iam", "_lookup_instance_profile")
_sts = Host("services.sts", "register_session")

COMMAND_TAG = "sluice:sandbox-command"
UNIT_TAG = "sluice:sandbox-unit"
STOP_TIMEOUT_TAG = "sluice:sandbox-stop-timeout"
KILL_MODE_TAG = "sluice:sandbox-kill-mode"
RESTART_TAG = "sluice:sandbox-restart"
ENV_TAG = "sluice:sandbox-env:"

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""Variables of the emulator that an instance's process sees; everything else is its own."""


class LaunchError(Exception):
    """The launch template cannot be used; the message is EC2's."""


DEFAULT_IMAGE = "ami-00000000"
DEFAULT_TYPE = "t3.micro"
"""What is recorded where a launch template names neither image nor type."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A launch template's version (or nothing), read for one launch."""

    template: Mapping[str, str] = field(default_factory=dict)
    image_id: str = DEFAULT_IMAGE
    instance_type: str = DEFAULT_TYPE
    user_data: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    spot: bool = False

    @property
    def version(self) -> str:
        """What tells templates apart: id and version number."""
        return f"{self.template.get('LaunchTemplateId', '')}:{self.template.get('Version', '')}"

    @property
    def unit_settings(self) -> UnitSettings:
        """What the tags say of the units' files.

        Raises:
            LaunchError: A kill mode that the sandbox does not have.
        """
        kill_mode = self.tags.get(KILL_MODE_TAG) or KILL_MODES[0]
        if kill_mode not in KILL_MODES:
            raise LaunchError(f"{KILL_MODE_TAG}: must be one of {', '.join(KILL_MODES)} (got {kill_mode!r})")
        stop_timeout_s = float(self.tags.get(STOP_TIMEOUT_TAG) or STOP_TIMEOUT_S)
        return UnitSettings(kill_mode, stop_timeout_s, self.tags.get(RESTART_TAG) or "no")

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Self:
        """Read the group's launch template in the present scope.

        Raises:
            LaunchError: The group names one that does not exist.
        """
        named = group.get("LaunchTemplate") or {}
        group_tags = {tag["Key"]: str(tag["Value"]) for tag in group.get("Tags", []) if _reaches_instances(tag)}
        if not named:
            return cls(tags=group_tags)
        wanted = {"LaunchTemplateId": named.get("LaunchTemplateId", ""), "Version": str(named.get("Version", ""))}
        data, record, error = _ec2["_resolve_launch_template_data"](wanted)
        if error is not None or record is None:
            raise LaunchError(
                f"You must use a valid fully-formed launch template. The specified launch template, with template ID "
                f"{wanted['LaunchTemplateId']}, does not exist."
            )
        number = {"": "DefaultVersionNumber", "$Default": "DefaultVersionNumber", "$Latest": "LatestVersionNumber"}
        version = str(record[number[wanted["Version"]]]) if wanted["Version"] in number else wanted["Version"]
        own_tags = _ec2["_tags"].get(record["LaunchTemplateId"]) or []
        instance_tags = [
            tag
            for spec in data.get("TagSpecifications") or []
            if spec.get("ResourceType") == "instance"
            for tag in spec.get("Tags") or []
        ]
        template_tags = {
            tag["Key"]: str(tag["Value"])
            for tag in [*(t for t in own_tags if t["Key"].startswith("sluice:sandbox-")), *instance_tags]
        }
        return cls(
            template={
                "LaunchTemplateId": record["LaunchTemplateId"],
                "LaunchTemplateName": record["LaunchTemplateName"],
                "Version": version,
            },
            image_id=data.get("ImageId") or DEFAULT_IMAGE,
            instance_type=data.get("InstanceType") or DEFAULT_TYPE,
            user_data=data.get("UserData") or "",
            profile=data.get("IamInstanceProfile") or {},
            tags=template_tags | group_tags,
            spot=(data.get("InstanceMarketOptions") or {}).get("MarketType") == "spot",
        )


@dataclass(slots=True)
class Metadata:
    """What an instance can read about itself."""

    zone: str
    target_state: str = ""
    spot_action_at: float | None = None
    rebalance_at: float | None = None
    off_at: float | None = None


def _describing(render: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
    """Tell of a Spot Instance that it is one: AWSEC2/latest/APIReference/API_Instance.html (instanceLifecycle)."""

    def described(record: Mapping[str, Any]) -> str:
        xml = render(record)
        if record.get("InstanceLifecycle") != "spot":
            return xml
        return xml.replace("<placement>", "<instanceLifecycle>spot</instanceLifecycle><placement>", 1)

    return described


def _parsing(parse: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Keep a launch template's market, which ministack drops: API_RequestLaunchTemplateData.html."""

    def parsed(params: Mapping[str, Any], prefix: str = "LaunchTemplateData") -> dict[str, Any]:
        data = parse(params, prefix)
        market = params.get(f"{prefix}.InstanceMarketOptions.MarketType")
        if isinstance(market, list):
            market = market[0] if market else None
        return data | ({"InstanceMarketOptions": {"MarketType": market}} if market else {})

    return parsed


class Launcher:
    """Makes and ends instances, EC2's side of them."""

    def __init__(self, settings: Settings, bus: Bus, machines: Machines, endpoint: str) -> None:
        """Machines get ``endpoint`` as their AWS."""
        _ec2["_instance_xml"] = _describing(_ec2["_instance_xml"])
        _ec2["_parse_lt_data"] = _parsing(_ec2["_parse_lt_data"])
        self._settings = settings
        self._bus = bus
        self._machines = machines
        self._endpoint = endpoint
        self._scopes: dict[str, Scope] = {}
        self.metadata: dict[str, Metadata] = {}

    # --- for the groups ---

    def launch(self, scope: Scope, group: Mapping[str, Any], blueprint: Blueprint, zone: str) -> Machine:
        """Make an EC2 record, pending, and its machine, not yet booted. The present scope is the group's.

        Raises:
            LaunchError: The group's tags say of its units what the sandbox does not have.
        """
        unit_settings = blueprint.unit_settings
        profile, _ = _ec2["_resolve_iam_instance_profile"](
            iam_arn=blueprint.profile.get("Arn", ""), iam_name=blueprint.profile.get("Name", ""), allow_missing=True
        )
        record = _ec2["_launch_instances_internal"](
            image_id=blueprint.image_id,
            instance_type=blueprint.instance_type,
            subnet_id=(group.get("VPCZoneIdentifier") or "").split(",")[0] or _ec2["_DEFAULT_SUBNET_ID"],
            count=1,
            user_data=blueprint.user_data,
            iam_profile=profile,
        )[0]
        instance_id: str = record["InstanceId"]
        record["State"] = {"Code": 0, "Name": "pending"}
        record["Placement"]["AvailabilityZone"] = zone
        if blueprint.spot:
            record["InstanceLifecycle"] = "spot"
        tags = {**blueprint.tags, "aws:autoscaling:groupName": group["AutoScalingGroupName"]}
        _ec2["_tags"][instance_id] = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._scopes[instance_id] = scope
        self.metadata[instance_id] = Metadata(zone)
        env = self._env(scope, instance_id, blueprint)
        return self._machines.add(
            instance_id,
            blueprint.tags.get(COMMAND_TAG, ""),
            env,
            unit_names=blueprint.tags.get(UNIT_TAG, "").split(),
            settings=unit_settings,
        )

    def boot(self, machine: Machine) -> None:
        """Power a machine on; its EC2 record runs from now on."""
        machine.boot()
        self._set_state(machine.instance_id, 16, "running")

    def shutting_down(self, instance_id: str) -> None:
        """EC2 begins to terminate it."""
        self._set_state(instance_id, 32, "shutting-down")

    def terminated(self, instance_id: str) -> None:
        """It is gone; the record stays for a while, as EC2's does."""
        with self._scopes[instance_id].entered():
            _ec2["_terminate_instances"]({"InstanceId.1": instance_id})
        self.metadata.pop(instance_id, None)

    def ended_by_ec2(self, instance_id: str) -> bool:
        """Whether EC2 itself has the instance stopped or terminated, by an API call or a Spot interruption."""
        with self._scopes[instance_id].entered():
            record = _ec2["_instances"].get(instance_id)
            return record is None or record["State"]["Name"] not in {"pending", "running"}

    def target_state(self, instance_id: str, state: str) -> None:
        """Let the instance read what it is about to become."""
        if instance_id in self.metadata:
            self.metadata[instance_id].target_state = str(state)

    # --- what happens to an instance from outside ---

    def interrupt(self, instance_id: str, now: float) -> float:
        """EC2 takes a Spot instance back: the notice now, the end ``spot_notice_s`` later.

        Returns:
            When it ends, in epoch seconds.
        """
        ends_at = now + self._settings.spot_notice_s
        self.metadata[instance_id].spot_action_at = ends_at
        self._emit(
            instance_id, "EC2 Spot Instance Interruption Warning",
            {"instance-id": instance_id, "instance-action": "terminate"},
        )  # fmt: skip
        return ends_at

    def recommend_rebalance(self, instance_id: str, now: float) -> None:
        """EC2 finds a Spot instance at elevated risk."""
        self.metadata[instance_id].rebalance_at = now
        self._emit(instance_id, "EC2 Instance Rebalance Recommendation", {"instance-id": instance_id})

    def settle(self, now: float) -> None:
        """Carry out what EC2 has decided: Spot notices that ran out, and machines it no longer has running.

        Their services are asked to stop, and those that still run after the grace period are killed.
        """
        for instance_id, metadata in list(self.metadata.items()):
            if metadata.spot_action_at is not None and now >= metadata.spot_action_at:
                metadata.spot_action_at = None
                self._set_state(instance_id, 48, "terminated")
            machine = self._machines.get(instance_id)
            if machine is not None and machine.died and not self.ended_by_ec2(instance_id):
                self._set_state(instance_id, 80, "stopped")  # nothing runs on it: EC2 finds it powered off
            if machine is None or not self.ended_by_ec2(instance_id):
                continue
            if metadata.off_at is None:
                metadata.off_at = now + self._settings.stop_grace_s
                machine.ask_to_stop()
            elif now >= metadata.off_at or not machine.unit_active:
                machine.power_off()

    def _emit(self, instance_id: str, detail_type: str, detail: Mapping[str, Any]) -> None:
        zone = self.metadata[instance_id].zone
        resource = f"arn:aws:ec2:{zone}:instance/{instance_id}"
        self._bus.emit(self._scopes[instance_id], "aws.ec2", detail_type, detail, [resource])

    def _set_state(self, instance_id: str, code: int, name: str) -> None:
        with self._scopes[instance_id].entered():
            record = _ec2["_instances"].get(instance_id)
            if record is not None and record["State"]["Name"] != "terminated":
                record["State"] = {"Code": code, "Name": name}
                self._bus.emit(
                    self._scopes[instance_id], "aws.ec2", "EC2 Instance State-change Notification",
                    {"instance-id": instance_id, "state": name},
                    [self._scopes[instance_id].arn("ec2", f"instance/{instance_id}")],
                )  # fmt: skip

    # --- a machine's environment ---

    def _env(self, scope: Scope, instance_id: str, blueprint: Blueprint) -> dict[str, str]:
        env = {name: os.environ[name] for name in INHERITED if name in os.environ}
        env |= {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": scope.region,
            "AWS_DEFAULT_REGION": scope.region,
            # Its metadata is served at SLUICE_IMDS; there is no link-local address to try.
            "AWS_EC2_METADATA_DISABLED": "true",
            "INSTANCE_ID": instance_id,
            "SLUICE_IMDS": f"{self._endpoint}/_sandbox/imds/{instance_id}",
            "PYTHONUNBUFFERED": "1",
        }
        env |= self._credentials(scope, instance_id, blueprint)
        for key, value in blueprint.tags.items():
            if key.startswith(ENV_TAG):
                env[key.removeprefix(ENV_TAG)] = value
        return env

    def _credentials(self, scope: Scope, instance_id: str, blueprint: Blueprint) -> dict[str, str]:
        """Session keys of the instance profile's role; none without one, as on EC2."""
        profile = _iam["_lookup_instance_profile"](
            name=blueprint.profile.get("Name", ""), arn=blueprint.profile.get("Arn", "")
        )
        roles = [_role_name(role) for role in (profile or {}).get("Roles", [])]
        if not roles:
            return {}
        seed = hashlib.sha256(f"{instance_id}:{time.time()}".encode()).hexdigest()
        keys = {
            "AWS_ACCESS_KEY_ID": f"ASIA{seed[:16].upper()}",
            "AWS_SECRET_ACCESS_KEY": hashlib.sha256(f"secret:{seed}".encode()).hexdigest(),
            "AWS_SESSION_TOKEN": hashlib.sha256(f"token:{seed}".encode()).hexdigest(),
        }
        # No expiration: EC2 renews an instance's credentials for as long as it lives.
        _sts["register_session"](
            keys["AWS_ACCESS_KEY_ID"],
            {
                "Arn": f"arn:aws:sts::{scope.account}:assumed-role/{roles[0]}/{instance_id}",
                "UserId": f"{roles[0]}:{instance_id}",
                "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
                "SessionToken": keys["AWS_SESSION_TOKEN"],
            },
        )
        return keys


def imds(metadata: Metadata, instance_id: str, path: str) -> str | dict[str, str] | None:
    """One entry of the instance metadata service, or None where it has none.

    AWS page: AWSEC2/latest/UserGuide/instancedata-data-categories.html.
    """
    if path == "instance-id":
        return instance_id
    if path == "placement/availability-zone":
        return metadata.zone
    if path == "autoscaling/target-lifecycle-state":
        return metadata.target_state or None
    if path == "spot/instance-action" and metadata.spot_action_at is not None:
        return {"action": "terminate", "time": iso(metadata.spot_action_at)}
    if path == "events/recommendations/rebalance" and metadata.rebalance_at is not None:
        return {"noticeTime": iso(metadata.rebalance_at)}
    return None


def _reaches_instances(tag: Mapping[str, Any]) -> bool:
    """Group tags reach instances by PropagateAtLaunch; the sandbox's own always do."""
    return bool(tag.get("PropagateAtLaunch")) or tag["Key"].startswith("sluice:sandbox-")


def _role_name(role: Any) -> str:
    """A role's name, however the instance profile's record holds it."""
    name = role["RoleName"] if isinstance(role, dict) else str(role)
    return name.rsplit("/", 1)[-1]
