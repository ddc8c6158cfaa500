"""The producer and the consumer of redrive scenarios."""

from dataclasses import dataclass, replace
from functools import partial

from sluice.config.fleet import QueuePolicy, RedriveMode
from sluice.model.redriving import Attribute, Message
from sluice.redriving.failure_groups import CAUSE, SOURCE
from sluice.redriving.message_copy import ATTEMPTS, FIRST_SENT_AT, origin_of
from sluice_tools.chaos.redrive_queue import Habit, Order, message_name
from sluice_tools.chaos.redrive_scene import MAX_BYTES, VISIBILITY_S, Scene


@dataclass(slots=True)
class Traffic(Scene):
    """A producer, and a consumer that fails on poison until it is fixed."""

    def produce(self) -> None:
        """Send one order: plain, with attributes of every type, with all ten, or as large as the queue takes."""
        number = len(self.orders)
        body = f"order-{number:03d}"
        attributes: dict[str, Attribute] = {}
        kind = self.rng.choice(("plain", "typed", "ten", "large", "forged"))
        if kind == "typed":
            attributes = {
                "shop": Attribute("String", "Zürich"),
                "weight": Attribute("Number.kg", "1.250"),
                "scan": Attribute("Binary.png", binary=bytes((number % 256, 0, 255))),
            }
        elif kind == "ten":
            attributes = {f"a{i}": Attribute("String", f"{i}") for i in range(10)}
        elif kind == "large":
            body += "." * (MAX_BYTES - len(body))
        elif kind == "forged":  # what a producer may say about itself is not to be trusted
            attributes = {"sluice.attempts": Attribute("Number", self.rng.choice(("-3", "99", "1e9", "0")))}
        group = f"customer-{self.rng.randint(1, 3)}" if self.fifo else None
        order = Order(
            body,
            tuple(sorted(attributes.items())),
            group,
            self.rng.random() < 0.6,
            self.rng.random() < 0.5,
            self.queues[0] if len(self.queues) == 1 else self.rng.choice(self.queues),
        )
        if self.shares and self.fleet.redrive.mode is RedriveMode.AUTO:
            order.says_source = self.rng.random() < 0.5
        manual = self.fleet.redrive.mode is RedriveMode.MANUAL
        if kind == "plain" and not (manual and self.shares):  # nobody says there where a bare copy came from
            order.habit = self.habits.choice(tuple(Habit))
        self.orders[body] = order
        self.truth.queue.put(order.home, body, attributes=attributes, message_group=group, deduplication=f"d{number}")
        self.tell(f"{message_name(body)} is sent ({kind}{', poison' if order.poison else ''})")

    def publish_child(self, source: QueuePolicy, parent: Order, message: Message) -> None:
        """The consumer publishes a further order with all attributes of the one that it has worked on."""
        number = len(self.orders)
        body = f"child-{number:03d}"
        poison = self.habits.random() < 0.6
        self.orders[body] = Order(body, message.attributes, parent.message_group, poison, False, source.queue)
        self.truth.queue.put(
            source.queue,
            body,
            attributes=dict(message.attributes),
            message_group=parent.message_group,
            deduplication=f"d{number}",
        )
        self.counts["children"] += 1
        self.tell(f"{body} is sent with the attributes of {message_name(parent.body)}")

    def forget_stamps(self, source: QueuePolicy, order: Order, message: Message) -> None:
        """The consumer fails on a copy, and sends its body alone, under a new id."""
        resends = order.habit is Habit.RESENDS
        if (origin := origin_of(message, self.truth.queue.facts(source.queue))) and origin.job_id:
            self.copied.add(origin.job_id)
        self.truth.queue.put(
            source.queue if resends else str(source.dead_letter_queue),
            message.body,
            message_group=message.message_group,
            deduplication=f"bare-{message.id}",
        )
        self.truth.queue.delete(source.queue, [message.receipt])
        self.counts["bare copies"] += 1
        self.tell(f"{message_name(order.body)} fails: its consumer {order.habit}")

    def put_foreign(self, url: str) -> None:
        """EventBridge puts an event that it could not deliver into the dead-letter queue."""
        body = f"event-{len(self.orders):03d}"
        attributes = {"RULE_ARN": Attribute("String", "arn"), "ERROR_CODE": Attribute("String", "NO_PERMISSIONS")}
        self.orders[body] = Order(body, tuple(sorted(attributes.items())), None, True, False, "", foreign=True)
        self.truth.queue.put(url, body, attributes=attributes)
        self.counts["foreign"] += 1

    def consume(self) -> None:
        """The consumer takes what there is, and works on it for a while."""
        self.after(self.rng.uniform(1, 8), self.consume)
        for source in sorted(self.fleet.sources, key=lambda source: -source.priority):
            if source.queue in self.paused:
                continue
            for message in self.truth.queue.receive(source.queue, 1 if self.fifo else 3, VISIBILITY_S):
                self.after(self.rng.uniform(0, VISIBILITY_S / 3), partial(self.finish, source, message))

    def finish(self, source: QueuePolicy, message: Message) -> None:
        """The consumer has worked on a message, or failed on it."""
        order = self.orders[message.body]
        if not order.poison or self.fixed:
            order.done_count += 1
            self.tell(f"{message_name(order.body)} is worked on")
            self.truth.queue.delete(source.queue, [message.receipt])
            if message.attribute(ATTEMPTS) and self.now < self.quiet_at and self.habits.random() < 0.5:
                self.publish_child(source, order, message)
            return
        if order.habit is not Habit.KEEPS and message.attribute(ATTEMPTS):
            self.forget_stamps(source, order, message)
            return
        stamps = {
            CAUSE: Attribute("String", f"UnknownItem: {message.id}"),
            SOURCE: Attribute("String", self.truth.queue.facts(source.queue).arn),
            FIRST_SENT_AT: Attribute("Number", f"{message.first_sent_at:.3f}"),
        }
        if not order.says_source:
            del stamps[SOURCE]
        attributes = stamps | dict(message.attributes)
        size = replace(message, attributes=tuple(attributes.items())).size_bytes
        if order.stamps and len(attributes) <= 10 and size <= MAX_BYTES:
            self.truth.queue.put(
                str(source.dead_letter_queue),
                message.body,
                attributes=attributes,
                message_group=message.message_group,
                deduplication=f"stamped-{message.id}",
            )
            self.truth.queue.delete(source.queue, [message.receipt])
            self.tell(f"{message_name(order.body)} fails and is stamped")
        else:
            self.truth.queue.hide(source.queue, message.receipt, 0.0)
            self.tell(f"{message_name(order.body)} fails")
