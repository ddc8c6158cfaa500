"""What was late is learned from: a fleet that was late though its plan held keeps more of its target wait back.

Theory of operation
-------------------
Plans keep a share of the target wait back for what is coarse. How coarse a fleet is, is its own: launches that vary,
consumers that are slow to take their first message, counts that lag. So where a message has waited longer than the
target and nothing was in the way of the plan, the share grows by as much as it was late, and fades by half in a day.

It was the plan's fault if, from a moment on when a launch would have been in time for all that waited,
    - all that was needed was wanted, by decisions on fresh figures, that were acted on (`noted`);
    - rate and lead time were measured, and the lead time left time for a launch after a message had come;
    - the message came after that moment;
    - the age of the oldest, once its metric is there, does not say otherwise (`settled`);
    - the units at work all along completed what they should: in an outage, a crash or a change of what messages are,
      they do not, and the rate learns of it instead.
One lesson is learned of one spell of lateness: the next message to judge by comes after it is over. A fleet that is
never late plans as if there were nothing of this.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sluice.model.observed import Mode, QueueReading
from sluice.model.planning import Decision, Figure, Memory, ReasonCode, Sighting

LATE_SLACK_S = 10.0  # waits are estimated by ticks: about one is no lateness
LESSON_LEAST = 0.02  # of the target wait, kept back for one lesson
LESSON_MOST = 0.1
KEPT_BACK_MOST = 0.25  # of the target wait, in all
KEPT_BACK_NONE = 0.005  # so little is none
HALF_LIFE_S = 86_400.0  # a day in which the promise was kept halves it
METRIC_S = 60.0  # SQS's metrics are of so long
SETTLED_S = 240.0  # after a period's end its metrics are there, nearly always, and sightings reach back to it
WORKED_S = 180.0  # before it was late, for which units' completions are looked at
WORKED_SHARE = 0.6  # of what such units should complete: with less something else was wrong

UNTAUGHT = frozenset({ReasonCode.STALE, ReasonCode.UNPROVEN, ReasonCode.LAUNCH_FAILED, ReasonCode.SUSPENDED})
NOTHING = {"held_since": None, "late": None, "kept_back": 0.0}  # of the memory, where nothing can be learned


def noted(memory: Memory, decision: Decision, patience_s: Callable[[float], float]) -> dict[str, Any]:
    """What of the memory changes with a decision: since when plans held, and whether a message is late by them.

    Args:
        memory: as the decision knew it.
        decision: with its figures.
        patience_s: for how long a launch must be able to wait for its message, by the target wait.
    """
    figures = {figure.name: figure for figure in decision.figures}
    waited, target_s = figures["oldest_wait_s"].value or 0.0, figures["target_wait_s"].value or 0.0
    spare_s = (figures["planned_wait_s"].value or 0.0) - (figures["lead_time_s"].value or 0.0)
    since = memory.held_since
    if since is None and waited <= spare_s:
        since = decision.at  # a launch would be in time for all that waits
    if spare_s < patience_s(target_s) or not _held(decision, figures):
        since = None
    late = memory.late
    if late is None and since is not None and waited > target_s + LATE_SLACK_S and since <= decision.at - waited:
        late = (decision.at, waited / target_s - 1.0)
    return {"held_since": since, "late": late}


def _held(decision: Decision, figures: Mapping[str, Figure]) -> bool:
    """Whether a decision gave what was needed, and knew what it was about."""
    return (
        decision.mode is Mode.ACT
        and decision.want >= decision.raw_need
        and not any(reason.code in UNTAUGHT for reason in decision.reasons)
        and figures["service_rate_per_s"].source == figures["lead_time_s"].source == "measured"
    )


def settled(
    memory: Memory, sightings: tuple[Sighting, ...], queue: QueueReading, target_wait_s: float, at: float
) -> dict[str, object]:
    """What of the memory changes once it is known whether a late message was the plan's fault; and what fades."""
    changed: dict[str, object] = {}
    kept_back = memory.kept_back
    if kept_back > 0.0:
        kept_back *= 0.5 ** (max(0.0, at - memory.learned_at) / HALF_LIFE_S)
        kept_back = kept_back if kept_back > KEPT_BACK_NONE else 0.0
        changed["kept_back"] = kept_back
    if memory.late is None:
        return changed
    late_at, by = memory.late
    oldest = queue.oldest_age
    if (
        oldest is not None
        and 0.0 <= late_at - oldest.at <= METRIC_S
        and oldest.value + late_at - oldest.at <= target_wait_s
    ):
        return changed | {"late": None}  # what was the oldest shortly before cannot have been late
    if at - late_at < SETTLED_S:
        return changed
    if _worked(memory, sightings, queue, late_at):
        lesson = min(max(by, LESSON_LEAST), LESSON_MOST)
        changed["kept_back"] = min(KEPT_BACK_MOST, kept_back + lesson)
    return changed | {"late": None, "held_since": None}


def _worked(memory: Memory, sightings: tuple[Sighting, ...], queue: QueueReading, until: float) -> bool:
    """Whether those who were at work all along completed what they should, before it was late.

    Others may have come up in the meantime, and that they were slow to begin is a lesson.
    """
    rate, deleted = memory.service_rate, queue.deleted
    if rate is None or deleted is None or not sightings:
        return False
    since = until - WORKED_S
    units = min((seen.working for seen in sightings if since <= seen.at <= until), default=0.0)
    done = [count for start_at, count in deleted.since(since) if start_at < until]
    return sum(done) >= max(1.0, WORKED_SHARE * rate.mean * units * deleted.period_s * len(done))
