"""Redriving against a bare loop: how many messages a second go back, on the emulator.

The floor is what anyone would write, by as many threads as the redriver moves messages with. Out of a dead-letter
queue: receive ten, send ten, delete ten, until the queue is empty. Out of quarantine: list the index, and for each ten
messages read the bodies, send, and delete bodies and index entries. It keeps no claims and no counts, so that a crash
sends its messages twice; it has no canary and reads no answers. The redriver does all that, over the ports as deployed.
Out of a dead-letter queue it asks the ledger beside the four calls that move messages, so that up to five calls are
under way for a moment.
The two take turns on like messages, and the bodies and entries of the quarantine are those that the redriver writes.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import batched
from statistics import median
from typing import Any

from sluice.aws import connect
from sluice.aws.ledger.quarantine import entry_keys
from sluice.aws.queue import AT_ONCE
from sluice.config.fleet import Fleet, parse
from sluice.model.frozen import replace
from sluice.model.redrive_jobs import JobPacing, JobState, RedriveJob, Selection
from sluice.model.redriving import Attribute, Excerpt, Message, QuarantineEntry
from sluice.redriving.jobs.lifecycle import create_job
from sluice.redriving.jobs.rules import BATCH_MAX
from sluice.redriving.jobs.runner import Runner
from sluice.redriving.jobs.slices import Slice
from sluice_tools.sandbox.sandbox import REGION, ROOT_KEY, Sandbox

TURNS = 5  # of each kind: a busy moment hits both, and the median leaves it out
BATCH = 10
RATE_PER_S = 10_000.0  # no limit
UNTIL_S = 3_600.0  # nothing ends the run but its end


type Way = tuple[Callable[[int], None], Callable[[int], float], Callable[[int], float]]  # fill, bare loop, redriver


def redrive_per_s(count: int, *, quarantined: bool = False) -> tuple[float, float]:
    """Messages a second of the redriver, and of the bare loop, out of the dead-letter queue or out of quarantine."""
    with Sandbox() as sandbox:
        bench = _Bench(sandbox)
        fill, bare_s, redriver_s = bench.from_quarantine() if quarantined else bench.from_dead_letters()
        fill(BATCH)  # clients are made, and code is compiled, before any clock runs
        redriver_s(BATCH)
        each = max(BATCH, count // TURNS)
        spent_s: dict[str, list[float]] = {"bare": [], "redriver": []}
        for turn in range(TURNS):
            # Whoever begins finds the emulator a little quicker: they take turns in that too.
            kinds: list[tuple[str, Callable[[int], float]]] = [("bare", bare_s), ("redriver", redriver_s)]
            for kind, measure in kinds if turn % 2 else reversed(kinds):
                fill(each)
                spent_s[kind].append(measure(each))
    return each / median(spent_s["redriver"]), each / median(spent_s["bare"])


class _Bench:
    """A queue with its dead-letter queue, a ledger, and both ways to empty the latter into the former."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sqs = sandbox.client("sqs")
        self._dead = self._sqs.create_queue(QueueName="bench-dead")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        self._queue = self._sqs.create_queue(QueueName="bench", Attributes={"RedrivePolicy": policy})["QueueUrl"]
        self._arn = arn.removesuffix("-dead")
        sandbox.client("dynamodb").create_table(
            TableName="bench",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        )
        self._ports = connect(
            {
                "AWS_REGION": REGION,
                "AWS_ENDPOINT_URL": sandbox.url,
                "AWS_ACCESS_KEY_ID": ROOT_KEY,
                "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
                "SLUICE_STACK": "bench",
                "SLUICE_FLEETS_PATH": "/bench/",
                "SLUICE_TABLE": "bench",
                "SLUICE_BUCKET": "bench",
            }
        )
        self._fleet: Fleet = parse(
            "bench",
            {
                "queue": self._queue,
                "dead_letter_queue": self._dead,
                "group": "bench",
                "target_wait_s": 60,
                "redrive": {"mode": "manual", "canary_wait_s": 0, "move_tasks": False},
            },
        )
        self._dynamodb, self._s3 = sandbox.client("dynamodb"), sandbox.client("s3")
        self._s3.create_bucket(Bucket="bench", CreateBucketConfiguration={"LocationConstraint": REGION})
        self._jobs = self._quarantined = 0

    def from_dead_letters(self) -> Way:
        """Out of the dead-letter queue."""
        return self.fill, self.bare_s, partial(self.redriver_s, Selection(from_dead_letters=True))

    def from_quarantine(self) -> Way:
        """Out of quarantine."""
        return self.fill_quarantine, self.bare_quarantine_s, partial(self.redriver_s, Selection())

    def fill(self, count: int) -> None:
        """Dead letters, each an order of half a kilobyte with a stamped cause and three attributes of its own."""

        def send(first: int) -> None:
            entries = [dead_letter(number) for number in range(first, min(first + BATCH, count))]
            self._sqs.send_message_batch(QueueUrl=self._dead, Entries=entries)

        self._sqs.purge_queue(QueueUrl=self._queue)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(send, range(0, count, BATCH)))

    def bare_s(self, count: int) -> float:
        """Seconds of the bare loop."""
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            moved_count = sum(pool.map(lambda _: self._bare_loop(), range(AT_ONCE)))
        took_s = time.perf_counter() - began
        assert moved_count == count
        return took_s

    def _bare_loop(self) -> int:
        moved_count = 0
        while received := self._sqs.receive_message(
            QueueUrl=self._dead,
            MaxNumberOfMessages=BATCH,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            entries = [
                {
                    "Id": str(number),
                    "MessageBody": message["Body"],
                    "MessageAttributes": {
                        name: {"DataType": value["DataType"], "StringValue": value["StringValue"]}
                        for name, value in message["MessageAttributes"].items()
                    },
                }
                for number, message in enumerate(received)
            ]
            self._sqs.send_message_batch(QueueUrl=self._queue, Entries=entries)
            receipts = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(received)]
            self._sqs.delete_message_batch(QueueUrl=self._dead, Entries=receipts)
            moved_count += len(received)
        return moved_count

    def fill_quarantine(self, count: int) -> None:
        """Quarantined messages like the dead letters, as the redriver writes them: body, entry, place in the order."""
        at = time.time()
        first = self._quarantined
        self._quarantined += count

        def store(number: int) -> None:
            entry = dead_letter(number)
            named = entry["MessageAttributes"].items()
            message = Message(
                f"{number:08x}-0000-4000-8000-000000000000",
                entry["MessageBody"],
                attributes=tuple(sorted((name, Attribute("String", value["StringValue"])) for name, value in named)),
                first_sent_at=at - 60,
            )
            key = self._ports.archive.store("bench", message)
            kept = QuarantineEntry(
                "bench", "cause-1", message.id, key, "UnknownItem: no item", at - count + number - first, at - 60, 0,
                self._arn, message.size_bytes, Excerpt(message.body[:100]),
            )  # fmt: skip
            assert self._ports.ledger.quarantine.quarantine(kept)

        self._sqs.purge_queue(QueueUrl=self._queue)
        self._ports.ledger.failure_groups.admit_group("bench", "cause-1", "UnknownItem: no item", at)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(store, range(first, first + count)))

    def bare_quarantine_s(self, count: int) -> float:
        """Seconds of the bare loop out of quarantine."""
        began = time.perf_counter()
        quarantine = self._ports.ledger.quarantine
        entries: list[QuarantineEntry] = []
        after: str | None = None
        while not entries or after:
            page, after = quarantine.quarantined("bench", None, BATCH_MAX, after)
            entries += page
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._bare_ten, [entries[first : first + BATCH] for first in range(0, count, BATCH)]))
        took_s = time.perf_counter() - began
        assert len(entries) == count
        return took_s

    def _bare_ten(self, entries: list[QuarantineEntry]) -> None:
        bodies = [json.loads(self._s3.get_object(Bucket="bench", Key=one.key)["Body"].read()) for one in entries]
        messages = [
            {
                "Id": str(number),
                "MessageBody": body["body"],
                "MessageAttributes": {
                    name: {"DataType": value["type"], "StringValue": value["text"]}
                    for name, value in body["attributes"].items()
                },
            }
            for number, body in enumerate(bodies)
        ]
        self._sqs.send_message_batch(QueueUrl=self._queue, Entries=messages)
        self._s3.delete_objects(Bucket="bench", Delete={"Objects": [{"Key": one.key} for one in entries]})
        for some in batched((key for one in entries for key in entry_keys(one)), 25, strict=False):
            requests = [{"DeleteRequest": {"Key": key}} for key in some]
            self._dynamodb.batch_write_item(RequestItems={"bench": requests})

    def redriver_s(self, selection: Selection, count: int) -> float:
        """Seconds of a whole redrive job: asked for, canary, ramp, done."""
        self._jobs += 1
        began = time.perf_counter()
        now = time.time()
        asked = RedriveJob(f"job-{self._jobs}", "bench", JobState.RUNNING, now, "the bench", now)
        asked = replace(asked, pacing=JobPacing(RATE_PER_S))
        job = create_job(self._ports, self._fleet, selection, asked)
        to = self._ports.queue.facts(self._queue)
        runner = Runner(self._ports, self._fleet, to, "bench", now + UNTIL_S, time.time)
        part = Slice(self._ports.ledger.jobs, "bench", lambda _: runner, time.time, _raise)
        while following := part.work(now + UNTIL_S):  # as its chain goes on, without the messages between its slices
            time.sleep(max(0.0, following.due_at - time.time()))
        took_s = time.perf_counter() - began
        _, done = part.worked[job.id]
        assert (done.state, done.progress.sent_count) == (JobState.DONE, count), done
        return took_s


def dead_letter(number: int) -> dict[str, Any]:
    """A dead letter as an entry of SendMessageBatch: an order of half a kilobyte, its cause, and three attributes."""
    lines = [
        {"sku": sku, "count": 1 + number % 5, "price_cents": 990, "note": "gift wrap, and a card that says thank you"}
        for sku in ("tea-green", "tea-oolong", "cup-small")
    ]
    body = {
        "order_id": f"{number:08x}-0000-4000-8000-{number:012x}",
        "customer": {"id": f"c-{number % 977}", "name": "Ada Example", "city": "Berlin", "street": "Example Street 7"},
        "lines": lines,
        "currency": "EUR",
    }
    attributes = {
        "shop": "Berlin",
        "channel": "web",
        "traceparent": f"00-{number:032x}-{number:016x}-01",
        "sluice.cause": f"UnknownItem: no item tea-{number % 7} in the catalogue",
    }
    return {
        "Id": str(number % BATCH),
        "MessageBody": json.dumps(body),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
    }


def _raise(_job: RedriveJob, error: Exception) -> None:
    raise error
