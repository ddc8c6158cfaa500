"""The operator of redrive scenarios: requests at any time, and redrives until all is worked on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sluice.config.fleet import RedriveMode
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import QuarantineEntry
from sluice_tools.chaos.redrive_invocations import Invocations
from sluice_tools.chaos.redrive_queue import message_name
from sluice_tools.chaos.redrive_scene import TIMEOUT_S, UNTIL_S


@dataclass(slots=True)
class World(Invocations):
    """All of one seed: its scene, traffic, invocations and operator."""

    def ask(self) -> None:
        """An operator presses a button, sometimes twice."""
        request = self.some_request()
        if request is None:
            return
        self.tell(f"an operator asks: {request}")
        for _ in range(self.rng.choice((1, 1, 2))):
            self.after(self.rng.uniform(0, 2), partial(self.request, request))

    def request(self, event: Mapping[str, Any]) -> None:
        """What the operator gets to see is not checked here."""
        self.invoke(event, "request")

    def some_request(self) -> dict[str, Any] | None:
        """Something an operator might ask now."""
        name = self.fleet.name
        if self.fleet.redrive.mode is RedriveMode.MANUAL:
            rate_per_s = self.rng.choice((2, 5, 500))
            asked: dict[str, Any] = {
                "fleet": name, "all": True, "from": "dead-letter-queue", "rate_per_s": rate_per_s,
            }  # fmt: skip
            if len(self.queues) > 1 and not self.shares and self.rng.random() < 0.5:
                asked["queue"] = self.rng.choice(self.fleet.sources).name
            return {"redrive": asked}
        running = [job for job in self.truth.ledger.jobs.jobs(name) if job.state is JobState.RUNNING]
        entries = self.truth.ledger.quarantine.quarantined(name)[0]
        kinds = ["all", "group", "message", "some", "since", "shop", "dry run"] if entries else []
        kinds += ["queue"] if entries and len(self.queues) > 1 else []
        kinds += ["stop"] if running else []
        if not kinds:
            return None
        kind = self.rng.choice(kinds)
        if kind == "stop":
            return {"stop": {"fleet": name, "job_id": self.rng.choice(running).id}}
        entry = self.rng.choice(entries)
        one_queue: Any = self.rng.choice(self.queues) if kind == "queue" else None
        selection: dict[str, Any] = {
            "all": {"all": True},
            "queue": {"queue": one_queue},
            "dry run": {"all": True, "dry_run": True},
            "group": {"failure_group": entry.failure_group},
            "message": {"message_id": entry.message_id},
            "some": {"message_ids": [one.message_id for one in self.rng.sample(entries, min(3, len(entries)))]},
            "since": {"quarantined_from": entry.at},
            "shop": {"attribute": {"name": "shop", "value": "Zürich"}},
        }[kind]
        return {"redrive": {"fleet": name, "rate_per_s": self.rng.choice((0.2, 3, 50)), **selection}}

    def move_natively(self) -> None:
        """Someone presses *Start DLQ redrive* in the SQS console: new messages, from the dead-letter queue."""
        for url in self.fleet.dead_letter_queues:
            for message in self.truth.queue.receive(url, 10, TIMEOUT_S):
                self.truth.queue.put(
                    self.orders[message.body].home,
                    message.body,
                    attributes=dict(message.attributes),
                    message_group=message.message_group,
                    deduplication=f"moved-{message.id}",
                )
                self.truth.queue.delete(url, [message.receipt])
                self.tell(f"{message_name(message.body)} is moved by the console")

    # ----------------------------------------------------------------- the end

    def settle(self) -> None:
        """The consumer is fixed and nothing fails any more: an operator redrives until all is worked on."""
        self.fixed = True
        self.tell("the consumer is fixed")
        end_at = self.now + UNTIL_S
        while self.now < end_at and not self.all_done() and not self.violations:
            entries = self.own_entries()
            running = any(job.state is JobState.RUNNING for job in self.truth.ledger.jobs.jobs(self.fleet.name))
            if self.fleet.redrive.mode is RedriveMode.MANUAL:
                request = self.some_request()
                if not running and request and self.dead():
                    request["redrive"]["again"] = self.say_again()
                    self.invoke(request, "request")
            elif entries and not running and (lost := self.lost(entries)):
                self.send_home(lost)
            elif entries and not running:
                self.invoke({"redrive": {"fleet": self.fleet.name, "all": True, "again": self.say_again()}}, "request")
            self.pass_until(self.now + 120.0)
        while self.now < end_at and any(job.state.is_at_work for job in self.truth.ledger.jobs.jobs(self.fleet.name)):
            self.pass_until(self.now + 120.0)
        if not self.all_done() and not self.violations:
            left = [message_name(body) for body, order in self.orders.items() if not order.done_count]
            self.violate(f"never worked on: {', '.join(left) or 'what is still listed'}")

    def own_entries(self) -> list[QuarantineEntry]:
        """What is in quarantine, without the letters of other services, which stay there."""
        entries = self.truth.ledger.quarantine.quarantined(self.fleet.name)[0]
        return [entry for entry in entries if not self.orders[self.truth.archive.kept[entry.key].body].foreign]

    def lost(self, entries: Sequence[QuarantineEntry]) -> QuarantineEntry | None:
        """One of unknown source, as soon as an operator has seen that all of them stay."""
        lost = [entry for entry in entries if entry.source == ""]
        return self.rng.choice(lost) if lost and self.rng.random() < 0.7 else None

    def send_home(self, entry: QuarantineEntry) -> None:
        """Nothing says where a message came from, but an operator knows."""
        home = self.orders[self.truth.archive.kept[entry.key].body].home
        asked: dict[str, Any] = {"fleet": self.fleet.name, "message_id": entry.message_id, "to_queue": home}
        self.invoke({"redrive": {**asked, "again": self.say_again()}}, "request")
        self.counts["sent home"] += 1

    def say_again(self) -> bool:
        """Whether an operator has come to the point of sending even what may have been sent."""
        last = [job for job in self.truth.ledger.jobs.jobs(self.fleet.name) if job.state is not JobState.RUNNING][:1]
        if not last or not last[0].progress.doubtful_count:
            return False
        self.tell("an operator says: send again what may have been sent")
        self.counts["again"] += 1
        for body, count in Counter((*self.kept(), *(message.body for message in self.dead()))).items():
            self.orders[body].again_count += count
        return True

    def all_done(self) -> bool:
        """Whether every order was worked on, and nothing is left anywhere."""
        foreign_count = sum(order.foreign for order in self.orders.values())
        groups = self.truth.ledger.failure_groups.failure_groups(self.fleet.name)
        return (
            all(order.done_count or order.foreign for order in self.orders.values())
            and not any(self.truth.queue.messages(url) for url in (*self.queues, *self.fleet.dead_letter_queues))
            and not self.own_entries()
            and sum(group.count for group in groups) == foreign_count
        )
