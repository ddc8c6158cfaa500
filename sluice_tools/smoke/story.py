"""The story: a burst, a scale in with drains, poison messages, a redrive, and the fleet back at zero."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sluice.aws import connect
from sluice.model.draining import DrainState
from sluice.model.observed import Lifecycle
from sluice.model.redrive_jobs import JobState
from sluice.ports.errors import PortError
from sluice.ports.stack import Ports
from sluice_tools.order_traffic import OrderQueue, Traffic
from sluice_tools.smoke.deployment import FLEET, Deployment
from sluice_tools.smoke.evidence import MetricDelay
from sluice_tools.smoke.waiting import SmokeError

SKUS = ("tea-green", "cup-small")
UNKNOWN_SKU = "teapot-glass"
"""An item that the shop does not have yet: orders for it are poison until it has."""
EMPTY_READS = 3
"""SQS's counts are approximate: empty is what is empty this many times in a row."""


@dataclass(slots=True)
class Story:
    """What happened, for the audit."""

    deployment: Deployment
    say: Callable[[str], None]
    ports: Ports
    traffic: Traffic
    metric: MetricDelay
    began_at: float
    peak: int = 0  # consumers in service at once, the most
    instances: set[str] = field(default_factory=set)  # every consumer that was seen
    poison: list[str] = field(default_factory=list)
    quarantined: int = 0
    redriven: int = 0
    _empty_reads: int = 0

    # --- the acts ---

    def burst(self) -> None:
        """Many orders at once wake the fleet from zero, and are worked off."""
        settings = self.deployment.settings
        sent = self.traffic.burst(settings.burst)
        self.metric.sent(time.time(), sent)
        self.traffic.at(settings.steady_per_s)
        self.say(f"{sent} orders are sent at once; {settings.steady_per_s:g} a second follow all the while")
        self._until("a consumer in service", lambda: self.peak >= 1)
        self._until("a second consumer in service", lambda: self.peak >= 2)
        self._until("the burst to be worked off", lambda: self._backlog() <= max(2.0, 4 * settings.steady_per_s))
        self.say(f"The burst is worked off, by {self.peak} consumers at the most")

    def scale_in(self) -> None:
        """Fewer are needed now: at least one consumer is drained, with orders still coming."""
        took = self._until("a consumer to be drained", lambda: bool(self._drained()))
        self.say(f"A consumer was drained, {took:.0f} s after the burst was worked off")

    def poisoned(self) -> None:
        """Orders that nobody can fulfil: retried, then quarantined."""
        count = self.deployment.settings.poison
        self.poison = [self.traffic.place(UNKNOWN_SKU, poison=True) for _ in range(count)]
        self.say(f"{count} orders ask for {UNKNOWN_SKU}, which nobody sells")
        self._until("them to be quarantined", lambda: self._quarantined() == count)
        self.quarantined = self._quarantined()
        for group in self.ports.ledger.failure_groups.failure_groups(FLEET):
            self.say(f"Quarantined: {group.count} with cause {group.cause!r}")

    def redrive(self) -> None:
        """The cause is mended, and all of it is sent back."""
        self.deployment.admin("stock", UNKNOWN_SKU, "--price-cents", "990", "--count", "1000")
        self.say(f"{UNKNOWN_SKU} is in stock now; a redrive of all that is quarantined is asked for")
        answer = self._ask({"redrive": {"fleet": FLEET, "all": True, "requested_by": "the smoke test"}})
        if "job" not in answer:
            raise SmokeError(f"the redrive was refused: {answer}")
        self._until("the redrive to be over", lambda: self._quarantined() == 0 and self._jobs_are_over())
        self.redriven = sum(job.progress.sent_count for job in self.ports.ledger.jobs.jobs(FLEET))
        self.say(f"{self.redriven} orders were sent back, and the quarantine is empty")

    def to_zero(self) -> None:
        """Traffic ends: every consumer is drained, and the group is at zero."""
        self.traffic.at(0)
        self._until("the queue to be empty", self._is_empty)
        self._until("the fleet to be at zero", lambda: not self._group_instances())
        self._until("every drain to be over", lambda: all(d.state is DrainState.RELEASED for d in self._drains()))
        self._until("CloudWatch to have the burst's minute", lambda: self.metric.delay_s is not None)

    # --- looks ---

    def _until(self, what: str, condition: Callable[[], bool]) -> float:
        def look() -> bool:
            try:
                self._look()
                return condition()
            except PortError as error:
                # AWS throttles, or the network fails for a moment: the next read shows the state.
                self.say(f"A read failed: {error}")
                return False

        return self.deployment.until(what, look)

    def _look(self) -> None:
        _ = self.traffic.sent  # raises where orders are not accepted any more
        self.metric.look(time.time())
        group = self.ports.group.read(self.deployment.orders["GroupName"])
        self.instances |= {instance.id for instance in group.instances}
        self.peak = max(self.peak, group.count(Lifecycle.IN_SERVICE))

    def _group_instances(self) -> set[str]:
        group = self.ports.group.read(self.deployment.orders["GroupName"])
        return {instance.id for instance in group.instances if instance.state is not Lifecycle.GONE}

    def _backlog(self) -> float:
        reading = self.ports.queue.read(self.deployment.orders["QueueUrl"], time.time())
        return sum(one.value for one in (reading.visible, reading.in_flight, reading.delayed) if one is not None)

    def _is_empty(self) -> bool:
        self._empty_reads = self._empty_reads + 1 if self._backlog() == 0 else 0
        return self._empty_reads >= EMPTY_READS

    def _drains(self) -> list[Any]:
        return list(self.ports.ledger.drains.all_of(FLEET))

    def _drained(self) -> list[Any]:
        return [drain for drain in self._drains() if drain.state is DrainState.RELEASED]

    def _quarantined(self) -> int:
        return sum(group.count for group in self.ports.ledger.failure_groups.failure_groups(FLEET))

    def _jobs_are_over(self) -> bool:
        jobs = self.ports.ledger.jobs.jobs(FLEET)
        return bool(jobs) and all(job.state is JobState.DONE for job in jobs)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask as an operator asks, by the function that takes their requests."""
        function = self.deployment.sluice["OperatorFunction"]
        answer = self.deployment.account.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(request).encode()
        )
        payload = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer or not isinstance(payload, dict):
            raise SmokeError(f"{function} failed: {payload}")
        return payload


def begin(deployment: Deployment, say: Callable[[str], None]) -> Story:
    """A story on what was deployed; its traffic is to be entered as a context."""
    account = deployment.account
    ports = connect(
        account.environ
        | {
            "SLUICE_STACK": deployment.names.sluice,
            "SLUICE_TABLE": deployment.sluice["LedgerTable"],
            "SLUICE_BUCKET": deployment.sluice["ArchiveBucket"],
            "SLUICE_FLEETS_PATH": f"/sluice/{deployment.names.sluice}/fleets/",
            "SLUICE_MINUTE_S": f"{deployment.settings.minute_s:.0f}",
        }
    )
    queue_url = deployment.orders["QueueUrl"]
    return Story(
        deployment,
        say,
        ports,
        Traffic(OrderQueue(account.client("sqs"), queue_url, SKUS)),
        MetricDelay(account.client("cloudwatch"), queue_url.rsplit("/", 1)[-1], deployment.settings.minute_s),
        time.time(),
    )


def act_steps(story: Story) -> list[tuple[str, Callable[[], None]]]:
    """The acts in order, each in words."""
    return [
        ("a burst", story.burst),
        ("a scale in with drain", story.scale_in),
        ("poison messages", story.poisoned),
        ("a redrive", story.redrive),
        ("back to zero", story.to_zero),
    ]
