"""Every view and every popup of the widget, for the tests that look at them: each as HTML of a theme and a width."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sluice.config.fleet import ConfigError, RedriveMode, RedrivePolicy
from sluice.model.decisions import Action, Decision, Outcome, OutcomeStatus, Reason, ReasonCode
from sluice.model.draining import Deadline, DrainState, Retention
from sluice.model.need import OperatorNeed
from sluice.model.observed import Mode
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Excerpt, FailureGroup, LastRedrive, Message, QuarantineEntry
from sluice.planning.shadow.scorecard import Score, Side
from sluice.widget.answers import render_answer
from sluice.widget.messages import PopupContext, render_message_detail, render_message_list
from sluice.widget.overview import FleetRow, FleetsView
from sluice.widget.page import render, render_overview, render_problems
from sluice.widget.view import FleetDocuments, Period, Theme, View, WidgetSettings
from tests.support.redrive_jobs import changed_job
from tests.support.several_queues import fleet as shared_fleet
from tests.support.widget_scenes import (
    CONSOLE_ARN,
    HOUR,
    NOW,
    OPERATOR_ARN,
    afternoon,
    decision,
    drains,
    failure_groups,
    fleet,
    jobs,
    outcome,
    view,
)

SETTINGS = WidgetSettings(CONSOLE_ARN, OPERATOR_ARN, "/sluice/prod/fleets/")
type Rendered = Callable[[Theme, int], str]

SCORE = Score(
    target_wait_s=60.0, until=NOW - 300.0, seconds=86_400.0, came=120_000.0,
    acting=Side(120_000.0, 0.029, 912.0, 305.0, 44.0, 61), shadow=Side(119_990.0, 0.0002, 131.0, 58.0, 31.2, 84),
    unit="instance", restarted=None,
)  # fmt: skip
WITHOUT_RECORDS: dict[str, Any] = {"decisions": (), "drains": (), "failure_groups": (), "jobs": ()}


# --------------------------------------------------------------------------- fleets


def in_shadow() -> View:
    """A fleet that Sluice watches: decisions that were not applied, and the comparison of a day."""

    def watched(made: Decision, came_of: Outcome) -> tuple[Decision, Outcome]:
        changes = made.action is not Action.HOLD
        return replace(made, mode=Mode.SHADOW), replace(
            came_of, status=OutcomeStatus.SHADOW if changes else came_of.status, answer=""
        )

    made = tuple(watched(*each) for each in afternoon())
    week = replace(SCORE, seconds=7 * 86_400.0, came=810_000.0)
    return view(
        fleet=fleet(mode=Mode.SHADOW), decisions=made, day_score=SCORE, week_score=week, settings=SETTINGS,
        failure_groups=failure_groups()[:1], jobs=(), drains=(),
    )  # fmt: skip


def in_trouble() -> View:
    """A fleet whose consumers have taken nothing for 25 minutes: late, with dead letters that come back."""
    made = []
    for back in range(180):
        since_s = max(0.0, 1_500.0 - 60.0 * back)
        waiting = 40.0 + 4.1 * since_s
        made.append(_troubled(NOW - 60.0 * back - 10.0, waiting, since_s, failed=back == 3))
    group = replace(failure_groups()[0], last_redrive=LastRedrive("j-3", NOW - 1_200, sent_count=26, returned_count=19))
    came_back = changed_job(
        jobs()[0], id="j-3", state=JobState.CAME_BACK, sent_count=26, returned_count=19, failed_count=1,
        requested_by="ada", note="19 of the first 26 failed again: the others stay in quarantine",
    )  # fmt: skip
    late, old = drains()[:2]
    expired = replace(
        late, state=DrainState.EXPIRED, started_at=NOW - 960, deadline=Deadline(NOW - 60), note="asked to stop"
    )
    kept = replace(old, state=DrainState.RETAINED, retention=Retention(since=NOW - 5_400), note="kept: its stop failed")
    needs = (
        OperatorNeed("NothingReceived", "orders", NOW - 20, 1.0),
        OperatorNeed("Quarantined", "orders", NOW - 190, 41.0),
        OperatorNeed("RetainedAge", "orders", NOW - 20, 5_400.0),
    )
    return view(
        decisions=tuple(made), failure_groups=(group, *failure_groups()[1:]), jobs=(came_back,),
        drains=(expired, kept), needs=needs, settings=SETTINGS,
        fleet=fleet().model_copy(update={"drain": fleet().drain.model_copy(update={"hourly_cost": 0.17})}),
    )  # fmt: skip


def _troubled(at: float, waiting: float, since_s: float, *, failed: bool) -> tuple[Decision, Outcome]:
    """A decision since consumers take nothing, and before that."""
    if since_s <= 0.0:
        calm = decision(at, sentence="Holding at 3: 40 messages are waiting, the oldest for 7 s.",
                        visible=40.0, oldest_wait_s=7.0)  # fmt: skip
        return calm, outcome(calm)
    capacity = min(20, 3 + int(since_s // 240) * 3)
    want = min(20, capacity + 3) if failed else capacity
    waits = f"{waiting:,.0f} messages are waiting, the oldest for {since_s / 60:.0f} min"
    idle = "no consumer has received a message for 24 min although messages wait, so more would not help"
    made = decision(
        at, current=capacity, need=20, want=want, working=capacity, visible=round(waiting), oldest_wait_s=since_s,
        sentence=f"Scaling out from {capacity} to {want}: {waits}." if failed
        else f"Holding at {capacity}: {waits}. {idle[:1].upper()}{idle[1:]}.",
        reasons=(
            Reason(ReasonCode.NEED, f"{waits}: 20 instances are needed", capacity, 20),
            Reason(ReasonCode.GROUP_MAX, idle, 20, want),
        ),
    )  # fmt: skip
    answer = "ScalingActivityInProgress: the group is being updated"
    return made, outcome(made, OutcomeStatus.FAILED, answer) if failed else outcome(made)


def without_dead_letters() -> View:
    """A calm fleet with a dead-letter queue in which nothing is."""
    return view(decisions=afternoon()[:40], failure_groups=(), jobs=(), drains=(), settings=SETTINGS)


def without_dead_letter_queue() -> View:
    """A fleet that has no dead-letter queue at all."""
    return view(
        fleet=fleet().model_copy(update={"dead_letter_queue": None}), decisions=afternoon()[:40], failure_groups=(),
        jobs=(), drains=(), settings=SETTINGS,
    )  # fmt: skip


def new_fleet() -> View:
    """A fleet that was deployed a minute ago."""
    return view(**WITHOUT_RECORDS, names=("orders",), settings=SETTINGS)


def empty_stack() -> View:
    """A stack without a fleet."""
    return View(Period(NOW, NOW - 3 * HOUR, NOW), SETTINGS)


def several_queues() -> View:
    """A fleet with three queues, in manual mode, many muted groups and a filter."""
    manual = shared_fleet().model_copy(update={"redrive": RedrivePolicy(mode=RedriveMode.MANUAL)})
    groups = tuple(replace(failure_groups()[0], id=f"g{n}", cause=f"Cause <{n}>") for n in range(8))
    muted = tuple(replace(one, muted_at=NOW) for one in groups[4:])
    paused = changed_job(jobs()[0], state=JobState.PAUSED, queue="orders-urgent", to_queue="orders-night")
    bad = ConfigError("invoices", ("queue: is required", "target_wait_s: must be above 0 (got -1)"))
    return view(
        fleet=manual, failure_groups=(*groups[:4], *muted), jobs=(paused,), filter="cause", invalid=(bad,),
        truncated=True, settings=SETTINGS, decisions=afternoon()[:40],
    )  # fmt: skip


def overview() -> FleetsView:
    """A page of a stack of 312 fleets: three need an operator, one is late, one is in shadow mode."""
    names = ("orders", "images", "mail-out", "invoices", "search-index", "exports", "video", "payments", "thumbnails",
             "webhooks", "audit-log", "reports")  # fmt: skip
    rows = [
        _row(name, n, needs={
            0: (
                OperatorNeed("NothingReceived", name, NOW - 20, 1.0),
                OperatorNeed("Quarantined", name, NOW - 190, 41.0),
            ),
            1: (OperatorNeed("DrainsInterrupted", name, NOW - 300, 2.0),),
            2: (OperatorNeed("Quarantined", name, NOW - 60, 6.0),),
        }.get(n, ()))
        for n, name in enumerate(names)
    ]  # fmt: skip
    return FleetsView(
        period=Period(NOW, NOW - 3 * HOUR, NOW), settings=SETTINGS, rows=tuple(rows), found=312, in_need=3,
        documents=FleetDocuments(names=(*names, *(f"fleet-{n:03d}" for n in range(300)))),
    )  # fmt: skip


def _row(name: str, n: int, needs: tuple[OperatorNeed, ...]) -> FleetRow:
    late, out = n in {0, 3}, n == 4
    made = decision(
        NOW - 5 - n, name=name, current=2 + 3 * n % 17, need=4, want=2 + 3 * n % 17 + (2 if out else 0),
        visible=1_240.0 if late else float(7 * n % 23), oldest_wait_s=1_500.0 if n == 0 else 95.0 if late else 3.0 + n,
    )  # fmt: skip
    mode = Mode.SHADOW if n == 5 else Mode.PAUSED if n == 8 else Mode.ACT
    quarantined = {0: 47, 2: 6}.get(n, 0)
    return FleetRow(fleet(name, mode), made if n != 9 else None, quarantined, drains=n % 3 % 2, needs=needs)


def no_match() -> FleetsView:
    """A search that finds nothing."""
    return replace(overview(), rows=(), found=0, search="ordres")


# --------------------------------------------------------------------------- popups


CONTEXT = PopupContext("orders", NOW, console_arn=CONSOLE_ARN, operator_arn=OPERATOR_ARN)


def _entry(group: FailureGroup, number: int) -> QuarantineEntry:
    return QuarantineEntry(
        "orders", group.id, f"7c1e{number:04d}-03aa-4f0e-9d55-0b6c3f1a2e77", "key", group.cause,
        NOW - 4_000 + 60 * number, NOW - 4_100, 3, None, 412,
        Excerpt(group.sample, (("tenant", "emea"),), "s3://orders-large/7f/3c1e" if number == 1 else ""),
        expires_at=NOW + 300_000,
    )  # fmt: skip


def _messages(theme: Theme) -> str:
    group = failure_groups()[0]
    entries = [_entry(group, n) for n in range(4)]
    return render_message_list(entries, group.id, "next", replace(CONTEXT, theme=theme), group)


def _message(theme: Theme) -> str:
    group = failure_groups()[0]
    attributes = (("sluice.cause", Attribute("String", group.cause)), ("raw", Attribute("Binary", binary=b"\x01" * 40)))
    body = group.sample + "\n" + "\n".join(f'{{"line": {n}, "note": "packed"}}' for n in range(60))
    message = Message(
        "7c1e0000-03aa-4f0e-9d55-0b6c3f1a2e77", body, attributes=attributes, source="arn:aws:sqs:eu:1:orders"
    )
    return render_message_detail(
        replace(_entry(group, 0), size_bytes=message.size_bytes), message, replace(CONTEXT, theme=theme)
    )


@cache
def answers() -> Mapping[str, dict[str, Any]]:
    """The operator function's answers, by the popup's name."""
    group = failure_groups()[0]
    job = {
        "id": "4f0c7f4e-77ab", "fleet": "orders", "state": "running", "requested_by": "the widget", "note": "",
        "selected_count": 41, "sent_count": 26, "failed_count": 1, "doubtful_count": 0, "returned_count": 3,
        "left_s": 12.0, "failure_group_cause": group.cause,
    }  # fmt: skip
    letter = {
        "message_id": "7c1e", "cause": group.cause, "left_s": 7_200.0, "receive_count": 4, "size_bytes": 412,
        "attributes": {"tenant": "emea"}, "sample": group.sample, "queue": "orders",
    }  # fmt: skip
    return {
        "dry-run": {
            "dry_run": True, "fleet": "orders", "from": "quarantine", "selected_count": 41, "rate_per_s": 10.0,
            "canary_count": 3, "groups": [{"cause": group.cause, "count": 41}], "complete": True,
            "other_fleets": ["invoices", "images"], "behind_count": 2, "muted_groups": ["g"], "queues": ["orders"],
        },
        "redrive": {"job": job},
        "peek": {"peek": True, "waiting_count": 7, "looked_at_count": 2,
                 "messages": [letter, {**letter, "left_s": 60.0}],
                 "note": "They are back in their queue; the receive count of each is one higher."},
        "release": {"instance_id": "i-0a41c9d2e83f5b617", "state": "released", "note": "released by the widget"},
        "muted": {"note": f"{group.cause} is muted; its 41 messages stay in quarantine."},
        "error": {"error": "job_id: fleet orders has no job 4f0c"},
    }  # fmt: skip


def _answer(name: str, theme: Theme) -> str:
    event = {"redrive": {"fleet": "orders", "failure_group": "g", "dry_run": True}, "widgetContext": {"theme": theme}}
    return render_answer(answers()[name], event, OPERATOR_ARN)


def _of(scene: Callable[[], View]) -> Rendered:
    return lambda theme, width: render(scene(), theme, width)


def _of_all(scene: Callable[[], FleetsView]) -> Rendered:
    return lambda theme, width: render_overview(scene(), theme, width)


VIEWS: Mapping[str, Rendered] = {
    "fleet": _of(lambda: view(settings=SETTINGS)),
    "trouble": _of(in_trouble),
    "shadow": _of(in_shadow),
    "empty": _of(empty_stack),
    "new-fleet": _of(new_fleet),
    "no-dead-letters": _of(without_dead_letters),
    "no-dead-letter-queue": _of(without_dead_letter_queue),
    "several-queues": _of(several_queues),
    "overview": _of_all(overview),
    "overview-no-match": _of_all(no_match),
    "problems": lambda theme, _: render_problems("This widget cannot be shown:", ["page: must be 1 or more"], theme),
}
POPUPS: Mapping[str, Rendered] = {
    "messages": lambda theme, _: _messages(theme),
    "message": lambda theme, _: _message(theme),
    **{name: (lambda theme, _, name=name: _answer(name, theme)) for name in answers()},  # type: ignore[misc] # a default
}
