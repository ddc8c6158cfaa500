"""Draining: what becomes of an instance that is to leave, as one table over the state of its drain and what happened.

Theory of operation
-------------------
A drain is a record in the ledger, one for each instance. `advance` takes the record, one event, the fleet's policy
and the time; it answers what the record becomes and what to do about it. It does nothing itself. The caller

    1 writes the record, if it differs, at the version it was read at (another was first: read again, advance again);
    2 carries out the actions, in order;
    3 turns each answer into an event (`StopSent`, `HeartbeatAnswered` ...) and advances once more.

So the intent is on record before its effect, and the effect before its result. A crash after 1 leaves an intent that
the next `Tick` finds due again; a crash after 2 leaves an effect that is repeated, and every action may be: stopping a
stopped unit succeeds, a second completion finds no action to complete, a second heartbeat is a heartbeat. A heartbeat
has no intent of its own on record: the drain is the intent.

`TABLE` holds every transition there is; the moves are in `beginning`, `stop_command`, `signs_of_life`, `release` and
`retention`. An event without a row (a command's answer for a drain that is done, an event doubled, late or out of
order) changes nothing. Whether an event is about this drain is decided by what it carries:

    a command's answer     counts only for the stop that the record names, and a stop sent only for the last one asked
    a hook's answer        counts only for the hook that the record names
    a terminating event    of another token and a later time than the record's is another lifecycle action: the instance
                           was drained once, came back (a warm pool) and leaves again, so its drain begins anew
    a reading              that shows an instance in service, long after its action began, ends that action's drain:
                           what is known of it (a stop that succeeded) is not about the consumer that works there now
    a consumer's report    counts only if it was made since the lifecycle action began

An instance is held until its deadline, which each report that a consumer is draining puts off, up to the policy's
`longest_s`. Where the policy has a longest silence, it is held only until that long after the last sign that a consumer
is finishing: a stop that began on it while its agent is online, a report of a consumer, or fewer messages in flight
while nothing but drains works on them. An instance whose machine EC2 has ended needs no report. Past
its time it is released, or (`keep_failed`) kept for inspection by a group that can: the action is abandoned, and the
drain is RETAINED until an operator releases it.

Invariants, held by tests/property/test_draining_properties.py and by `python -m sluice_tools.chaos`:

    1 `CompleteHook` comes only of DONE (the consumer's stop succeeded, it reported so, its machine has ended, or there
      is nothing to finish: `sluice.draining.nothing_to_finish`) or
      EXPIRED (the deadline passed, no sign of life for the longest silence, or an operator's release).
    2 Unknown is not dead, and no sign of life: a stop that has not begun within BEGIN_WITHIN_S, is undeliverable,
      cancelled, timed out or not accepted leaves the drain where it is, to be asked again with growing pauses until
      the deadline. One that ran and failed, or found no unit to stop, is asked again FAILED_RETRIES times.
    3 Any prefix of any sequence of events can be followed by ticks and group readings alone, and ends in RELEASED, or
      in RETAINED where that is wanted.
    4 A completion or heartbeat that finds no active lifecycle action ends the drain; it is no error.
    5 No heartbeat at or after min(deadline, end of the longest silence, start of the action + 48 h, start + 100
      heartbeat timeouts).
    6 The deadline of a drain comes nearer only by Spot's two minutes or an operator's release, and is put off only by
      reports that consumers are draining, never past `longest_at`.

An action that waits although its drain is RELEASED (its event was lost and the instance had been here before, or a
reading lacked it for a moment) is found by `FoundWaiting`: a probing heartbeat tells whether our hook holds it. So is
one of an instance that is held on its way into a warm pool (`FoundPoolWaiting`): a reading does not tell whether it
comes from service, and our hook holds it, or is new, and a launch hook does.
"""

from collections.abc import Mapping

from sluice.config.fleet import DrainPolicy
from sluice.draining import beginning, nothing_to_finish, release, retention, signs_of_life, stop_command
from sluice.draining.deadlines import is_due
from sluice.draining.events import Event, EventKind, Tick
from sluice.model.draining import RELEASE_OWED, UNDER_WAY, Drain, DrainState, DrainStep
from sluice.model.transition_table import Row, Transition, table_of

type StateOrNone = DrainState | None  # None: no drain on record

_K, _S = EventKind, DrainState
_NEVER: frozenset[StateOrNone] = frozenset()  # the drain stays in its state
_NONE: frozenset[StateOrNone] = frozenset({None})
_BEGINNING: frozenset[StateOrNone] = frozenset(UNDER_WAY)  # NOTICED by command, STOPPING by itself
_UNDER_WAY: frozenset[StateOrNone] = frozenset(UNDER_WAY)
_OWED: frozenset[StateOrNone] = frozenset(RELEASE_OWED)
_STOPPING, _DONE, _EXPIRED = frozenset({_S.STOPPING}), frozenset({_S.DONE}), frozenset({_S.EXPIRED})
_RETAINED, _RELEASED = frozenset({_S.RETAINED}), frozenset({_S.RELEASED})

# In which states, on which events, which move, and where to.
_ROWS: tuple[Row[StateOrNone, EventKind], ...] = (
    # no drain yet
    (_NONE, (_K.TERMINATING, _K.FOUND_WAITING), beginning.begin, _BEGINNING),
    (_NONE, (_K.SPOT_INTERRUPTION,), beginning.begin_for_spot, _BEGINNING),
    (_NONE, (_K.FOUND_POOL_WAITING,), beginning.probe, _NEVER),
    (_NONE, (_K.PROBE_HELD,), beginning.probe_answered, _BEGINNING),
    (_NONE, (_K.OPERATOR_RELEASE,), release.release_now, _EXPIRED),
    (_NONE | _RELEASED, (_K.FOUND_RETAINED,), retention.found_retained, _RETAINED),
    # asking for the stop
    (_UNDER_WAY, (_K.STOP_SENT,), stop_command.stop_sent, _STOPPING),
    (_UNDER_WAY, (_K.STOP_NOT_ACCEPTED,), stop_command.stop_not_accepted, _NEVER),
    # waiting for the consumer
    (_STOPPING, (_K.COMMAND_SUCCEEDED,), stop_command.command_succeeded, _DONE),
    (_STOPPING, (_K.COMMAND_KILLED,), stop_command.command_killed, _DONE),
    (_STOPPING, (_K.COMMAND_PENDING,), stop_command.command_pending, _NEVER),
    (_STOPPING, (_K.COMMAND_RUNNING,), signs_of_life.command_running, _NEVER),
    (_STOPPING, (_K.COMMAND_FAILED,), stop_command.command_failed, _NEVER),
    (_STOPPING, (_K.COMMAND_MISSING,), stop_command.command_missing, _NEVER),
    (_STOPPING, (_K.COMMAND_UNKNOWN,), stop_command.command_unknown, _NEVER),
    (_UNDER_WAY, (_K.TERMINATING,), beginning.join, _BEGINNING),
    (_UNDER_WAY, (_K.FOUND_WAITING, _K.FOUND_POOL_WAITING), beginning.join, _NEVER),
    (_UNDER_WAY, (_K.CONSUMER_WORKING,), signs_of_life.consumer_working, _NEVER),
    (_UNDER_WAY, (_K.MESSAGES_IN_FLIGHT,), signs_of_life.messages_in_flight, _NEVER),
    (_UNDER_WAY, (_K.CONSUMER_DONE,), release.consumer_done, _DONE),
    (_UNDER_WAY, (_K.NOTHING_FOUND,), nothing_to_finish.found, _DONE),
    (_UNDER_WAY, (_K.MACHINE_ENDED,), release.machine_ended, _DONE),
    (_UNDER_WAY, (_K.SPOT_INTERRUPTION,), beginning.shorten_for_spot, _NEVER),
    (_UNDER_WAY, (_K.TICK,), release.wait, _NEVER),
    (_UNDER_WAY, (_K.HEARTBEAT_HELD,), release.heartbeat_answered, _NEVER),
    (_UNDER_WAY, (_K.HEARTBEAT_NOT_HELD,), release.already_over, _RELEASED),
    (_UNDER_WAY, (_K.DEADLINE,), release.expire, _EXPIRED),
    (_UNDER_WAY, (_K.OPERATOR_RELEASE,), release.release_now, _EXPIRED),
    # the release is owed
    (_OWED, (_K.TERMINATING, _K.FOUND_WAITING, _K.FOUND_POOL_WAITING), beginning.join_when_over, _BEGINNING),
    (_OWED, (_K.TICK,), release.complete_again, _RELEASED),
    (_DONE, (_K.ACTION_COMPLETED,), release.completed, _RELEASED),
    (_EXPIRED, (_K.ACTION_COMPLETED,), release.completed, _RELEASED | _RETAINED),
    (_OWED, (_K.ACTION_NOT_ACTIVE,), release.already_over, _RELEASED),
    (_OWED, (_K.OPERATOR_RELEASE,), release.release_again, _NEVER),
    # it left by itself
    (_UNDER_WAY | _OWED, (_K.INSTANCE_GONE,), release.gone, _RELEASED),
    (_UNDER_WAY | _OWED, (_K.FOUND_IN_SERVICE,), release.in_service, _RELEASED),
    # kept for inspection until an operator, or another tool, releases it
    (_UNDER_WAY | _OWED, (_K.FOUND_RETAINED,), retention.found_retained, _RETAINED),
    (_RETAINED, (_K.INSTANCE_GONE, _K.NOT_RETAINED), retention.no_longer_retained, _RELEASED),
    (_RETAINED, (_K.TERMINATION_TAKEN,), retention.terminating, _NEVER),
    (_RETAINED, (_K.OPERATOR_RELEASE,), retention.terminate, _NEVER),
    (_RETAINED, (_K.TERMINATING,), beginning.begin_again, _BEGINNING),
    # released: only another lifecycle action, or an operator, begins again
    (_RELEASED, (_K.TERMINATING,), beginning.begin_again, _BEGINNING),
    (_RELEASED, (_K.SPOT_INTERRUPTION,), beginning.begin_for_spot_again, _BEGINNING),
    (_RELEASED, (_K.FOUND_WAITING, _K.FOUND_POOL_WAITING), beginning.probe, _NEVER),
    (_RELEASED, (_K.PROBE_HELD,), beginning.probe_answered, _BEGINNING),
    (_RELEASED, (_K.OPERATOR_RELEASE,), release.release_now, _EXPIRED),
)

TABLE: Mapping[tuple[StateOrNone, EventKind], Transition[StateOrNone]] = table_of(_ROWS)


def kind_of(drain: Drain | None, event: Event, policy: DrainPolicy, now: float) -> EventKind:
    """An event's row: a tick counts as the deadline once a drain under way is due."""
    if isinstance(event, Tick) and drain is not None and is_due(drain, policy, now):
        return EventKind.DEADLINE
    return event.kind


def advance(drain: Drain | None, event: Event, policy: DrainPolicy, now: float) -> DrainStep:
    """Decide what one event makes of a drain.

    Args:
        drain: the instance's record as read from the ledger; None if there is none.
        event: what happened. Events of other instances must not be given.
        policy: how the fleet's instances are drained.
        now: epoch seconds.

    Returns:
        The record to write if it differs from `drain`, then the actions to carry out. An event that has no row in
        TABLE changes nothing.
    """
    transition = TABLE.get((drain.state if drain else None, kind_of(drain, event, policy, now)))
    return DrainStep(drain) if transition is None else transition.move(drain, event, policy, now)
