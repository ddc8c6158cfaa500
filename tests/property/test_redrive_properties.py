"""What holds of the redrive judgments for every message, policy and job."""

import json
import re
from math import ceil
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sluice.config.fleet import RedrivePolicy
from sluice.model.redrive_jobs import JobState, RedriveJob
from sluice.model.redriving import Attribute, Message, VerdictKind
from sluice.ports.aws_services import QueueFacts
from sluice.redriving.causes.masking import CAUSE_LIMIT, masked
from sluice.redriving.failure_groups import Cause, failure_group
from sluice.redriving.jobs.rules import CATCH_UP_S, batch_limit, next_send_at, overlaps, with_return
from sluice.redriving.letter_history import LetterPast
from sluice.redriving.message_copy import (
    ATTEMPTS,
    COPY_OF,
    FIRST_SENT_AT,
    MAX_ATTRIBUTES,
    body_key,
    carried_count,
    copy_of,
    origin_of,
    send_rounds,
)
from sluice.redriving.verdict import DeadLetterHistory, backoff_s, judge
from tests.support.redrive_jobs import changed_job, redrive_job

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
START = 1_800_000_000.0

anything = st.text(st.characters(), max_size=60)  # lone surrogates, controls and bidi included
attribute = st.one_of(
    st.builds(Attribute, st.sampled_from(["String", "String.uuid", "Number", "Number.kg"]), anything),
    st.builds(Attribute, st.sampled_from(["Binary", "Binary.png"]), st.none(), st.binary(max_size=40)),
)
names = st.one_of(
    st.text(st.sampled_from("abcXYZ019_.-"), min_size=1, max_size=12),
    st.sampled_from(["sluice.cause", "sluice.source", ATTEMPTS, COPY_OF, FIRST_SENT_AT]),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), anything),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(anything, inner, max_size=4)),
    max_leaves=20,
)
bodies = st.one_of(anything, json_values.map(json.dumps), st.just("[" * 5_000), st.just('{"a":' * 5_000))
messages = st.builds(
    Message,
    id=st.uuids().map(str),
    body=bodies,
    receipt=st.just("r"),
    attributes=st.dictionaries(names, attribute, max_size=MAX_ATTRIBUTES).map(
        lambda found: tuple(sorted(found.items()))
    ),
    first_sent_at=st.one_of(st.none(), st.floats(0, 4e9)),
    source=st.one_of(st.none(), st.just(ARN), anything),
    message_group=st.one_of(st.none(), st.sampled_from(["a", "b", "c"])),
)
queues = st.builds(
    QueueFacts,
    url=st.just("https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
    arn=st.just(ARN),
    fifo=st.booleans(),
    retention_s=st.just(345_600.0),
    max_bytes=st.integers(1, 3_000),
)
policies = st.builds(
    RedrivePolicy,
    max_retries=st.integers(0, 100),
    base_delay_s=st.floats(0, 100),
    max_delay_s=st.floats(100, 900),
)
uniforms = st.floats(0, 1, exclude_max=True)
jobs = st.builds(
    redrive_job,
    id=st.just("job-1"),
    fleet=st.just("orders"),
    state=st.sampled_from(JobState),
    requested_at=st.just(START),
    requested_by=st.just("a test"),
    updated_at=st.just(START),
    failure_group=st.one_of(st.none(), st.sampled_from(["a", "b"])),
    message_id=st.one_of(st.none(), st.sampled_from(["m", "n"])),
    from_dead_letters=st.booleans(),
    rate_per_s=st.floats(0.01, 10_000),
    next_at=st.floats(START - 100, START + 100),
)


@given(messages)
def test_failure_group_is_a_plain_id_and_a_printable_line_when_a_message_says_anything(message: Message) -> None:
    """Whatever a message says, its group can be a key, a metric's value and a line of a log."""
    group = failure_group(message)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", group.id)
    assert group.words.isprintable()
    assert 0 < len(group.words) <= CAUSE_LIMIT
    assert failure_group(message) == group


@given(
    st.from_regex(r"[A-Za-z]{1,8}: [a-z]{1,8}", fullmatch=True), st.uuids(), st.uuids(), st.integers(0), st.integers(0)
)
def test_failure_group_is_the_same_when_only_ids_and_numbers_differ(
    words: str, one_id: object, other_id: object, one: int, other: int
) -> None:
    """Like goes with like, whatever the ids and the numbers."""
    first = masked(f"{words} {one_id} in row {one}")
    assert first == masked(f"{words} {other_id} in row {other}")
    assert masked(first) == first  # masking is done once and for all


@given(messages, policies, queues, st.integers(0, 200), uniforms)
def test_judge_bounds_delay_and_attempts_when_it_retries(
    message: Message, policy: RedrivePolicy, queue: QueueFacts, attempts: int, uniform: float
) -> None:
    """A retry is within the limit, within SQS's longest delay, and of a message that its queue takes."""
    verdict = judge(
        message, policy, queue, failure_group(message), history=DeadLetterHistory(LetterPast(attempts)), uniform=uniform
    )
    if verdict.kind is VerdictKind.RETRY:
        assert verdict.attempt == attempts + 1 <= policy.max_retries
        assert 0 <= verdict.delay_s <= min(900.0, policy.max_delay_s, policy.base_delay_s * 2.0 ** min(attempts, 900))
        assert copy_of(message, verdict.attempt, queue) is not None
        assert message.source in {None, ARN} or message.source == ""
    else:
        assert (verdict.attempt, verdict.delay_s) == (attempts, 0.0)


@given(messages, policies, queues, uniforms)
def test_judge_always_quarantines_when_an_earlier_message_of_its_group_is_held(
    message: Message, policy: RedrivePolicy, queue: QueueFacts, uniform: float
) -> None:
    """Nothing is sent past a message that is held."""
    verdict = judge(
        message,
        policy,
        queue,
        failure_group(message),
        history=DeadLetterHistory(held_in=Cause("held-1", "Held")),
        uniform=uniform,
    )
    assert verdict.kind is VerdictKind.QUARANTINE


@given(policies, st.integers(0, 10_000), st.lists(uniforms, min_size=2, max_size=2))
def test_backoff_s_grows_with_the_number_drawn_when_all_else_is_equal(
    policy: RedrivePolicy, attempts: int, drawn: list[float]
) -> None:
    """Every delay from half of the ceiling to all of it, by the random number alone."""
    low, high = (backoff_s(policy, attempts, uniform) for uniform in sorted(drawn))
    assert 0 <= low <= high <= policy.max_delay_s


@given(messages, st.integers(1, 1_000), queues, st.one_of(st.none(), st.just(("job-1", "a-group"))))
@example(
    Message("m", "b", attributes=tuple((f"a{i}", Attribute("String", "x")) for i in range(10))),
    1,
    QueueFacts("u", ARN, False, 1.0, 3_000),
    None,
)
def test_copy_of_keeps_everything_that_is_the_producer_s_when_it_fits(
    message: Message, attempt: int, queue: QueueFacts, job: tuple[str, str] | None
) -> None:
    """A copy has the message's body, group and every attribute of every type, and never more than its queue takes."""
    copy = copy_of(message, attempt, queue, job)
    if copy is None:
        assert message.size_bytes > queue.max_bytes or len(message.attributes) > MAX_ATTRIBUTES
        return
    assert (copy.message.id, copy.message.body, copy.message.message_group) == (
        message.id,
        message.body,
        message.message_group,
    )
    own = {name: value for name, value in message.attributes if not name.startswith("sluice.")}
    carried = dict(copy.message.attributes)
    assert {name: value for name, value in carried.items() if not name.startswith("sluice.")} == own
    assert len(carried) == len(copy.message.attributes) <= MAX_ATTRIBUTES  # each name once
    assert copy.message.size_bytes <= queue.max_bytes
    assert copy.carries_attempts is (carried_count(copy.message, queue).sealed)
    assert "sluice.cause" not in carried
    assert body_key(copy.message, queue) == body_key(message, queue)
    origin = origin_of(copy.message, queue)
    if origin:
        assert (origin.message_id, origin.job_id, origin.failure_group) == (message.id, *(job or (None, None)))


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=20), st.booleans())
def test_rounds_send_each_once_and_in_order_within_a_message_group(found: list[str | None], fifo: bool) -> None:
    """Every message goes in just one round; of a FIFO message group the earlier one in an earlier round."""
    queue = QueueFacts("u", ARN, fifo, 1.0, 1_000)
    every = [Message(str(i), "b", message_group=group) for i, group in enumerate(found)]
    order = send_rounds(every, queue)
    assert sorted(i for indexes in order for i in indexes) == list(range(len(every)))
    turn = {i: number for number, indexes in enumerate(order) for i in indexes}
    for i, one in enumerate(found):
        for j in range(i):
            if fifo and one is not None and found[j] == one:
                assert turn[j] < turn[i]
    if not fifo:
        assert len(order) <= 1


@given(st.floats(0.01, 10_000), st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_paced_keeps_the_rate_over_any_stretch_when_sends_take_any_time(
    rate_per_s: float, pauses_s: list[float]
) -> None:
    """Between any two batches passes as much time as the first one's messages are worth, less what it was late."""
    pace: dict[str, Any] = {"rate_per_s": rate_per_s, "next_at": START}
    job = redrive_job("job-1", "orders", JobState.RUNNING, START, "a test", START, **pace)
    now = START
    batches: list[tuple[float, int]] = []
    for pause_s in pauses_s:
        now = max(now + pause_s, job.pacing.next_at)
        count = batch_limit(job, QueueFacts("u", ARN, False, 1.0, 1_000))
        batches.append((now, count))
        job = changed_job(job, next_at=next_send_at(job.pacing, count, now))
    for i in range(len(batches)):
        within_s = batches[-1][0] - batches[i][0]
        worth_s = sum(count for _, count in batches[i:-1]) / rate_per_s
        late_s = min(CATCH_UP_S, sum(pauses_s))
        assert within_s >= worth_s - late_s - 1e-6 * len(
            batches
        )  # epoch seconds are exact to a quarter of a microsecond


@given(st.floats(0.5, 500), st.lists(st.floats(0, 0.7), min_size=40, max_size=60))
def test_paced_keeps_its_rate_on_average_when_every_step_arrives_late(rate_per_s: float, late_s: list[float]) -> None:
    """A step's delay is rounded up to a whole second, and its message takes a while: the job catches up with that."""
    pace: dict[str, Any] = {"rate_per_s": rate_per_s, "next_at": START}
    job = redrive_job("job-1", "orders", JobState.RUNNING, START, "a test", START, **pace)
    now, sent_count = START, 0
    for late in late_s:
        while job.pacing.next_at <= now:
            count = batch_limit(job, QueueFacts("u", ARN, False, 1.0, 1_000))
            sent_count += count
            job = changed_job(job, next_at=next_send_at(job.pacing, count, now))
        now += ceil(job.pacing.next_at - now) + late
    assert sent_count >= (now - START - CATCH_UP_S) * rate_per_s - 2 * batch_limit(
        job, QueueFacts("u", ARN, False, 1, 1)
    )


@given(jobs, jobs)
def test_overlap_is_mutual_and_holds_of_a_job_with_itself(one: RedriveJob, other: RedriveJob) -> None:
    """Two jobs overlap or they do not, whichever is asked first."""
    assert overlaps(one, one)
    assert overlaps(one, other) == overlaps(other, one)


@given(jobs, st.sampled_from(["a", "b"]))
def test_returned_never_lets_a_job_for_one_group_run_on(job: RedriveJob, group: str) -> None:
    """A return is counted, its group is stopped, and nothing that was over begins again."""
    noted = with_return(job, group, "it came back", START + 1)
    assert noted.progress.returned_count == job.progress.returned_count + 1
    assert group in noted.progress.stopped_groups
    if job.state is JobState.DONE:
        assert noted.state is JobState.CAME_BACK
    elif job.state is not JobState.RUNNING:
        assert noted.state is job.state
    elif job.selection.failure_group or job.selection.message_id or job.selection.from_dead_letters:
        assert noted.state is JobState.STOPPED
