"""When messages arrived, for shadow mode: counts per period spread as ticks saw them, cut at any moments.

a period with a count        its count, in the shares that ticks saw arrive within it
without a count yet          what ticks saw
a period only partly seen    what ticks saw, and the rest of the count evenly over the unseen part
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sluice.model.planning import QueueMemory

type Arrivals = list[tuple[float, float, float]]  # (from, until, messages), contiguous, epoch seconds
type Cut = tuple[float, float, float, bool]  # (from, until, messages that ticks saw arrive, whether any tick did)


def arrivals(queue: QueueMemory, since: float, until: float) -> Arrivals:
    """What arrived in a queue between two moments, in epoch seconds."""
    history = queue.arrivals
    start_at, period_s, end_at = history.start_at, history.period_s, history.end_at
    low = since
    if history.counts and start_at <= since < end_at:
        low = start_at + period_s * ((since - start_at) // period_s)
    cuts = _cuts(queue, low, since, until)
    came: Arrivals = []
    first = 0
    while first < len(cuts):
        start = cuts[first][0]
        known = bool(history.counts) and start_at <= start < end_at
        period_end = start_at + period_s * ((start - start_at) // period_s + 1.0) if known else start
        last = first + 1
        while last < len(cuts) and (cuts[last][0] < period_end - 1e-6):
            last += 1
        count = history.counts[int((start - start_at) // period_s)] if known else None
        came += _spread(cuts[first:last], count, period_s)
        first = last
    return [entry for entry in came if entry[0] >= since and entry[1] > entry[0]]


def _cuts(queue: QueueMemory, low: float, since: float, until: float) -> list[Cut]:
    """The time between two moments, cut at each period's start and at each sample."""
    history, samples = queue.arrivals, queue.samples
    gaps = [(one.at, other.at, other.arrived) for one, other in pairwise(samples) if other.at > low and one.at < until]
    edges = {since, until, low} | {at for gap in gaps for at in gap[:2] if low < at < until}
    if history.counts:
        edge = history.start_at + history.period_s * max(0.0, (low - history.start_at) // history.period_s)
        while edge <= min(until, history.end_at):
            if edge > low:
                edges.add(edge)
            edge += history.period_s
    ends = [gap[1] for gap in gaps]
    cuts: list[Cut] = []
    for start, end in pairwise(sorted(edges)):
        place = bisect_right(ends, start)
        seen = place < len(gaps) and gaps[place][0] <= start
        raw = gaps[place][2] * (end - start) / (gaps[place][1] - gaps[place][0]) if seen else 0.0
        cuts.append((start, end, raw, seen))
    return cuts


def _spread(cuts: Sequence[Cut], count: float | None, period_s: float) -> Arrivals:
    """One period's count over its cuts, as ticks saw it arrive; evenly where no tick did, or nothing was seen.

    Of a period in which ticks began, what they saw is believed: most of the count may be of before.
    """
    if count is None:
        return [(start, end, raw) for start, end, raw, _ in cuts]
    total = sum(raw for _, _, raw, _ in cuts)
    unseen_s = sum(end - start for start, end, _, seen in cuts if not seen)
    if unseen_s <= 0.0 < total:
        share = min(1.0, (cuts[-1][1] - cuts[0][0]) / period_s)
        return [(start, end, count * share * raw / total) for start, end, raw, _ in cuts]
    if unseen_s <= 0.0 or not any(seen for *_, seen in cuts):
        return [(start, end, count * (end - start) / period_s) for start, end, _, _ in cuts]
    rest = max(0.0, count - total)
    return [(start, end, raw if seen else rest * (end - start) / unseen_s) for start, end, raw, seen in cuts]


def together(
    queues: Sequence[QueueMemory], since: float, until: float, edges: Sequence[float]
) -> Iterator[tuple[float, float, tuple[float, ...]]]:
    """What arrived in each queue between two moments, in the same pieces, cut at `edges` as well."""
    if since >= until:
        return
    came = [arrivals(queue, since, until) for queue in queues]
    cuts = sorted({*edges, *(end for each in came for _, end, _ in each)})
    for pieces in zip(*(_cut_at(each, cuts) for each in came), strict=True):
        yield pieces[0][0], pieces[0][1], tuple(messages for *_, messages in pieces)


def _cut_at(came: Arrivals, cuts: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """The same arrivals, cut at these moments as well, which ascend."""
    for start, end, messages in came:
        inner = cuts[bisect_right(cuts, start) : bisect_left(cuts, end)]
        for low, high in pairwise([start, *inner, end]):
            yield low, high, messages * (high - low) / (end - start)
