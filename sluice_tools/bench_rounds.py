"""Rounds of the planner over 1,000 fleets: real service, real clients, and a stub of AWS (`sluice_tools.bench_stub`).

The floor of a round are its own calls, made again by the same clients and nothing else: what is above it is Sluice. One
round in eighteen reads metrics; both kinds are measured, and count so often.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import batched, pairwise
from pathlib import Path
from statistics import quantiles
from threading import Lock
from typing import Any
from unittest.mock import patch

from aws_lambda_powertools import Logger
from botocore.client import BaseClient

from sluice.aws import Clients, connect
from sluice.aws.document_copy import DocumentCopy
from sluice.aws.parameters import StoredDocument
from sluice.aws.queue import READS_AT_ONCE
from sluice.aws.table import Table
from sluice.model.chain import Chain
from sluice.model.frozen import replace
from sluice.model.timing import Timing
from sluice.planning.service import Invocation, PlannerService, Warmth
from sluice.planning.shards import SHARD_MAX, Assignment, Shard, shard_id
from sluice.ports.stack import Ports

ROOT = Path(__file__).parents[1]
FLEETS = 1_000
LATENCY_MS = 20.0
WARMING = 3  # rounds before the measured ones: samples, memories and what botocore makes once
TIMING = Timing()
BETWEEN_READINGS = round(TIMING.metric_read_s / TIMING.tick_s)  # rounds for each that reads metrics
NEIGHBOURS = 100
GAPS = 6  # rounds whose gaps are compared
SILENT = "fleet-0002"
MAKES_CALLS = "_make_api_call"  # what each method of botocore's clients calls; it has no hook that sees threads


# The client's own method, the operation, and what it is called with.
type Call = tuple[Callable[[str, Mapping[str, Any]], Any], str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a round over all fleets took."""

    seconds: float
    cpu_s: float

    def __add__(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(self.seconds + other.seconds, self.cpu_s + other.cpu_s)

    def times(self, factor: float) -> "Cost":
        """So many of it."""
        return Cost(self.seconds * factor, self.cpu_s * factor)


@dataclass(slots=True)
class Calls:
    """The calls of a round, in their order: single ones, and runs of queues' counts, which are made together."""

    made: list[Call] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, call: Call) -> None:
        """Note a call."""
        with self._lock:
            self.made.append(call)

    def again(self) -> None:
        """Make all of them once more, and do nothing with the answers."""
        together: list[Call] = []
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:

            def flush() -> None:
                list(pool.map(lambda call: call[0](*call[1:]), together))
                together.clear()

            for call, operation, arguments in self.made:
                if operation == "GetQueueAttributes":
                    together.append((call, operation, arguments))
                    continue
                flush()
                call(operation, arguments)
            flush()


class Clock:
    """Real time, from which the pauses between rounds are left out."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return time.time() + self._skipped

    def skip_to(self, at: float) -> None:
        """Let it be that time, if it is still to come."""
        self._skipped += max(0.0, at - self())


class Rounds:
    """A stack's shards, stepped in turn by one process."""

    def __init__(self, ports: Ports) -> None:
        self.clock = Clock()
        self._ports, self._warm = ports, Warmth()
        self._log = Logger(service="bench", stream=io.StringIO())  # what a line costs is a part of a tick
        now = self.clock()
        names = [fleet.name for fleet in ports.fleets.load().fleets]
        self.chains = [
            Chain(shard_id(number), 1, now, data=Shard(now).to_text(), assignment=Assignment(tuple(some)).to_text())
            for number, some in enumerate(batched(names, SHARD_MAX, strict=False))
        ]
        self.ticked: dict[str, list[float]] = {}  # when each fleet was looked at

    def round(self) -> None:
        """One step of each shard, each not before it is due."""
        for place, chain in enumerate(self.chains):
            self.clock.skip_to(chain.due_at)
            invocation = Invocation("bench", self.clock() + 30.0, "bench")
            service = PlannerService(self._ports, self.clock, TIMING, invocation, self._log, self._warm)
            began_at = self.clock()
            following = service.step(replace(chain, version=chain.version + 1))
            assert following is not None  # it has fleets
            for name in Assignment.of(chain).fleets:
                self.ticked.setdefault(name, []).append(began_at)
            self.chains[place] = replace(chain, version=chain.version + 2, due_at=following.due_at, data=following.data)

    def skip_to_reading(self) -> None:
        """Go on to where every shard's metrics are due, right after the border between two periods."""
        period_s = TIMING.metric_period_s
        at = (self.clock() + TIMING.metric_read_s + period_s) // period_s * period_s + 1.0
        self.chains = [replace(chain, due_at=at) for chain in self.chains]


@contextmanager
def _stack(count: int, silent: Sequence[str] = ()) -> Iterator[Rounds]:
    """A stack of so many fleets over a stub of its own, after some rounds."""
    command = [sys.executable, "-m", "sluice_tools.bench_stub", "--latency-ms", f"{LATENCY_MS:g}"]
    command += [word for name in silent for word in ("--silent", name)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as stub:
        try:
            assert stub.stdout is not None
            yield Rounds(_ports(f"http://127.0.0.1:{int(stub.stdout.readline())}", count))
        finally:
            stub.terminate()


def _ports(endpoint: str, count: int) -> Ports:
    """The ports on AWS over the stub, with the copy of so many documents in its ledger."""
    environ = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "SLUICE_STACK": "bench",
        "SLUICE_TABLE": "ledger",
        "SLUICE_BUCKET": "archive",
        "SLUICE_FLEETS_PATH": "/sluice/bench/fleets/",
        "SLUICE_WORK_QUEUE": f"{endpoint}/000000000000/work",
    }
    names = [f"fleet-{number:04d}" for number in range(count)]
    texts = {
        name: json.dumps({"queue": f"{endpoint}/000000000000/{name}", "group": name, "target_wait_s": 120})
        for name in names
    }
    copy, now = DocumentCopy(Table(Clients(environ), environ["SLUICE_TABLE"])), time.time()
    copy.change({name: StoredDocument(text, 1, now) for name, text in texts.items()}, (), now)
    copy.note_check(now)
    return connect(environ)


def fleets_per_round() -> tuple[Cost, Cost]:
    """A round over 1,000 fleets by one process, on average; and its bare calls."""
    with _stack(FLEETS) as rounds:
        for _ in range(WARMING):
            rounds.round()
        rounds.skip_to_reading()
        reading, bare_reading = _measured(rounds.round)
        plain, bare_plain = _measured(rounds.round)
    often = BETWEEN_READINGS - 1
    return (
        (reading + plain.times(often)).times(1 / BETWEEN_READINGS),
        (bare_reading + bare_plain.times(often)).times(1 / BETWEEN_READINGS),
    )


def _measured(work: Callable[[], None]) -> tuple[Cost, Cost]:
    """What some work took, and what its calls take when they are made again."""
    calls, real = Calls(), getattr(BaseClient, MAKES_CALLS)

    def noted(self: BaseClient, operation: str, arguments: Mapping[str, Any]) -> Any:
        calls.note((partial(real, self), operation, arguments))
        return real(self, operation, arguments)

    with patch.object(BaseClient, MAKES_CALLS, noted):
        cost = _timed(work)
    return cost, _timed(calls.again)


def _timed(work: Callable[[], None]) -> Cost:
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - began, time.process_time() - cpu_began)


def neighbour_of_silent() -> tuple[float, float]:
    """Seconds between ticks (99th percentile of 99 fleets) beside a fleet whose calls are silent, and beside none."""
    with _stack(NEIGHBOURS, silent=[SILENT]) as beside, _stack(NEIGHBOURS) as alone:
        return _gap_s(beside), _gap_s(alone)


def _gap_s(rounds: Rounds) -> float:
    for _ in range(GAPS):
        rounds.round()
    gaps = [
        after - before
        for name, ticked in rounds.ticked.items()
        if name != SILENT
        for before, after in pairwise(ticked[1:])  # the first round makes clients
    ]
    return quantiles(gaps, n=100)[98]
