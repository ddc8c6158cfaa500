"""Draining without Run Command: the consumer watches its instance's lifecycle state and completes the action itself.

Source: "Retrieve the target lifecycle state through instance metadata" and "Complete a lifecycle action", Amazon EC2
Auto Scaling User Guide. The item `autoscaling/target-lifecycle-state` says where the instance is going.
"""

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .settings import SelfDrain

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient

log = logging.getLogger("orders")

POLL_S: Final = 2.0
"""Between two requests: a drain starts within it, and the metadata service stands far more."""

METADATA_TIMEOUT_S: Final = 2.0
"""The metadata service is on the same host."""

TOKEN_TTL_S: Final = 60
"""A token for each request; it need not outlive it by much."""

RETRY_S: Final = 5.0
"""Between tries to complete the action; the hook's own timeout is the backstop."""

IN_SERVICE: Final = "InService"


class LifecycleError(Exception):
    """The metadata service or Auto Scaling did not answer as it should; try again."""


class Instance(Protocol):
    """The part of `Lifecycle` that the watch needs."""

    def target_state(self) -> str | None:
        """Where the instance is going; None where it is in no group."""
        ...

    def complete(self) -> None:
        """Let the termination go on."""
        ...


class Lifecycle:
    """This instance's, by metadata service (version 2) and Auto Scaling."""

    def __init__(self, drain: SelfDrain, client: "AutoScalingClient | None" = None) -> None:
        """Name the group and hook; nothing is connected yet."""
        self._drain = drain
        # Straight to the metadata service: it is link-local, no proxy reaches it.
        self._metadata = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._client = client

    def target_state(self) -> str | None:
        """See `Instance.target_state`.

        Raises:
            LifecycleError: The metadata service does not answer.
        """
        return self._read("autoscaling/target-lifecycle-state")

    def complete(self) -> None:
        """Complete the termination action with CONTINUE; that it is over already is a success.

        Raises:
            LifecycleError: It is not complete.
        """
        instance_id = self._drain.instance_id or self._read("instance-id")
        if not instance_id:
            raise LifecycleError("the metadata service knows no instance-id: set INSTANCE_ID")
        try:
            self._autoscaling().complete_lifecycle_action(
                AutoScalingGroupName=self._drain.group_name,
                LifecycleHookName=self._drain.hook_name,
                InstanceId=instance_id,
                LifecycleActionResult="CONTINUE",
            )
        except ClientError as error:
            if "no active lifecycle action" in str(error).lower():
                log.info("the lifecycle action is over already")
                return
            if "AccessDenied" in str(error):
                raise LifecycleError(
                    f"not allowed: grant autoscaling:CompleteLifecycleAction on group {self._drain.group_name}"
                ) from error
            raise LifecycleError(str(error)) from error
        except BotoCoreError as error:
            raise LifecycleError(str(error)) from error

    def _autoscaling(self) -> "AutoScalingClient":
        if self._client is None:
            self._client = boto3.client(
                "autoscaling", config=Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})
            )
        return self._client

    def _read(self, item: str) -> str | None:
        try:
            token = self._ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)})
            return self._ask("GET", f"meta-data/{item}", {"X-aws-ec2-metadata-token": token}).strip()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise LifecycleError(f"metadata service: {error}") from error
        except OSError as error:
            raise LifecycleError(f"metadata service: {error}") from error

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        url = f"{self._drain.imds_url}/latest/{path}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - the operator's own URL
        with self._metadata.open(request, timeout=METADATA_TIMEOUT_S) as answer:
            return str(answer.read().decode())


class LifecycleWatch:
    """Tells the consumer to drain when the instance is about to leave, and completes the action afterwards."""

    def __init__(self, instance: Instance, poll_s: float = POLL_S, retry_s: float = RETRY_S) -> None:
        """Watch nothing yet."""
        self._instance = instance
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._leaving = threading.Event()

    def start(self, leave: Callable[[], None]) -> None:
        """Call `leave` once, from another thread, when the instance is to be terminated or put into a warm pool."""

        def watch() -> None:
            pause = threading.Event()
            while not self._is_leaving():
                pause.wait(self._poll_s)
            self._leaving.set()
            leave()

        threading.Thread(target=watch, name="lifecycle", daemon=True).start()

    def finish(self, stopped: threading.Event) -> None:
        """Complete the action, then wait until `stopped` is set or the instance is in service again.

        Returns at once where the instance is not leaving: something else asked the consumer to stop.
        """
        if not self._leaving.is_set():
            return
        while not self._complete():
            if stopped.wait(self._retry_s):
                return
        log.info("drained and completed the lifecycle action")
        while not stopped.wait(self._poll_s):
            if self._state() == IN_SERVICE:
                return

    def _is_leaving(self) -> bool:
        state = self._state()
        return state is not None and (state == "Terminated" or state.startswith("Warmed:"))

    def _state(self) -> str | None:
        try:
            return self._instance.target_state()
        except LifecycleError as error:
            log.warning("lifecycle state unknown: %s", error)
            return None

    def _complete(self) -> bool:
        try:
            self._instance.complete()
        except LifecycleError as error:
            log.warning("the lifecycle action is not complete yet: %s", error)
            return False
        return True
