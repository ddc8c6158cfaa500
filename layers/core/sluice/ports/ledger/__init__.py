"""The ledger: the DynamoDB table that holds everything Sluice remembers, as one port for each subject.

Whoever reads it is given the subjects that it needs and no others: `Ports[PlannerLedger]`, `Ports[DrainerLedger]` and
so on. Adapters: `sluice.memory.ledger` and `sluice.aws.ledger`. Contract tests hold both to the same behaviour.

Every method may raise the four errors of `sluice.ports.errors`. `fleet` is a fleet's name; times are epoch seconds.
"""

from typing import Protocol

from sluice.model.frozen import dataclass
from sluice.ports.ledger.attempts import Attempts
from sluice.ports.ledger.causes import Causes
from sluice.ports.ledger.chains import Chains
from sluice.ports.ledger.consumers import Consumers
from sluice.ports.ledger.decisions import Decisions
from sluice.ports.ledger.drains import Drains
from sluice.ports.ledger.failure_groups import FailureGroups
from sluice.ports.ledger.jobs import Jobs
from sluice.ports.ledger.launch_log import LaunchLog
from sluice.ports.ledger.leases import Leases
from sluice.ports.ledger.needs import Needs
from sluice.ports.ledger.planner_state import Launches, PlannerState
from sluice.ports.ledger.quarantine import Quarantine
from sluice.ports.ledger.queue_metrics import QueueMetricsLog
from sluice.ports.ledger.send_claims import SendClaims

__all__ = [
    "ChainLedger",
    "ConsoleLedger",
    "DrainerLedger",
    "JobLedger",
    "Ledger",
    "NeedsLedger",
    "OperatorLedger",
    "PlannerLedger",
    "RedriverLedger",
    "SenderLedger",
    "TrackerLedger",
]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every subject of the ledger."""

    chains: Chains
    leases: Leases
    planner_state: PlannerState
    launch_log: LaunchLog
    queue_metrics: QueueMetricsLog
    needs: Needs
    decisions: Decisions
    drains: Drains
    consumers: Consumers
    failure_groups: FailureGroups
    quarantine: Quarantine
    causes: Causes
    send_claims: SendClaims
    attempts: Attempts
    jobs: Jobs


class NeedsLedger(Protocol):
    """What noting and reporting that fleets need an operator uses."""

    @property
    def needs(self) -> Needs:
        """Which fleets need an operator."""
        ...


class ChainLedger(Protocol):
    """What running chains uses."""

    @property
    def chains(self) -> Chains:
        """What goes on by delayed messages."""
        ...


class PlannerLedger(ChainLedger, NeedsLedger, Protocol):
    """What the planner uses."""

    @property
    def leases(self) -> Leases:
        """Who is at work on a fleet."""
        ...

    @property
    def planner_state(self) -> PlannerState:
        """What the planner learned."""
        ...

    @property
    def decisions(self) -> Decisions:
        """What the planner decided."""
        ...

    @property
    def launch_log(self) -> LaunchLog:
        """Which launches of the groups ended, and how."""
        ...

    @property
    def queue_metrics(self) -> QueueMetricsLog:
        """What was read of CloudWatch's metrics."""
        ...


class TrackerLedger(Protocol):
    """What following consumers into service uses."""

    @property
    def consumers(self) -> Consumers:
        """What consumers reported."""
        ...

    @property
    def planner_state(self) -> Launches:
        """How long launches took, for the planner."""
        ...


class DrainerLedger(ChainLedger, TrackerLedger, Protocol):
    """What draining uses."""

    @property
    def drains(self) -> Drains:
        """How drains stand."""
        ...

    @property
    def launch_log(self) -> LaunchLog:
        """Which launches of the groups ended, and how."""
        ...


class SenderLedger(Protocol):
    """What sending quarantined messages uses."""

    @property
    def send_claims(self) -> SendClaims:
        """Which messages are being sent again, or were."""
        ...

    @property
    def attempts(self) -> Attempts:
        """How often messages were sent again."""
        ...

    @property
    def quarantine(self) -> Quarantine:
        """Which messages are in quarantine."""
        ...


class JobLedger(ChainLedger, Protocol):
    """What opening, pausing and stopping redrive jobs uses."""

    @property
    def failure_groups(self) -> FailureGroups:
        """What fails alike."""
        ...

    @property
    def quarantine(self) -> Quarantine:
        """Which messages are in quarantine."""
        ...

    @property
    def jobs(self) -> Jobs:
        """How redrive jobs stand."""
        ...


class RedriverLedger(SenderLedger, JobLedger, Protocol):
    """What redriving uses."""

    @property
    def causes(self) -> Causes:
        """Why messages failed."""
        ...


class OperatorLedger(RedriverLedger, DrainerLedger, Protocol):
    """What an operator's requests use: redrives, edits and mutes, and the release of an instance."""


class ConsoleLedger(ChainLedger, NeedsLedger, Protocol):
    """What the console shows."""

    @property
    def planner_state(self) -> PlannerState:
        """What the planner learned."""
        ...

    @property
    def decisions(self) -> Decisions:
        """What the planner decided."""
        ...

    @property
    def drains(self) -> Drains:
        """How drains stand."""
        ...

    @property
    def failure_groups(self) -> FailureGroups:
        """What fails alike."""
        ...

    @property
    def quarantine(self) -> Quarantine:
        """Which messages are in quarantine."""
        ...

    @property
    def jobs(self) -> Jobs:
        """How redrive jobs stand."""
        ...
