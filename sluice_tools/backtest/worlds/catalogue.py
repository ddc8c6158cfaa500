"""The worlds, by name. Each lasts hours and has one thing that is not as a count suggests; compose others alike."""

from collections.abc import Mapping

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.worlds.behaviours import Behaviour, Consumers, GroupFaults, SignalFaults, Span
from sluice_tools.backtest.worlds.traffic import (
    at_first,
    daily_batch,
    growing_plateaus,
    heavy_tailed_batches,
    on_and_off,
    pulses,
    self_similar,
    steady,
)
from sluice_tools.backtest.worlds.world import World

HOUR_S = 3600.0
MOST = 100  # instances that the group may have

# --------------------------------------------------------------------------- worlds


def _of(
    seconds_per_message: float,
    target_wait_s: float = 120.0,
    boot_s: float = 60.0,
    **others: float | tuple[float, float],
) -> Conditions:
    return Conditions(
        seconds_per_message=seconds_per_message,
        target_wait_s=target_wait_s,
        boot_s=boot_s,
        **{"max_size": MOST, **others},  # type: ignore[arg-type]  # fields by name
    )


def _consumers() -> list[World]:
    """Consumers and messages of which a count tells less than it seems to."""
    return [
        World(
            "fifo-two-groups",
            "A FIFO queue with two message groups: at most two messages are in flight at once.",
            at_first(4, 30, 72.0),
            _of(10.0),
            Behaviour(Consumers(message_groups=2)),
            late_why="two message groups let two messages be worked on at once, and 72 a minute come",
        ),
        World(
            "capped-downstream",
            "A database takes 4 messages a second, however many consumers there are.",
            at_first(4, 120, 480.0),
            _of(1.0),
            Behaviour(Consumers(most_per_s=4.0)),
            late_why="8 messages a second come for two hours, and the database takes 4",
        ),
        World(
            "capped-downstream-long",
            "The same with messages of a minute: the database takes 8 a minute.",
            at_first(6, 120, 15.0),
            _of(60.0),
            Behaviour(Consumers(most_per_s=8.0 / 60.0)),
            late_why="15 messages a minute come for two hours, and the database takes 8",
        ),
        World(
            "dead-consumers",
            "A sixth of the messages kill their consumer, and stay in flight for a visibility timeout of 12 hours.",
            at_first(6, 1, 60.0),
            _of(20.0),
            Behaviour(Consumers(dying_share=1 / 6, visibility_s=12 * HOUR_S)),
            spare_hours=6.0,
            spare_why="one unit for messages that are in flight without a consumer",
        ),
        World(
            "back-off",
            "Half of the messages fail at first, and are hidden for an hour by their visibility timeout.",
            at_first(6, 10, 36.0),
            _of(10.0),
            Behaviour(Consumers(backoff_share=0.5, backoff_s=HOUR_S)),
            spare_hours=2.0,
            spare_why="one unit for messages that are in flight without a consumer",
        ),
        World(
            "dead-consumers-all-day",
            "All day a fifth of the messages kill their consumer, and stay in flight for an hour.",
            steady(8, 6.0),
            _of(30.0),
            Behaviour(Consumers(dying_share=0.2, visibility_s=HOUR_S)),
        ),
        World(
            "back-off-all-day",
            "All day half of the messages fail at first, and are hidden for an hour.",
            steady(8, 30.0),
            _of(3.0),
            Behaviour(Consumers(backoff_share=0.5, backoff_s=HOUR_S)),
        ),
        World(
            "none-takes-anything",
            "For two hours no consumer receives anything: a bad deployment, mended then.",
            steady(5, 30.0),
            _of(10.0),
            Behaviour(Consumers(deaf_share=1.0, deaf=Span(HOUR_S, 3 * HOUR_S))),
            late_why="nothing is received for two hours",
            spare_hours=2.0,
            spare_why="one unit that tries, for two hours",
        ),
        World(
            "some-take-nothing",
            "A third of the instances never receive anything.",
            steady(4, 30.0),
            _of(10.0),
            Behaviour(Consumers(deaf_share=1 / 3)),
        ),
        World(
            "some-take-nothing-of-one",
            "The same, with traffic for one instance.",
            steady(4, 30.0),
            _of(2.0),
            Behaviour(Consumers(deaf_share=1 / 3)),
        ),
    ]


def _launches() -> list[World]:
    """Groups that do not do what they are asked for, or do more."""
    failing = [
        World(
            f"failing-launches-{share}",
            f"{share}% of the launches fail.",
            self_similar(12),
            _of(6.0, launch_failure=share / 100.0),
        )
        for share in (0, 1, 5, 20)
    ]
    return [
        *failing,
        World(
            "failing-launches-long",
            "A fifth of the launches fail, and each message takes 300 s.",
            steady(15, 0.7),
            _of(300.0, launch_failure=0.2),
        ),
        World(
            "dies-young",
            "For two hours instances die 30 s after they came into service, before any message is done.",
            steady(5, 15.0),
            _of(60.0, service_cv=0.2),
            Behaviour(Consumers(visibility_s=120.0), GroupFaults(lives_s=30.0, dying=Span(HOUR_S, 3 * HOUR_S))),
            late_why="nothing is completed for two hours",
            spare_hours=0.5,
            spare_why="a few launches an hour that try",
        ),
        World(
            "hanging-launches",
            "A tenth of the launches hang for 50 minutes.",
            on_and_off(8, 60.0),
            _of(10.0),
            Behaviour(group=GroupFaults(hanging_share=0.1, hangs_s=3000.0)),
        ),
        World(
            "second-controller",
            "Something else sets the desired capacity to 8 every five minutes; 5 are needed.",
            steady(4, 30.0),
            _of(10.0),
            Behaviour(group=GroupFaults(other_desired=8)),
        ),
        World(
            "protected",
            "The group protects each new instance from scale-in for good.",
            pulses(4, 120, 20, 60.0, 6.0),
            _of(10.0),
            Behaviour(group=GroupFaults(protected=True)),
        ),
    ]


def _zones_and_pools() -> list[World]:
    """Launches that fail and say little of the next one."""
    return [
        World(
            "one-zone-without-capacity",
            "One of three zones has no capacity: each launch there is refused, and made in another zone.",
            on_and_off(8, 60.0),
            _of(10.0),
            Behaviour(group=GroupFaults(dry_zones=1)),
        ),
        World(
            "warm-pool-failing",
            "Each minute a launch into the warm pool fails; launches into service succeed.",
            on_and_off(8, 60.0),
            _of(10.0),
            Behaviour(group=GroupFaults(pool_failure_every_s=60.0)),
        ),
        World(
            "old-group-readings",
            "Readings of the group are 20 s old.",
            on_and_off(8, 60.0),
            _of(10.0),
            Behaviour(group=GroupFaults(read_late_s=20.0)),
        ),
    ]


def _hands() -> list[World]:
    """Consumers that have several messages in hand, or take longer than they are believed to."""
    return [
        World(
            "prefetch",
            "Each consumer receives 9 messages beyond the one it works on, and gives them back when it has to leave.",
            on_and_off(6, 40.0),
            _of(10.0),
            Behaviour(Consumers(prefetch=9)),
        ),
        World(
            "whole-batches",
            "Each consumer works on up to 5 messages at once, and receives only when all are done: one blocks it.",
            steady(4, 40.0),
            _of(10.0, 60.0, service_cv=2.0),
            Behaviour(Consumers(concurrency=5, whole_batches=True)),
        ),
        World(
            "ten-threads",
            "Each instance works on 10 messages at once, which its fleet does not say.",
            on_and_off(6, 240.0),
            _of(10.0),
            Behaviour(Consumers(concurrency=10)),
        ),
        World(
            "slower-than-believed",
            "The fleet's hints say 0.125 s a message, and each takes 0.4 s.",
            pulses(3, 60, 3, 800.0),
            _of(0.4, 60.0, 30.0),
            given="hint_seconds=0.125",
        ),
        World(
            "slowing-down",
            "After an hour each message takes three times as long as before.",
            steady(4, 60.0),
            _of(4.0),
            Behaviour(Consumers(slowness=3.0, slow=Span(HOUR_S))),
        ),
        *(
            World(
                f"wide-service-times-{cv}",
                f"Service times vary widely: their standard deviation is {cv} times their mean (lognormal).",
                self_similar(6),
                _of(6.0, service_cv=float(cv)),
            )
            for cv in (2, 4, 6)
        ),
    ]


def _counts() -> list[World]:
    """Counts and metrics that are late, missing or wrong."""
    return [
        World(
            "late-metrics",
            "Metrics are 5 to 20 minutes late.",
            self_similar(8),
            _of(6.0, metric_late_s=(300.0, 1200.0)),
        ),
        World(
            "idle-without-metrics",
            "A queue that was idle for half an hour has no metrics, and it is used once in eight hours.",
            pulses(10, 480, 2, 60.0),
            _of(10.0, metric_late_s=(300.0, 900.0)),
            Behaviour(signals=SignalFaults(silent_after_s=1800.0)),
        ),
        World(
            "ghost-counts",
            "After an hour of traffic the count has 3 messages for two hours, which no consumer can receive.",
            at_first(5, 60, 12.0),
            _of(10.0),
            Behaviour(signals=SignalFaults(ghosts=3, haunted=Span(HOUR_S, 3 * HOUR_S))),
            spare_hours=2.0,
            spare_why="one unit that tries, for two hours",
        ),
        World(
            "ghost-counts-in-batches",
            "The same where once or twice an hour 1 to 200 messages come within one minute.",
            heavy_tailed_batches(8, 200),
            _of(10.0),
            Behaviour(signals=SignalFaults(ghosts=3, haunted=Span(HOUR_S, 3 * HOUR_S))),
            spare_hours=2.0,
            spare_why="one unit that tries, for two hours",
        ),
        World(
            "delayed",
            "Once an hour 100 messages come that are delayed by 15 minutes.",
            pulses(6, 60, 1, 100.0),
            _of(10.0),
            Behaviour(Consumers(delayed_share=1.0, delay_s=900.0)),
        ),
    ]


def _calendars_and_batches() -> list[World]:
    """Traffic that a forecast by the last minutes does not see."""
    rare = "a boot takes longer than the target wait, so that only what was foreseen is in time"
    return [
        World(
            "first-burst",
            "3,000 messages of half a second within a minute, for a fleet that is not known yet.",
            pulses(1, 60, 1, 3000.0),
            _of(0.5),
        ),
        World(
            "heavy-tailed-batches",
            "Once or twice an hour 1 to 700 messages come within one minute.",
            heavy_tailed_batches(12),
            _of(60.0, max_size=1000),
        ),
        World(
            "heavy-tailed-batches-slow-boot",
            "The same, at a target wait of 300 s and a boot of 180 s.",
            heavy_tailed_batches(12),
            _of(60.0, 300.0, 180.0, max_size=1000),
        ),
        World(
            "growing-plateaus",
            "A level each hour, growing over the day, at a target wait below the boot time.",
            growing_plateaus(14, 120.0),
            _of(6.0, 60.0, 180.0),
            late_why=rare,
            foreseen=True,
        ),
        World(
            "weekdays",
            "A batch at nine in the morning from Monday to Friday, for two weeks and a day.",
            daily_batch(15, 300.0, weekdays_only=True),
            _of(4.0, 60.0, 180.0),
            given="tick_s=30",
            late_why=rare,
            foreseen=True,
        ),
        World(
            "clock-change",
            "A batch at nine in the morning by a clock that goes forward by an hour on the sixth day.",
            daily_batch(9, 300.0, shifted_from_day=5),
            _of(4.0, 60.0, 180.0),
            given="tick_s=30",
            late_why=rare,
            foreseen=True,
        ),
    ]


WORLDS: Mapping[str, World] = {
    world.name: world
    for world in [
        *_consumers(),
        *_launches(),
        *_zones_and_pools(),
        *_hands(),
        *_counts(),
        *_calendars_and_batches(),
    ]
}
