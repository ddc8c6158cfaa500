"""`make bench`: measures speed. Each figure has a floor from the same run: unlike seconds, ratios fit any machine.

| name | measured | floor |
|---|---|---|
| planner_cold_start | CPU seconds of a fresh process with the planner and its clients | boto3 with the same clients |
| plan_one_queue_day_of_memory | one plan() with a day of minutes remembered | writing its decision as a ledger record |
| plan_alone_compiled | one plan() on the same load, learn() apart, compiled | a loop of 1,000 additions, interpreted |
| backtest_fortnight | CPU seconds of 14 days of traffic under Sluice, compiled | the same with the simplest peer |
| fleets_per_round | seconds that one process takes for a tick of 1,000 fleets, calls of 20 ms | the same calls alone |
| fleets_per_round_cpu | CPU milliseconds of that for each fleet | those of the calls alone |
| neighbour_of_silent | seconds between ticks of 99 fleets beside one whose calls are silent | beside none such |
| redrive_messages_per_s | messages a second of a redrive job on the emulator | a bare loop of receive, send, delete |
| redrive_quarantined_per_s | the same out of quarantine | a bare loop of read, send, delete |
| reaction_* | ticks from a burst's first message to the decision | the next tick |
| cost_per_fleet_month_* | dollars: cold, 4 h a day, always hot; alone, of 1,000 | a loop that counts queues |
| calls_per_tick_* | calls a fleet and tick, idle and busy | one count of its queue |

A rate should be a large share of its floor. The others should be a small multiple of theirs.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sluice.aws.ledger.forms import Form
from sluice.config.fleet import Fleet, parse
from sluice.model.decisions import Decision
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading, Series
from sluice.model.planning import ArrivalMemory, History, Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.learning.learn import estimate, learn
from sluice.planning.planner import plan, remember
from sluice_tools.bench_cost import cost_figures
from sluice_tools.bench_reaction import reactions
from sluice_tools.bench_redrive import redrive_per_s
from sluice_tools.bench_rounds import FLEETS, fleets_per_round, neighbour_of_silent
from sluice_tools.compiled.__main__ import main as build_all

ROOT = Path(__file__).parents[1]
SERVICES = ("ssm", "autoscaling", "cloudwatch", "sqs", "dynamodb")  # what a tick calls
PROCESSES = 17  # of each kind, in turns: a busy moment hits both, and the median leaves it out
PROCESS_TIMEOUT_S = 60.0
PLANS = 200  # a sample
SAMPLES = 25
FORTNIGHTS = 3  # of each policy, in turns; the least counts
TIMING = Timing()
REDRIVEN = 6_000  # dead letters, of which the redriver and the bare loop get as many each
QUARANTINED_PART = 3  # a third of them out of quarantine, which takes longer to fill than to redrive

BARE = f"""
import boto3
for service in {SERVICES!r}:
    boto3.client(service)
"""
PLANNER = f"""
import app
clients = app._ports().queue._clients
for service in {SERVICES!r}:
    getattr(clients, service)
"""

# A process of its own: this one has the planner interpreted.
FORTNIGHT = """
from sluice_tools import compiled
compiled.use()
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, generated_trace
from sluice_tools.backtest.simulator import simulate

trace = generated_trace("diurnal", 1, days=14)
conditions = Conditions(seconds_per_message=SECONDS_PER_MESSAGE["diurnal"])
print(*(simulate(trace, make(name), conditions).cpu_s for name in ("sluice", "fixed")))
"""

ALONE = """
from sluice_tools import compiled
compiled.use()
from sluice_tools.bench import plan_and_loop_us
print(*plan_and_loop_us())
"""

app = App(name="bench", help=__doc__)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `ratio` is value over floor, both in `unit`."""

    name: str
    value: float
    unit: str
    floor: float

    @property
    def ratio(self) -> float:
        """How many times the floor."""
        return self.value / self.floor


def planner_cold_start() -> Figure:
    """A cold start's own part: import and clients. Processes of both kinds take turns.

    They get what the function gets on Lambda: its environment, and byte code, which the layers carry along. Pydantic's
    plugins are off: looking for them among a development environment's hundred packages is not what Lambda does.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as cache:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'layers/core'}:{ROOT / 'functions/planner'}",
            "PYTHONPYCACHEPREFIX": cache,
            "PYDANTIC_DISABLE_PLUGINS": "__all__",
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SLUICE_STACK": "sluice",
            "SLUICE_TABLE": "ledger",
            "SLUICE_BUCKET": "archive",
            "SLUICE_FLEETS_PATH": "/sluice/sluice/fleets/",
            "POWERTOOLS_SERVICE_NAME": "sluice-planner",
            "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
        }
        for script in (BARE, PLANNER):
            _cpu_s(script, environ)  # compiles
        turns = [(_cpu_s(BARE, environ), _cpu_s(PLANNER, environ)) for _ in _tracked(PROCESSES, "cold starts")]
    bare, planner = zip(*turns, strict=True)
    return Figure("planner_cold_start", statistics.median(planner), "s", statistics.median(bare))


def _cpu_s(script: str, environ: Mapping[str, str]) -> float:
    """CPU seconds of a script in a fresh process: on a busy machine the clock on the wall would measure the others."""
    before = os.times()
    subprocess.run([sys.executable, "-c", script], env=environ, check=True, timeout=PROCESS_TIMEOUT_S)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def plan_one_queue_day_of_memory() -> Figure:
    """One decision on a busy fleet: launches under way, a backlog of several minutes, a day of arrivals."""
    snapshot, memory, fleet = _busy_day()

    def decide() -> Decision:
        estimates = estimate(memory, fleet, TIMING, snapshot.at)
        return plan(snapshot, fleet, estimates, memory, timing=TIMING, now=snapshot.at)

    decision, record = decide(), Form(Decision, "the decision")
    value = _best_us(decide, "decisions")
    floor = _best_us(lambda: record.to_text(decision), "records")
    return Figure("plan_one_queue_day_of_memory", value, "us", floor)


def plan_alone_compiled() -> Figure:
    """One decision on the same load as backtests make it: compiled, with the estimates given."""
    build_all()
    value, floor = _printed(ALONE)
    return Figure("plan_alone_compiled", value, "us", floor)


def plan_and_loop_us() -> tuple[float, float]:
    """Microseconds of one plan(), and of a loop of 1,000 additions that tells how fast the machine is now."""
    snapshot, memory, fleet = _busy_day()
    estimates = estimate(memory, fleet, TIMING, snapshot.at)

    def loop() -> float:
        total = 0.0
        for number in range(1000):
            total += number
        return total

    alone = _best_us(lambda: plan(snapshot, fleet, estimates, memory, timing=TIMING, now=snapshot.at), "decisions")
    return alone, _best_us(loop, "additions")


def _busy_day() -> tuple[Snapshot, Memory, Fleet]:
    """The last of seven minutes of ticks every ten seconds, after a day of arrivals about 75 a minute."""
    fleet = parse(
        "bench",
        {
            "queue": "https://sqs.eu-central-1.amazonaws.com/123456789012/bench",
            "group": "bench",
            "target_wait_s": 120,
            "hints": {"seconds_per_message": 4},
        },
    )
    now = 1_795_510_800.0
    rng = random.Random(11)  # noqa: S311 - a load that is the same in every run
    counts = tuple(float(rng.randrange(60, 90)) for _ in range(1440))
    end_at = now - 120.0
    recent = tuple((end_at - 60.0 * (15 - i), n) for i, n in enumerate(counts[-15:]))
    memory = Memory(arrivals=ArrivalMemory(History(60.0, end_at - 1440 * 60.0, counts)))
    for tick in range(42):
        at = now - 10.0 * (41 - tick)
        snapshot = Snapshot(
            "bench",
            at,
            QueueReading(
                Reading(200.0 + tick, at),
                Reading(6.0, at),
                Reading(0.0, at),
                Reading(70.0, at - 60.0),
                Series(60.0, recent),
                Series(60.0, recent),
            ),
            GroupReading(
                "bench",
                at,
                desired=9,
                min_size=0,
                max_size=20,
                instances=tuple(
                    Instance(f"i-{i}", Lifecycle.IN_SERVICE if i < 6 else Lifecycle.LAUNCHING) for i in range(9)
                ),
            ),
        )
        memory, estimates = learn(memory, snapshot, fleet, timing=TIMING, now=at)
        decision = plan(snapshot, fleet, estimates, memory, timing=TIMING, now=at)
        memory = remember(memory, decision, TIMING)
    return snapshot, memory, fleet


def _best_us(call: Callable[[], object], what: str) -> float:
    """Microseconds a call, in the best of many samples: what it takes when nothing else is in the way."""
    best = float("inf")
    for _ in _tracked(SAMPLES, what):
        began = time.perf_counter()
        for _ in range(PLANS):
            call()
        best = min(best, (time.perf_counter() - began) / PLANS)
    return best * 1e6


def _tracked(count: int, what: str) -> Iterable[int]:
    return track(range(count), description=what, console=Console(stderr=True), transient=True)


def backtest_fortnight() -> Figure:
    """14 days of one-minute arrivals, 120,960 ticks, by what is deployed; beside what queue and group alone take."""
    build_all()
    times = [_printed(FORTNIGHT) for _ in _tracked(FORTNIGHTS, "fortnights")]
    value, floor = (min(seconds) for seconds in zip(*times, strict=True))
    return Figure("backtest_fortnight", value, "s", floor)


def _printed(script: str) -> list[float]:
    """The numbers that a script prints."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S)
    return [float(word) for word in done.stdout.split()]


def rounds_of_fleets() -> tuple[Figure, ...]:
    """A tick of each of 1,000 fleets, one shard after another; and what one silent fleet costs its neighbours."""
    value, floor = fleets_per_round()
    beside_s, alone_s = neighbour_of_silent()
    return (
        Figure("fleets_per_round", value.seconds, "s", floor.seconds),
        Figure("fleets_per_round_cpu", 1_000 * value.cpu_s / FLEETS, "ms", 1_000 * floor.cpu_s / FLEETS),
        Figure("neighbour_of_silent", beside_s, "s", alone_s),
    )


def redrive_messages_per_s(count: int) -> Figure:
    """A whole redrive out of a dead-letter queue, canary, claims and all, against a loop that has none of it."""
    value, floor = redrive_per_s(count)
    return Figure("redrive_messages_per_s", value, "1/s", floor)


def redrive_quarantined_per_s(count: int) -> Figure:
    """The same out of quarantine, with index, counts, claims and archive."""
    value, floor = redrive_per_s(count, quarantined=True)
    return Figure("redrive_quarantined_per_s", value, "1/s", floor)


def reaction() -> Iterable[Figure]:
    """How soon a burst is decided on, in ticks, beside a planner that decides at its next tick."""
    for load, found in reactions().items():
        for share in (50, 99):
            value, floor = found.of(share / 100)
            yield Figure(f"reaction_{load}_p{share}", value, "ticks", floor)


@app.default
def bench(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    messages: Annotated[int, Parameter(validator=validators.Number(gte=100))] = REDRIVEN,
) -> None:
    """Measure everything, and print a table.

    Args:
        as_json: end with one JSON list of {name, value, unit, floor, ratio} on the last line.
        messages: how many are redriven.
    """
    figures = [
        planner_cold_start(),
        plan_one_queue_day_of_memory(),
        plan_alone_compiled(),
        backtest_fortnight(),
        *rounds_of_fleets(),
        redrive_messages_per_s(messages),
        redrive_quarantined_per_s(messages // QUARANTINED_PART),
        *reaction(),
        *(Figure(*each) for each in cost_figures()),
    ]
    table = Table("figure", "value", "floor", "times the floor", title="Speed", title_justify="left")
    for figure in figures:
        table.add_row(
            figure.name, f"{figure.value:.3g} {figure.unit}", f"{figure.floor:.3g} {figure.unit}", f"{figure.ratio:.2f}"
        )
    Console().print(table)
    if as_json:
        print(json.dumps([asdict(figure) | {"ratio": round(figure.ratio, 3)} for figure in figures]))


if __name__ == "__main__":
    app()
