"""The consumer's half of Sluice's contract, in one file to copy: when to stop, what to report, how to leave.

    lifecycle = Lifecycle.watch(hook="sluice-drain")      # once the consumer can take messages; waits in a warm pool
    while not lifecycle.leaving:
        for message in receive():
            with lifecycle.working():
                work(message)
    lifecycle.leave()                                     # every message is completed or returned

Where an instance runs several consumers, each has a name: `watch(..., consumer="worker-1")`, or SLUICE_CONSUMER in its
environment (`Environment=SLUICE_CONSUMER=%n` in a systemd unit). The name must be the same after a restart. No consumer
with a name completes the lifecycle action, since another one may be at work: Sluice does so once all of them are done.

`leaving` turns true when the instance is to leave (its target lifecycle state in the instance metadata is `Terminated`
or in a warm pool), when EC2 interrupts a Spot instance, and on SIGTERM. `leave` reports that the consumer is done,
completes the lifecycle action, and waits for the end of the instance, or for its return from a warm pool.

Its reports (ready, busy, idle, draining, done) are events on the default bus. A report that cannot be sent is logged,
and the consumer goes on. Needs boto3, Python 3.11 or later, and the permissions
`autoscaling:CompleteLifecycleAction` on the group and `events:PutEvents` with the condition `events:source` =
`sluice.consumer`.

Sources: "Retrieve the target lifecycle state through instance metadata" and "Complete a lifecycle action", Amazon EC2
Auto Scaling User Guide; "Spot Instance interruption notices", Amazon EC2 User Guide.
"""

import itertools
import json
import logging
import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger("sluice.consumer")

METADATA: Final = "http://169.254.169.254"
METADATA_TIMEOUT_S: Final = 2.0
"""The metadata service is on the same host."""
TOKEN_TTL_S: Final = 60
"""The lifetime of a metadata token. Each check takes a new one."""
POLL_S: Final = 2.0
"""The time between two checks of the metadata: a drain begins within it, and the service allows far more reads."""
TELL_S: Final = 1.0
"""The time between two checks whether a report is due."""
REPEAT_S: Final = 60.0
"""A busy or draining consumer repeats its report: Sluice takes it for crashed after three minutes without one."""
READY_REPEAT_S: Final = 15.0
"""A consumer that waits at its launch hook repeats its report more often ..."""
READY_FOR_S: Final = 600.0
"""... and for as long as a boot may reasonably take."""
IDLE_AFTER_S: Final = 5.0
"""A consumer reports that it is idle only after this long without a message."""
GIVE_BACK_S: Final = 10.0
"""How long before a Spot interruption the messages in flight are returned: enough for some calls and retries."""
RETRY_S: Final = 5.0
"""The time between two attempts to complete the lifecycle action. If all fail, the hook times out."""
EARLY_S: Final = 150.0
"""How long a lifecycle action may take to become active: the metadata shows the end a moment before the group does, and
a Spot notice two minutes before."""
IN_POOL: Final = frozenset({"Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated"})
"""Where an instance that is to stand in a warm pool is going."""
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9@._:/\\-]{0,127}"
"""What a consumer's name may be."""
OPTIONS: Final = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})


# A container is one network hop further away than its instance, and an answer goes one hop by default.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
SILENT: Final = (
    "the instance metadata service does not answer ({error}). In a container, allow its answers two hops: aws ec2"
    " modify-instance-metadata-options --http-endpoint enabled --http-put-response-hop-limit 2 --instance-id"
    " <instance>, and the same in the launch template; or run the container on the host's network"
)


class MetadataError(Exception):
    """The instance metadata service did not answer as it should; try again."""


class Metadata:
    """The instance metadata service, version 2."""

    def __init__(self, url: str = METADATA) -> None:
        """Nothing is asked yet."""
        self._url = url
        # Straight to it: it is link-local, no proxy reaches it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self, item: str) -> str | None:
        """One entry below meta-data/; None where there is none.

        Raises:
            MetadataError: The service does not answer.
        """
        try:
            token = self._ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)})
            return self._ask("GET", f"meta-data/{item}", {"X-aws-ec2-metadata-token": token}).strip()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise MetadataError(str(error)) from error
        except OSError as error:
            raise MetadataError(SILENT.format(error=error)) from error

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        url = f"{self._url}/latest/{path}"
        request = urllib.request.Request(url, method=method, headers=dict(headers))  # noqa: S310 - the operator's URL
        with self._opener.open(request, timeout=METADATA_TIMEOUT_S) as answer:
            return str(answer.read().decode())


class Lifecycle:
    """This instance's coming and going. Made by `watch`; all of it may be used from any thread."""

    def __init__(
        self,
        metadata: Metadata,
        group: str,
        instance_id: str,
        hook: str,
        *,
        consumer: str | None = None,
        autoscaling: Any,
        events: Any,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Put together; `start` sets it going."""
        self._metadata = metadata
        self._group = group
        self._instance_id = instance_id
        self._hook = hook
        self._consumer = consumer
        self._autoscaling = autoscaling
        self._events = events
        self._clock = clock
        self._leaving = threading.Event()
        self._stopped = threading.Event()  # by SIGTERM: whoever sent it waits for this process to end
        self._by_group = False  # the group waits for our completion
        self._served = False  # it has been in service: from then on a warm pool is the end
        self._pooled_at: float | None = None  # since when it has been new and on its way to a warm pool, or in it
        self._completed = False
        self._ends_at: float | None = None
        self._left_at = 0.0
        self._in_flight = 0
        self._give_back: dict[int, Callable[[], object]] = {}
        self._worked_at: float | None = None
        self._said: str | None = None
        self._said_at = 0.0
        self._ready_at = clock()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @classmethod
    def watch(
        cls, hook: str, group: str | None = None, *, consumer: str | None = None, signals: bool = True
    ) -> "Lifecycle":
        """Begin to watch, and say that this consumer is ready.

        On an instance that is made ready for a warm pool it says so too, and returns once that goes into service: a
        pool's instance must take no messages.

        Args:
            hook: The termination hook that the Sluice stack attaches to the group: `<stack>-drain`.
            group: The Auto Scaling group's name; without it SLUICE_GROUP, or the instance's tag
                aws:autoscaling:groupName, where the launch template allows tags in instance metadata.
            consumer: This consumer's name on its instance, where that runs several; without it SLUICE_CONSUMER, if it
                is set. It must be the same after a restart.
            signals: Whether SIGTERM and SIGINT are to begin the end. Only where this is the main thread.

        Raises:
            MetadataError: Instance id or group cannot be found out.
            ValueError: Sluice would not take the consumer's name.
        """
        consumer = consumer or os.environ.get("SLUICE_CONSUMER") or None
        if consumer is not None and not re.fullmatch(NAME, consumer):
            raise ValueError(f"consumer: must be a name that matches {NAME} (got {consumer!r:.160})")
        metadata = Metadata(os.environ.get("SLUICE_IMDS", METADATA))
        instance_id = os.environ.get("INSTANCE_ID") or metadata.read("instance-id")
        name = group or os.environ.get("SLUICE_GROUP") or metadata.read("tags/instance/aws:autoscaling:groupName")
        if not instance_id or not name:
            missing = "instance id: set INSTANCE_ID" if name else "group: name it, or set SLUICE_GROUP"
            raise MetadataError(f"the instance metadata does not tell the {missing}")
        autoscaling, events = boto3.client("autoscaling", config=OPTIONS), boto3.client("events", config=OPTIONS)
        lifecycle = cls(metadata, name, instance_id, hook, consumer=consumer, autoscaling=autoscaling, events=events)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: lifecycle.stop())
        lifecycle.look()
        lifecycle.start()
        while lifecycle.in_pool and not lifecycle.wait(POLL_S):
            pass
        return lifecycle

    def start(self) -> None:
        """Watch and tell from threads of their own."""
        for name, work, pause_s in (("lifecycle", self.look, POLL_S), ("reports", self.tell, TELL_S)):
            threading.Thread(target=self._repeat, args=(work, pause_s), name=name, daemon=True).start()

    def _repeat(self, work: Callable[[], None], pause_s: float) -> None:
        pause = threading.Event()
        while True:
            work()
            pause.wait(pause_s)

    # --- for the consumer ---

    @property
    def in_pool(self) -> bool:
        """Whether the instance is new and on its way to a warm pool, or in it: no messages yet."""
        return self._pooled_at is not None and not self._leaving.is_set()

    @property
    def leaving(self) -> bool:
        """Whether to take no new messages."""
        return self._leaving.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for at most so many seconds, or until it is time to leave; returns whether it is."""
        return self._leaving.wait(seconds)

    def left_s(self) -> float | None:
        """Seconds until EC2 interrupts the Spot instance; None if no interruption is announced."""
        return None if self._ends_at is None else max(0.0, self._ends_at - self._clock())

    def fits(self, seconds: float) -> bool:
        """Whether work of so many seconds can still be done. If not, return the message: set its visibility to 0."""
        left_s = self.left_s()
        return left_s is None or seconds <= left_s

    @contextmanager
    def working(self, give_back: Callable[[], object] | None = None) -> Iterator[None]:
        """The time of work on one message: its instance is protected from scale-in, and its drain is not given up.

        Args:
            give_back: Called from another thread, just before EC2 interrupts the Spot instance while this message is in
                flight. It sets the message's visibility to 0, so that another consumer takes it at once and not when
                the timeout ends.
        """
        with self._lock:
            self._in_flight += 1
            key = next(self._numbers)
            if give_back is not None:
                self._give_back[key] = give_back
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1
                self._worked_at = self._clock()
                self._give_back.pop(key, None)

    def give_up(self) -> None:
        """Report that this consumer can never be ready: with a launch hook, the group replaces its instance at once."""
        self.say("failed")

    def stop(self) -> None:
        """Begin to leave because the process is asked to, as Run Command does by SIGTERM."""
        self._stopped.set()
        self._leaving.set()

    def leave(self) -> None:
        """Report that every message is completed or returned, and complete the lifecycle action if the group waits.

        A consumer with a name leaves the completion to Sluice, which waits for the instance's other consumers too.

        Returns at once if the process was asked to stop. Otherwise it returns when it is asked to, or when the instance
        is in service again: if the process ended by itself, its supervisor would start it again on an instance that is
        leaving.
        """
        self.say("done")
        self._left_at = self._clock()
        while self._by_group and self._consumer is None and not self._complete():
            if self._stopped.wait(RETRY_S):
                return
        while not self._stopped.wait(POLL_S if self._leaving.is_set() else 0.0):
            if self._target_state() == "InService":
                return

    # --- what the metadata shows ---

    def look(self) -> None:
        """Check once whether the instance is to leave, and whether the messages in flight must be returned."""
        if self._leaving.is_set():
            self._give_back_in_time()
            return
        state = self._target_state()
        if state in IN_POOL and not self._served:
            self._stand_in_pool()
            return
        if state == "InService":
            self._enter_service()
        if state is not None and (state == "Terminated" or state.startswith("Warmed:")):
            log.info("the instance is to leave; its target lifecycle state is %s", state)
            self._by_group = True
            self._leaving.set()
        elif notice := self._spot_notice():
            log.info("EC2 will interrupt the Spot instance: %s", notice)
            self._ends_at = _ends_at(notice)
            self._by_group = True  # the group's own termination follows
            self._leaving.set()

    def _stand_in_pool(self) -> None:
        """The instance is new and goes into a warm pool first, or it returns to one and its consumer was started again.

        In the second case the group waits for the process before, which died before it could complete the lifecycle
        action. No message is in flight. Where there are other consumers, the drain's deadline ends that wait.
        """
        now = self._clock()
        if self._pooled_at is None:
            log.info("the instance goes into a warm pool first: the consumer takes no messages yet")
            self._pooled_at = now
        if not self._completed and self._consumer is None and now <= self._pooled_at + EARLY_S:
            self._completed = self._try_to_complete() is True

    def _enter_service(self) -> None:
        """The instance is in service. After a warm pool, a launch hook may wait for another report of ready."""
        self._served = True
        if self._pooled_at is not None:
            with self._lock:
                self._pooled_at, self._said, self._ready_at = None, None, self._clock()

    def _give_back_in_time(self) -> None:
        """Return the messages in flight when the two minutes of a Spot notice are nearly over."""
        left_s = self.left_s()
        if left_s is None or left_s > GIVE_BACK_S:
            return
        with self._lock:
            rest, self._give_back = list(self._give_back.values()), {}
        for give_back in rest:
            try:
                give_back()
            except Exception:
                log.exception("a message could not be returned: it becomes visible when its visibility timeout ends")

    def _target_state(self) -> str | None:
        return self._read("autoscaling/target-lifecycle-state")

    def _spot_notice(self) -> str | None:
        return self._read("spot/instance-action")

    def _read(self, item: str) -> str | None:
        try:
            return self._metadata.read(item)
        except MetadataError as error:
            log.warning("the instance metadata could not be read: %s", error)
            return None

    # --- reports ---

    def tell(self) -> None:
        """Send the report that is due: a status that changed, or one that is to be repeated."""
        now = self._clock()
        word = self._word(now)
        repeat_s = {"ready": READY_REPEAT_S, "idle": float("inf")}.get(word, REPEAT_S)
        if word == "ready" and now > self._ready_at + READY_FOR_S:
            repeat_s = float("inf")
        if word != self._said or now >= self._said_at + repeat_s:
            self.say(word)

    def _word(self, now: float) -> str:
        with self._lock:
            if self._said == "done":
                return "done"
            if self._leaving.is_set():
                return "draining"
            if self._in_flight or (self._worked_at is not None and now < self._worked_at + IDLE_AFTER_S):
                return "busy"
            return "ready" if self._worked_at is None else "idle"

    def say(self, word: str) -> None:
        """Put one report on the bus."""
        with self._lock:
            self._said, self._said_at = word, self._clock()
            detail = {
                "group": self._group,
                "instance-id": self._instance_id,
                "state": word,
                "in-flight": self._in_flight,
            }
            if self._consumer is not None:
                detail["consumer"] = self._consumer
        entry = {"Source": "sluice.consumer", "DetailType": "Sluice Consumer Report", "Detail": json.dumps(detail)}
        try:
            answer = self._events.put_events(Entries=[entry])
        except (BotoCoreError, ClientError) as error:
            log.warning("the report %s could not be sent: %s", word, error)
            return
        if answer["FailedEntryCount"]:
            log.warning("the report %s could not be sent: %s", word, answer["Entries"][0].get("ErrorMessage"))

    def _complete(self) -> bool:
        """Complete the lifecycle action with CONTINUE. It is a success if the action is complete already."""
        done = self._try_to_complete()
        # No active action: it is too early, or Sluice has completed it already. Ask again for a while, to be sure.
        return self._clock() > self._left_at + EARLY_S if done is None else done

    def _try_to_complete(self) -> bool | None:
        """Complete the lifecycle action with CONTINUE; None if none is active."""
        try:
            self._autoscaling.complete_lifecycle_action(
                AutoScalingGroupName=self._group,
                LifecycleHookName=self._hook,
                InstanceId=self._instance_id,
                LifecycleActionResult="CONTINUE",
            )
        except ClientError as error:
            if "no active lifecycle action" in str(error).lower():
                return None
            log.warning("the lifecycle action is not complete yet: %s", error)
            return False
        except BotoCoreError as error:
            log.warning("the lifecycle action is not complete yet: %s", error)
            return False
        log.info("completed the lifecycle action")
        return True


def _ends_at(notice: str) -> float | None:
    """The end in epoch seconds by a Spot notice, `{"action": "terminate", "time": "2026-11-24T10:00:00Z"}`."""
    try:
        return datetime.fromisoformat(json.loads(notice)["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        log.warning("the Spot notice has no time: %s", notice)
        return None
