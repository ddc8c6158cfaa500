"""What onboarding says of a document: each value that could not work, by the field that was typed, and the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sluice.onboarding.deployment import CheckResult, check
from sluice.ports.errors import NeedsFixError

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
DEAD = f"{URL}-dead"
DAY_S = 86_400.0


class Account:
    """An account with these documents and queues."""

    def __init__(
        self, documents: Mapping[str, Any] | None = None, retention: Mapping[str, float] | None = None
    ) -> None:
        """`retention` by queue URL, in seconds; other queues do not exist."""
        self._documents = {name: json.dumps(document) for name, document in (documents or {}).items()}
        self._retention = {URL: 4 * DAY_S, DEAD: 14 * DAY_S} if retention is None else retention

    def documents(self) -> Mapping[str, str]:
        """Those."""
        return self._documents

    def retention_s(self, queue_url: str) -> float:
        """How long it keeps a message."""
        if queue_url not in self._retention:
            raise NeedsFixError(f"queue {queue_url} does not exist: create it")
        return self._retention[queue_url]


def document(settings: Any = None, **more: Any) -> dict[str, Any]:
    """The document as fleet.yaml gives it: every value is text."""
    text = settings if isinstance(settings, str) else json.dumps(settings or {})
    return {
        "queue": URL, "dead_letter_queue": DEAD, "group": "workers", "target_wait_s": "60", "mode": "act",
        "drain": {"unit": "consumer.service", "hook": "sluice-drain"}, "settings": text, **more,
    }  # fmt: skip


def judged(
    found: Mapping[str, Any],
    account: Account | None = None,
    name: str = "orders",
    before: Mapping[str, Any] | None = None,
) -> CheckResult:
    """What is said of a document."""
    return check(name, found, account or Account(), before=before)


def test_templates_are_told_what_they_ask_for_when_nothing_is_wrong() -> None:
    """The hook's timeout, whether dead letters are taken, how long each queue keeps a message."""
    assert judged(document()) == CheckResult(
        data={
            "HookTimeoutSeconds": "1800", "RedriveEnabled": "true", "RetentionSeconds": "345600",
            "DeadLetterRetentionSeconds": "1209600",
        }
    )  # fmt: skip
    settings = {"drain": {"hook_timeout_s": 300}, "redrive": {"mode": "manual"}}
    told = judged({**document(settings), "dead_letter_queue": None}).data
    assert told is not None
    assert (told["HookTimeoutSeconds"], told["RedriveEnabled"]) == ("300", "false")
    assert told["DeadLetterRetentionSeconds"] == told["RetentionSeconds"] == "345600"


# (what is deployed, what is told: the field as it was typed, and the remedy)
BAD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        document({"drain": {"hook_timeout_s": 60, "heartbeat_s": 45}}),
        ("settings.drain.heartbeat_s: must be at most 30 s, half of hook_timeout_s", "lower heartbeat_s or raise"),
    ),
    (
        document({"drain": {"deadline_s": 14_400, "hook_timeout_s": 120}}),
        (
            "settings.drain.deadline_s: must be at most 12000 s, the longest that the hook can hold an instance",
            "(got 14400 s)",
            "raise hook_timeout_s",
        ),
    ),
    (
        document({"redrive": {"max_delay_s": 10}}),
        (
            "settings.redrive.base_delay_s: must be at most 10 s, which is max_delay_s (got 300 s)",
            "lower base_delay_s or raise",
        ),
    ),
    (
        document({"drain": {"stop_timeout_s": 901}}),
        (
            "settings.drain.stop_timeout_s: must be at most 900 s, which is deadline_s",
            "lower stop_timeout_s or raise deadline_s",
        ),
    ),
    (
        document({"drain": {"silence_s": 1_000}}),
        ("settings.drain.silence_s: must be at most 900 s, which is deadline_s", "lower silence_s or raise deadline_s"),
    ),
    (
        document(drain={"unit": "-H.service", "hook": "sluice-drain"}),
        (
            "DrainUnit: must be systemd units' names, such as consumer.service or worker@*.service",
            "separated by spaces or commas (got '-H.service')",
        ),
    ),
    (document({"hints": {"concurrency": 1.5}}), ("settings.hints.concurrency: must be a whole number (got 1.5)",)),
    (document('{"hints": {"concurrency": 05}}'), ("settings: must be JSON (", "write 5 in place of 05")),
    (document('{"hints": {"seconds_per_message": .5}}'), ("settings: must be JSON (", "write 0.5 in place of .5")),
    (document({"hints": {"concurrency": "05"}}), ("settings.hints.concurrency: must be a number as JSON", "as 5 (got")),
    (document(target_wait_s="05"), ("TargetWaitSeconds: must be a number as JSON writes it, such as 5 (got '05')",)),
    (document(target_wait_s=".5"), ("TargetWaitSeconds: must be a number as JSON writes it, such as 0.5 (got '.5')",)),
    (
        document(queue=f"{URL}.fifo"),
        ("DeadLetterQueueUrl: must be a FIFO queue, as queue orders.fifo is",),
    ),
    (
        document({"redrive": {"transient": ["x" * 201]}}),
        ("settings.redrive.transient.0: must have at most 200 characters",),
    ),
    (
        document({"redrive": {"permanent": ["x" * 100] * 21}}),
        (
            "settings.redrive.permanent: transient and permanent must take at most 1,900 bytes",
            "1,900 bytes together",
            "shorten their patterns with *",
        ),
    ),
    (
        document({"drain": {"hook_timeout_s": 29}}),
        ("settings.drain.hook_timeout_s: must be a whole number of seconds from 30",),
    ),
    (
        document({"drain": {"hook_timeout_s": 60.5}}),
        ("settings.drain.hook_timeout_s: must be a whole number of seconds",),
    ),
    (document({"drain": {"unit": "a.service"}}), ("settings.drain.unit: is given by the parameter DrainUnit",)),
    (document({"drain": {"hook": "mine"}}), ("settings.drain.hook: is made by the stack; leave it out",)),
    (document({"mode": "act"}), ("settings.mode: is given by the parameter Mode; set it there",)),
    (
        document({"drian": {}}),
        ("settings.drian: is not a section of settings; the sections are hints, limits, drain, redrive",),
    ),
    (document({"drain": {"deadline": 60}}), ("settings.drain.deadline: is not a field", "did you mean deadline_s?")),
    (
        document('{"drain": {}, "drain": {}}'),
        ("settings: must be JSON ('drain' is there twice in one object; leave one of them out)",),
    ),
    (document("[]"), ("settings: must be a JSON object (got [])",)),
    (document(""), ("settings: must be JSON (", "write {} for no settings")),
    (document({"redrive": {"transient": ["{{x}}"]}}), ("Settings: must not hold {{", "use * or ? instead")),
]


@pytest.mark.parametrize(("deployed", "told"), BAD, ids=[told[0].partition("(")[0][:60] for _, told in BAD])
def test_problem_names_field_and_remedy_when_a_value_cannot_work(
    deployed: dict[str, Any], told: tuple[str, ...]
) -> None:
    """Each of these would have been deployed, and switched the fleet off."""
    (problem,) = judged(deployed).problems

    assert problem.startswith(told[0])
    assert all(part in problem for part in told)


def test_every_problem_is_told_when_there_are_several() -> None:
    """Of parameters and settings alike, so that one deployment shows them all."""
    settings = {"drain": {"heartbeat_s": 1000, "unit": "x"}, "limits": {"max_step": 0}}

    found = judged(document(settings, target_wait_s="0", group="")).problems

    assert [problem.partition(":")[0] for problem in found] == [
        "settings.drain.unit", "GroupName", "TargetWaitSeconds", "settings.limits.max_step",
        "settings.drain.heartbeat_s",
    ]  # fmt: skip


def test_queue_is_told_when_it_does_not_exist() -> None:
    """Each by the parameter that names it."""
    found = judged(document(), Account(retention={})).problems

    assert [problem.partition(":")[0] for problem in found] == ["QueueUrl", "DeadLetterQueueUrl"]
    assert len(judged({**document(), "dead_letter_queue": None}, Account(retention={})).problems) == 1


def test_fleet_is_refused_when_another_stack_has_its_name() -> None:
    """On its first deployment; its own document is there when it is updated."""
    account = Account({"orders": {"queue": f"{URL}-other", "group": "other", "target_wait_s": 60}})

    assert judged(document(), account).problems[0].startswith("FleetName: another CloudFormation stack made 'orders'")
    assert judged(document(), account, before=document()) == judged(document())


def test_update_is_refused_for_what_it_changes_alone() -> None:
    """What was so before is noted: nobody could update a fleet, or go back, while a queue is missing."""
    gone = Account(retention={DEAD: DAY_S})

    kept = judged(document({"limits": {"max_step": 2}}), gone, before=document())

    assert kept.problems == ()
    assert kept.known_problems[0].startswith("QueueUrl: queue")
    assert kept.data is not None
    assert (kept.data["RetentionSeconds"], kept.data["DeadLetterRetentionSeconds"]) == ("345600", "86400")
    changed = judged(document(), gone, before=document(queue=f"{URL}-other", dead_letter_queue=f"{URL}-x"))
    assert [problem.partition(":")[0] for problem in changed.problems] == ["QueueUrl"]


def test_way_back_goes_through_when_an_update_failed() -> None:
    """From a document that could not be used, CloudFormation goes back to one that could, whatever is missing now."""
    back = judged(document(), Account(retention={}), before=document({"drain": {"heartbeat_s": 1000}}))

    assert back.problems == ()
    assert len(back.known_problems) == 2
    assert back.data is not None
    assert judged(document({"drain": {"heartbeat_s": 950}}), before=document({"drain": {"heartbeat_s": 1000}})).problems


@pytest.mark.parametrize("name", ["a-first", "z-last"])
def test_fleet_is_refused_when_it_takes_what_another_has(name: str) -> None:
    """Whichever of the two comes first by name; what was wrong before is not told again."""
    account = Account({"m": {"queue": URL, "group": "workers", "target_wait_s": 60}, "broken": {}})

    found = judged(document(), account, name).problems

    assert any("scales group 'workers' already; choose another group" in problem for problem in found)
    assert any("consumes queue 'orders' already; choose another queue" in problem for problem in found)
    assert len(found) == 2


FLEET = {"queue": f"{URL}-first", "group": "workers", "target_wait_s": 60}


def test_further_queue_is_read_with_its_fleet_when_deployed() -> None:
    """The fleet's redrive mode, and this queue's own retention."""
    account = Account({"orders": FLEET | {"settings": {"redrive": {"mode": "manual"}}}})
    queue = {"queue": URL, "dead_letter_queue": DEAD, "target_wait_s": "30", "priority": "5", "paused": "false"}

    told = judged(queue, account, "orders/queues/orders").data

    assert told is not None
    assert (told["RedriveEnabled"], told["RetentionSeconds"]) == ("false", "345600")


@pytest.mark.parametrize(
    ("documents", "change", "problem"),
    [
        ({}, {}, "document: belongs to fleet 'orders', which is missing or invalid"),
        ({"orders": FLEET}, {"target_wait_s": "05"}, "TargetWaitSeconds: must be a number as JSON writes it"),
        ({"orders": FLEET}, {"priority": "1.5"}, "Priority: must be a whole number (got '1.5')"),
        ({"orders": FLEET}, {"dead_letter_queue": f"{DEAD}.fifo"}, "DeadLetterQueueUrl: must be a standard queue"),
        ({"orders": {**FLEET, "queue": URL}}, {}, "QueueUrl: must be another queue than queues.0.queue"),
        ({"orders": FLEET, "orders/queues/orders": {"queue": URL}}, {}, "QueueUrl: another CloudFormation stack made"),
    ],
)
def test_further_queue_is_refused_when_it_does_not_fit(
    documents: dict[str, Any], change: dict[str, str], problem: str
) -> None:
    """By the parameter of queue.yaml."""
    queue = {"queue": URL, "dead_letter_queue": DEAD, "target_wait_s": "30", "priority": "0", "paused": "false"}

    found = judged({**queue, **change}, Account(documents), "orders/queues/orders").problems

    assert len(found) == 1
    assert found[0].startswith(problem)
