"""The consumer: takes orders from the queue, works on several at a time, and drains when it is asked to stop.

The contract with Sluice is one sentence: on SIGTERM stop receiving, return what was not started (visibility 0), finish
what was, exit 0. How one message is handled is in `handling`, when to stop asking the database in `breaker`.
"""

import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from .breaker import Breaker, State
from .databases import DatabaseUnavailableError
from .handling import UNAVAILABLE_AFTER_S, Handled, Handler, Outcome
from .lifecycle import Lifecycle, LifecycleWatch
from .locating import locate_database
from .settings import Settings, SettingsError, read_settings
from .sqs import MAX_BATCH, Message, Queue, QueueError, SqsQueue
from .store import Store
from .visibility import VisibilityExtender
from .worklog import WorkLog
from .worklog_copy import CopyError, copy_work_log

log = logging.getLogger("orders")

FIRST_QUEUE_PAUSE_S: Final = 0.5
"""First pause after a receive that failed; doubled with each failure in a row."""

MAX_QUEUE_PAUSE_S: Final = 20.0
"""The longest such pause."""

STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Probe(Protocol):
    """The part of `Store` that the loop needs."""

    def probe(self) -> None:
        """See `Store.probe`."""
        ...


@dataclass(frozen=True, slots=True)
class Drained:
    """What a consumer did until it stopped.

    Attributes:
        outcomes: How work ended, and how often.
        returned_unstarted: Messages received but given back without work on them.
        interrupted: Messages whose work was begun and given up; 0 unless the consumer itself failed.
    """

    outcomes: dict[Outcome, int]
    returned_unstarted: int
    interrupted: int


class Consumer:
    """Receives, works and drains. `run` blocks until `stop` was called and everything is let go of."""

    def __init__(
        self,
        queue: Queue,
        store: Probe,
        handler: Handler,
        extender: VisibilityExtender,
        worklog: WorkLog,
        *,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Put a consumer together; `jitter` gives numbers from 0 to 1 for the pauses."""
        self._queue = queue
        self._store = store
        self._handler = handler
        self._extender = extender
        self._worklog = worklog
        self._concurrency = concurrency
        self._clock = clock
        self._jitter = jitter
        # Guards everything below, and is notified of every change that the loop may wait for.
        self._changed = threading.Condition()
        self._stopping = False
        self._working = 0
        self._breaker = Breaker()
        self._outcomes: Counter[Outcome] = Counter()
        self._returned_unstarted = 0
        self._interrupted = 0
        self._queue_failures_count = 0

    def stop(self) -> None:
        """Begin to drain; safe to repeat, from any thread."""
        with self._changed:
            is_first, self._stopping = not self._stopping, True
            working_count = self._working
            self._changed.notify_all()
        if is_first:
            self._worklog.write("draining", working=working_count)

    def run(self) -> Drained:
        """Consume until asked to stop, then drain."""
        keeping = threading.Thread(target=self._extender.run, name="visibility", daemon=True)
        keeping.start()
        try:
            with ThreadPoolExecutor(self._concurrency, thread_name_prefix="worker") as workers:
                # Leaving the block waits for what was started.
                self._consume(workers)
        finally:
            self._extender.end()
        drained = Drained(dict(self._outcomes), self._returned_unstarted, self._interrupted)
        self._worklog.write(
            "drained",
            outcomes=drained.outcomes,
            returned_unstarted=drained.returned_unstarted,
            interrupted=drained.interrupted,
        )
        return drained

    def _consume(self, workers: ThreadPoolExecutor) -> None:
        while (room := self._wait_for_room()) > 0:
            messages = self._receive(min(room, MAX_BATCH))
            received_at = self._clock()
            for message in messages:
                if self._begin():
                    self._extender.hold(message, received_at)
                    workers.submit(self._work, message)
                else:
                    self._return_unstarted(message)

    def _wait_for_room(self) -> int:
        """How many messages may be received now, at least 1; 0 once it is time to drain."""
        while True:
            with self._changed:
                if self._stopping:
                    return 0
                state = self._breaker.state
                probe_in_s = self._breaker.probe_in(self._clock())
                # After an outage one message goes first, alone.
                room = (self._concurrency if state is State.CLOSED else 1) - self._working
                if state is State.OPEN and probe_in_s > 0:
                    self._changed.wait(probe_in_s)
                    continue
                if state is not State.OPEN:
                    if room > 0:
                        return room
                    self._changed.wait()
                    continue
            self._probe()

    def _probe(self) -> None:
        try:
            self._store.probe()
        except DatabaseUnavailableError as error:
            with self._changed:
                pause_s = self._breaker.probe_failed(self._clock(), self._jitter())
            log.warning("nothing is received for %.1f s: %s", pause_s, error)
            return
        with self._changed:
            self._breaker.probe_answered()
        log.info("the database answers")

    def _receive(self, count: int) -> list[Message]:
        try:
            messages = self._queue.receive(count)
        except QueueError as error:
            longest_s = min(MAX_QUEUE_PAUSE_S, FIRST_QUEUE_PAUSE_S * 2 ** min(self._queue_failures_count, 16))
            self._queue_failures_count += 1
            pause_s = longest_s * (0.5 + 0.5 * self._jitter())
            log.warning("receiving failed, next try in %.1f s: %s", pause_s, error)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, pause_s)
            return []
        self._queue_failures_count = 0
        return messages

    def _begin(self) -> bool:
        """Count one message as being worked on, unless it is time to drain or the database went away."""
        with self._changed:
            if self._stopping or self._breaker.state is State.OPEN:
                self._returned_unstarted += 1
                return False
            self._working += 1
            return True

    def _return_unstarted(self, message: Message) -> None:
        # Draining: for others at once. Database away: not yet, or each consumer would receive it once in vain.
        after_s = 0 if self._stopping else UNAVAILABLE_AFTER_S
        try:
            self._queue.set_visibility(message, after_s)
        except QueueError as error:
            log.warning("%s could not be returned, it comes back by itself: %s", message.message_id, error)
        self._worklog.write("returned", message_id=message.message_id, receive_count=message.receive_count)

    def _work(self, message: Message) -> None:
        try:
            handled = self._handler.handle(message, lambda: self._extender.release(message))
        except Exception:
            # Not the message and no service: this process itself is failing, such as a full disk for the work log.
            log.exception("work on %s was given up", message.message_id)
            self._extender.release(message)
            handled = None
        with self._changed:
            self._working -= 1
            self._changed.notify_all()
            if handled is None:
                self._interrupted += 1
                return
            self._outcomes[handled.outcome] += 1
            pause_s = self._judge_database(handled)
        if pause_s is not None:
            log.warning("nothing is received for %.1f s: %s", pause_s, handled.cause)

    def _judge_database(self, handled: Handled) -> float | None:
        if handled.database_answered:
            self._breaker.succeed()
        elif handled.database_answered is False:
            return self._breaker.trip(self._clock(), self._jitter())
        return None


def stop_on_signal(stop: Callable[[], None]) -> None:
    """Call `stop` for SIGTERM and SIGINT, from a thread of its own.

    The signals are blocked everywhere and waited for: a handler would run in the middle of whatever the main thread
    does, with whatever lock it holds. Call it before any other thread starts, since threads inherit the mask.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def wait() -> None:
        while True:
            signal.sigwait(STOP_SIGNALS)
            stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def main() -> int:
    """Run a consumer until it is asked to stop; 0 once it is drained, 2 where the settings are wrong."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopped = threading.Event()
    stop_on_signal(stopped.set)
    try:
        settings = read_settings()
        consumer = make_consumer(settings)
        watch = make_watch(settings)
    except (SettingsError, QueueError) as error:
        print(error, file=sys.stderr)
        return 2

    def drain_when_stopped() -> None:
        stopped.wait()
        consumer.stop()

    threading.Thread(target=drain_when_stopped, name="stop", daemon=True).start()
    if watch is not None:
        watch.start(consumer.stop)
    drained = consumer.run()
    log.info("drained: %s", drained)
    if settings.work_log is not None and settings.work_log_bucket is not None:
        try:
            copy_work_log(settings.work_log, settings.work_log_bucket, settings.instance)
        except CopyError:
            # Every message is released all the same: it is for whoever audits to miss the copy.
            log.exception("the work log stays here")
    if watch is not None:
        # The instance's own state asked for it: complete the action, then wait to be shut down, since a consumer that
        # exited would be started again by systemd.
        watch.finish(stopped)
    return 0


def make_consumer(settings: Settings) -> Consumer:
    """Put a consumer together from settings.

    Raises:
        SettingsError: The database cannot be located.
        QueueError: There is no region to make a client for.
    """
    store = Store(locate_database(settings.database_url, settings.database_url_parameter))
    queue = SqsQueue(
        settings.queue_url,
        settings.dead_letter_queue_url,
        wait_s=settings.receive_wait_s,
        visibility_s=settings.visibility_s,
    )
    worklog = WorkLog(settings.instance, settings.work_log)
    return Consumer(
        queue,
        store,
        Handler(
            queue,
            store,
            worklog,
            settings.instance,
            work_s=settings.work_s,
            work_s_by_sku=settings.work_s_by_sku,
        ),
        VisibilityExtender(queue, settings.visibility_s),
        worklog,
        concurrency=settings.concurrency,
    )


def make_watch(settings: Settings) -> LifecycleWatch | None:
    """What watches the instance's lifecycle state, where the consumer drains by itself."""
    if settings.self_drain is None:
        return None
    return LifecycleWatch(Lifecycle(settings.self_drain))


if __name__ == "__main__":
    sys.exit(main())
