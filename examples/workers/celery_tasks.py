"""A Celery application on one SQS queue, whose workers Sluice scales.

Run a worker with `celery --app celery_tasks worker`, and send tasks with `python celery_tasks.py COUNT [SECONDS]`.
"""

import os
import sys

from celery import Celery
from work import asked, work

app = Celery(broker="sqs://")
app.conf.update(
    task_default_queue="tasks",
    task_ignore_result=True,
    # A queue that exists already, under its own name here; Celery creates none, and lists none.
    broker_transport_options={"predefined_queues": {"tasks": {"url": os.environ["QUEUE_URL"]}}},
    # Remote control would need a queue for each worker.
    worker_enable_remote_control=False,
    # A message is deleted when its task is done, and not when it begins: a worker that is killed loses none.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # A message whose task failed stays in the queue. SQS delivers it again after the visibility timeout, and moves it
    # to the dead-letter queue after maxReceiveCount receives, where Sluice finds it.
    task_acks_on_failure_or_timeout=False,
    # A process takes a message when it is free for it, so that no message waits behind another one's task.
    worker_prefetch_multiplier=1,
)


@app.task(name="work")
def run(number: int, seconds: float) -> None:
    """Do the work of one task."""
    work(number, seconds)


if __name__ == "__main__":
    numbers, length_s = asked(sys.argv[1:])
    for one in numbers:
        run.delay(one, length_s)
    print(f"sent {len(numbers)} tasks of {length_s:g} s")
