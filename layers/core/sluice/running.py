"""Redrive jobs at work: on a person's word, quarantined messages go back to their queue, watched, stopped, resumed.

A job lives in the ledger, so that any invocation can take it up where another left it. One runner at a time: the
record names it and when it is surely gone. Each step sends one batch (`resending`), lets go of what was sent, and
writes the job; a crash between leaves counts that are one batch low, and nothing else.

* Canary: one batch, at most `canary_count`, of the oldest of each failure group. Then a wait as long as a failure needs
  to come back (`canary_wait_s`; by default what a message waits and is worked on at most: target wait and one
  visibility timeout).
* Ramp: the rest in the order of the index, at the job's rate. What comes back is noted on the job by `dead_letters`,
  from another invocation: a job for one failure group stops at once, a job for all leaves that group out.
* What was quarantined after the job was asked for is not part of it: a message that fails again cannot go round.
* FIFO: a message that cannot be sent stops the job, since those behind it would overtake.
* From the dead-letter queue itself (manual mode) canaries are the first few received; the job goes on if the queue
  then holds no more than was left there, and stops at the first message of its own that it receives again.

Who lets go when: out of the index (with the group's count) once the sending is confirmed, then out of the archive. A
person's word is on record as the job; a crash between the two leaves a body in the archive that nothing points to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sluice.config import Fleet
from sluice.grouping import failure_group
from sluice.jobs import amend_job
from sluice.model import JobPhase, JobState, Message, Quarantined, RedriveJob
from sluice.ports import ConflictError, PortError, Ports, QueueFacts
from sluice.redrive import came_from, copy_of, due, memory_key, origin_of, paced, returned
from sluice.resending import Fate, Parcel, Sender, end_doubt, redrives_of

CANARY_WAIT_MAX_S = 900.0  # of the default: a longer watch is a person's choice, in the fleet's document
PATIENCE_S = 20.0  # a longer wait is left to the next tick: an invocation that sleeps is paid for
STEP_MARGIN_S = 10.0  # no further batch is begun within a step so near to the invocation's end
EMPTY_WAIT_S = 1.0  # a long poll asks every server of SQS: an empty answer means an empty queue
# What a job received and could not send reappears in the dead-letter queue this long after the invocation's end.
RECEIVED_MARGIN_S = 30.0


@dataclass(frozen=True, slots=True)
class _Item:
    """One message that a job is to send, and how it is let go."""

    message: Message
    failure_group: str
    attempt: int
    let_go: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Runner:
    """One invocation at work on the jobs of one fleet.

    Attributes:
        to: the fleet's queue.
        name: the invocation, as the job's record names its runner.
        until: when this process is surely gone.
    """

    ports: Ports
    fleet: Fleet
    to: QueueFacts
    name: str
    until: float
    now: Callable[[], float]

    def take(self, job: RedriveJob) -> RedriveJob | None:
        """Become the job's runner; None if it has one, or another was first."""
        now = self.now()
        if job.state is not JobState.RUNNING or (job.runner not in {"", self.name} and job.runner_until > now):
            return None
        try:
            return self.ports.ledger.keep_job(replace(job, runner=self.name, runner_until=self.until, updated_at=now))
        except ConflictError:
            return None

    def give_back(self, job: RedriveJob) -> None:
        """Let the next invocation take the job up at once."""

        def free(there: RedriveJob) -> RedriveJob:
            return replace(there, runner="", runner_until=0.0) if there.runner == self.name else there

        amend_job(self.ports, self.fleet.name, job.id, free)

    def step(self, job: RedriveJob) -> RedriveJob:
        """Send one batch of a job and write how it stands. It is ours, and due (`next_at`).

        Raises:
            PortError: the job stands as it did; what was sent is sent.
        """
        if job.from_dead_letters:
            worked = self._from_dead_letters(job)
        elif job.message_id is not None:
            entry = self.ports.ledger.quarantined_message(self.fleet.name, job.message_id)
            worked = _ended(self._send_entries(job, [entry] if entry else []), self.now())
        elif job.phase is JobPhase.CANARY:
            worked = self._canary(job)
        else:
            worked = self._ramp(job)
        return self._written(replace(worked, updated_at=self.now()))

    # ------------------------------------------------------------- phases

    def _canary(self, job: RedriveJob) -> RedriveJob:
        """The oldest few of the next failure group; after the last group, the wait."""
        groups = sorted(
            group.id
            for group in self.ports.ledger.failure_groups(self.fleet.name)
            if group.count > 0 and job.failure_group in {None, group.id} and group.id > (job.cursor or "")
        )
        if not groups:
            return self._watch(job)
        sent_before, after = job.sent_count, None
        while job.state is JobState.RUNNING and job.sent_count == sent_before:  # a canary in doubt tells nothing
            page, after = self.ports.ledger.quarantined(self.fleet.name, groups[0], self._canary_count(job), after)
            job = self._send_entries(job, page)
            if after is None or self.now() > self.until - STEP_MARGIN_S:
                break
        return replace(job, cursor=groups[0])

    def _canary_count(self, job: RedriveJob) -> int:
        return min(self.fleet.redrive.canary_count, due(job))

    def _watch(self, job: RedriveJob) -> RedriveJob:
        """The canaries are sent: wait as long as a failure needs to come back, unless nothing is left to send."""
        if _tried_count(job) >= job.selected_count:
            return _ended(job, self.now())
        wait_s = self.fleet.redrive.canary_wait_s
        if wait_s is None:
            wait_s = min(CANARY_WAIT_MAX_S, self.fleet.target_wait_s + self.to.visibility_s)
        if not job.sent_count:
            wait_s = 0.0
        ramp = replace(job, phase=JobPhase.RAMP, cursor=None, next_at=max(job.next_at, self.now() + wait_s))
        # The ramp walks through the whole index, and comes to what the canaries left behind once more.
        return ramp if job.from_dead_letters else replace(ramp, failed_count=0, doubtful_count=0)

    def _ramp(self, job: RedriveJob) -> RedriveJob:
        """The next page of the index."""
        page, cursor = self.ports.ledger.quarantined(self.fleet.name, job.failure_group, due(job), job.cursor)
        job = replace(self._send_entries(job, page), cursor=cursor)
        return _ended(job, self.now()) if cursor is None and job.state is JobState.RUNNING else job

    def _from_dead_letters(self, job: RedriveJob) -> RedriveJob:
        """The next messages of the dead-letter queue itself."""
        assert self.fleet.dead_letter_queue is not None, "preview refuses a fleet without one"
        url, queue = self.fleet.dead_letter_queue, self.ports.queue
        if job.phase is JobPhase.RAMP and job.cursor is None:
            # A queue cannot be searched for the canaries; but if it holds more than what is left, something came.
            visible = queue.read(url, self.now()).visible
            if visible and visible.value > job.selected_count - job.sent_count:
                note = "Stopped: more is in the dead-letter queue than was left there, so messages fail still."
                return replace(job, state=JobState.STOPPED, note=note)
            job = replace(job, cursor="watched")
        limit = self._canary_count(job) if job.phase is JobPhase.CANARY else due(job)
        limit = min(limit, job.selected_count - _tried_count(job))
        visibility_s = max(0.0, self.until - self.now()) + RECEIVED_MARGIN_S
        received = queue.receive(url, limit, visibility_s, EMPTY_WAIT_S)
        items: list[_Item] = []
        for message in received:
            origin = origin_of(message)
            if origin:
                end_doubt(self.ports, self.fleet.name, origin.message_id, self.until, self.now())
            if origin and origin.failure_group and origin.job_id == job.id:
                job = returned(job, origin.failure_group, f"Message {message.id} came back.", self.now())
                queue.hide(url, message.receipt, 0.0)
                continue
            group = failure_group(message).id
            redrives = redrives_of(self.ports, self.fleet.name, message, self.to)
            items.append(_Item(message, group, redrives, _deletion(self.ports, url, message)))
        if job.state is JobState.RUNNING:
            job = self._send(job, items)
        else:
            for item in items:
                queue.hide(url, item.message.receipt, 0.0)
        if job.state is not JobState.RUNNING:
            return job
        if not received or _tried_count(job) >= job.selected_count:
            return _ended(job, self.now())
        return self._watch(job) if job.phase is JobPhase.CANARY else job

    # ------------------------------------------------------------- sending

    def _send_entries(self, job: RedriveJob, entries: Sequence[Quarantined]) -> RedriveJob:
        """Send what the index points to, as far as it is part of the job."""
        items: list[_Item] = []
        for entry in entries:
            if entry.at > job.requested_at or entry.failure_group in job.stopped_groups:
                continue
            try:
                message = self.ports.archive.load(entry.key)
            except PortError as error:
                job = self._failed(job, f"Message {entry.message_id} could not be read: {error}")
                if job.state is not JobState.RUNNING:
                    break
                continue
            items.append(_Item(message, entry.failure_group, entry.attempt, _letting_go(self.ports, entry)))
        return self._send(job, items)

    def _send(self, job: RedriveJob, items: Sequence[_Item]) -> RedriveJob:
        """Send messages, let go of those that are sent, and count."""
        began_at = self.now()
        parcels: list[Parcel] = []
        sendable: list[_Item] = []
        for item in items:
            attempt = item.attempt + 1
            copy = copy_of(item.message, attempt, self.to, (job.id, item.failure_group))
            if copy is None or not came_from(item.message, self.to):
                fault = "is more than its queue takes" if copy is None else "came from another queue than the fleet's"
                job = self._failed(job, f"Message {item.message.id} {fault}.")
                if job.state is not JobState.RUNNING:
                    break
                continue
            remember = None if copy.carries_attempts else (memory_key(item.message), attempt)
            parcels.append(Parcel(copy.message, remember=remember))
            sendable.append(item)
        sender = Sender(self.ports, self.fleet.name, self.to, self.until, self.now)
        for item, sending in zip(sendable, sender.send(parcels, again=job.again), strict=True):
            if sending.may_let_go:
                job = replace(job, sent_count=job.sent_count + 1)
                try:
                    item.let_go()
                except PortError as error:
                    job = replace(job, note=f"Message {item.message.id} is sent, but still listed: {error}")
            elif sending.fate in {Fate.DOUBTFUL, Fate.UNKNOWN}:
                job = replace(job, doubtful_count=job.doubtful_count + 1)
                job = self._held_up(job, f"Message {item.message.id}: {sending.reason}.")
            else:
                job = self._failed(job, f"Message {item.message.id}: {sending.reason}.")
        return replace(job, next_at=paced(job, len(parcels), began_at)) if parcels else job

    def _failed(self, job: RedriveJob, reason: str) -> RedriveJob:
        return self._held_up(replace(job, failed_count=job.failed_count + 1), reason)

    def _held_up(self, job: RedriveJob, reason: str) -> RedriveJob:
        """A message stays behind, for the reason given; on FIFO queues those behind it must not overtake."""
        if not self.to.fifo or job.state is not JobState.RUNNING:
            return replace(job, note=reason)
        return replace(job, state=JobState.STOPPED, note=f"Stopped, to keep the FIFO order. {reason}")

    def _written(self, job: RedriveJob) -> RedriveJob:
        """Write a job, keeping what others wrote meanwhile: a person's stop, and returns."""
        try:
            return self.ports.ledger.keep_job(job)
        except ConflictError:
            pass

        def merged(there: RedriveJob) -> RedriveJob:
            if there.runner != self.name:
                return there  # we were thought gone: it is another's now
            ours = replace(
                job,
                version=there.version,
                returned_count=max(job.returned_count, there.returned_count),
                stopped_groups=tuple(sorted({*job.stopped_groups, *there.stopped_groups})),
            )
            return ours if there.state is JobState.RUNNING else replace(ours, state=there.state, note=there.note)

        written = amend_job(self.ports, self.fleet.name, job.id, merged)
        if written is None:
            raise ConflictError(f"job {job.id} of fleet {self.fleet.name} is no longer on record")
        return written


@dataclass(frozen=True, slots=True)
class Work:
    """A job, and who works on it."""

    runner: Runner
    job: RedriveJob


def run(
    works: Sequence[Work],
    stop_at: float,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    failed: Callable[[RedriveJob, Exception], None],
) -> tuple[RedriveJob, ...]:
    """Work on jobs in turn, whichever is due first, until a time; how each stands then.

    A job that cannot go on now is left to the next invocation and told to `failed`; it never stops the others.
    """
    under_way = {(work.job.fleet, work.job.id): work for work in works}
    ended: list[RedriveJob] = []
    while under_way and now() < stop_at:
        key, work = min(under_way.items(), key=lambda item: (item[1].job.next_at, item[0]))
        wait_s = work.job.next_at - now()
        if wait_s > PATIENCE_S or now() + wait_s >= stop_at:
            break
        if wait_s > 0:
            sleep(wait_s)
        try:
            job = work.runner.step(work.job)
        except Exception as error:  # one job's trouble, foreseen or not, is not the others'
            failed(work.job, error)
            ended.append(under_way.pop(key).job)
            continue
        under_way[key] = Work(work.runner, job)
        if job.state is not JobState.RUNNING or job.runner != work.runner.name:
            ended.append(under_way.pop(key).job)
    for work in under_way.values():
        try:
            work.runner.give_back(work.job)
        except PortError as error:
            failed(work.job, error)
    return (*ended, *(work.job for work in under_way.values()))


def _tried_count(job: RedriveJob) -> int:
    return job.sent_count + job.failed_count + job.doubtful_count


def _ended(job: RedriveJob, now: float) -> RedriveJob:
    """A job that has come to the end of its selection."""
    if job.state is not JobState.RUNNING:
        return job
    parts = [f"{job.sent_count} of {job.selected_count} sent"]
    parts += [f"{job.failed_count} could not be sent"] if job.failed_count else []
    parts += [f"{job.doubtful_count} may have been sent before and were left"] if job.doubtful_count else []
    parts += [f"failure groups that came back were left: {', '.join(job.stopped_groups)}"] if job.stopped_groups else []
    state = JobState.STOPPED if job.stopped_groups else JobState.DONE
    last = f" {job.note}" if job.note else ""
    return replace(job, state=state, note="; ".join(parts) + "." + last, updated_at=now)


def _letting_go(ports: Ports, entry: Quarantined) -> Callable[[], None]:
    def let_go() -> None:
        ports.ledger.let_go(entry)
        ports.archive.remove(entry.key)

    return let_go


def _deletion(ports: Ports, queue_url: str, message: Message) -> Callable[[], None]:
    def delete() -> None:
        ports.queue.delete(queue_url, [message.receipt])

    return delete
