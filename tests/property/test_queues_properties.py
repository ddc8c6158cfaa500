"""Whatever comes out of a dead-letter queue that several queues share: each message goes home, or is kept in sight."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.redriver import app
from sluice.config.fleet import parse
from sluice.memory import memory_ports, queue_url
from sluice.redriving.context import RedriveInvocation
from sluice.redriving.failure_groups import SOURCE
from sluice_tools.chaos.redrive_queue import as_record
from tests.support.redrive_worlds import SOON, START, text

NAMES = ("urgent", "other", "night")
FOREIGN = "arn:aws:sqs:local:000000000000:elsewhere"
# Of each dead letter: the queue it came from (or another fleet's, or nobody knows), its message group, its index.
LETTERS = st.lists(st.tuples(st.sampled_from([*NAMES, FOREIGN, None]), st.sampled_from("gh")), min_size=1, max_size=10)


@settings(max_examples=150)
@given(LETTERS, st.booleans(), st.sets(st.sampled_from(NAMES)), st.sampled_from([0, 2]))
def test_dead_letters_of_a_shared_queue_go_home_or_stay_in_sight(
    given_: list[tuple[str | None, str]], fifo: bool, paused: set[str], max_retries: int
) -> None:
    """In its queue, in quarantine, or where it was since that is paused; never in another queue, never overtaken."""
    suffix = ".fifo" if fifo else ""
    dead = queue_url(f"dead{suffix}")
    queues = [
        {"queue": queue_url(name + suffix), "dead_letter_queue": dead, "paused": name in paused} for name in NAMES
    ]
    policy = {"max_retries": max_retries, "burst_count": 0, "base_delay_s": 0}
    fleet = parse("orders", {"queues": queues, "group": "g", "target_wait_s": 60, "redrive": policy})
    ports = memory_ports(lambda: START, [fleet])
    facts = {name: ports.queue.facts(queue_url(name + suffix)) for name in NAMES}
    for index, (source, group) in enumerate(given_):
        arn = facts[source].arn if source in facts else source
        ports.queue.put(
            dead,
            f"{index}",
            attributes={SOURCE: text(arn)} if arn else {},
            message_group=group if fifo else None,
            deduplication=f"{index}",
        )
    received = ports.queue.receive(dead, 10, 60)
    invocation = RedriveInvocation("i", START + SOON, START + SOON, lambda: 0.5)
    redriver = app.service(ports, lambda: START, invocation)
    level = app.logger.log_level
    app.logger.setLevel("CRITICAL")
    try:
        answer = redriver.take_batch([as_record(message, ports.queue.facts(dead).arn) for message in received])
    finally:
        app.logger.setLevel(level)

    kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    left = {message.body for message in received if message.id in kept}
    held = {ports.archive.load(entry.key).body for entry in ports.ledger.quarantine.quarantined("orders")[0]}
    sent = {name: [message.body for message in ports.queue.messages(fact.url)] for name, fact in facts.items()}
    ahead: defaultdict[tuple[str | None, str], list[str]] = defaultdict(list)  # what stayed, by queue and group
    for index, (source, group) in enumerate(given_):
        body = f"{index}"
        places = [name for name in NAMES if body in sent[name]]
        waits = fifo and body in left and bool(places)  # hidden until its copy has settled
        assert len(places) + (body in held) + (body in left) == 1 + waits, "in one place, and in sight"
        if places:
            assert places == [source]
            assert source not in paused
            assert max_retries
            if fifo:
                unsure = [one for one in ahead[None, group] if one in held]
                assert waits
                assert not ahead[source, group], "nothing of its message group stays behind it"
                assert not unsure, "nor what may be of its queue"
        else:
            ahead[source if source in facts else None, group].append(body)
            assert body in held or source in paused or fifo
    for name in NAMES:
        for group in "gh" if fifo else "":
            mine = [body for body in sent[name] if given_[int(body)][1] == group]
            assert mine == sorted(mine, key=int), "in order"
