"""Records what the shipped functions call: real handlers and botocore, AWS played by moto, on a clock that is moved.

    python -m tools.costs.recording     writes recorded.json (a minute or two)

A shard of one fleet and one of SHARD fleets have a round each ten seconds, idle (no message, no instance) and busy
(counts that change with each tick, instances at work). After a warm-up of some minutes, calls and units are averaged
over whole readings of CloudWatch's metrics. In some of these rounds each call takes LATENCY_S: the seconds that Lambda
bills are the time in which a call was under way, and the processor's time, but for moto's, at the function's share of a
processor (512 of 1,769 MB, https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
"""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import moto
import time_machine
from moto.core.models import botocore_stubber

from sluice.aws import connect
from sluice.chains import message_of
from sluice.ports.stack import Ports
from sluice.telemetry import Record
from tools.costs.account import REGION, Account
from tools.costs.calls import CallCounter, SlowAnswers, Spent
from tools.costs.usage import RECORDED, Recorded, Recording

SHARD = 25  # fleets of the larger shard
TICK_S = 10.0
WARM_UP, COUNTED, TIMED = 36, 54, 18  # rounds
LATENCY_S = 0.02
PROCESSOR = 512 / 1_769
LINE_BYTES = 26  # CloudWatch adds these to each line (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/)
MINUTE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_LAMBDA_LOG_FORMAT": "JSON",
    "POWERTOOLS_TRACE_DISABLED": "1",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
    "SLUICE_STACK": "sluice",
    "SLUICE_FLEETS_PATH": "/sluice/sluice/fleets/",
    "SLUICE_TABLE": "ledger",
    "SLUICE_BUCKET": "archive",
    "SLUICE_DETAIL": "stack",
    "TICK_SECONDS": "10",
}


class Stage:
    """The functions over moto, with a clock that is moved and everything that is billed counted."""

    def __init__(self, fleets: int, *, busy: bool, stack: contextlib.ExitStack) -> None:
        stack.enter_context(mock.patch.dict(os.environ, ENVIRON))
        stack.enter_context(moto.mock_aws())
        self.now = float(int(time.time() // 60 * 60))
        self._clock = stack.enter_context(time_machine.travel(self.now, tick=False))
        self.account = Account(fleets, busy=busy)
        self.ports: Ports = connect(ENVIRON | self.account.work)
        session = self.ports.queue._clients._session  # type: ignore[attr-defined]  # noqa: SLF001 - what is measured
        self.spent = Spent()
        self.counter = CallCounter(session, self.account.item, self.spent)
        self.answers = SlowAnswers(session, botocore_stubber, LATENCY_S, self.spent)
        self.ports.fleets._elapsed = lambda: self.now  # type: ignore[attr-defined]  # noqa: SLF001 - moved as well

    def move_to(self, now: float) -> None:
        """Move the clock."""
        self.now = now
        self._clock.move_to(now)

    def invoke(self, function: str, event: Any, request_id: str) -> Recorded:
        """Invoke a function's handler; what it used. Its seconds count while answers are slow."""
        app = _app(function)
        context = SimpleNamespace(
            aws_request_id=request_id,
            function_name=f"sluice-{function}",
            memory_limit_in_mb=512,
            invoked_function_arn=f"arn:aws:lambda:{REGION}:123456789012:function:sluice-{function}",
            get_remaining_time_in_millis=lambda: 30_000,
        )
        lines, records = io.StringIO(), list[Record]()
        self.counter.take()
        self.answers.waited_s()
        began_s, self.spent.seconds = time.process_time(), 0.0
        with (
            mock.patch.object(app, "_ports", return_value=self.ports),
            _logging_to(app, lines),
            contextlib.redirect_stdout(lines),
            _keeping(app, records),
        ):
            app.handler(event, context)
        worked_s = time.process_time() - began_s - self.spent.seconds
        calls, write_units, read_units, metrics_read = self.counter.take()
        written = lines.getvalue()
        return Recorded(
            dict(calls),
            write_units,
            read_units,
            metrics_read,
            len(written.encode()) + LINE_BYTES * written.count("\n"),
            self.answers.waited_s() + max(0.0, worked_s) / PROCESSOR,
            series=float(len({(record.fleet, record.name) for record in records if record.fleet})),
        )

    def round(self, request_id: str, *, stale: bool = False) -> Recorded:
        """One step of the shard's chain, which is due."""
        (chain,) = self.ports.ledger.chains.chains("ticks")
        step = replace(chain.step, version=chain.version - 1) if stale else chain.step
        if not stale:
            self.move_to(max(self.now, chain.due_at))
        record = {"messageId": "m", "body": message_of(step), "eventSource": "aws:sqs", "attributes": {}}
        return self.invoke("planner", {"Records": [record]}, request_id)


def _app(function: str) -> ModuleType:
    from importlib import import_module  # noqa: PLC0415 - the functions read their environment when they are imported

    return import_module(f"functions.{function}.app")


@contextlib.contextmanager
def _logging_to(app: ModuleType, lines: io.StringIO) -> Iterator[None]:
    (handler,) = app.logger.handlers
    before = handler.setStream(lines)
    try:
        yield
    finally:
        handler.setStream(before)


@contextlib.contextmanager
def _keeping(app: ModuleType, records: list[Record]) -> Iterator[None]:
    emit = app.emit

    def keep(metrics: Any, tally: Any, *scope: Any) -> None:
        records.extend(tally)
        emit(metrics, tally, *scope)

    with mock.patch.object(app, "emit", keep):
        yield


def mean(used: list[Recorded]) -> Recorded:
    """The average of several invocations."""
    total = used[0]
    for one in used[1:]:
        total = total.plus(one)
    return total.times(1.0 / len(used))


def record_rounds(fleets: int, *, busy: bool, counted: int = COUNTED, timed: int = TIMED) -> Recorded:
    """What a round over a shard of so many fleets uses."""
    with contextlib.ExitStack() as stack:
        stage = Stage(fleets, busy=busy, stack=stack)
        _settle(stage)
        used = []
        for number in range(counted):
            stage.account.pass_tick(number, stage.now)
            stage.answers.on = number < timed
            used.append(stage.round(f"round-{number}"))
        return replace(mean(used), seconds=mean(used[:timed]).seconds)


def _settle(stage: Stage) -> None:
    stage.invoke("planner", MINUTE, "minute")
    for number in range(WARM_UP):
        stage.account.pass_tick(number, stage.now)
        stage.round(f"warm-{number}")


def record_minutes() -> dict[str, Recorded]:
    """What the schedule's minute uses of each function while nothing is drained and no job runs, and a stale step."""
    with contextlib.ExitStack() as stack:
        stage = Stage(1, busy=False, stack=stack)
        _settle(stage)
        stage.answers.on = True
        minutes: dict[str, list[Recorded]] = {"planner": [], "drainer": [], "redriver": [], "stale": []}
        for number in range(10):
            stage.move_to(stage.now + 60.0)
            for name in ("planner", "drainer", "redriver"):
                minutes[name].append(stage.invoke(name, MINUTE, f"minute-{number}"))
            minutes["stale"].append(stage.round(f"stale-{number}", stale=True))
        return {name: mean(used) for name, used in minutes.items()}


def record(shard: int = SHARD) -> Recording:
    """All of it."""
    rounds = {
        load: {size: record_rounds(size, busy=load == "busy") for size in (1, shard)} for load in ("idle", "busy")
    }
    return Recording(rounds, record_minutes())


def main(write: Callable[[str], object] = RECORDED.write_text) -> None:
    """Write recorded.json."""
    write(record().to_json() + "\n")


if __name__ == "__main__":
    main()
