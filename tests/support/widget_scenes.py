"""Scenes for the widget's tests: an afternoon of one fleet, its dead letters, and texts that mean harm."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from math import ceil, exp
from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.decisions import Action, Decision, Figure, Outcome, OutcomeStatus, Reason, ReasonCode
from sluice.model.draining import (
    Deadline,
    Drain,
    DrainCause,
    DrainState,
    Heartbeats,
    HookAction,
    LifecycleAction,
    StopCommand,
)
from sluice.model.observed import Mode
from sluice.model.redrive_jobs import JobPhase, JobState, RedriveJob
from sluice.model.redriving import FailureGroup, LastRedrive
from sluice.widget.text import Clock
from sluice.widget.view import FleetDocuments, FleetRecords, Period, View, WidgetSettings
from tests.support.redrive_jobs import redrive_job

NOW = 1_795_530_600.0  # 2026-11-24 14:30:00 UTC
HOUR = 3_600.0
OPERATOR_ARN = "arn:aws:lambda:eu-central-1:000000000000:function:sluice-operator"
CONSOLE_ARN = "arn:aws:lambda:eu-central-1:000000000000:function:sluice-console"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/000000000000/"


def fleet(name: str = "orders", mode: Mode = Mode.ACT, target_wait_s: float = 60.0) -> Fleet:
    """A fleet with its dead-letter queue."""
    return Fleet(
        name=name,
        queue=f"{QUEUE}{name}",
        dead_letter_queue=f"{QUEUE}{name}-dead-letters",
        group=name,
        target_wait_s=target_wait_s,
        mode=mode,
    )


def decision(
    at: float,
    *,
    current: int = 3,
    need: int = 3,
    want: int | None = None,
    sentence: str = "Three instances are what the queue needs.",
    reasons: tuple[Reason, ...] = (),
    visible: float | None = 12.0,
    oldest_wait_s: float | None = 4.0,
    working: float | None = 3.0,
    name: str = "orders",
    mode: Mode = Mode.ACT,
) -> Decision:
    """A decision with the figures that the widget draws; a figure of None was not read."""
    want = current if want is None else want
    action = Action.SCALE_OUT if want > current else Action.SCALE_IN if want < current else Action.HOLD
    return Decision(
        id=f"{at:.0f}",
        fleet=name,
        at=at,
        mode=mode,
        action=action,
        current=current,
        raw_need=need,
        want=want,
        reasons=reasons or (Reason(ReasonCode.NEED, sentence, current, want),),
        figures=(
            Figure("visible", visible, None if visible is None else 0.4, "queue"),
            Figure("oldest_wait_s", oldest_wait_s, None, "missing" if oldest_wait_s is None else "estimated"),
            # CloudWatch's age of it is that of a minute ago, and differs.
            Figure("oldest_age_s", None if oldest_wait_s is None else oldest_wait_s / 2, 71.0, "metric"),
            Figure("service_rate_per_s", 2.04, 35.0, "measured"),
            Figure("target_wait_s", 60.0, None, "configured"),
            Figure("working", working, 0.2, "group"),
        ),
        sentence=sentence,
    )


def outcome(of: Decision, status: OutcomeStatus | None = None, answer: str = "") -> Outcome:
    """What came of a decision: applied where there was something to do."""
    if status is None:
        status = OutcomeStatus.UNCHANGED if of.action is Action.HOLD else OutcomeStatus.APPLIED
    return Outcome(of.at + 0.3, status, answer)


@dataclass
class _World:
    """A queue and a group as a fluid: enough for a picture."""

    backlog: float = 20.0
    capacity: int = 3
    booting_at: float = 0.0
    working: int = 3


def _arrivals_per_s(minute: float) -> float:
    """A steady shop, a burst two hours ago, a smaller one within the last hour, and one that begins."""
    bursts = ((62.0, 9.0, 46.0), (132.0, 9.0, 17.0), (183.0, 5.0, 13.0))
    return 5.0 + sum(height * exp(-(((minute - middle) / width) ** 2)) for middle, width, height in bursts)


@cache
def afternoon(now: float = NOW, hours: float = 3.0) -> tuple[tuple[Decision, Outcome], ...]:
    """Three hours of decisions, most recent first: two bursts, a launch that failed, scaling in after the window."""
    return tuple(reversed([*_afternoon(now, hours)]))


def _afternoon(now: float, hours: float) -> Iterator[tuple[Decision, Outcome]]:
    world = _World()
    start = now - hours * HOUR
    calm_since = start
    at = start + 20.0
    while at <= now - 5.0:
        minute = (at - start) / 60.0
        arriving = _arrivals_per_s(minute)
        if at >= world.booting_at:
            world.working = world.capacity
        world.backlog = max(8.0, world.backlog + (arriving - 2.04 * world.working) * 20.0)
        oldest_s = 2.0 + world.backlog / max(1.0, 2.04 * world.working)
        need = max(2, ceil((arriving * 60.0 + world.backlog) / (2.04 * 60.0)))
        if need >= world.capacity:
            calm_since = at
        made = _judge(at, world, need, arriving=arriving, oldest_s=oldest_s, calm_since=calm_since)
        failed = made.action is Action.SCALE_OUT and 51.0 <= minute < 51.4
        came_of = outcome(
            made,
            OutcomeStatus.FAILED if failed else None,
            "ScalingActivityInProgress: the group is being updated" if failed else "",
        )
        if came_of.status is OutcomeStatus.APPLIED:
            world.booting_at = at + 80.0 if made.want > world.capacity else at
            world.capacity = made.want
        yield made, came_of
        at += 20.0


def _judge(at: float, world: _World, need: int, *, arriving: float, oldest_s: float, calm_since: float) -> Decision:
    current, waiting = world.capacity, f"{world.backlog:,.0f} messages are waiting, the oldest for {oldest_s:.0f} s"

    def judged(want: int, said: str, *limits: Reason) -> Decision:
        needed = f"{waiting}: {need} instances are needed, at 2 messages a second each"
        return decision(
            at,
            current=current,
            need=need,
            want=want,
            sentence=said,
            reasons=(Reason(ReasonCode.NEED, needed, current, need), *limits),
            visible=round(world.backlog),
            oldest_wait_s=round(oldest_s),
            working=world.working,
        )

    if need > current:
        want = min(need, 20)
        top = (Reason(ReasonCode.GROUP_MAX, "the group's maximum size is 20", need, want),) if want < need else ()
        bound = " The group's maximum size is 20." if top else ""
        if want == current:
            return judged(want, f"Holding at {want}: {waiting}. {need} instances are needed.{bound}", *top)
        scale_out = f"Scaling out from {current} to {want}: {waiting}. Each instance completes 2 messages a second,"
        return judged(want, f"{scale_out} so {need} are needed to start every message within 60 s.{bound}", *top)
    if need < current and at - calm_since > 420.0 and int(at) % 120 < 20:
        want = max(need, current - 2)
        return judged(want, f"Scaling in from {current} to {want}: {waiting}. {need} instances are needed.")
    if need < current:
        known = f"the need is known for {min(420.0, at - calm_since):.0f} s of the stabilization window's 420 s"
        waits = Reason(ReasonCode.STABILIZATION_WINDOW, f"not scaling in yet: {known}", need, current)
        return judged(current, f"Holding at {current}: {waiting}. Not scaling in yet: {known}.", waits)
    return judged(current, f"Hold at {current}: {waiting}; {need} needed.")


def failure_groups(now: float = NOW) -> tuple[FailureGroup, ...]:
    """Two groups with messages in quarantine, and one that was redriven."""
    return (
        FailureGroup(
            fleet="orders",
            id="5f1d7a84db00d2fce00b31a7fc73224f",
            cause="invalid-currency: no exchange rate for 'XTS'",
            count=41,
            seen_count=44,
            failed_retry_count=3,
            first_seen_at=now - 74 * 60,
            last_seen_at=now - 190,
            hours=tuple((int(now // HOUR) + back, count) for back, count in ((-19, 2), (-18, 5), (-1, 28), (0, 9))),
            minutes=((int((now - 190) // 60), 4),),
            last_redrive=LastRedrive("j-2", now - 95, sent_count=26),
            sample='{"order": "7c1e-2209", "customer": "c-1180", "lines": [{"sku": "tea-21", "count": 2}],'
            ' "total": "18.40", "currency": "XTS"}',
        ),
        FailureGroup(
            fleet="orders",
            id="b0cf2b61a5a84dd48e6df1a1b6a1c2d3",
            cause="KeyError: 'shipping_address' in orders/consumer.py:118",
            count=6,
            seen_count=6,
            first_seen_at=now - 31 * 60,
            last_seen_at=now - 26 * 60,
            hours=((int(now // HOUR) - 1, 1), (int(now // HOUR), 5)),
            minutes=((int((now - 60) // 60), 30),),
            sample='{"order": "19f0-3771", "customer": "c-0032", "lines": [{"sku": "cup-04", "count": 1}]}',
        ),
        FailureGroup(
            fleet="orders",
            id="0e5751c026e543b2e8ab2eb06099daa1",
            cause="timeout: payment provider did not answer in 30 s",
            count=0,
            seen_count=112,
            first_seen_at=now - 26 * HOUR,
            last_seen_at=now - 25 * HOUR,
            last_redrive=LastRedrive("j-1", now - 2_400, sent_count=3, returned_count=2),
            sample='{"order": "0042-1f3a", "customer": "c-0911"}',
        ),
    )


def drains(now: float = NOW) -> tuple[Drain, ...]:
    """One instance that is stopping, one close to its deadline, one released."""
    hook = HookAction("orders", "sluice-drain", "i-0a41c9d2e83f5b617")
    return (
        Drain("orders", "i-0a41c9d2e83f5b617", DrainState.STOPPING, DrainCause.TERMINATE, now - 140,
              Deadline(now + 760), now - 8, action=LifecycleAction(hook, now - 140), stop=StopCommand("c1"),
              heartbeats=Heartbeats(now - 8, 3), note="asked to stop by Run Command"),
        Drain("orders", "i-0b7733e1f09ac4d52", DrainState.NOTICED, DrainCause.SPOT, now - 95,
              Deadline(now + 25), now - 95, note="Spot takes it back in two minutes"),
        Drain("orders", "i-0c0ffee0c0ffee000", DrainState.RELEASED, DrainCause.TERMINATE, now - 4_000,
              Deadline(now - 3_100), now - 3_800),
    )  # fmt: skip


def jobs(now: float = NOW) -> tuple[RedriveJob, ...]:
    """A redrive under way and one that stopped itself."""
    return (
        redrive_job("j-2", "orders", JobState.RUNNING, now - 95, "widget in account 000000000000", now - 4,
                   failure_group="5f1d7a84db00d2fce00b31a7fc73224f", phase=JobPhase.RAMP, selected_count=41,
                   sent_count=26, failed_count=1, rate_per_s=5.0),
        redrive_job("j-1", "orders", JobState.STOPPED, now - 2_400, "ada", now - 2_380, phase=JobPhase.CANARY,
                   selected_count=112, sent_count=3, returned_count=2,
                   note="two of the first three came back: stopped"),
    )  # fmt: skip


def view(now: float = NOW, **changes: Any) -> View:
    """The whole afternoon as one view; `changes` are fields of the view or of any of its parts."""
    parts: dict[str, Any] = {
        "period": Period(now, now - 3 * HOUR, now, Clock(3_600.0)),
        "settings": WidgetSettings(CONSOLE_ARN, OPERATOR_ARN),
        "documents": FleetDocuments(names=("orders", "invoices")),
        "records": FleetRecords(
            decisions=afternoon(now), drains=drains(now), failure_groups=failure_groups(now), jobs=jobs(now)
        ),
    }
    for name, part in parts.items():
        own = {each.name for each in fields(part)} & changes.keys()
        parts[name] = replace(part, **{field: changes.pop(field) for field in own})
    return View(**{"fleet": fleet(), **parts, **changes})


# --------------------------------------------------------------------------- texts that mean harm

HARM = {
    "script": "<script>window.owned = 1</script>",
    "script-in-svg": "<svg><script>window.owned = 1</script></svg>",
    "image": '<img src=x onerror="window.owned = 1">',
    "iframe": "<iframe srcdoc='<script>top.owned = 1</script>'></iframe>",
    "use": "<svg><use href='data:image/svg+xml,<svg id=x onload=alert(1)>#x'/></svg>",
    "link": "<a href='javascript:window.owned=1'>press me</a>",
    "button": '</pre><a class="btn">Redrive</a><cwdb-action action="call" endpoint="arn:aws:lambda:eu-central-1:'
    '666666666666:function:evil">{"all": true}</cwdb-action>',
    "bare-action": '<cwdb-action action="html" display="widget">owned</cwdb-action>',
    "attribute": '" onmouseover="window.owned = 1" x="',
    "attribute-single": "' onclick='window.owned = 1' x='",
    "tag-end": "></span></div></style></svg></title></textarea></details>",
    "style": "</style><style>.sl { display: none }</style>",
    "comment": "<!-- <b>",
    "cdata": "<![CDATA[ <b>x</b> ]]>",
    "doctype": "<!doctype html><html><body onload='window.owned = 1'>",
    "processing": "<?xml version='1.0'?><x/>",
    "entities": "&lt;script&gt;window.owned = 1&lt;/script&gt; &#60;b&#62;",
    "json-breakout": '"}}, {"redrive": {"fleet": "other", "all": true',
    "json-escape": "\\u003cscript\\u003e \\",
    "template": "{{constructor.constructor('window.owned = 1')()}} ${window.owned = 1}",
    "bidi-override": "pay \u202e00,1 EUR\u202c now",
    "bidi-isolate": "a \u2066b\u2069 \u2067c\u2069 \u061c\u200e\u200f",
    "zero-width": "ad\u200bmin\u200d\u2060\ufeff",
    "tags": "hidden \U000e0041\U000e0042\U000e0043 words",
    "controls": "bell \x07 escape \x1b[31mred\x1b[0m nul \x00 del \x7f c1 \x9b",
    "separators": "one\u2028two\u2029three",
    "surrogate": "broken \ud800 text \udfff",
    "replacement": b"invalid utf-8 \xff\xfe\xc0\xaf".decode("utf-8", "replace"),
    "noncharacter": "\ufffe\uffff\U0001ffff",
    "stacked-marks": "Z" + "\u0301" * 400,
    "right-to-left": "\u05e9\u05dc\u05d5\u05dd 12 \u0645\u0631\u062d\u0628\u0627 34",
    "long-word": "w" * 5_000,
    "huge": "<b>x</b>\n" * 40_000,
    "lines": "\r\n" * 3_000,
    "empty": "",
}


def harmed(text: str, now: float = NOW) -> View:
    """A view in which every field that others can write holds `text`."""
    bad = decision(
        now - 10,
        want=4,
        sentence=text,
        reasons=(Reason(ReasonCode.NEED, text, 3, 4),),
    )
    bad_figures = (*bad.figures, Figure(text, 1.0, 2.0, text))
    held = decision(now - 40, sentence=text)
    return view(
        now,
        decisions=(
            (replace(bad, figures=bad_figures), Outcome(now, OutcomeStatus.FAILED, text)),
            (held, outcome(held)),
        ),
        failure_groups=(FailureGroup("orders", text or "none", text, 3, 4, now - 60, now - 5, text),),
        drains=(
            Drain("orders", text or "i-0", DrainState.STOPPING, DrainCause.SPOT, now - 60, Deadline(now + 60), now,
                  note=text),
        ),
        jobs=(
            redrive_job(text, "orders", JobState.RUNNING, now - 9, text, now, failure_group=text, note=text,
                       selected_count=9, sent_count=4, stopped_groups=(text,)),
            redrive_job("k", "orders", JobState.DONE, now - 9, text, now, message_id=text),
        ),
        notes=(text,),
    )  # fmt: skip
