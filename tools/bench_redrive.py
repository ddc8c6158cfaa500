"""Redriving against a bare loop: how many messages a second go back, out of a dead-letter queue on the emulator.

The floor is what anyone would write: receive ten, send ten, delete ten, until the queue is empty, by as many threads as
the redriver has calls under way. It keeps no claims, so that a crash sends its messages twice; it has no canary and
reads no answers. The redriver does all that, over the ports as deployed. The two take turns on like messages.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sluice.aws import connect
from sluice.aws.queue import AT_ONCE
from sluice.config.fleet import Fleet, parse
from sluice.model.frozen import replace
from sluice.model.redriving import JobPacing, JobState, RedriveJob, Selection
from sluice.redriving.jobs.lifecycle import create_job
from sluice.redriving.jobs.runner import Runner
from sluice.redriving.jobs.slices import Slice
from tools.sandbox.sandbox import REGION, ROOT_KEY, Sandbox

TURNS = 2  # of each kind: a busy moment hits both
BATCH = 10
RATE_PER_S = 10_000.0  # no limit
UNTIL_S = 3_600.0  # nothing ends the run but its end


def redrive_per_s(count: int) -> tuple[float, float]:
    """Messages a second of the redriver, and of the bare loop."""
    with Sandbox() as sandbox:
        bench = _Bench(sandbox)
        each = max(BATCH, count // TURNS)
        spent_s = {"bare": 0.0, "redriver": 0.0}
        for turn in range(TURNS):
            # Whoever begins finds the emulator a little quicker: they take turns in that too.
            kinds: list[tuple[str, Callable[[int], float]]] = [("bare", bench.bare_s), ("redriver", bench.redriver_s)]
            for kind, measure in kinds if turn % 2 else reversed(kinds):
                bench.fill(each)
                spent_s[kind] += measure(each)
    return each * TURNS / spent_s["redriver"], each * TURNS / spent_s["bare"]


class _Bench:
    """A queue with its dead-letter queue, a ledger, and both ways to empty the latter into the former."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sqs = sandbox.client("sqs")
        self._dead = self._sqs.create_queue(QueueName="bench-dead")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        self._queue = self._sqs.create_queue(QueueName="bench", Attributes={"RedrivePolicy": policy})["QueueUrl"]
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
        self._jobs = 0
        self.fill(BATCH)  # clients are made, and code is compiled, before any clock runs
        self.redriver_s(BATCH)

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

    def redriver_s(self, count: int) -> float:
        """Seconds of a whole redrive job: asked for, canary, ramp, done."""
        self._jobs += 1
        began = time.perf_counter()
        now = time.time()
        asked = RedriveJob(f"job-{self._jobs}", "bench", JobState.RUNNING, now, "the bench", now)
        asked = replace(asked, pacing=JobPacing(RATE_PER_S))
        job = create_job(self._ports, self._fleet, Selection(from_dead_letters=True), asked)
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
