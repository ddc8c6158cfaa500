"""What `sluice doctor` says of visibility timeouts by what the planner has learned."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice.memory import memory_ledger
from sluice.model.decisions import Decision, Outcome, OutcomeStatus, Reason, ReasonCode
from sluice.model.planning import Estimate
from sluice.onboarding.account import QueueRecord
from sluice_tools import learned_times
from sluice_tools.learned_times import judged, learned_warnings
from tests.support.account_world import QUEUE, fleet_of, sound
from tests.support.planner_steps import a_memory, keep_memory
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, decide, seen

DECISION = decide(seen(NINE, a_queue(NINE), a_group(NINE, 1)), a_fleet())
SLOW = a_memory(rate=Estimate(1 / 90, 100.0, NINE - 60))


def record(visibility_s: float) -> QueueRecord:
    """The fleet's queue."""
    there = sound().queues[QUEUE]
    assert isinstance(there, QueueRecord)
    return replace(there, visibility_s=visibility_s)


def saying(*codes: ReasonCode) -> Decision:
    """A decision with such reasons."""
    return replace(DECISION, reasons=tuple(Reason(code, f"it is {code}", 1, 1) for code in codes))


@pytest.mark.parametrize(
    ("visibility_s", "memory", "decision", "parts"),
    [
        (30.0, SLOW, None, ("is in flight for 90 s on average", "VisibilityTimeout=54")),
        (120.0, SLOW, saying(ReasonCode.NEED), ()),
        (30.0, a_memory(), None, ()),  # nothing was learned: the hint is checked elsewhere
        (30.0, SLOW, saying(ReasonCode.VISIBILITY_SHORT), ("It is visibility-short. The fleet's decision of 20",)),
        (120.0, SLOW, saying(ReasonCode.NEED, ReasonCode.HIDDEN_LONG), ("It is hidden-long.",)),
    ],
)
def test_timeouts_are_judged_by_what_was_learned(visibility_s, memory, decision, parts) -> None:
    """A timeout that is shorter than the work, and what the last decision says of it."""
    found = judged(fleet_of(), [record(visibility_s)], memory, decision, NINE)
    assert len(found) == min(1, len(parts))
    assert all(part in found[0] for part in parts)


@pytest.mark.parametrize(("code", "count"), [("ResourceNotFoundException", 0), ("AccessDeniedException", 1)])
def test_stack_without_planner_has_learned_nothing_and_a_refusal_is_reported(code: str, count: int) -> None:
    """Only what may not be read is in doubt."""

    def refuse(**_request: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetFunctionConfiguration")

    clients: Any = SimpleNamespace(lambda_=SimpleNamespace(get_function_configuration=refuse))
    found = learned_warnings(clients, "sluice", fleet_of(), {}, NINE)
    assert len(found) == count
    assert all("was not checked" in sentence for sentence in found)


def test_ledger_of_the_stacks_planner_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is the one that the planner has in its environment; memory and last decision are the fleet's."""
    ledger, asked = memory_ledger(lambda: NINE), []
    fleet = fleet_of()
    keep_memory(ledger, fleet.name, SLOW)
    last = replace(saying(ReasonCode.HIDDEN_LONG), fleet=fleet.name)
    ledger.decisions.record_all([(last, Outcome(NINE, OutcomeStatus.UNCHANGED))])

    def configuration(**request: Any) -> dict[str, Any]:
        asked.append(request["FunctionName"])
        return {"Environment": {"Variables": {"SLUICE_TABLE": "the-table"}}}

    def open_ledger(_clients: Any, table: str) -> Any:
        asked.append(table)
        return ledger

    monkeypatch.setattr(learned_times, "dynamo_ledger", open_ledger)
    clients: Any = SimpleNamespace(lambda_=SimpleNamespace(get_function_configuration=configuration))
    found = learned_warnings(clients, "blue", fleet, {QUEUE: record(30.0), "other": None}, NINE)
    assert asked == ["blue-planner", "the-table"]
    assert [sentence[:17] for sentence in found] == ["It is hidden-long", "A message of flee"]
