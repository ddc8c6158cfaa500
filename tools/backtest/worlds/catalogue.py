"""The worlds, by name. Each lasts hours and has one thing that is not as a count suggests; compose others alike."""

from collections.abc import Callable, Mapping

import numpy as np

from tools.backtest.conditions import Conditions
from tools.backtest.generated_traces import bursts
from tools.backtest.simulated_queue import Floats
from tools.backtest.worlds.behaviours import Behaviour, Consumers, GroupFaults, Span
from tools.backtest.worlds.world import Rng, World

HOUR = 60  # minutes
HOUR_S = 3600.0
MOST = 100  # instances that the group may have

# --------------------------------------------------------------------------- traffic


def steady(hours: float, per_minute: float) -> Callable[[Rng], Floats]:
    """A level."""
    return lambda rng: rng.poisson(per_minute, size=round(hours * HOUR)).astype(float)


def at_first(hours: float, minutes: int, per_minute: float) -> Callable[[Rng], Floats]:
    """So many messages a minute at first, then none."""
    return lambda _: np.repeat([per_minute, 0.0], [minutes, round(hours * HOUR) - minutes])


def pulses(
    hours: float, every: int, minutes: int, per_minute: float, base_per_minute: float = 0.0
) -> Callable[[Rng], Floats]:
    """Busy for so many minutes, every so many minutes, from the tenth on."""

    def traffic(rng: Rng) -> Floats:
        minute = np.arange(round(hours * HOUR))
        busy = (minute - 10) % every < minutes
        return rng.poisson(np.where(busy, per_minute, base_per_minute)).astype(float)

    return traffic


def on_and_off(hours: float, per_minute: float, mean_minutes: float = 20.0) -> Callable[[Rng], Floats]:
    """Levels that change by chance, each for about twenty minutes."""

    def traffic(rng: Rng) -> Floats:
        levels: list[float] = []
        while len(levels) < hours * HOUR:
            levels += [rng.uniform(0.0, 2.0 * per_minute)] * (5 + int(rng.exponential(mean_minutes)))
        return rng.poisson(levels[: round(hours * HOUR)]).astype(float)

    return traffic


def self_similar(hours: float) -> Callable[[Rng], Floats]:
    """Bursts of every length."""
    return lambda rng: rng.poisson(bursts(np.arange(hours * HOUR), rng)).astype(float)


# --------------------------------------------------------------------------- worlds


def _of(seconds_per_message: float, target_wait_s: float = 120.0, boot_s: float = 60.0, **others: float) -> Conditions:
    return Conditions(
        seconds_per_message=seconds_per_message,
        target_wait_s=target_wait_s,
        boot_s=boot_s,
        max_size=MOST,
        **others,  # type: ignore[arg-type]  # fields by name
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


WORLDS: Mapping[str, World] = {world.name: world for world in [*_consumers(), *_launches()]}
