"""The story in eight acts: what happens to the orders, and what each act waits for before the next one begins."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sluice.model.redrive_jobs import JobState, RedriveJob
from sluice.model.redriving import FailureGroup
from sluice.wording import count
from sluice_tools.demo.environment import FLEET, LONG_SKU, DemoEnvironment
from sluice_tools.demo.pictures import Pictures, take_pictures
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.demo.terminal import TerminalView
from sluice_tools.demo.timeline import ActSpan
from sluice_tools.demo.watcher import Watcher
from sluice_tools.demo.widget_buttons import button
from sluice_tools.order_traffic import Traffic

STEADY_SKUS = ("tea-green", "cup-small")
UNKNOWN = (("tea-oolong", 3), ("teapot-glass", 3))
"""Items that are not in the catalogue yet, and how many poison orders there are for each: two failure groups."""
ACT_TIMEOUT_S = 240.0
"""The longest that a step of the story may take, since CI's machines are slow. The longest is the end of the last
instance: half a minute after the last order by the metrics, which are read each third minute, and then a drain."""


class StoryError(RuntimeError):
    """A step of the story did not happen in time."""


@dataclass(slots=True)
class Story:
    """One run of the story: what it acts on, and what it records for the audit."""

    demo: DemoEnvironment
    traffic: Traffic
    watcher: Watcher
    view: TerminalView
    spans: list[ActSpan] = field(default_factory=list)
    killed: set[str] = field(default_factory=set)  # instances killed on purpose
    poison: list[str] = field(default_factory=list)
    quarantined_count: int = 0
    canary_count: int = 0  # orders that a redrive sent before it stopped itself
    long_order: str = ""  # the order during which its instance is terminated
    long_instance: str = ""  # the instance that is terminated
    drained_order_s: float = 0.0  # from the termination to the end of that instance
    pictures: Pictures = field(default_factory=Pictures)

    @property
    def began_at(self) -> float:
        """When the first act began, epoch seconds: the story's zero."""
        return self.spans[0].began_at

    @property
    def settings(self) -> DemoSettings:
        """The demo's short settings."""
        return self.demo.settings

    @property
    def outage_acts(self) -> set[int]:
        """Numbers of the acts in which the database was down."""
        return {span.number for span in self.spans if span.outage}

    def run(self) -> None:
        """Run every act in order."""
        for number, act in enumerate(ACTS, start=1):
            with self._act(number, act):
                act.run(self)
        self.traffic.at(0)
        self.view.done()

    @contextmanager
    def _act(self, number: int, act: "Act") -> Iterator[None]:
        began_at = time.time()
        self.view.act(number, act.title, began_at)
        self.traffic.act(number)
        yield
        self.spans.append(ActSpan(number, act.title, began_at, time.time(), act.outage))

    def wait_s(self, seconds: float) -> None:
        """Wait so many seconds, printing decisions."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.25)
            self.view.say_decisions()

    def wait_until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for something to happen.

        Raises:
            StoryError: It did not happen within ACT_TIMEOUT_S.
        """
        deadline = time.monotonic() + ACT_TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise StoryError(f"this did not happen within {ACT_TIMEOUT_S:g} s: {what}")
            time.sleep(0.25)
            self.view.say_decisions()

    # --- what the acts need to know ---

    def working_count(self) -> int:
        """Instances in service."""
        last = self.watcher.observations.last
        return last.working if last else 0

    def instances_count(self) -> int:
        """Instances of any state."""
        last = self.watcher.observations.last
        return last.working + last.launching + last.draining if last else 0

    def instances(self) -> set[str]:
        """Ids of the group's instances now, of any state."""
        return {instance.id for instance in self.demo.ports.group.read(self.demo.orders["GroupName"]).instances}

    def backlog(self) -> int:
        """Orders in the queue, those being worked on included; many before anything was seen."""
        last = self.watcher.observations.last
        return last.backlog if last else 1

    def unstarted(self) -> int:
        """Accepted orders on which no work has begun."""
        started = self.watcher.work.started()
        return sum(1 for order_id in self.traffic.sent if order_id not in started)

    def quarantined(self) -> int:
        """Orders in quarantine."""
        last = self.watcher.observations.last
        return last.quarantined if last else 0


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the story."""

    title: str
    run: Callable[[Story], None]
    outage: bool = False


def steady(story: Story) -> None:
    """A few orders a second scale the fleet out from zero."""
    story.traffic.at(story.settings.steady_per_s)
    story.wait_until("an instance is in service", lambda: story.working_count() >= 1)
    story.wait_s(10)


def burst(story: Story) -> None:
    """Twenty times as many orders for some seconds; the fleet scales out, and in again once they are done."""
    settings = story.settings
    story.traffic.at(settings.steady_per_s * settings.burst_factor)
    story.wait_s(settings.burst_s)
    story.traffic.at(settings.steady_per_s)
    story.wait_until("the orders of the burst are started", lambda: story.unstarted() <= settings.steady_per_s * 2)
    peak = max(sample.working for sample in story.watcher.observations.samples)
    story.view.say(f"The burst is done: at most {count(peak, 'instance')} were in service")
    story.wait_until("the fleet scales in", lambda: story.working_count() < peak)


def outage(story: Story) -> None:
    """The database goes down; orders wait in the queue, and none is moved to the dead-letter queue."""
    process = story.demo.admin("lock", "--seconds", f"{story.settings.outage_s:g}")
    story.view.say("The database is down: another process holds its write lock")
    story.wait_s(story.settings.outage_s)
    _, error = process.communicate()
    if process.returncode != 0:
        raise StoryError(f"the database outage could not be simulated: {error.strip()}")
    waiting = story.backlog()
    story.view.say(f"The database is back; {count(waiting, 'order')} waited in the queue")
    story.wait_until("the waiting orders are done", lambda: story.backlog() <= story.settings.steady_per_s * 4)


def crash(story: Story) -> None:
    """An instance is killed during an order: SQS delivers the order again, and the group replaces the instance."""
    story.wait_until("a consumer works on an order", lambda: bool(_at_work(story)))
    victim = _at_work(story)[-1]
    story.killed.add(victim.instance)
    story.demo.sandbox.admin("POST", f"instances/{victim.instance}/kill")
    story.view.say(f"{victim.instance} is killed during order {str(victim.order_id)[:8]}")
    story.wait_until(
        "the interrupted order is stored",
        lambda: victim.order_id is None or story.demo.is_stored(victim.order_id),
    )
    story.view.say(f"Order {str(victim.order_id)[:8]} was delivered again and is stored once")


def _at_work(story: Story) -> list[Any]:
    return [one for one in story.watcher.work.open() if one.order_id and one.instance not in story.killed]


def away(story: Story) -> None:
    """An instance is terminated during a long order while the drainer does not run: nothing ends it meanwhile.

    One of its two consumers has the long order, the other has short ones. The instance ends when both are done.
    """
    with story.demo.without_drainer():
        story.view.say(f"The drainer is away for {story.settings.away_s:g} s")
        terminated_at = _terminate_during_long_order(story)
        story.wait_s(story.settings.away_s)
        if story.long_instance not in story.instances():
            raise StoryError(f"{story.long_instance} was gone while the drainer was away")
    story.view.say(f"The drainer is back; {story.long_instance} is still at its order")
    _wait_for_the_end(story, terminated_at)


def poison(story: Story) -> None:
    """Orders for items that are not in the catalogue: retried with backoff, then quarantined, in two groups."""
    for sku, orders in UNKNOWN:
        story.poison += [story.traffic.place(sku, poison=True) for _ in range(orders)]
    story.view.say(
        f"{count(len(story.poison), 'order')} for {' and '.join(sku for sku, _ in UNKNOWN)} arrived;"
        " the catalogue does not have these items"
    )
    story.wait_until("all of them are quarantined", lambda: story.quarantined() == len(story.poison))
    story.quarantined_count = story.quarantined()
    for group in story.demo.ports.ledger.failure_groups.failure_groups(FLEET):
        story.view.say(f"{count(group.count, 'order')} quarantined with cause {group.cause!r}")
    story.pictures = take_pictures(story.demo, story.traffic, STEADY_SKUS[0])


def _terminate_during_long_order(story: Story) -> float:
    """Place the long order, wait until it is begun, and terminate its instance; the monotonic time of that."""
    seconds = story.settings.long_work_s
    story.demo.run_admin("stock", LONG_SKU, "--price-cents", "90000", "--count", "10")
    story.long_order = story.traffic.place(LONG_SKU)
    story.wait_until("the long order is begun", lambda: bool(_working_on(story, story.long_order)))
    (begun,) = _working_on(story, story.long_order)
    story.long_instance = begun.instance
    story.demo.terminate(begun.instance)
    story.view.say(f"{begun.instance} is terminated during an order that takes {seconds:g} s")
    return time.monotonic()


def _wait_for_the_end(story: Story, terminated_at: float) -> None:
    """Wait until the long order is done by the instance that was terminated, and that instance is gone."""
    story.wait_until("the long order is stored", lambda: story.demo.worked_by(story.long_order) is not None)
    worked_by = story.demo.worked_by(story.long_order)
    if worked_by != story.long_instance:
        raise StoryError(f"the long order was finished by {worked_by}, not by {story.long_instance}")
    story.wait_until("its instance is gone", lambda: story.long_instance not in story.instances())
    story.drained_order_s = time.monotonic() - terminated_at
    story.view.say(
        f"{story.long_instance} finished its order while draining, and is gone after {story.drained_order_s:.0f} s"
    )


def _working_on(story: Story, order_id: str) -> list[Any]:
    return [one for one in story.watcher.work.open() if one.order_id == order_id]


def press(story: Story, group: FailureGroup) -> None:
    """ButtonCall the widget's redrive button of a failure group."""
    action = button(story.demo.widget(), failure_group=group.id, dry_run=False)
    story.view.say(f"The widget's redrive button is pressed for {group.cause!r}")
    story.demo.invoke(action.endpoint, action.event)


def stopped_jobs(story: Story) -> list[RedriveJob]:
    """Redrive jobs that were stopped."""
    return [job for job in story.demo.ports.ledger.jobs.jobs(FLEET) if job.state is JobState.STOPPED]


def redrive(story: Story) -> None:
    """A redrive before the fix stops at its canary; after the fix, all quarantined orders are redriven."""
    ledger = story.demo.ports.ledger
    first = ledger.failure_groups.failure_groups(FLEET)[0]
    press(story, first)
    story.wait_until(
        "the redrive stops itself",
        lambda: (
            any(job.state is JobState.STOPPED for job in ledger.jobs.jobs(FLEET))
            and story.quarantined() == len(story.poison)
        ),
    )
    stopped = next(job for job in ledger.jobs.jobs(FLEET) if job.state is JobState.STOPPED)
    story.canary_count = stopped.progress.sent_count
    story.view.say(
        f"Nothing is fixed yet: the redrive stopped itself after {stopped.progress.sent_count} of"
        f" {count(stopped.progress.selected_count, 'order')}"
    )
    for sku, _ in UNKNOWN:
        story.demo.run_admin("stock", sku, "--price-cents", "990", "--count", "1000")
    story.view.say("A fix is deployed: the items are in the catalogue")
    for group in ledger.failure_groups.failure_groups(FLEET):
        press(story, group)
    story.wait_until("every poison order is stored", lambda: all(map(story.demo.is_stored, story.poison)))
    story.wait_until("the quarantine is empty", lambda: story.quarantined() == 0)
    story.view.say("Every poison order is stored, and the quarantine is empty")


def to_zero_and_back(story: Story) -> None:
    """Traffic ends and the fleet scales in to zero; a late order scales it out again."""
    story.traffic.at(0)
    story.wait_until("the fleet is at zero", lambda: story.instances_count() == 0 and story.unstarted() == 0)
    story.view.say("The fleet is at zero; now a late order is sent")
    order_id = story.traffic.place(STEADY_SKUS[0])
    story.wait_until("the late order is stored", lambda: story.demo.is_stored(order_id))
    story.view.say("The fleet scaled out for the late order, which is stored")


ACTS = (
    Act("steady orders", steady),
    Act("a burst of twenty times", burst),
    Act("the database goes down and comes back", outage, outage=True),
    Act("an instance is killed during an order", crash),
    Act("an instance is terminated during an order, and the drainer is away", away),
    Act("poison orders arrive", poison),
    Act("a fix, and a redrive from the widget", redrive),
    Act("traffic ends, and a late order scales out from zero", to_zero_and_back),
)
