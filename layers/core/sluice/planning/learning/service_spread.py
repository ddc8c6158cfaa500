"""The spread of service times: how far the number of messages completed is from its mean.

Units that are busy all along complete n messages on average, with a variance of about c n, where c is the squared
coefficient of variation of how long a message takes. So each period in which messages waited throughout shows

    c = (completed - n)^2 / n

and the mean of the last hour's is believed, but never less than `SPREAD`: what is chance beside the times of messages
shows in few minutes, too. A message that takes hundreds of times as long as others is seldom in an
hour, and counts once it was. Few periods show little: `SPREAD` counts as `RECENT` of them.
"""

from sluice.model.planning import Estimate
from sluice.planning.learning.significance import FEW, RECENT, REMEMBERED_S, TWICE
from sluice.planning.supply import SPREAD


def learn_spread(
    spread: Estimate | None, count: float, expected: tuple[float, float], at: float, period_s: float
) -> Estimate | None:
    """What is known of the spread with one more period; a count beyond a step of what was expected counts as that step.

    Args:
        spread: what was known before.
        count: messages that were completed in the period.
        expected: how many it should have been, at least and at most. Further apart than chance has it, they show
            nothing: what units that came or left completed is no chance.
        at: the period's end, epoch seconds.
        period_s: its length in seconds.
    """
    fewest, most = expected
    if (most - fewest) ** 2 > most:
        return spread
    if spread is None:
        spread = Estimate(SPREAD, float(RECENT), at)
    count = min(max(count, fewest / TWICE - FEW), most * TWICE + FEW)
    off = count - min(max(count, fewest), most)
    weight = min(spread.weight, REMEMBERED_S / period_s)
    return Estimate(spread.mean + (off * off / most - spread.mean) / (weight + 1.0), weight + 1.0, at)
