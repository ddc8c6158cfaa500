"""Records what the shipped functions call: real handlers and botocore, AWS played by moto, on a clock that is moved.

    python -m sluice_tools.costs.recording     writes recorded.json and the table of docs/operations.md (some minutes)

A shard of one fleet and one of SHARD fleets have a round each ten seconds, idle (no message, no instance) and busy
(counts that change with each tick, instances at work). After a warm-up of some minutes, calls and units are averaged
over two readings of CloudWatch's metrics. In some more ticks each call takes LATENCY_S: the seconds that Lambda bills
are the time in which a call was under way, and the processor's time, but for moto's, at the function's share of a
processor (its memory of 1,769 MB, https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
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
from sluice.model.chain import Chain, Step
from sluice.ports.stack import Ports
from sluice.telemetry import Record
from sluice_tools.costs import docs_table
from sluice_tools.costs.account import REGION, Account
from sluice_tools.costs.calls import CallCounter, SlowAnswers, Spent
from sluice_tools.costs.usage import RECORDED, Recorded, Recording, memory_mb

SHARD = 10  # fleets of the larger shard
TICK_S = 10.0
WARM_UP, COUNTED, TIMED = 24, 36, 12  # ticks
LATENCY_S = 0.02
PROCESSOR_MB = 1_769
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
        self._began, self._ticks = self.now, 0
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
            memory_limit_in_mb=memory_mb(),
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
            self.answers.waited_s() + max(0.0, worked_s) * PROCESSOR_MB / context.memory_limit_in_mb,
            invocations=1.0,
            series=float(len({(record.fleet, record.name) for record in records if record.fleet})),
        )

    def ticks(self, count: int) -> list[Recorded]:
        """Let the shard's steps come as they are due, for so many ticks; what each used."""
        used = []
        for _ in range(count):
            self._ticks += 1
            ends_at = self._began + self._ticks * TICK_S
            self.account.pass_tick(self._ticks, self.now)
            while (chain := self._chain()).due_at < ends_at:
                self.move_to(max(self.now, chain.due_at))
                used.append(self.step(chain.step))
        return used

    def step(self, step: Step) -> Recorded:
        """Invoke the planner with a step of its shard's chain."""
        record = {"messageId": "m", "body": message_of(step), "eventSource": "aws:sqs", "attributes": {}}
        return self.invoke("planner", {"Records": [record]}, f"step-{step.version}")

    def _chain(self) -> Chain:
        (chain,) = self.ports.ledger.chains.chains("ticks")
        return chain


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


def total(used: list[Recorded]) -> Recorded:
    """Several invocations together."""
    together = used[0]
    for one in used[1:]:
        together = together.plus(one)
    return together


def record_rounds(fleets: int, *, busy: bool, counted: int = COUNTED, timed: int = TIMED) -> Recorded:
    """What a tick of a shard of so many fleets uses: its round, and further steps where counts jumped."""
    with contextlib.ExitStack() as stack:
        stage = Stage(fleets, busy=busy, stack=stack)
        stage.invoke("planner", MINUTE, "minute")
        stage.ticks(WARM_UP)
        used = stage.ticks(counted)
        recorded = total(used).times(1.0 / counted)
        stage.answers.on = True
        slow = total(stage.ticks(timed)).times(1.0 / timed)
        return replace(recorded, seconds=slow.seconds, series=recorded.series / recorded.invocations)


def record_minutes() -> dict[str, Recorded]:
    """What the schedule's minute uses of each function while nothing is drained and no job runs, and a stale step."""
    with contextlib.ExitStack() as stack:
        stage = Stage(1, busy=False, stack=stack)
        stage.invoke("planner", MINUTE, "minute")
        stage.ticks(WARM_UP)
        stage.answers.on = True
        minutes: dict[str, list[Recorded]] = {"planner": [], "drainer": [], "redriver": [], "stale": []}
        for number in range(10):
            stage.move_to(stage.now + 60.0)
            for name in ("planner", "drainer", "redriver"):
                minutes[name].append(stage.invoke(name, MINUTE, f"minute-{number}"))
            minutes["stale"].append(stage.step(Step("ticks/0000", 1)))
        return {name: total(used).times(1.0 / len(used)) for name, used in minutes.items()}


def record(shard: int = SHARD) -> Recording:
    """All of it."""
    rounds = {
        load: {size: record_rounds(size, busy=load == "busy") for size in (1, shard)} for load in ("idle", "busy")
    }
    return Recording(rounds, record_minutes())


def main(write: Callable[[str], object] = RECORDED.write_text) -> None:
    """Write recorded.json, and the table of costs that follows from it."""
    write(record().to_json() + "\n")
    docs_table.write()


if __name__ == "__main__":
    main()
