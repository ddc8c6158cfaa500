"""Steps that several moves of the state machine end in: a changed record, a drain that is done or released."""

from typing import Any

from sluice.model.draining import CompleteHook, Drain, DrainOutcome, DrainState, DrainStep, HookResult
from sluice.model.frozen import replace


def changed(drain: Drain, now: float, note: str, **changes: Any) -> Drain:
    """The drain with changed fields, at a time (epoch seconds), with a sentence that says what happened."""
    return replace(drain, updated_at=now, note=note, **changes)


def without_retry(drain: Drain) -> Drain:
    """The drain with no further stop to be asked for."""
    return replace(drain, stop=replace(drain.stop, retry_at=None))


def done(drain: Drain, now: float, note: str) -> DrainStep:
    """Nothing is left to wait for: the lifecycle action is to be completed."""
    after = changed(without_retry(drain), now, note, state=DrainState.DONE)
    return DrainStep(after, (CompleteHook(after.hook),) if after.hook else ())


def released(drain: Drain, now: float, outcome: DrainOutcome, note: str) -> DrainStep:
    """The drain is over, with one outcome: expired if it was that, else interrupted if its consumer was killed."""
    outcome = drain.outcome or (DrainOutcome.INTERRUPTED if drain.stop.killed else outcome)
    return DrainStep(changed(without_retry(drain), now, note, state=DrainState.RELEASED, outcome=outcome))


def completion(drain: Drain) -> tuple[CompleteHook, ...]:
    """The completion that the drain's lifecycle action is still to get; none if no action is known."""
    if drain.hook is None:
        return ()
    return (CompleteHook(drain.hook, HookResult.ABANDON if drain.retention.requested else HookResult.CONTINUE),)
