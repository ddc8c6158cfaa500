"""A simulated Auto Scaling group: launches that take their time or fail, drains, and the bill."""

from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from random import Random

from sluice.model.observed import GroupReading, Instance, LaunchFailure, Lifecycle
from sluice_tools.backtest.conditions import Conditions, ScaleInOrder
from sluice_tools.backtest.simulated_queue import Work

GROUP_NAME = "backtest"
FAILURES_KEPT = 20  # DescribeScalingActivities is read one page at a time; policies look at the newest


@dataclass(slots=True, eq=False)
class Unit:
    """One instance of the group."""

    number: int
    launched_at: float
    state: Lifecycle
    seen: Instance | None = None  # as a tick sees it, once one has looked
    gone: bool = False  # from the group; what it has in hand it finishes


class Group:
    """Instances that work on a queue. Moments never go back."""

    def __init__(self, work: Work, conditions: Conditions, began_at: float) -> None:
        self.desired = 0
        self.launches = 0
        self.billed_s = 0.0
        self.failures: tuple[LaunchFailure, ...] = ()  # newest first
        self._work = work
        self._conditions = conditions
        self._began_at = began_at
        self._random = Random(conditions.seed)  # noqa: S311 - a simulation
        self._units: list[Unit] = []  # in order of launch
        self._booting: list[tuple[float, int, Unit, bool]] = []  # a heap: (until, -, unit, whether it fails)
        self._draining: list[tuple[float, int, Unit]] = []  # a heap: (gone at, -, unit)
        self._working = 0
        self.next_s = inf  # when the next boot or drain ends
        self._seen: tuple[Instance, ...] | None = ()

    @property
    def working(self) -> int:
        """Instances in service."""
        return self._working

    @property
    def launching(self) -> int:
        """Instances on their way."""
        return len(self._units) - self._working

    @property
    def draining(self) -> int:
        """Instances that finish what they have in hand."""
        return len(self._draining)

    def instances(self) -> tuple[Instance, ...]:
        """All instances as a tick sees them."""
        if self._seen is None:
            units = [*self._units, *(unit for _, _, unit in self._draining)]
            self._seen = tuple([unit.seen or self._look_at(unit) for unit in units])
        return self._seen

    def reading(self, now: float) -> GroupReading:
        """The group in the model's words."""
        return GroupReading(
            name=GROUP_NAME,
            at=self._began_at + now,
            desired=self.desired,
            min_size=0,
            max_size=self._conditions.max_size,
            instances=self.instances(),
            launch_failures=self.failures,
        )

    def _look_at(self, unit: Unit) -> Instance:
        launched_at = self._began_at + unit.launched_at
        unit.seen = Instance(f"i-{unit.number:08x}", unit.state, launched_at=launched_at)
        return unit.seen

    def set_desired(self, desired: int, now: float) -> None:
        """Launch what is missing, take away what is too much."""
        self.desired = max(0, min(desired, self._conditions.max_size))
        while len(self._units) < self.desired:
            self._launch(now)
        if len(self._units) > self.desired:
            self._scale_in(len(self._units) - self.desired, now)
        self._look_ahead()

    def start(self, count: int) -> None:
        """Have so many in service from the beginning."""
        self.desired = count
        for _ in range(count):
            self._take_in(self._unit(0.0), 0.0)

    def advance(self, until: float) -> None:
        """Let boots and drains up to that moment end."""
        booting, draining = self._booting, self._draining
        while booting and booting[0][0] <= until:
            ready_at, _, unit, fails = heappop(booting)
            if unit.gone:
                continue  # was taken away while it booted
            self._seen = None
            if fails:
                self._fails(unit, ready_at)
                if len(self._units) < self.desired:
                    self._launch(ready_at)
            else:
                self._take_in(unit, ready_at)
        while draining and draining[0][0] <= until:
            heappop(draining)
            self._seen = None
        self._look_ahead()
        self._work.advance(until)

    def _look_ahead(self) -> None:
        self.next_s = min(
            self._booting[0][0] if self._booting else inf, self._draining[0][0] if self._draining else inf
        )

    def paid_s(self, now: float) -> float:
        """What is paid so far, in instance-seconds; of those that leave, all that they will have cost."""
        return self.billed_s + sum([now - unit.launched_at for unit in self._units])

    def close(self, now: float) -> float:
        """The whole bill at the end, in instance-seconds."""
        for unit in self._units:
            self._bill(unit, now)
        return self.billed_s

    def _launch(self, now: float) -> None:
        unit = self._unit(now)
        boot_s, fails = self._boots(unit, now)
        heappush(self._booting, (now + boot_s, unit.number, unit, fails))

    def _boots(self, unit: Unit, now: float) -> tuple[float, bool]:  # noqa: ARG002 - of a plain group all are alike
        """How long a launch takes, in seconds, and whether it fails."""
        conditions = self._conditions
        boot_s = conditions.boot_s
        if conditions.boot_spread > 0 and boot_s > 0:
            shape = conditions.boot_spread**-2.0
            boot_s = self._random.gammavariate(shape, boot_s / shape)
        return boot_s, conditions.launch_failure > 0 and self._random.random() < conditions.launch_failure

    def _fails(self, unit: Unit, at: float) -> None:
        """A launch comes to nothing."""
        self._leaves(unit, at)
        failure = LaunchFailure(self._began_at + at, "the instance did not come into service")
        self.failures = (failure, *self.failures[: FAILURES_KEPT - 1])

    def _leaves(self, unit: Unit, at: float) -> None:
        """An instance is no longer in the group, and has nothing in hand."""
        self._units.remove(unit)
        self._bill(unit, at)
        self._seen = None

    def _unit(self, now: float) -> Unit:
        self.launches += 1
        unit = Unit(self.launches, now, Lifecycle.LAUNCHING)
        self._units.append(unit)
        self._seen = None
        return unit

    def _take_in(self, unit: Unit, at: float) -> None:
        unit.state, unit.seen = Lifecycle.IN_SERVICE, None
        self._working += 1
        self._work.add(unit.number, at)

    def _scale_in(self, count: int, now: float) -> None:
        """Instances in service go first, as in AWS's own order; what still launches only when nothing else is left."""
        units = [unit for unit in self._units if unit.state is Lifecycle.IN_SERVICE]
        match self._conditions.scale_in_order:
            case ScaleInOrder.RANDOM:
                shuffle(units, self._random)
            case ScaleInOrder.NEWEST:
                units.reverse()
            case ScaleInOrder.OLDEST:
                pass
        units += [unit for unit in reversed(self._units) if unit.state is not Lifecycle.IN_SERVICE]
        going = units[: min(count, self._working)]
        done_at = self._work.remove([unit.number for unit in going], now)
        for unit, at in zip(going, done_at, strict=True):
            unit.state, unit.seen = Lifecycle.DRAINING, None
            heappush(self._draining, (at + self._conditions.drain_s, unit.number, unit))
            self._bill(unit, at + self._conditions.drain_s)
        for unit in units[self._working : count]:
            self._bill(unit, now)
        self._working -= len(going)
        self._units = [unit for unit in self._units if not unit.gone]
        self._seen = None

    def _bill(self, unit: Unit, until: float) -> None:
        unit.gone = True
        self.billed_s += max(self._conditions.minimum_billing_s, until - unit.launched_at)


def shuffle(units: list[Unit], random: Random) -> None:
    """As `random.shuffle`, draw for draw, in half its time: fleets that scale in do it tens of thousands of times."""
    draw = random.getrandbits
    for place in range(len(units) - 1, 0, -1):
        bits = (place + 1).bit_length()
        other = draw(bits)
        while other > place:
            other = draw(bits)
        units[place], units[other] = units[other], units[place]
