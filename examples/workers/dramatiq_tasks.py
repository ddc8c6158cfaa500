"""Dramatiq actors on one SQS queue, whose workers Sluice scales.

Run a worker with `dramatiq dramatiq_tasks`, and send tasks with `python dramatiq_tasks.py COUNT [SECONDS]`.
"""

import os
import sys

import dramatiq
from dramatiq_sqs import SQSBroker
from dramatiq_sqs.broker import SQSConsumer
from work import asked, work


class LeavesFailuresToSqs(SQSConsumer):
    """Gives a failed message back, so that SQS counts its receives and moves it to the dead-letter queue.

    dramatiq_sqs would delete it, or send its body alone to a queue of its own, which says neither where it came from
    nor how often it was tried.
    """

    def nack(self, message):
        """Make the message visible again."""
        self.requeue([message])


class Broker(SQSBroker):
    """The broker of a queue that exists already."""

    consumer_class = LeavesFailuresToSqs


# The queue's own visibility timeout; dramatiq_sqs sets 12 hours by default, and a crashed worker's messages would wait
# as long.
broker = Broker(visibility_timeout=None)
broker.queues["tasks"] = broker.sqs.Queue(os.environ["QUEUE_URL"])
dramatiq.set_broker(broker)


# Retries are Sluice's: dramatiq's own are new messages, which SQS counts anew each time.
@dramatiq.actor(queue_name="tasks", max_retries=0)
def run(number, seconds):
    """Do the work of one task."""
    work(number, seconds)


if __name__ == "__main__":
    numbers, length_s = asked(sys.argv[1:])
    for one in numbers:
        run.send(one, length_s)
    print(f"sent {len(numbers)} tasks of {length_s:g} s")
