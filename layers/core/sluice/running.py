"""Redrive jobs at work: on a person's word, messages go back to their queue, watched, stopped, resumed.

A job lives in the ledger, so that any invocation can take it up where another left it. One runner at a time: the
record names it and when it is surely gone. Each step sends one load (`resending`), lets go of what was sent, and
writes the job; a crash between leaves counts that are one load low, and nothing else.

* Canary: at most `canary_count` of the oldest of each failure group. Then a wait as long as a failure needs to come
  back (`canary_wait_s`; by default what a message waits and is worked on at most: target wait and one visibility
  timeout).
* Ramp: the rest in the order of the index, at the job's rate. What comes back is noted on the job by `dead_letters`,
  from another invocation: a job for one failure group stops at once, a job for all leaves that group out.
* What was quarantined after the job was asked for is not part of it: a message that fails again cannot go round.
* FIFO: a message that cannot be sent stops the job, since those behind it would overtake. A narrowed job sends of each
  message group what is selected up to the first that is not.
* From the dead-letter queue itself (manual mode) canaries are the first few received; the job goes on if the queue
  then holds no more than was left there, and stops at the first message of its own that it receives again. A large
  load goes in parts side by side, each with a claim of its own; on FIFO queues as one, to keep its order. Where
  much is left and SQS's own move task would be faster than this job was, that moves the rest (`MOVE`): it knows
  neither stamps nor marks, so that it stops when the dead-letter queue fills again.
* Of several queues each message goes to the one it came from (`belonging`), unless the job names one for all. Out of
  several dead-letter queues a job takes in turn, canaries of each. SQS's move task is used for one dead-letter queue of
  one queue alone: it would move to one destination, or trust every message's source.

Who lets go when: out of the index (with the group's count) once the sending is confirmed, then out of the archive. A
person's word is on record as the job; a crash between the two leaves a body in the archive that nothing points to.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import Any

from sluice.belonging import Way, by_dead_letter_queue, way_back
from sluice.config import Fleet
from sluice.grouping import failure_group, told_source
from sluice.jobs import PAGE, amend_job, end_move, without_move
from sluice.model import JobPhase, JobState, Message, MoveTask, Quarantined, RedriveJob
from sluice.ports import MOVE_MAX_PER_S, ConflictError, PortError, Ports, QueueFacts
from sluice.redrive import (
    Lanes,
    copy_of,
    due,
    joined,
    memory_key,
    origin_of,
    outpaced,
    paced,
    returned,
    selects,
    tried_count,
)
from sluice.resending import Consigned, Fate, Parcel, Sender, end_doubts, redrives_of
from sluice.values import dataclass, replace

CANARY_WAIT_MAX_S = 900.0  # of the default: a longer watch is a person's choice, in the fleet's document
PATIENCE_S = 20.0  # a longer wait is left to the next tick: an invocation that sleeps is paid for
STEP_MARGIN_S = 10.0  # no further batch is begun within a step so near to the invocation's end
EMPTY_WAIT_S = 1.0  # a long poll asks every server of SQS: an empty answer means an empty queue
# What a job received and could not send reappears in the dead-letter queue this long after the invocation's end.
RECEIVED_MARGIN_S = 30.0
# Asked of a dead-letter queue in one go: four calls of ten, which the adapter makes together.
RECEIVED_AT_ONCE = 40
# Bodies in memory at once: a load of 200 messages of 1 MiB would be more than a function has.
LOAD_BYTES = 32 * 1_048_576
PART_BYTES = LOAD_BYTES // 4  # as many parts are moved at a time
# No part of a load is begun later than this: whoever pauses a job, or ends the invocation, waits for little more.
LOAD_S = 1.0
# A move task takes seconds to get going, and tells of its progress as slowly.
MOVE_LOOK_S = 10.0
# Loads so small that they measure the calls and not the messages say nothing of a pace.
PACE_COUNT_MIN = 50


@dataclass(frozen=True, slots=True)
class _Item:
    """One message that a job is to send, and where it is: in quarantine, or hidden in the dead-letter queue."""

    message: Message
    failure_group: str
    attempt: int
    entry: Quarantined | None = None


@dataclass(slots=True)
class _Load:
    """What the parts of one load out of a dead-letter queue have in common."""

    began_at: float
    visibility_s: float  # of what is received
    part_bytes: int  # of bodies in memory, for each part
    free: list[Consigned] = field(default_factory=list)  # of parts that are done, for others to write over
    halted: bool = False  # a part has seen a message come back: what is not yet being sent stays
    received: set[str] = field(default_factory=set)  # ids

    def free_record(self) -> Consigned | None:
        """One that a part has done with."""
        try:
            return self.free.pop()
        except IndexError:
            return None

    def not_elsewhere(self, messages: Sequence[Message]) -> list[Message]:
        """What a part has received, without what SQS gave to another as well: that will have forgotten its claim."""
        mine = [message for message in messages if message.id not in self.received]
        self.received |= {message.id for message in mine}  # of two that do this at one moment, the claims keep one
        return mine


@dataclass(frozen=True, slots=True)
class _Part:
    """How a job stands after one part of a load."""

    job: RedriveJob
    received_count: int
    error: PortError | None = None  # the part was left for it, whatever it had received


@dataclass(frozen=True, slots=True)
class Runner:
    """One invocation at work on the jobs of one fleet.

    Attributes:
        to: the fleet's queue, of several a FIFO one if there is any; or the one that the job names in its place.
        name: the invocation, as the job's record names its runner.
        until: when this process is surely gone.
        ways: the fleet's queues, as far as the job is about them; none: it has the one.
    """

    ports: Ports
    fleet: Fleet
    to: QueueFacts
    name: str
    until: float
    now: Callable[[], float]
    ways: tuple[Way, ...] = ()
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _walked: dict[str, tuple[str | None, Lanes]] = field(default_factory=dict)  # by job: up to where, and what is left
    _emptied: set[str] = field(default_factory=set)  # dead-letter queues that gave nothing when last asked

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
        """Send one load of a job and write how it stands. It is ours, and due (`next_at`).

        Raises:
            PortError: the job stands as it did; what was sent is sent.
        """
        if job.phase is JobPhase.MOVE:
            worked = self._look_at_move(job)
        elif job.from_dead_letters:
            worked = self._from_dead_letters(job)
        elif job.message_id is not None:
            entry = self.ports.ledger.quarantined_message(self.fleet.name, job.message_id)
            worked = _ended(self._send_entries(job, [entry] if entry else []), self.now())
        elif job.message_ids:
            worked = self._listed(job)
        elif job.phase is JobPhase.CANARY:
            worked = self._canary(job)
        else:
            worked = self._ramp(job)
        return self._written(job, replace(worked, updated_at=self.now()))

    # ------------------------------------------------------------- phases

    def _canary(self, job: RedriveJob) -> RedriveJob:
        """The oldest few of the next failure group; after the last group, the wait."""
        groups = sorted(
            group.id
            for group in self.ports.ledger.failure_groups(self.fleet.name)
            if group.count > 0
            and job.failure_group in {None, group.id}
            and group.id not in job.left_groups
            and group.id > (job.cursor or "")
        )
        if not groups:
            return self._watch(job)
        sent_before, after, lanes = job.sent_count, None, Lanes()
        while job.state is JobState.RUNNING and job.sent_count == sent_before:  # a canary in doubt tells nothing
            page, after = self.ports.ledger.quarantined(self.fleet.name, groups[0], self._canary_count(job), after)
            job = self._send_entries(job, page, lanes)
            if after is None or self.now() > self.until - STEP_MARGIN_S:
                break
        return replace(job, cursor=groups[0])

    def _canary_count(self, job: RedriveJob) -> int:
        return min(self.fleet.redrive.canary_count, due(job, self.to))

    def _watch(self, job: RedriveJob) -> RedriveJob:
        """The canaries are sent: wait as long as a failure needs to come back, unless nothing is left to send."""
        if tried_count(job) >= job.selected_count:
            return _ended(job, self.now())
        wait_s = self.fleet.redrive.canary_wait_s
        if wait_s is None:
            longest_s = max(way.fleet.target_wait_s + way.to.visibility_s for way in self._ways(job))
            wait_s = min(CANARY_WAIT_MAX_S, longest_s)
        if not job.sent_count:
            wait_s = 0.0
        kept = job.cursor if job.message_ids else None
        ramp = replace(job, phase=JobPhase.RAMP, cursor=kept, next_at=max(job.next_at, self.now() + wait_s))
        # The ramp walks through the whole index, and comes to what the canaries left behind once more.
        anew = not job.from_dead_letters and not job.message_ids
        return replace(ramp, failed_count=0, doubtful_count=0) if anew else ramp

    def _ramp(self, job: RedriveJob) -> RedriveJob:
        """The next page of the index."""
        page, cursor = self.ports.ledger.quarantined(self.fleet.name, job.failure_group, due(job, self.to), job.cursor)
        lanes = self._lanes_before(job, page)
        job = replace(self._send_entries(job, page, lanes), cursor=cursor)
        self._walked[job.id] = (cursor, lanes)
        return _ended(job, self.now()) if cursor is None and job.state is JobState.RUNNING else job

    def _lanes_before(self, job: RedriveJob, page: Sequence[Quarantined]) -> Lanes:
        """What the walk of a FIFO job has left behind so far: as this runner knows, or by walking there again."""
        walked_to, lanes = self._walked.get(job.id, (None, Lanes()))
        if not self.to.fifo or not page or job.cursor is None or job.cursor == walked_to:
            return Lanes() if job.cursor is None else Lanes(set(lanes.held_up))  # a step that fails is taken again
        lanes, after = Lanes(), None
        while True:
            entries, after = self.ports.ledger.quarantined(self.fleet.name, job.failure_group, PAGE, after)
            for entry in entries:
                if entry.message_id == page[0].message_id:
                    return lanes
                lanes.admits(job, entry)
            if after is None:
                return lanes

    def _listed(self, job: RedriveJob) -> RedriveJob:
        """The next of the messages that the job lists; the cursor counts how many of them were gone through."""
        begun = int(job.cursor or 0)
        limit = self._canary_count(job) if job.phase is JobPhase.CANARY else due(job, self.to)
        found = (
            self.ports.ledger.quarantined_message(self.fleet.name, message_id)
            for message_id in job.message_ids[begun : begun + limit]
        )
        job = self._send_entries(job, [entry for entry in found if entry])
        job = replace(job, cursor=str(begun + limit))
        if job.state is not JobState.RUNNING:
            return job
        if begun + limit >= len(job.message_ids):
            return _ended(job, self.now())
        return self._watch(job) if job.phase is JobPhase.CANARY else job

    def _from_dead_letters(self, job: RedriveJob) -> RedriveJob:
        """The next messages of the dead-letter queue itself, or of several."""
        if job.phase is JobPhase.RAMP and job.cursor is None:
            # A queue cannot be searched for the canaries; but if it holds more than what is left, something came.
            counts = [self.ports.queue.read(url, self.now()).visible for url in self._places()]
            if sum(visible.value for visible in counts if visible) > job.selected_count - job.sent_count:
                note = "Stopped: more is in the dead-letter queue than was left there, so messages fail still."
                return replace(job, state=JobState.STOPPED, note=note)
            job = replace(job, cursor="watched")
        if self._is_one_queue() and outpaced(job, self.fleet.redrive, MOVE_MAX_PER_S):
            return self._start_move(job)
        began_at = self.now()
        before_count = tried_count(job)
        job, received_count = self._load(job)
        if job.state is not JobState.RUNNING:
            return job
        sent_count = tried_count(job) - before_count
        if not received_count or tried_count(job) >= job.selected_count:
            return _ended(job, self.now())
        if sent_count >= PACE_COUNT_MIN:
            job = replace(job, pace_per_s=sent_count / max(self.now() - began_at, 1e-3))
        return self._watch(job) if job.phase is JobPhase.CANARY else job

    def _load(self, job: RedriveJob) -> tuple[RedriveJob, int]:
        """One load out of the dead-letter queues, canaries out of each; and how many messages were received."""
        limit = self._canary_count(job) if job.phase is JobPhase.CANARY else due(job, self.to)
        received_count = 0
        places = self._places()
        for url in sorted(places, key=lambda url: url in self._emptied):  # an empty one takes a second to say so
            wanted = limit if job.phase is JobPhase.CANARY else limit - received_count
            wanted = min(wanted, job.selected_count - tried_count(job))
            if wanted <= 0 or job.state is not JobState.RUNNING or (received_count and url in self._emptied):
                break
            there = replace(self, **places[url])
            job, count = there._load_of(job, wanted)  # noqa: SLF001 - of this very class
            (self._emptied.discard if count else self._emptied.add)(url)
            received_count += count
        return job, received_count

    def _load_of(self, job: RedriveJob, count: int) -> tuple[RedriveJob, int]:
        """One load out of a dead-letter queue, in parts side by side; and how many messages were received.

        Raises:
            PortError: nothing was received, and that was not for want of messages.
        """
        began_at = self.now()
        shares = [count] if self.to.fifo else self.ports.queue.shares(count)  # parts would overtake one another
        load = _Load(
            began_at=began_at,
            visibility_s=max(0.0, self.until - began_at) + RECEIVED_MARGIN_S,
            part_bytes=LOAD_BYTES if len(shares) == 1 else PART_BYTES,
        )
        works = [partial(self._part, job, share, load, place) for place, share in enumerate(shares)]
        parts = self.ports.queue.side_by_side(works)
        for consigned in load.free:
            with suppress(PortError):  # it says of messages that are gone that they were sent, until it is forgotten
                consigned.close()
        received_count = sum(part.received_count for part in parts)
        errors = [part.error for part in parts if part.error]
        if errors and not received_count:
            raise errors[0]
        after = joined(job, [part.job for part in parts])
        if errors and after.note == job.note:
            after = replace(after, note=f"A part of a load was left: {errors[0]}")
        return replace(after, next_at=paced(job, tried_count(after) - tried_count(job), began_at)), received_count

    def _part(self, job: RedriveJob, count: int, load: _Load, place: int) -> _Part:
        """A part of a load, claimed by a record of its own: receive, send, delete."""
        if load.halted or (place and self.now() > load.began_at + LOAD_S):
            return _Part(job, 0)
        try:
            received = self._receive(count, load)
            job, items = self._items(job, load.not_elsewhere(received))
        except PortError as error:
            return _Part(job, 0, error)
        if job.state is not JobState.RUNNING:
            load.halted = True
        if load.halted:
            self._give_back(received)
            return _Part(job, len(received))
        return _Part(self._send(job, items, load), len(received))

    def _receive(self, limit: int, load: _Load) -> list[Message]:
        """As many as are wanted, or are there, or fit into memory."""
        url = self._dead_letters()
        received: list[Message] = []
        size_bytes = 0
        while len(received) < limit and size_bytes < load.part_bytes:
            try:
                some = self.ports.queue.receive(
                    url,
                    min(RECEIVED_AT_ONCE, limit - len(received)),
                    load.visibility_s,
                    0.0 if received else EMPTY_WAIT_S,
                )
            except PortError:
                if not received:
                    raise
                break
            received += some
            size_bytes += sum(message.size_bytes for message in some)
            if not some:
                break
        return received

    def _items(self, job: RedriveJob, received: Sequence[Message]) -> tuple[RedriveJob, list[_Item]]:
        """What was received as what is to be sent; one that this job itself sent stops it."""
        origins = [(message, origin_of(message)) for message in received]
        end_doubts(self.ports, self.fleet.name, [origin.message_id for _, origin in origins if origin], self.now())
        items: list[_Item] = []
        ways = self._ways(job)
        for message, origin in origins:
            if origin and origin.failure_group and origin.job_id == job.id:
                job = returned(job, origin.failure_group, f"Message {message.id} came back.", self.now())
                self._give_back([message])
                continue
            way = _way(job, message, None, ways)
            redrives = redrives_of(self.ports, self.fleet.name, message, way.to if way else self.to)
            items.append(_Item(message, failure_group(message).id, redrives))
        return job, items

    def _give_back(self, messages: Sequence[Message]) -> None:
        """Show messages again at once. One with which that fails does so by itself, later."""
        for message in messages:
            with suppress(PortError):
                self.ports.queue.hide(self._dead_letters(), message.receipt, 0.0)

    def _dead_letters(self) -> str:
        assert self.fleet.dead_letter_queue is not None, "preview refuses a fleet without one"
        return self.fleet.dead_letter_queue

    # ------------------------------------------------------------- several queues

    def _ways(self, job: RedriveJob) -> tuple[Way, ...]:
        """The ways that a job's messages may go: back to their queues, or all to the one that it names."""
        if not self.ways or _goes_elsewhere(job):
            return (Way(self.fleet if self.fleet.queue else self.fleet.through(self.fleet.sources[0]), self.to),)
        return self.ways

    def _places(self) -> dict[str, dict[str, Any]]:
        """The dead-letter queues, each with what a runner of it alone has otherwise than this one."""
        if not self.ways:
            return {self._dead_letters(): {}}
        return {url: {"fleet": ways[0].fleet, "ways": ways} for url, ways in by_dead_letter_queue(self.ways).items()}

    def _is_one_queue(self) -> bool:
        """Whether all that is in the job's dead-letter queue came from one queue of the fleet, as far as known."""
        return not self.ways or (len(self.ways) == 1 and not self.ways[0].others)

    # ------------------------------------------------------------- SQS's own move

    def _start_move(self, job: RedriveJob) -> RedriveJob:
        """Let SQS move the rest.

        A task that runs already is one of ours, whose handle a crash has lost, or the console's: either way it is
        watched, and another is not begun.
        """
        (url,) = self._places()
        task = self._task(url)
        rate_per_s = max(1, min(MOVE_MAX_PER_S, int(job.rate_per_s)))
        handle = task.handle if task and task.running else self.ports.queue.start_move(url, self.to.arn, rate_per_s)
        note = f"SQS's own move task moves the rest, at most {rate_per_s} a second."
        return replace(job, phase=JobPhase.MOVE, move=handle, note=note, next_at=self.now() + MOVE_LOOK_S)

    def _look_at_move(self, job: RedriveJob) -> RedriveJob:
        """How SQS's move stands; it is stopped when the dead-letter queue fills again."""
        (url,) = self._places()
        task = self._task(url)
        visible = self.ports.queue.read(url, self.now()).visible
        left_count = int(visible.value) if visible else None
        if task is None or not task.running:
            moved_count = task.moved_count if task else 0
            job = replace(job, sent_count=job.sent_count + moved_count, move=None, left_count=left_count)
            if task and task.problem:
                return replace(job, state=JobState.STOPPED, note=f"Stopped: SQS's move task failed: {task.problem}")
            if task and task.cancelled:
                return replace(job, state=JobState.STOPPED, note="Stopped: somebody ended SQS's move task.")
            return _ended(replace(job, note="SQS's own move task moved the rest."), self.now())
        filling = left_count is not None and job.left_count is not None and left_count > job.left_count
        if filling:
            if task.handle:
                self.ports.queue.cancel_move(task.handle)
            note = "Stopped: the dead-letter queue fills again, so messages fail still."
            return replace(job, state=JobState.STOPPED, note=note, sent_count=job.sent_count + task.moved_count)
        return replace(job, left_count=left_count, next_at=self.now() + MOVE_LOOK_S)

    def _task(self, url: str) -> MoveTask | None:
        tasks = self.ports.queue.moves(url)
        return tasks[0] if tasks else None

    # ------------------------------------------------------------- sending

    def _send_entries(self, job: RedriveJob, entries: Sequence[Quarantined], lanes: Lanes | None = None) -> RedriveJob:
        """Send what the index points to, as far as it is part of the job; `lanes` where it is a walk through it."""
        chosen = [entry for entry in entries if (selects(job, entry) if lanes is None else lanes.admits(job, entry))]
        for some in _by_bytes(chosen):
            if job.state is not JobState.RUNNING:
                break
            loaded = self.ports.archive.load_all([entry.key for entry in some])
            items: list[_Item] = []
            for entry in some:
                message = loaded[entry.key]
                if isinstance(message, Message):
                    items.append(_Item(message, entry.failure_group, entry.attempt, entry))
                    continue
                job = self._failed(job, f"Message {entry.message_id} could not be read: {message}")
                if job.state is not JobState.RUNNING:
                    break
            job = self._send(job, items)
        return job

    def _send(self, job: RedriveJob, items: Sequence[_Item], load: _Load | None = None) -> RedriveJob:
        """Send messages, each to its queue, let go of those that are sent, and count; `_send_to` has the arguments."""
        ways = self._ways(job)
        going = [(item, _way(job, item.message, item.entry, ways)) for item in items]

        def name(one: tuple[_Item, Way | None]) -> str:
            return one[1].to.url if one[1] else ""

        if not self.to.fifo:  # no order is to be kept: one sending for each queue
            going.sort(key=name)
        state = job.state  # one that is stopped already sends what goes before that
        for _, together in itertools.groupby(going, key=name):
            if job.state is not state:
                break
            theirs = list(together)
            way, some = theirs[0][1], [item for item, _ in theirs]
            if way is None:
                job = self._nowhere(job, some)
            else:
                there = replace(self, to=way.to)
                job = there._send_to(job, some, load)  # noqa: SLF001 - of this very class
        return job

    def _nowhere(self, job: RedriveJob, items: Sequence[_Item]) -> RedriveJob:
        """Messages that cannot go back, since nothing tells where, or it is none of the fleet's queues: they stay."""
        names = ", ".join(way.name for way in self._ways(job))
        for item in items:
            source = told_source(item.message) or (item.entry.source if item.entry else "")
            told = f" came from {source[:200]}, none of {names}" if source else ""
            fault = told or f": nothing tells which of {names} it came from"
            job = self._failed(job, f"Message {item.message.id}{fault}; to_queue says where to send it.")
            if job.state is not JobState.RUNNING:
                break
        return job

    def _send_to(self, job: RedriveJob, items: Sequence[_Item], load: _Load | None) -> RedriveJob:
        """Send messages to this runner's queue, let go of those that are sent, and count.

        Args:
            job: whose messages they are.
            items: the messages.
            load: what they were received with, if they are in the dead-letter queue: one record claims them then, on
                FIFO queues and else a mark for each.
        """
        began_at = self.now()
        parcels: list[Parcel] = []
        sendable: list[_Item] = []
        for item in items:
            attempt = item.attempt + 1
            copy = copy_of(item.message, attempt, self.to, (job.id, item.failure_group))
            if copy is None:
                job = self._failed(job, f"Message {item.message.id} is more than its queue takes.")
                if job.state is not JobState.RUNNING:
                    break
                continue
            remember = None if copy.carries_attempts else (memory_key(item.message), attempt)
            parcels.append(Parcel(copy.message, remember=remember))
            sendable.append(item)
        if not parcels:
            return job
        consigned = None if load is None or self.to.fifo else load.free_record() or self._consigned(job)
        sender = Sender(self.ports, self.fleet.name, self.to, self.until, self.now)
        sendings = sender.send(parcels, again=job.again, claims=consigned)
        sent = [item for item, sending in zip(sendable, sendings, strict=True) if sending.may_let_go]
        job = replace(job, sent_count=job.sent_count + len(sent))
        for item, sending in zip(sendable, sendings, strict=True):
            if sending.may_let_go:
                continue
            if sending.fate in {Fate.DOUBTFUL, Fate.UNKNOWN}:
                job = replace(job, doubtful_count=job.doubtful_count + 1)
                job = self._held_up(job, f"Message {item.message.id}: {sending.reason}.")
            else:
                job = self._failed(job, f"Message {item.message.id}: {sending.reason}.")
        if load is None:
            self._note_redriven(job, sent)
            job = self._let_go(job, [item.entry for item in sent if item.entry])
        else:
            hidden_until = load.began_at + load.visibility_s
            job = self._delete(job, [item.message for item in sent], consigned, hidden_until)
            if consigned and consigned.free:
                load.free.append(consigned)
        return replace(job, next_at=paced(job, len(parcels), began_at))

    def _consigned(self, job: RedriveJob) -> Consigned:
        # An invocation that is repeated has the same name, but neither the same moment nor the same claims.
        name = f"{self.name}-{round(self.now() * 1_000)}-{next(self._numbers)}"
        return Consigned(self.ports, self.fleet.name, name, self.until, self.now, job.again)

    def _note_redriven(self, job: RedriveJob, sent: Sequence[_Item]) -> None:
        """Tell the failure groups. A count that is lost harms nothing."""
        for group_id, count in Counter(item.failure_group for item in sent).items():
            with suppress(PortError):
                self.ports.ledger.note_redriven(self.fleet.name, group_id, job.id, count, self.now())

    def _let_go(self, job: RedriveJob, entries: Sequence[Quarantined]) -> RedriveJob:
        """Take what was sent out of the index, then out of the archive."""
        try:
            if entries:
                self.ports.ledger.let_go_all(entries)
                self.ports.archive.remove_all([entry.key for entry in entries])
        except PortError as error:
            return replace(job, note=f"Message {entries[0].message_id} is sent, but still listed: {error}")
        return job

    def _delete(
        self, job: RedriveJob, messages: Sequence[Message], consigned: Consigned | None, hidden_until: float
    ) -> RedriveJob:
        """Delete what was sent from the dead-letter queue, and forget the claims of what is surely gone."""
        if not messages:
            return job
        try:
            answer = self.ports.queue.delete(self._dead_letters(), [message.receipt for message in messages])
            for index, reason in answer.failed.items():
                job = replace(job, note=f"Message {messages[index].id} is sent, but not deleted: {reason}")
            # A receipt that has expired deletes nothing, whatever the answer says.
            if consigned and self.now() < hidden_until:
                consigned.forget([messages[index].id for index in answer.done])
        except PortError as error:
            return replace(job, note=f"Message {messages[0].id} is sent, but still listed: {error}")
        return job

    def _failed(self, job: RedriveJob, reason: str) -> RedriveJob:
        return self._held_up(replace(job, failed_count=job.failed_count + 1), reason)

    def _held_up(self, job: RedriveJob, reason: str) -> RedriveJob:
        """A message stays behind, for the reason given; on FIFO queues those behind it must not overtake."""
        if not self.to.fifo or job.state is not JobState.RUNNING:
            return replace(job, note=reason)
        return replace(job, state=JobState.STOPPED, note=f"Stopped, to keep the FIFO order. {reason}")

    def _written(self, before: RedriveJob, job: RedriveJob) -> RedriveJob:
        """Write a job after a step, keeping what others wrote meanwhile: a person's word, and returns."""
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
                acts=there.acts,
                returned_count=max(job.returned_count, there.returned_count),
                stopped_groups=tuple(sorted({*job.stopped_groups, *there.stopped_groups})),
            )
            if there.state is JobState.RUNNING:
                return ours
            ours = replace(ours, state=there.state, note=there.note)
            # Whoever spoke has ended the move task that was on record, and has counted what it moved.
            moved = before.phase is JobPhase.MOVE
            return replace(ours, phase=there.phase, move=None, sent_count=there.sent_count) if moved else ours

        written = amend_job(self.ports, self.fleet.name, job.id, merged)
        if written is None:
            raise ConflictError(f"job {job.id} of fleet {self.fleet.name} is no longer on record")
        if written.move is None or written.state is JobState.RUNNING or written.runner != self.name:
            return written
        # This very step has begun a move task, of which they could not know.
        moved_count = end_move(self.ports, self.fleet, written)
        return amend_job(self.ports, self.fleet.name, job.id, lambda there: without_move(there, moved_count)) or written


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
            if job.state is JobState.PAUSED:  # whoever resumes it shall not have to wait for us to be surely gone
                with suppress(PortError):
                    work.runner.give_back(job)
    for work in under_way.values():
        try:
            work.runner.give_back(work.job)
        except PortError as error:
            failed(work.job, error)
    return (*ended, *(work.job for work in under_way.values()))


def _goes_elsewhere(job: RedriveJob) -> bool:
    """Whether a job names one queue for all its messages."""
    return job.to is not None or job.to_queue is not None


def _way(job: RedriveJob, message: Message, entry: Quarantined | None, ways: Sequence[Way]) -> Way | None:
    """The way that a message goes; None if nothing tells, or it came from none of the queues."""
    if _goes_elsewhere(job):
        return ways[0]
    told = told_source(message) or None
    return way_back(told if entry is None or entry.source is None else entry.source, ways)


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


def _by_bytes(entries: Sequence[Quarantined]) -> Iterator[list[Quarantined]]:
    """Entries in order, as many at a time as fit into memory."""
    some: list[Quarantined] = []
    size_bytes = 0
    for entry in entries:
        if some and size_bytes + entry.size_bytes > LOAD_BYTES:
            yield some
            some, size_bytes = [], 0
        some.append(entry)
        size_bytes += entry.size_bytes
    if some:
        yield some
