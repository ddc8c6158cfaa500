"""What a fleet costs a month, and how many calls a tick makes, computed from calls that are recorded in the same run.

The floor of the cost is a bare loop of the same cadence: a delayed message, an invocation of 20 ms, and one reading of
each queue's counts, with nothing read or kept besides. The floor of the calls is that one reading.
"""

from collections.abc import Iterator

from sluice_tools.costs import prices
from sluice_tools.costs.bill import bill, total
from sluice_tools.costs.docs_table import MIX_HOURS
from sluice_tools.costs.recording import record
from sluice_tools.costs.usage import Recorded, Recording, Stack

COLD, FOUR_HOURS, HOT = 0.0, 4.0, 24.0  # hours of a day with messages
ALONE, MANY = 1, 1_000
BARE_S = 0.02


def cost_figures(recording: Recording | None = None) -> Iterator[tuple[str, float, str, float]]:
    """Name, value, unit and floor of each figure.

    Args:
        recording: what was recorded; None: it is recorded now.
    """
    recording = recording or record()
    for name, hours in (("cold", COLD), ("4h", FOUR_HOURS), ("hot", HOT)):
        yield _cost(f"cost_per_fleet_month_{name}_alone", Stack(ALONE, hours), recording)
        yield _cost(f"cost_per_fleet_month_{name}_of_1000", Stack(MANY, hours), recording)
    yield _cost("cost_per_fleet_month_mix_of_1000", Stack(MANY, MIX_HOURS), recording)
    for load, sizes in recording.rounds.items():
        size = max(sizes)
        calls = sum(sizes[size].calls.values()) / size
        yield f"calls_per_tick_{load}", calls, "", sizes[size].calls["sqs.GetQueueAttributes"] / size


def _cost(name: str, stack: Stack, recording: Recording) -> tuple[str, float, str, float]:
    table = prices.load()
    dollars, floor = (total(bill(stack, each, table)) / stack.fleets for each in (recording, bare(recording)))
    return name, dollars, "$", floor


def bare(recording: Recording) -> Recording:
    """The same cadence with nothing but the counts."""
    rounds = {
        size: Recorded({"sqs.SendMessage": 1.0, "sqs.GetQueueAttributes": float(size)}, seconds=BARE_S, invocations=1.0)
        for size in recording.rounds["idle"]
    }
    return Recording(dict.fromkeys(recording.rounds, rounds), {"stale": Recorded()})
