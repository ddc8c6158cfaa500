"""A fleet's document: what is valid, and for each fault the field it is in and what would be right."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.config.fleet import (
    HOOK_CEILING_S,
    HOOK_CEILING_TIMEOUTS,
    ConfigError,
    DrainVia,
    Fleet,
    RedriveMode,
    parse,
    parse_all,
)
from sluice.model.observed import Mode
from tests.support.sentences import faults

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
DEAD = QUEUE + "-dead"
LEAST: dict[str, Any] = {"queue": QUEUE, "group": "orders consumers", "target_wait_s": 60}


def problems(document: Any, name: str = "orders") -> tuple[str, ...]:
    """What is wrong with a document."""
    with pytest.raises(ConfigError) as caught:
        parse(name, document)
    assert caught.value.name == name
    for problem in caught.value.problems:
        assert problem in str(caught.value)
    return caught.value.problems


def test_least_document_is_enough() -> None:
    """Queue, group and target wait; the rest has defaults, and the name is the document's."""
    fleet = parse("orders", LEAST)
    assert (fleet.name, fleet.queue, fleet.group, fleet.target_wait_s) == ("orders", QUEUE, "orders consumers", 60.0)
    assert (fleet.mode, fleet.dead_letter_queue) == (Mode.ACT, None)
    assert (fleet.drain.via, fleet.redrive.mode) == (DrainVia.SSM, RedriveMode.AUTO)
    assert fleet.hints.service_rate_per_s == 1.0


def test_document_is_read_from_text() -> None:
    """JSON text and a mapping are the same document; its own name wins."""
    document = {**LEAST, "name": "mine", "hints": {"seconds_per_message": 0.5, "concurrency": 4}}
    assert parse("orders", json.dumps(document)) == parse("orders", document)
    assert parse("orders", document).name == "mine"
    assert parse("orders", document).hints.service_rate_per_s == 8.0


def test_fleet_reads_back_what_it_writes() -> None:
    """A fleet's own JSON is a document of it."""
    fleet = parse("orders", {**LEAST, "dead_letter_queue": DEAD, "limits": {"max_step": 3}, "mode": "shadow"})
    assert parse("another", fleet.model_dump_json()) == fleet


def test_numbers_may_come_as_text() -> None:
    """CloudFormation's parameters are text."""
    assert parse("orders", {**LEAST, "target_wait_s": "60"}) == parse("orders", LEAST)


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo",
        "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/Orders_2-a",
        "http://127.0.0.1:4566/000000000000/orders",
    ],
)
def test_queue_is_any_queues_url(url: str) -> None:
    """Of every partition, FIFO ones, and an emulator's."""
    assert parse("orders", {**LEAST, "queue": url}).queue == url


QUEUE_IS = "must be a queue URL, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"name": "-orders"},
        "name: must be 1 to 63 letters, digits and hyphens, not beginning with a hyphen (got '-orders')",
    ),
    ({"name": "a" * 64}, "name: must be 1 to 63 letters"),
    ({"name": None}, "name: must be 1 to 63 letters, digits and hyphens, not beginning with a hyphen (got null)"),
    ({"queue": "orders"}, f"queue: {QUEUE_IS} (got 'orders')"),
    ({"queue": "arn:aws:sqs:eu-west-1:123456789012:orders"}, f"queue: {QUEUE_IS}"),
    ({"queue": QUEUE + "\n"}, f"queue: {QUEUE_IS}"),
    ({"queue": 7}, f"queue: {QUEUE_IS} (got 7)"),
    ({"dead_letter_queue": ""}, f"dead_letter_queue: {QUEUE_IS} (got '')"),
    ({"dead_letter_queue": QUEUE}, "dead_letter_queue: must not be the queue itself (got "),
    (
        {"dead_letter_queue": DEAD + ".fifo"},
        f"dead_letter_queue: must be a standard queue, as queue orders is (got {DEAD}.fifo);",
    ),
    (
        {"queue": QUEUE + ".fifo", "dead_letter_queue": DEAD},
        "dead_letter_queue: must be a FIFO queue, as queue orders.fifo is",
    ),
    ({"group": ""}, "group: must be an Auto Scaling group's name"),
    ({"group": "a:b"}, "group: must be an Auto Scaling group's name"),
    ({"group": "a\tb"}, "group: must be an Auto Scaling group's name"),
    ({"target_wait_s": 0}, "target_wait_s: must be greater than or equal to 1 (got 0)"),
    ({"target_wait_s": 1_209_601}, "target_wait_s: must be less than or equal to 1209600 (got 1209601)"),
    ({"target_wait_s": float("nan")}, "target_wait_s: must be a finite number (got nan)"),
    ({"target_wait_s": "soon"}, "target_wait_s: must be a number as JSON writes it, such as 60 or 0.5 (got 'soon')"),
    ({"target_wait_s": True}, "target_wait_s: must be a number (got true)"),
    ({"target_wait_s": 10**400}, "target_wait_s: must be a valid number"),
    ({"mode": "dry"}, "mode: must be 'act', 'shadow' or 'paused' (got 'dry')"),
    ({"targetWait": 60}, "targetWait: is not a field of a fleet"),
    ({"hints": []}, "hints: must be a JSON object (got [])"),
    ({"hints": {"seconds_per_message": 0}}, "hints.seconds_per_message: must be greater than 0 (got 0)"),
    ({"hints": {"seconds_per_message": 43_201}}, "hints.seconds_per_message: must be less than or equal to 43200"),
    ({"hints": {"concurrency": 1.5}}, "hints.concurrency: must be a whole number (got 1.5)"),
    ({"hints": {"concurrency": False}}, "hints.concurrency: must be a number (got false)"),
    ({"hints": {"lead_time_s": -1}}, "hints.lead_time_s: must be greater than or equal to 0 (got -1)"),
    ({"limits": {"stale_after_s": 0.5}}, "limits.stale_after_s: must be greater than or equal to 1"),
    ({"limits": {"stabilization_window_s": -1}}, "limits.stabilization_window_s: must be greater than or equal to 0"),
    ({"limits": {"max_step": 0}}, "limits.max_step: must be greater than or equal to 1"),
    ({"limits": {"max_messages_per_s": 0}}, "limits.max_messages_per_s: must be greater than 0"),
    ({"limits": {"veto_alarm": ""}}, "limits.veto_alarm: must have at least 1 character"),
    ({"limits": {"instance_hours_per_day": 0}}, "limits.instance_hours_per_day: must be greater than 0"),
    ({"limits": {"catch_up": 101}}, "limits.catch_up: must be less than or equal to 100"),
    ({"limits": {"step": 1}}, "limits.step: is not a field of a fleet"),
    ({"drain": {"via": "ssh"}}, "drain.via: must be 'ssm' or 'self' (got 'ssh')"),
    ({"drain": {"unit": "-H host"}}, "drain.unit: must be systemd units' names, such as consumer.service"),
    ({"drain": {"unit": "--no-block"}}, "drain.unit: must be systemd units' names"),
    ({"drain": {"unit": "a; reboot"}}, "drain.unit: must be systemd units' names"),
    ({"drain": {"unit": "a --no-block"}}, "drain.unit: must be systemd units' names"),
    ({"drain": {"unit": "a,$(reboot)"}}, "drain.unit: must be systemd units' names"),
    ({"drain": {"unit": "a, "}}, "drain.unit: must be systemd units' names"),
    ({"drain": {"unit": " ".join(["worker"] * 80)}}, "drain.unit: must have at most 512 characters"),
    ({"drain": {"hook": "a hook"}}, "drain.hook: must be a lifecycle hook's name"),
    ({"drain": {"hook_timeout_s": 7_201}}, "drain.hook_timeout_s: must be less than or equal to 7200"),
    (
        {"drain": {"heartbeat_s": 60.5, "hook_timeout_s": 120}},
        "drain.heartbeat_s: must be at most 60 s, half of hook_timeout_s, so that one lost",
    ),
    (
        {"drain": {"deadline_s": 12_001, "hook_timeout_s": 120}},
        "drain.deadline_s: must be at most 12000 s, the longest that the hook can hold an instance",
    ),
    (
        {"drain": {"longest_s": 899, "hook_timeout_s": 120}},
        "drain.longest_s: must be at least 900 s, which is deadline_s, and at most 12000 s",
    ),
    (
        {"drain": {"longest_s": 12_001, "hook_timeout_s": 120}},
        "drain.longest_s: must be at least 900 s, which is deadline_s, and at most 12000",
    ),
    ({"drain": {"silence_s": 60}}, "drain.silence_s: must be greater than or equal to 120 (got 60)"),
    ({"drain": {"silence_s": 901}}, "drain.silence_s: must be at most 900 s, which is deadline_s and ends a drain"),
    ({"drain": {"stop_timeout_s": 901}}, "drain.stop_timeout_s: must be at most 900 s, which is deadline_s and ends"),
    ({"drain": {"container": "a b"}}, "drain.container: must be a container's name"),
    ({"drain": {"document": "x"}}, "drain.document: must be a Run Command document's name"),
    ({"drain": {"hourly_cost": 0}}, "drain.hourly_cost: must be greater than 0 (got 0)"),
    ({"launch": {"hook": "a hook"}}, "launch.hook: must be a lifecycle hook's name"),
    (
        {"launch": {"hook": "sluice-drain"}},
        "launch.hook: must be another hook than drain.hook (both are 'sluice-drain'); a launch",
    ),
    ({"drain": {"deadline_s": 172_801}}, "drain.deadline_s: must be less than or equal to 172800"),
    ({"redrive": {"mode": "off"}}, "redrive.mode: must be 'auto' or 'manual' (got 'off')"),
    ({"redrive": {"max_retries": -1}}, "redrive.max_retries: must be greater than or equal to 0"),
    ({"redrive": {"max_delay_s": 901}}, "redrive.max_delay_s: must be less than or equal to 900"),
    (
        {"redrive": {"base_delay_s": 31, "max_delay_s": 30}},
        "redrive.base_delay_s: must be at most 30 s, which is max_delay_s (got 31 s)",
    ),
    ({"redrive": {"rate_per_s": 0}}, "redrive.rate_per_s: must be greater than or equal to 0.01"),
    ({"redrive": {"canary_count": 0}}, "redrive.canary_count: must be greater than or equal to 1"),
    ({"redrive": {"canary_wait_s": 3_601}}, "redrive.canary_wait_s: must be less than or equal to 3600"),
]


@pytest.mark.parametrize(("change", "problem"), FAULTS, ids=[problem.partition("(")[0] for _, problem in FAULTS])
def test_fault_is_named_with_its_field(change: dict[str, Any], problem: str) -> None:
    """One fault is one problem: the field, what would be right, and what was there."""
    (found,) = problems({**LEAST, **change})
    assert found.startswith(problem)


@pytest.mark.parametrize("field", ["queue", "group", "target_wait_s"])
def test_missing_field_is_named(field: str) -> None:
    """Each of the three that have no default."""
    assert problems({key: value for key, value in LEAST.items() if key != field}) == (f"{field}: is required",)


def test_every_fault_is_reported_at_once() -> None:
    """Also two of one section, which no single field shows."""
    found = problems(
        {
            "queue": QUEUE,
            "target_wait_s": -1,
            "drain": {"hook_timeout_s": 5, "heartbeat_s": 4, "deadline_s": 600},
            "redrive": {"base_delay_s": 9, "max_delay_s": 8},
            "typo": 1,
        }
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "group",
        "target_wait_s",
        "drain.heartbeat_s",
        "drain.deadline_s",
        "redrive.base_delay_s",
        "typo",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "document: must be JSON ("),
        ("{", "document: must be JSON ("),
        ('{"target_wait_s": ' + "9" * 5000 + "}", "document: must be JSON ("),
        ("[" * 100_000, "document: must be JSON ("),
        ("[]", "document: must be a JSON object"),
        ("null", "document: must be a JSON object"),
        ('"orders"', "document: must be a JSON object"),
    ],
)
def test_text_is_refused_when_it_is_no_json_object(text: str, problem: str) -> None:
    """Whatever was stored, it is a problem of the document."""
    (found,) = problems(text)
    assert found.startswith(problem)


def test_wrong_value_is_shown_in_part_only() -> None:
    """A long value does not flood the report, and one that cannot be shown is named by its kind."""
    (long,) = problems({**LEAST, "queue": "x" * 10_000})
    assert len(long) < 250
    (unshown,) = problems({**LEAST, "mode": 10**5000})
    assert unshown.endswith("(got a value that is too large to show)")


def test_second_of_two_documents_is_invalid_when_both_claim_the_same() -> None:
    """A name, a group, or a queue: the first by name has it, and the others go on."""
    fleets, invalid = parse_all(
        {
            "c": {**LEAST, "queue": f"{QUEUE}-c", "group": "c"},
            "b": {**LEAST, "name": "a", "group": "a"},
            "a": {**LEAST, "group": "a"},
        }
    )
    assert [fleet.name for fleet in fleets] == ["a", "c"]
    (clash,) = invalid
    assert clash.name == "b"
    assert clash.problems == (
        "name: another document has a fleet 'a' already; choose another name",
        "group: fleet 'a' scales group 'a' already; choose another group",
        "queue: fleet 'a' consumes queue 'orders' already; choose another queue",
    )


# --------------------------------------------------------------------------- settings

SETTINGS = {"drain": {"deadline_s": 600}, "redrive": {"transient": ["timeout*"]}, "hints": {"seconds_per_message": 2}}


@pytest.mark.parametrize("settings", [SETTINGS, json.dumps(SETTINGS), json.dumps(SETTINGS, indent=2)])
def test_settings_are_the_documents_own_when_merged(settings: Any) -> None:
    """An object or the JSON text of one, beside what the parameters give of the same sections."""
    given = {"drain": {"unit": "work.service", "hook": "blue-drain"}, "launch": {"hook": "blue-ready"}}

    fleet = parse("orders", {**LEAST, **given, "settings": settings})

    assert fleet == parse("orders", {**LEAST, **SETTINGS, **given, "drain": {**given["drain"], "deadline_s": 600}})
    assert fleet.hints.has_speed_hint
    assert parse("orders", {**LEAST, "settings": "{}"}) == parse("orders", LEAST)
    assert not parse("orders", {**LEAST, "settings": "{}"}).hints.has_speed_hint


SETTINGS_FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"drain": {"deadline_s": 60}, "settings": {"drain": {"deadline_s": 90}}},
        "settings.drain.deadline_s: is given twice; leave it out of settings, or drain.deadline_s out of the document",
    ),
    ({"settings": {"name": "x"}}, "settings.name: is given by the parameter FleetName; set it there"),
    ({"settings": {"launch": {"hook": "x"}}}, "settings.launch.hook: is given by the parameter ReadySeconds"),
    (
        {"settings": {"queues": []}},
        "settings.queues: is not a section of settings; the sections are hints, limits, drain, redrive",
    ),
    ({"settings": {"drain": []}}, "settings.drain: must be a JSON object (got [])"),
    ({"settings": {"limits": {"steps": 1}}}, "settings.limits.steps: is not a field of a fleet (did you mean"),
    ({"settings": None}, "settings: must be a JSON object (got null)"),
    ({"settings": '{"a": NaN}'}, "settings: must be JSON (NaN is not a JSON number)"),
    ({"settings": "[" * 100_000}, "settings: must be JSON ("),
    (
        {"drain": {"heartbeat_s": 70, "hook_timeout_s": 120}, "settings": {"limits": {"max_step": 1}}},
        "drain.heartbeat_s: must be at most 60 s, half",
    ),
    (
        {"settings": {"drain": {"hook_timeout_s": "29"}}},
        "settings.drain.hook_timeout_s: must be a whole number of seconds from 30",
    ),
    (
        {"settings": {"drain": {"hook_timeout_s": 80, "heartbeat_s": 45}}},
        "settings.drain.heartbeat_s: must be at most 40 s, half of",
    ),
    ({"settings": {"redrive": {"edits": "yes"}}}, "settings.redrive.edits: must be true or false (got 'yes')"),
    ({"settings": {"redrive": {"transient": "a, b"}}}, "settings.redrive.transient: must be a JSON list (got 'a, b')"),
    (
        {"settings": {"redrive": {"transient": ["HTTP 503*", " timeout*"]}}},
        "settings.redrive.transient.1: must hold no space at its ends, no two spaces in a row",
    ),
    ({"settings": {"redrive": {"permanent": ["no  route*"]}}}, "settings.redrive.permanent.0: must hold no space"),
    (
        {"settings": {"redrive": {"transient": ["*timeout*"], "permanent": ["KeyError*", "Timeout: card*"]}}},
        "settings.redrive.permanent.1: must name causes that no pattern of transient names",
    ),
]


def test_remedy_is_told_when_sam_cli_took_settings_apart() -> None:
    """Without quotes of their own on a command line, or as a mapping of a parameters file."""
    (cut,) = problems({**LEAST, "settings": "{"})
    (mapping,) = problems({**LEAST, "settings": "{'limits': {'max_step': 3}}"})

    assert cut.endswith("on a command line, put quotes around it as docs/settings.md shows")
    assert mapping.endswith("write it as one text with double quotes inside, as docs/settings.md shows")


@pytest.mark.parametrize(("change", "problem"), SETTINGS_FAULTS, ids=[str(fault)[:50] for fault, _ in SETTINGS_FAULTS])
def test_fault_of_settings_is_named_as_it_was_written(change: dict[str, Any], problem: str) -> None:
    """One fault is one problem; what stands elsewhere in the document is named without `settings`."""
    (found,) = problems({**LEAST, **change})
    assert found.startswith(problem)


# --------------------------------------------------------------------------- any document

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", fullmatch=True)
QUEUES = st.from_regex(
    r"https://sqs\.[a-z]{2}-[a-z]{4}-[1-9]\.amazonaws\.com/[0-9]{12}/[A-Za-z0-9_-]{1,80}", fullmatch=True
)


def spans(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers within bounds, the bounds among them."""
    return st.one_of(st.floats(low, high), st.sampled_from([low, high]))


@st.composite
def valid_drains(draw: st.DrawFn) -> dict[str, Any]:
    """A drain section that holds together."""
    hook_timeout_s = draw(spans(1, 7_200))
    return {
        "via": draw(st.sampled_from(["ssm", "self"])),
        "unit": draw(st.from_regex(r"[A-Za-z0-9@._:\\][A-Za-z0-9@._:\\-]{0,60}", fullmatch=True)),
        "hook": draw(st.from_regex(r"[A-Za-z0-9\-_/]{1,60}", fullmatch=True)),
        "hook_timeout_s": hook_timeout_s,
        "heartbeat_s": draw(spans(0.5, min(3_600, hook_timeout_s / 2))),
        "deadline_s": draw(spans(1, min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * hook_timeout_s))),
    }


@st.composite
def valid_redrives(draw: st.DrawFn) -> dict[str, Any]:
    """A redrive section that holds together."""
    max_delay_s = draw(spans(0, 900))
    return {
        "mode": draw(st.sampled_from(["auto", "manual"])),
        "max_retries": draw(st.integers(0, 100)),
        "base_delay_s": draw(spans(0, max_delay_s)),
        "max_delay_s": max_delay_s,
        "rate_per_s": draw(spans(0.01, 10_000)),
    }


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that a user may write."""
    queue = draw(QUEUES)
    document: dict[str, Any] = {
        "name": draw(NAMES),
        "queue": queue,
        "group": draw(st.from_regex(r"[^:\x00-\x1f\x7f]{1,80}", fullmatch=True)),
        "target_wait_s": draw(spans(1, 1_209_600)),
    }
    more: dict[str, st.SearchStrategy[Any]] = {
        "dead_letter_queue": st.sampled_from([None, f"{queue[:-1]}{'y' if queue[-1] == 'x' else 'x'}"]),
        "mode": st.sampled_from(["act", "shadow", "paused"]),
        "hints": st.fixed_dictionaries(
            {},
            optional={
                "seconds_per_message": st.floats(0, 43_200, exclude_min=True),
                "concurrency": st.integers(1, 10_000),
                "lead_time_s": spans(0, 7_200),
            },
        ),
        "limits": st.fixed_dictionaries(
            {},
            optional={
                "stale_after_s": spans(1, 3_600),
                "stabilization_window_s": st.none() | spans(0, 86_400),
                "max_step": st.none() | st.integers(1, 10_000),
                "max_messages_per_s": st.none() | st.floats(0, 1e9, exclude_min=True),
                "veto_alarm": st.none() | st.text(min_size=1, max_size=255),
                "instance_hours_per_day": st.none() | st.floats(0, 1e9, exclude_min=True),
                "catch_up": st.floats(0, 100, exclude_min=True),
            },
        ),
        "drain": valid_drains(),
        "redrive": valid_redrives(),
    }
    for field in draw(st.sets(st.sampled_from(sorted(more)))):
        document[field] = draw(more[field])
    return document


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*Fleet.model_fields, "", "other"])


@given(valid_documents())
def test_valid_document_always_parses(document: dict[str, Any]) -> None:
    """Within the bounds nothing is refused, and every value given is the fleet's."""
    fleet = parse("unnamed", document)
    assert fleet.name == document["name"]
    assert fleet.target_wait_s == document["target_wait_s"]
    assert parse("unnamed", fleet.model_dump(mode="json")) == fleet


@given(st.dictionaries(FIELDS | st.text(), ANYTHING, max_size=8))
def test_any_mapping_parses_or_names_its_problems(document: dict[str, Any]) -> None:
    """Nothing but a ConfigError comes of a bad document, and each of its problems begins with a field."""
    (fleets, invalid) = parse_all({"orders": document})
    assert len(fleets) + len(invalid) == 1
    known = {*Fleet.model_fields, *document}
    for error in invalid:
        assert error.problems
        for problem in error.problems:
            assert any(problem.startswith((f"{field}:", f"{field}.")) for field in known), problem


@given(valid_documents(), FIELDS, ANYTHING)
def test_valid_document_with_one_change_parses_or_names_just_that_field(
    document: dict[str, Any], field: str, value: Any
) -> None:
    """A slip in one field is reported in that field, or in one that must fit to it."""
    fitting = {"queue": ("queue", "dead_letter_queue")}.get(field, (field,))
    _, invalid = parse_all({"orders": {**document, field: value}})
    for error in invalid:
        for problem in error.problems:
            assert problem.startswith(tuple(f"{name}{mark}" for name in fitting for mark in ":.")), problem


@given(st.text())
def test_any_text_parses_or_is_a_problem_of_the_document(text: str) -> None:
    """No text that is stored as a document breaks the reading of the others."""
    _, invalid = parse_all({"broken": text})
    assert [error.name for error in invalid] == ["broken"]


# --------------------------------------------------------------------------- several queues

URGENT, BULK = f"{QUEUE}-urgent", f"{QUEUE}-bulk"
SEVERAL: dict[str, Any] = {
    "queues": [{"queue": URGENT, "target_wait_s": 30, "priority": 1}, {"queue": BULK, "dead_letter_queue": DEAD}],
    "group": "orders consumers",
    "target_wait_s": 600,
}


def test_several_queues_have_targets_of_their_own_or_the_fleets() -> None:
    """And each its priority, its pause and its dead-letter queue; no queue is the fleet's one."""
    fleet = parse("orders", SEVERAL)
    assert (fleet.queue, fleet.dead_letter_queue, fleet.dead_letter_queues) == (None, None, (DEAD,))
    assert [(source.name, source.target_wait_s, source.priority, source.paused) for source in fleet.sources] == [
        ("orders-urgent", 30.0, 1, False),
        ("orders-bulk", 600.0, 0, False),
    ]
    assert (fleet.shared, fleet.tightest_wait_s) == (True, 30.0)
    assert parse("another", fleet.model_dump_json()) == fleet


def test_queue_alone_is_a_fleets_only_source() -> None:
    """With the fleet's target, whichever way the document names it."""
    one = parse("orders", {**LEAST, "dead_letter_queue": DEAD})
    listed = parse("orders", {**LEAST, "queue": None, "queues": [{"queue": QUEUE, "dead_letter_queue": DEAD}]})
    assert one.sources[0].model_dump() == listed.sources[0].model_dump()
    assert (one.shared, listed.shared) == (False, False)
    assert one.dead_letter_queues == listed.dead_letter_queues == (DEAD,)


def test_paused_queue_is_no_promise() -> None:
    """The tightest target is that of what is consumed; where nothing is, the fleet's own."""
    urgent, bulk = SEVERAL["queues"]
    assert parse("o", {**SEVERAL, "queues": [{**urgent, "paused": True}, bulk]}).tightest_wait_s == 600.0
    paused = parse("o", {**SEVERAL, "queues": [{**urgent, "paused": True}]})
    assert (paused.shared, paused.tightest_wait_s) == (True, 600.0)


def test_fleet_through_one_of_its_queues_has_that_alone() -> None:
    """With its dead-letter queue and its target; nothing of the fleet as a whole is left over."""
    fleet = parse("orders", SEVERAL)
    urgent, bulk = (fleet.with_only(source) for source in fleet.sources)
    assert (urgent.queue, urgent.dead_letter_queue, urgent.target_wait_s, urgent.shared) == (URGENT, None, 30.0, False)
    assert (bulk.queue, bulk.dead_letter_queue, bulk.target_wait_s) == (BULK, DEAD, 600.0)
    assert [source.queue for source in bulk.sources] == [BULK]
    one = parse("orders", LEAST)
    assert one.with_only(one.sources[0]) == one


QUEUE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"queue": QUEUE}, "queue: must be left out if queues is given (got "),
    ({"queues": []}, "queue: is required"),
    ({"queues": [{"queue": "orders"}]}, f"queues.0.queue: {QUEUE_IS} (got 'orders')"),
    ({"queues": [{}]}, "queues.0.queue: is required"),
    ({"queues": [BULK]}, "queues.0: must be a JSON object"),
    ({"queues": [{"queue": BULK, "wait": 1}]}, "queues.0.wait: is not a field of a fleet"),
    (
        {"queues": [{"queue": URGENT}, {"queue": BULK, "target_wait_s": 0}]},
        "queues.1.target_wait_s: must be greater than or equal to 1 (got 0)",
    ),
    ({"queues": [{"queue": BULK, "priority": 1.5}]}, "queues.0.priority: must be a whole number (got 1.5)"),
    ({"queues": [{"queue": BULK, "priority": 101}]}, "queues.0.priority: must be less than or equal to 100"),
    ({"queues": [{"queue": BULK, "paused": "perhaps"}]}, "queues.0.paused: must be true or false (got 'perhaps')"),
    ({"queues": [{"queue": f"{QUEUE}-{n}"} for n in range(11)]}, "queues: must have at most 10 entries (got 11)"),
    (
        {"queues": [{"queue": URGENT}, {"queue": URGENT}]},
        "queues.1.queue: must be another queue than queues.0.queue",
    ),
    (
        {"queues": [{"queue": URGENT}, {"queue": URGENT.replace("123456789012", "210987654321")}]},
        "queues.1.queue: must have another name than queues.0.queue",
    ),
    (
        {"queues": [{"queue": URGENT}, {"queue": BULK, "dead_letter_queue": BULK}]},
        "queues.1.dead_letter_queue: must not be the queue itself (got ",
    ),
    (
        {"queues": [{"queue": BULK, "dead_letter_queue": f"{DEAD}.fifo"}]},
        "queues.0.dead_letter_queue: must be a standard queue, as queue orders-bulk is",
    ),
    (
        {"queues": [{"queue": URGENT, "dead_letter_queue": BULK}, {"queue": BULK}]},
        (
            "queues.0.dead_letter_queue: must not be a queue that the fleet consumes"
            f" (got {BULK}, which is queues.1.queue)"
        ),
    ),
    ({"dead_letter_queue": DEAD}, "dead_letter_queue: must be left out if queues is given"),
]


@pytest.mark.parametrize(("change", "problem"), QUEUE_FAULTS)
def test_faults_of_queues_name_their_field(change: dict[str, Any], problem: str) -> None:
    """By the queue's place in the document."""
    (found,) = problems({**SEVERAL, **change})
    assert found.startswith(problem)


def test_missing_queue_is_named_with_the_other_faults() -> None:
    """Though it is a check of the whole document."""
    assert problems({"group": "", "target_wait_s": 60})[0] == "queue: is required"


def test_further_queue_is_a_document_of_its_own() -> None:
    """Under its fleet's; it is added to the fleet's queue, or to its queues, in the order of names."""
    fleets, invalid = parse_all(
        {
            "orders": {**LEAST, "dead_letter_queue": DEAD},
            "orders/queues/urgent": json.dumps({"queue": URGENT, "target_wait_s": 30, "priority": 1}),
            "orders/queues/bulk": {"queue": BULK, "paused": True},
            "orders-eu": {**SEVERAL, "group": "eu", "queues": [{"queue": f"{QUEUE}-eu"}]},
            "orders-eu/queues/more": {"queue": f"{QUEUE}-more"},
        }
    )
    assert invalid == ()
    orders, eu = fleets
    assert [source.name for source in orders.sources] == ["orders", "orders-bulk", "orders-urgent"]
    assert [source.dead_letter_queue for source in orders.sources] == [DEAD, None, None]
    assert [source.target_wait_s for source in orders.sources] == [60.0, 60.0, 30.0]
    assert orders.sources[1].paused
    assert [source.name for source in eu.sources] == ["orders-eu", "orders-more"]


def test_further_queue_at_fault_is_left_out_and_told() -> None:
    """Its fleet goes on without it, as do the others."""
    fleets, invalid = parse_all(
        {
            "orders": LEAST,
            "orders/queues/a": {"queue": URGENT, "target_wait_s": 0},
            "orders/queues/b": "{",
            "orders/queues/c": {"queue": QUEUE},
            "orders/queues/d": "[]",
            "orders/queues/e": {"queue": BULK},
            "other": {**LEAST, "queue": f"{QUEUE}-other", "group": "other"},
            "other/queues/a": {"queue": BULK},
            "nobody/queues/a": {"queue": f"{QUEUE}-x"},
        }
    )
    assert [(fleet.name, len(fleet.sources)) for fleet in fleets] == [("orders", 2), ("other", 1)]
    told = {error.name: error.problems for error in invalid}
    assert told.pop("orders/queues/b")[0].startswith("document: must be JSON (")
    assert told == {
        "orders/queues/a": ("target_wait_s: must be greater than or equal to 1 (got 0)",),
        "orders/queues/c": (
            f"queue: must be another queue than queues.0.queue (both are {QUEUE}); leave one of them out",
        ),
        "orders/queues/d": ("document: must be a JSON object (got [])",),
        "other/queues/a": ("queue: fleet 'orders' consumes queue 'orders-bulk' already; choose another queue",),
        "nobody/queues/a": ("document: belongs to fleet 'nobody', which is missing or invalid",),
    }


def test_believed_speed_stays_unsaid_when_a_queue_is_added() -> None:
    """Adding a queue must not turn defaults into hints that somebody gave."""
    documents = {"orders": LEAST, "orders/queues/bulk": {"queue": BULK}}
    assert not parse_all(documents)[0][0].hints.has_speed_hint
    documents["orders"] = {**LEAST, "hints": {"seconds_per_message": 1}}
    assert parse_all(documents)[0][0].hints.has_speed_hint


# --------------------------------------------------------------------------- the problems as sentences

FURTHER = {
    "orders": {**LEAST, "queue": f"{QUEUE}-eu"},
    "orders/queues/a": {"queue": f"{QUEUE}-eu"},
    "other": {**LEAST, "name": "orders", "queue": BULK},
    "same-queue": {**LEAST, "queue": f"{QUEUE}-eu", "group": "same"},
    "lost/queues/a": {"queue": URGENT},
}
TEXTS = (
    "",
    "{",
    "[]",
    "[" * 100_000,
    '{"target_wait_s": ' + "9" * 5000 + "}",
    '{"a": NaN}',
    '{"a": 05}',
    '{"a": .5}',
    '{"a": 1, "a": 2}',
    "{'a': 1}",
)
MORE = (
    {"mode": 10**5000},
    {"target_wait_s": "05"},
    {"settings": {"drain": {"hook": "x"}}},
    {"settings": {"drain": {"hook_timeout_s": 45.5}}},
    {"redrive": {"permanent": ["x" * 200] * 12}},
    {"drain": {"deadline_s": 600, "hook_timeout_s": 1, "heartbeat_s": 0.5}},
)


def every_problem() -> list[str]:
    """Each problem that a document can have, in the words of the scenes above and of some more."""
    found = [problem for change, _ in (*FAULTS, *SETTINGS_FAULTS) for problem in problems({**LEAST, **change})]
    found += [problem for change, _ in QUEUE_FAULTS for problem in problems({**SEVERAL, **change})]
    found += [problem for change in MORE for problem in problems({**LEAST, **change})]
    found += [problem for text in TEXTS for problem in (*problems(text), *problems({**LEAST, "settings": text}))]
    found += [problem for error in parse_all(FURTHER)[1] for problem in error.problems]
    return sorted(set(found))


PROBLEMS = every_problem()


def test_problems_when_they_are_read() -> None:
    """Each begins with its field, says what that must be or is, and has plain words, units and plurals."""
    for problem in PROBLEMS:
        field, colon, rest = problem.partition(": ")
        assert re.fullmatch(r"[A-Za-z][\w.]*", field), problem
        assert colon, problem
        assert re.match(r"(must|is|transient and permanent must|belongs|another document|fleet ')", rest), problem
        assert not rest.endswith("."), problem
        assert faults(rest.partition(" (got ")[0]) == [], problem


def test_problem_when_it_names_a_value() -> None:
    """A field that must be something else is shown with what it was."""
    unshown = [
        text for text in PROBLEMS if ": must " in text and not re.search(r"\((got|both are|its|one of) |JSON \(", text)
    ]
    assert unshown == []


def sentences_in(path: Path) -> Iterator[str]:
    """The longest fixed part of each text in a module that reads like a problem."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):  # a docstring is no problem, nor is a field's description or the reason of an exception
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(0)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node] if id(node) not in inside else []
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if any(re.search(r"\b(must|is given|is made|is not|is required|belongs|already)\b", text) for text in texts):
            yield max(texts, key=len)


def test_problems_when_the_code_is_searched_for_more() -> None:
    """Each text of a problem in the code is in one of the problems that are read here."""
    config = Path(__file__).parents[3] / "layers/core/sluice/config"
    texts = {text for path in config.glob("*.py") for text in sentences_in(path)}
    assert len(texts) > 20
    assert {text for text in texts if not any(text in problem for problem in PROBLEMS)} == set()
