"""A FIFO message group keeps its order while one of its dead letters is retried: create, pay, cancel."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.memory import Crash, When
from sluice.model.redrive_jobs import JobState
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError
from sluice.redriving.fifo_order import LAST_BY_S, Cut, arranged, cut_of, settles_within_s, uniform_of
from sluice.redriving.letter_history import LetterPast
from sluice.redriving.letter_results import DeadLetterResult
from tests.support.redrive_worlds import START, VISIBILITY_S, World, failing, fleet, letter

TEN: dict[str, Any] = {f"a{number}": "x" for number in range(10)}  # attributes: SQS takes no more
ORDERS = ("create", "pay", "cancel")
STEP_S = 7.0


class Shop(World):
    """A world whose consumer works on what its order allows, as a shop does: nothing before `create`."""

    def __init__(self, *, broken: int = 0, forever: bool = False, **policy: object) -> None:
        """`create` fails in its first `broken` tries, or always."""
        super().__init__(fleet(fifo=True, **{"burst_count": 0, **policy}))
        self.broken_count = broken
        self.forever = forever
        self.done: list[str] = []
        self.tries: list[str] = []
        self.followed: list[DeadLetterResult] = []  # quarantined behind another

    def consume(self) -> None:
        """Take what is visible in the queue, once; what fails is visible again at once."""
        for message in self.ports.queue.receive(self.queue, 10, VISIBILITY_S):
            self.tries.append(message.body)
            if message.body == "create" and (self.forever or self.broken_count > 0):
                self.broken_count -= 1
            elif message.body == "create" or "create" in self.done:
                self.done.append(message.body)
                self.ports.queue.delete(self.queue, [message.receipt])
                continue
            self.ports.queue.hide(self.queue, message.receipt, 0.0)

    def pass_time(self, seconds: float) -> None:
        """The consumer and Lambda's poller go on for so long."""
        end_at = self.now + seconds
        while self.now < end_at:
            self.consume()
            self.followed += [one for one in self.process() if "order is kept" in one.reason]
            self.now += STEP_S


def failed(*bodies: str, full: bool = False, **policy: object) -> Shop:
    """A shop whose orders of one customer have failed and lie in the dead-letter queue in order."""
    shop = Shop(**policy)  # type: ignore[arg-type]
    for body in bodies or ORDERS:
        shop.put_dead(body, message_group="customer 7", **(TEN if full else {}))
        shop.now += 0.1
    return shop


def test_create_pay_cancel_are_retried_one_at_a_time_in_order() -> None:
    """Nothing follows before what is ahead of it was worked on and has had the time to come back."""
    shop = failed()
    assert [one.outcome for one in shop.process()] == ["retried", "kept", "kept"]
    assert (shop.bodies(), shop.bodies(shop.dead_letters)) == (["create"], list(ORDERS))
    shop.pass_time(1_200)
    assert shop.done == list(ORDERS)
    assert not shop.bodies(shop.dead_letters)
    assert not shop.index()


@pytest.mark.parametrize("failures", [1, 2, 3, 4, 6, 7])
def test_what_follows_waits_when_create_fails_again_in_its_retries(failures: int) -> None:
    """A copy that comes back lies behind what waited for it, and is retried before that all the same."""
    shop = failed(broken=failures, max_retries=3)
    shop.pass_time(3_600)
    assert shop.done == list(ORDERS)
    assert shop.tries == ["create"] * (failures + 1) + ["pay", "cancel"]


@pytest.mark.parametrize("failures", [1, 2, 3, 4])
def test_what_follows_waits_when_the_copy_has_no_room_for_sluices_attributes(failures: int) -> None:
    """SQS takes ten attributes: a copy that comes back without a stamp is known by its body, and goes first as well."""
    shop = failed(broken=failures, max_retries=3, full=True)
    shop.pass_time(3_600)
    assert shop.done == list(ORDERS)
    assert shop.tries == ["create"] * (failures + 1) + ["pay", "cancel"]


def test_group_goes_to_quarantine_together_in_order_when_create_is_at_its_limit() -> None:
    """What follows joins it in its failure group, with a sentence that says so, and a redrive sends all in order."""
    shop = failed(forever=True, max_retries=1)
    shop.pass_time(1_200)
    assert shop.held_bodies() == list(ORDERS)
    assert len({entry.failure_group for entry in shop.index()}) == 1
    assert set(shop.tries) == {"create"}, "nothing went ahead of it"
    assert len(shop.followed) == 2
    shop.now += 1
    asked = shop.job(failure_group=shop.index()[0].failure_group)
    job = shop.work(shop.ports.ledger.jobs.keep_job(asked))
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 3)
    assert shop.bodies() == list(ORDERS)


def test_retry_waits_hidden_in_the_fifo_dead_letter_queue() -> None:
    """FIFO queues know no delay per message, so its backoff ends first, however often one looks."""
    shop = failed(base_delay_s=300, max_delay_s=900)
    since = shop.now
    (first, *behind) = shop.process()
    assert first.outcome == "kept"
    assert first.reason.startswith("Retry 1 of 3 in ")
    assert [one.outcome for one in behind] == ["kept", "kept"]
    while not shop.bodies():
        assert shop.now - since < 310, "the longest wait, and a step"
        shop.now += STEP_S
        shop.process()
    assert shop.now - since >= 149, "half of it is surely waited for"
    assert shop.bodies() == ["create"]


def test_other_message_groups_go_on_while_one_waits() -> None:
    """Only its own message group waits behind a retry."""
    shop = failed()
    shop.put_dead("create 8", message_group="customer 8")
    assert [one.outcome for one in shop.process()] == ["retried", "kept", "kept", "retried"]
    assert shop.bodies() == ["create", "create 8"]


@pytest.mark.parametrize("method", ["claim_sends", "remember", "send", "confirm_sends", "hold", "note_failure"])
@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize("error", [Crash(), TryLaterError("slow down")])
@pytest.mark.parametrize("nth", [0, 1])
def test_order_is_kept_when_a_call_fails_or_the_process_ends(
    method: str, when: When, error: BaseException, nth: int
) -> None:
    """Whatever step a retry ends at, what follows waits or is quarantined behind it, and all is there still."""
    shop = failed(broken=3)
    ports = failing(shop, method, error, when, nth)
    for _ in range(60):
        with suppress(Crash):
            shop.process(ports)
        shop.consume()
        shop.now += STEP_S
    shop.pass_time(3_600)
    assert [*shop.done, *(body for body in shop.held_bodies() if body not in shop.done)] == list(ORDERS)


@pytest.mark.parametrize("error", [TryLaterError("slow down"), NeedsFixError("no access")])
@pytest.mark.parametrize("when", list(When))
def test_later_dead_letter_waits_for_a_copy_that_could_not_be_marked_as_sent(when: When, error: PortError) -> None:
    """`pay` comes when the batch with `create` is over: what it waits behind is still in the dead-letter queue."""
    shop = failed("create", broken=1)
    (first,) = shop.process(failing(shop, "confirm_sends", error, when))
    assert (first.outcome, first.may_be_deleted) == ("retried", False)
    shop.put_dead("pay", message_group="customer 7")
    while shop.now < START + settles_within_s(shop.fleet, shop.to):
        shop.process()
        assert shop.bodies() == ["create"], "order is kept"
        shop.now += STEP_S
    shop.pass_time(3_600)
    assert [*shop.done, *(body for body in shop.held_bodies() if body not in shop.done)] == ["create", "pay"]


def test_many_of_one_message_group_go_to_quarantine_together() -> None:
    """Of more than a batch shows, a copy that comes back would lie behind them unseen."""
    bodies = [f"order-{number:02d}" for number in range(12)]
    shop = failed(*bodies)
    results = shop.process()
    assert [one.outcome for one in results] == ["quarantined"] * 10
    assert "that a batch does not show all, and order is kept" in results[0].reason
    shop.now += 1
    shop.process()
    assert shop.held_bodies() == bodies


def test_last_message_group_of_a_full_batch_is_looked_at_again() -> None:
    """What is behind it in its message group may be ahead of it, so it waits for a batch that shows all of it."""
    shop = failed("a", "b", "c")
    for number in range(8):
        shop.put_dead(f"other {number}", message_group=f"customer {number}0")
    assert [one.outcome for one in shop.process()] == ["retried", "kept", "kept", *["retried"] * 6, "kept"]
    shop.now += VISIBILITY_S + LAST_BY_S
    assert [one.outcome for one in shop.process()] == ["retried", "retried"]


@given(st.text(min_size=1, max_size=50))
def test_uniform_of_is_a_share(message_id: str) -> None:
    """Each look at a message finds the same number, from 0 up to 1."""
    assert 0 <= uniform_of(message_id) < 1
    assert uniform_of(message_id) == uniform_of(message_id)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), max_size=8), st.sets(st.integers(0, 8)))
def test_arranged_has_each_once_and_what_was_retried_first(groups: list[int], retried: set[int]) -> None:
    """An order of all messages, in which what was not retried keeps the order in which SQS gave it."""
    shop = Shop()
    messages = [letter(f"{i}", id=f"m-{i}", message_group=f"g{group}") for i, group in enumerate(groups)]
    order = arranged(messages, shop.to, lambda message: LetterPast(is_retried=int(message.body) in retried))
    assert sorted(order) == list(range(len(messages)))
    assert order == sorted(order, key=lambda i: (i not in retried, i))


def test_cut_of_names_the_message_group_at_the_end_of_a_full_batch() -> None:
    """A batch that is not full shows all that is visible."""
    one = [letter(f"{i}", id=f"m-{i}", message_group="a") for i in range(10)]
    assert cut_of(one[:9]) == Cut()
    assert cut_of(one) == Cut("a", is_all=True)
    assert cut_of([letter("b", id="m-b", message_group="b"), *one[:9]]) == Cut("a", is_all=False)


def test_copy_settles_within_the_target_wait_and_all_its_receives() -> None:
    """A copy waits, and fails as often as its queue allows before SQS moves it."""
    shop = Shop()
    facts = shop.to
    assert facts.max_receive_count is not None
    assert settles_within_s(shop.fleet, facts) == 60 + facts.max_receive_count * facts.visibility_s
