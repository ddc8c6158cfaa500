"""How often a fleet is ticked, by the stack, and how late its metrics are, by CloudWatch: an argument of the core.

Every length of time in the planner that means a tick, a metric's period or its delay is worked out from here, so that
any `TickSeconds` the template allows (1 to 60) keeps enough samples for the metrics to be matched with, and asks no
more of a launch than a tick can notice.
"""

from math import ceil

from sluice.model.frozen import dataclass

# A fleet's metrics are read each third period, since CloudWatch bills each metric that is read, and a decision hardly
# ever waits for one: over five traces the cost rises from 1.134 to 1.136 of the least possible, and nothing is later.
READ_PERIODS = 3
SPARE_SAMPLES = 22  # an alarm, an operator or a count that jumped asks for ticks between the regular ones


@dataclass(frozen=True, slots=True)
class Timing:
    """Cadence of a stack, in seconds. The defaults are the template's and CloudWatch's for SQS.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """

    tick_s: float = 10.0  # between two ticks of a fleet
    metric_period_s: float = 60.0  # that one datapoint of a metric covers
    metric_delay_s: float = 120.0  # from a period's end until its datapoint can be read, nearly always
    kept_s: float = 60.0  # between two writes of a fleet's memory while nothing happens, and so the most that is lost

    @property
    def metric_read_s(self) -> float:
        """Seconds between two readings of a fleet's metrics."""
        return READ_PERIODS * self.metric_period_s

    @property
    def unread_s(self) -> float:
        """How long a period's datapoint may be there until it is read, in seconds."""
        return self.metric_read_s - self.metric_period_s

    @property
    def sample_window_s(self) -> float:
        """How long a tick's sample is kept, in seconds.

        A period's datapoint is matched with the samples of that period and of one on each side, and comes up to twice
        the usual delay late, and is then read.
        """
        return 2.0 * self.metric_delay_s + self.unread_s + 3.0 * self.metric_period_s

    @property
    def sample_count(self) -> int:
        """How many samples are kept at most: those of the window, and spare ones. A bound on the ledger's record."""
        return ceil(self.sample_window_s / self.tick_s) + SPARE_SAMPLES

    @property
    def settled_s(self) -> float:
        """So long after a period's end its datapoint is taken to have been read, in seconds."""
        return 2.0 * self.metric_delay_s + self.unread_s

    @property
    def blind_s(self) -> float:
        """Seconds between two ticks from which on what came and went in between is unknown: one was missed."""
        return 2.0 * max(self.tick_s, self.kept_s)
