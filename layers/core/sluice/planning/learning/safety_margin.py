"""The safety margin: the share of the target wait that a fleet reserves because it was late before.

Theory of operation
-------------------
Plans keep a share of the target wait as a margin for what is coarse. How coarse a fleet is differs: launches vary,
consumers take time to receive their first message, counts lag. So where a message has waited longer than the target and
nothing kept the plan from being followed, the margin grows by as much as the message was late, up to a quarter of the
target wait (`CLEAR`); it halves in a day.

A late message counts against the plan if, since a moment when a launch would have been in time for all that waited,
    - decisions on fresh figures wanted all that was needed, and were applied (`noted`);
    - rate and lead time were measured, and a launch could wait for its message (`launch_cost.patience_s`);
    - the message arrived after that moment;
    - the age of the oldest message, once its metric is there, does not contradict it (`judged`);
    - the units at work all along completed what they should: in an outage, a crash or a change of what messages are
      they do not, and the service rate learns from that instead.
A stretch of lateness counts once: the next message to count arrives after it is over. A fleet that is never late has no
margin beyond the usual guard.
"""

from collections.abc import Mapping

from sluice.model.decisions import Decision, Figure, ReasonCode
from sluice.model.frozen import replace
from sluice.model.observed import Mode, QueueReading
from sluice.model.planning import Estimate, QueueSample, SafetyMargin
from sluice.model.timing import Timing
from sluice.planning.launch_cost import patience_s
from sluice.planning.learning.forecasting import DAY_S
from sluice.planning.learning.significance import CLEAR, RECENT, TWICE

STEP_LEAST = 0.02  # of the target wait: a smaller step would fade before it helped
STEP_MOST = 0.1  # of the target wait: one stretch of lateness may be an exception
MARGIN_NONE = 0.005  # of the target wait: less changes no decision

# After a decision with one of these reasons lateness is no evidence about the plan.
NO_EVIDENCE = frozenset(
    {
        ReasonCode.STALE,
        ReasonCode.NOTHING_RECEIVED,
        ReasonCode.COLD_START,
        ReasonCode.LAUNCH_HANGS,
        ReasonCode.LAUNCH_FAILED,
        ReasonCode.SHORT_LIVED,
        ReasonCode.SUSPENDED,
        ReasonCode.OTHER_CONTROLLER,
    }
)


def noted(margin: SafetyMargin, decision: Decision, timing: Timing) -> SafetyMargin:
    """The margin's memory after a decision: since when plans were followed, and whether a message is late by them.

    Args:
        margin: as the decision knew it.
        decision: with its figures.
        timing: waits are estimated to about a tick.
    """
    figures = {figure.name: figure for figure in decision.figures}
    waited, target_s = figures["oldest_wait_s"].value or 0.0, figures["target_wait_s"].value or 0.0
    spare_s = (figures["planned_wait_s"].value or 0.0) - (figures["lead_time_s"].value or 0.0)
    since = margin.held_since
    if since is None and waited <= spare_s:
        since = decision.at  # a launch would be in time for all that waits
    if spare_s < patience_s(timing) or not _is_followed(decision, figures):
        since = None
    late = margin.late
    if late is None and since is not None and waited > target_s + timing.tick_s and since <= decision.at - waited:
        late = (decision.at, waited / target_s - 1.0)
    if since == margin.held_since and late is margin.late:
        return margin
    return SafetyMargin(margin.share, since, late)


def _is_followed(decision: Decision, figures: Mapping[str, Figure]) -> bool:
    """Whether a decision is applied, wants all that is needed, and rests on measured figures."""
    return (
        decision.mode is Mode.ACT
        and decision.want >= decision.raw_need
        and not any(reason.code in NO_EVIDENCE for reason in decision.reasons)
        and figures["service_rate_per_s"].source == figures["lead_time_s"].source == "measured"
    )


def judged(
    margin: SafetyMargin,
    rate: Estimate | None,
    samples: tuple[QueueSample, ...],
    queue: QueueReading,
    *,
    target_wait_s: float,
    timing: Timing,
    learned_at: float,
    at: float,
) -> SafetyMargin:
    """The margin once it is known whether a late message was the plan's fault; and what fades of it.

    Args:
        margin: as it was.
        rate: the service rate, as known before this tick.
        samples: of the last ticks, this one's included.
        queue: as read now, with the age of its oldest message.
        target_wait_s: the fleet's target.
        timing: when a period's metrics are there.
        learned_at: epoch seconds of the tick before.
        at: epoch seconds of the snapshot.
    """
    share = margin.share
    if share > 0.0:
        share *= 0.5 ** (max(0.0, at - learned_at) / DAY_S)
        share = share if share > MARGIN_NONE else 0.0
        margin = replace(margin, share=share)
    if margin.late is None:
        return margin
    late_at, by = margin.late
    oldest = queue.oldest_age
    if (
        oldest is not None
        and 0.0 <= late_at - oldest.at <= timing.metric_period_s
        and oldest.value + late_at - oldest.at <= target_wait_s
    ):
        return replace(margin, late=None)  # what was the oldest shortly before cannot have been late
    if at - late_at < timing.settled_s:
        return margin
    if _worked(rate, samples, queue, late_at, timing=timing):
        share = min(CLEAR, share + min(max(by, STEP_LEAST), STEP_MOST))
    return SafetyMargin(share)


def _worked(
    rate: Estimate | None, samples: tuple[QueueSample, ...], queue: QueueReading, until: float, *, timing: Timing
) -> bool:
    """Whether the units at work all along completed what they should before a message was late.

    Units launched meanwhile are left out: that they were slow to begin is what the margin is for.
    """
    deleted = queue.deleted
    if rate is None or deleted is None or not samples:
        return False
    since = until - RECENT * timing.metric_period_s
    units = min((sample.working for sample in samples if since <= sample.at <= until), default=0.0)
    done = [count for start_at, count in deleted.since(since) if start_at < until]
    return sum(done) >= max(1.0, rate.mean * units * deleted.period_s * len(done) / TWICE)
