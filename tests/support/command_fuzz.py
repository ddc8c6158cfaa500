"""Inputs for the `sluice` command, most of them broken: arguments, files, and what a stack's functions answer.

Each input is made of its seed alone, so that a failure can be had again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from sluice_tools import cli
from sluice_tools.commands.docs import commands

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/plan"
COMMANDS = dict(commands(cli.app))
OPTIONS = {
    name: [
        (one.names[0], one.hint is bool, one.field_info.is_positional)
        for one in app.assemble_argument_collection()
        if one.parse and one.names
    ]
    for name, app in COMMANDS.items()
}
ODD = (
    "", " ", "-", "--", "---", "=", "-1", "0", "1e400", "nan", "inf", "-inf", "1e308", "٣", "9" * 400, "a" * 5_000,
    "[red]", "[/]", "{}", "[]", "null", "true", "\u202e", "\x1b[31m", "\udc80", "é", "日本語", "🙂" * 50, "a\nb", "\t",
    "%s", "{0}", "../..", "/", "/dev/null", "~", "$HOME", "'", '"', "`", ";", "*", "a=b", "=b", "a=", "--json",
    "--help", "2026-11-24T14:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "999999d", "0s",
)  # fmt: skip
VALID: Mapping[str, Sequence[str]] = {
    "--fleet": ("orders", "main", str(EXAMPLES / "fleet.json")),
    "--snapshot": (str(EXAMPLES / "snapshot.json"),),
    "--since": ("2h", "2026-11-24T14:00:00Z"),
    "--until": ("1m", "2026-11-24T15:00:00+01:00"),
    "--attribute": ("shop=Berlin",),
    "--rate": ("5", "0.5"),
    "--limit": ("1", "100"),
    "--trace": ("step", "flash-crowd"),
    "--seconds-per-message": ("2",),
    "--stack": ("sluice", "prod-1"),
    "--region": ("eu-west-1",),
    "--queue-url": ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders",),
    "--group-name": ("workers",),
    "--mode": ("act", "shadow"),
    "--settings": ("{}", '{"drain": {"deadline_s": 600}}'),
    "--target-wait-seconds": ("60",),
    "--fleets": ("3",),
    "--hot-hours": ("8",),
    "--detail": ("stack", "fleet"),
    "--tick-seconds": ("10",),
    "--endpoint-url": ("http://localhost:4566",),
}
NOW = 1_795_528_800.0
JOB = {
    "id": "job-7", "fleet": "orders", "state": "running", "selected_count": 9, "sent_count": 3, "failed_count": 0,
    "doubtful_count": 1, "returned_count": 0, "note": "m-1", "left_s": 3.0, "held_until": NOW, "requested_at": NOW,
    "requested_by": "ada",
}  # fmt: skip
DECISION = {
    "at": NOW, "action": "hold", "current": 2, "want": 2, "sentence": "Holding.",
    "outcome": {"at": NOW, "status": "unchanged", "answer": ""},
    "reasons": [{"code": "need", "sentence": "2 are needed.", "before": 2, "after": 2}],
    "figures": [{"name": "visible", "value": 7.0, "age_s": 3.0, "source": "queue"}],
}  # fmt: skip
ENTRY = {
    "message_id": "m-1", "failure_group": "g-1", "cause": "KeyError", "at": NOW, "attempt": 3, "size_bytes": 12,
    "key": "orders/k", "source": None, "said": "KeyError: 'sku'", "sample": "{}",
}  # fmt: skip
GROUP = {
    "failure_group": "g-1", "cause": "KeyError", "count": 2, "seen_count": 5, "first_seen_at": NOW, "last_seen_at": NOW,
    "muted": False, "sample": "{}", "last_redrive": {"job_id": "j", "at": NOW, "sent_count": 1, "returned_count": 0},
}  # fmt: skip
DRAIN = {
    "instance_id": "i-1", "state": "stopping", "cause": "scale-in", "started_at": NOW, "deadline_at": NOW, "note": "",
}  # fmt: skip
FLEET = {
    "fleet": "orders", "mode": "act", "group": "workers", "queues": ["orders"], "target_wait_s": 60.0,
    "decision": DECISION, "drains": [DRAIN], "quarantined_count": 2, "failure_groups": 1, "jobs": [JOB], "unread": [],
}  # fmt: skip
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "status": {"fleets": [FLEET], "invalid": [{"fleet": "b", "problems": ["x"]}], "unread": [], "after": None},
    "decisions": {"fleet": "orders", "decisions": [DECISION], "next_until": None},
    "groups": {"groups": [GROUP]},
    "messages": {"messages": [ENTRY], "after": None},
    "message": {"message": {**ENTRY, "body": "a\tb\nc", "message_attributes": {"s": {"type": "String", "text": "t"}}}},
    "jobs": {"jobs": [JOB], "truncated": False},
    "job": {"job": {**JOB, "state": "done"}},
    "redrive": {"job": JOB},
    "dry_run": {
        "dry_run": True, "fleet": "orders", "from": "quarantine", "selected_count": 3, "rate_per_s": 10.0,
        "canary_count": 3, "behind_count": 1, "paused_queues": ["q"],
        "groups": [{"failure_group": "g", "cause": "c", "count": 3, "first_seen_at": NOW, "last_seen_at": NOW}],
    },
    "peek": {
        "peek": True, "looked_at_count": 1, "note": "Back.",
        "messages": [{"message_id": "m", "queue": "q", "cause": "c", "left_s": 5.0, "sample": "s"}],
    },
    "release": {"fleet": "orders", "instance_id": "i-1", "state": "released", "note": "Gone."},
}  # fmt: skip
NOTED = {"note": "It is done."}
RAW = (
    b"",
    b"{",
    b"null",
    b'"text"',
    b"[]",
    b"\xff",
    b'{"a": NaN}',
    b"[" * 100_000,
    b'{"error": {}}',
    b'{"error": "no"}',
)
TAME = 0.6  # share of command lines whose options have values that they may have
ASKED_MOST = 2_000
"""More requests of one command than any needs: it would go on for ever."""


@dataclass(frozen=True)
class Input:
    """One command line, and the answers that it gets."""

    seed: str
    arguments: list[str]
    answers: Callable[[str, Mapping[str, Any]], object]


def value(rng: Random, option: str, files: Sequence[str], *, tame: bool) -> str:
    """A value for an option: one that it may have, an odd one, or a file."""
    if tame:
        return rng.choice(VALID.get(option, ("orders", "g-1", files[-1])))
    chosen = rng.random()
    if chosen < 0.5 and option in VALID:
        return rng.choice(VALID[option])
    if chosen < 0.7:
        return rng.choice(files)
    return rng.choice(ODD) if chosen < 0.95 else "".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(9)))


def arguments(rng: Random, files: Sequence[str]) -> list[str]:
    """A command line: a command with some of its options, and then perhaps something that does not belong there."""
    name = rng.choice(sorted(COMMANDS))
    words = name.split()
    tame = rng.random() < TAME
    for option, flag, positional in OPTIONS[name]:
        if positional:
            words += [value(rng, option, files, tame=tame)] * (tame or rng.random() < 0.95)
        elif rng.random() < ((1.0 if tame else 0.85) if option in {"--fleet", "--snapshot", "--body"} else 0.2):
            joined = rng.random() < 0.2
            text = value(rng, option, files, tame=tame)
            words += [option] if flag else ([f"{option}={text}"] if joined else [option, text])
    while not tame and rng.random() < 0.3:
        at = rng.randrange(len(words) + 1)
        match rng.randrange(3):
            case 0:
                words.insert(at, rng.choice(ODD))
            case 1 if words:
                del words[min(at, len(words) - 1)]
            case 2 if words:
                words.insert(at, rng.choice(words))
    return words


def broken(rng: Random, document: Any) -> Any:
    """A JSON value with some of its parts taken away or replaced."""
    made = copy.deepcopy(document)
    for _ in range(rng.randrange(1, 4)):
        at = made
        while isinstance(at, dict | list) and at:
            key: Any = rng.choice(sorted(at)) if isinstance(at, dict) else rng.randrange(len(at))
            if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.7:
                at = at[key]
                continue
            if rng.random() < 0.3:
                del at[key]
            else:
                at[key] = rng.choice(
                    [None, True, -1, 0, 1e18, 1e308, -1e18, 10**30, "", "x", "\u202e\x1b", [], {}, [None], {"a": 1}]
                )
            break
    return made


def answering(rng: Random) -> Callable[[str, Mapping[str, Any]], object]:
    """What functions answer: what they should, what they should not, or nothing at all."""
    asked = 0

    def answer(_function: str, event: Mapping[str, Any]) -> object:
        nonlocal asked
        asked += 1
        assert asked < ASKED_MOST, "the command asks for ever"
        chosen = rng.random()
        if chosen < 0.08:
            raise rng.choice(
                [
                    ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Invoke"),
                    ClientError({}, "Invoke"),
                    EndpointConnectionError(endpoint_url="http://localhost"),
                    ReadTimeoutError(endpoint_url="http://localhost"),
                    ConnectionResetError("reset"),
                    KeyboardInterrupt(),
                ]
            )
        if chosen < 0.15:
            return rng.choice(RAW)
        ((name, fields),) = event.items()
        right = ANSWERS.get("dry_run" if fields.get("dry_run") else name, NOTED)
        if name in {"pause", "resume", "stop", "edit"}:
            right = ANSWERS["redrive"]
        return right if chosen < 0.5 else broken(rng, right)

    return answer


def files_in(directory: Path, rng: Random, count: int = 40) -> list[str]:
    """Files that a command may be given: the examples, broken ones, a folder, and one that is missing."""
    made = [str(directory), str(directory / "missing"), str(EXAMPLES / "fleet.json"), str(EXAMPLES / "snapshot.json")]
    raw = (
        b"",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b"{" * 50_000,
        b"[" * 200_000,
        b"1" * 5_000,
        b'{"a":1e999}',
        b"null",
        b"\0",
    )
    for number, content in enumerate(raw):
        path = directory / f"raw-{number}"
        path.write_bytes(content)
        made.append(str(path))
    for number in range(count):
        source = rng.choice(["fleet", "snapshot"])
        document = broken(rng, json.loads((EXAMPLES / f"{source}.json").read_text()))
        path = directory / f"{source}-{number}.json"
        path.write_text(json.dumps(document))
        made.append(str(path))
    return made


def make(seed: str, files: Sequence[str]) -> Input:
    """The input of a seed."""
    rng = Random(seed)
    return Input(seed, arguments(rng, files), answering(rng))
