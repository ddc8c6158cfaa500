"""Draining without Run Command: watching the instance's own lifecycle state."""

import threading

from examples.orders.orders.lifecycle import LifecycleError, LifecycleWatch

LONG_S = 20.0


class FakeInstance:
    """An instance whose state and answers are set."""

    def __init__(self, state: str | None = "InService") -> None:
        self.state = state
        self.failures: list[str] = []
        self.completed_count = 0
        self.looked = threading.Event()

    def target_state(self) -> str | None:
        """What is set, or a failure."""
        self.looked.set()
        if "state" in self.failures:
            self.failures.remove("state")
            raise LifecycleError("no answer")
        return self.state

    def complete(self) -> None:
        """Count, or fail."""
        if "complete" in self.failures:
            self.failures.remove("complete")
            raise LifecycleError("throttled")
        self.completed_count += 1


def watching(instance: FakeInstance) -> tuple[LifecycleWatch, threading.Event]:
    """A watch that has begun, and whether it told the consumer to drain."""
    watch, told = LifecycleWatch(instance, poll_s=0.01, retry_s=0.01), threading.Event()
    watch.start(told.set)
    return watch, told


def finish(watch: LifecycleWatch, stopped: threading.Event) -> threading.Thread:
    """A thread that finishes."""
    finishing = threading.Thread(target=watch.finish, args=[stopped], daemon=True)
    finishing.start()
    return finishing


def test_consumer_is_told_to_drain_when_its_instance_is_to_be_terminated() -> None:
    """Not before, and in spite of looks that fail."""
    instance = FakeInstance()
    instance.failures = ["state"]
    _, told = watching(instance)
    assert instance.looked.wait(LONG_S)
    assert not told.wait(0.1)
    instance.state = "Terminated"
    assert told.wait(LONG_S)


def test_consumer_is_told_to_drain_when_its_instance_goes_to_a_warm_pool() -> None:
    """A warm pool is a drain as well."""
    instance = FakeInstance("Warmed:Stopped")
    _, told = watching(instance)
    assert told.wait(LONG_S)


def test_consumer_goes_on_when_its_instance_is_in_no_group() -> None:
    """There is no state to read then."""
    _, told = watching(FakeInstance(None))
    assert not told.wait(0.1)


def test_action_is_completed_and_the_process_waits_when_the_drain_is_done() -> None:
    """Completed once, in spite of failures; the process stays, since systemd would start it again."""
    instance = FakeInstance("Terminated")
    instance.failures = ["complete", "complete"]
    watch, told = watching(instance)
    assert told.wait(LONG_S)
    assert instance.completed_count == 0, "completed before the drain was done"
    stopped = threading.Event()
    finishing = finish(watch, stopped)
    finishing.join(0.2)
    assert finishing.is_alive()
    assert instance.completed_count == 1
    stopped.set()
    finishing.join(LONG_S)
    assert not finishing.is_alive()


def test_process_ends_when_its_instance_is_back_in_service() -> None:
    """From a warm pool that keeps instances running: systemd starts a fresh consumer."""
    instance = FakeInstance("Warmed:Running")
    watch, told = watching(instance)
    assert told.wait(LONG_S)
    finishing = finish(watch, threading.Event())
    instance.state = "InService"
    finishing.join(LONG_S)
    assert not finishing.is_alive()


def test_action_is_left_alone_when_someone_else_stopped_the_consumer() -> None:
    """A restart of the service on an instance that stays must not complete anything."""
    instance = FakeInstance()
    watch, _ = watching(instance)
    watch.finish(threading.Event())
    assert instance.completed_count == 0


def test_process_ends_when_it_is_stopped_before_the_action_could_be_completed() -> None:
    """The hook's own timeout is the backstop; a stop is not held up."""
    instance = FakeInstance("Terminated")
    instance.failures = ["complete"] * 10_000
    watch, told = watching(instance)
    assert told.wait(LONG_S)
    stopped = threading.Event()
    stopped.set()
    finishing = finish(watch, stopped)
    finishing.join(LONG_S)
    assert not finishing.is_alive()
    assert instance.completed_count == 0
