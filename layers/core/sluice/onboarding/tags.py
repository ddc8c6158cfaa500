"""The tag `sluice:stack`, by which a stack's roles may use a fleet's group, its instances and its queues.

`enroll` sets it, `withdraw` takes it away. Deployments and `sluice enroll` share them. Another stack's value is never
changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sluice.config.fleet import Fleet
from sluice.onboarding.account import Account
from sluice.wording import count

TAG = "sluice:stack"  # its value is the stack's name, as in the conditions of template.yaml's roles


class TagWriter(Protocol):
    """Sets and removes the tag. Every method may raise a PortError and no other."""

    def tag_queue(self, url: str, stack: str) -> None:
        """Set the tag on a queue."""
        ...

    def untag_queue(self, url: str) -> None:
        """Remove it from a queue."""
        ...

    def tag_group(self, name: str, stack: str) -> None:
        """Set the tag on a group, and on each instance that it will launch."""
        ...

    def untag_group(self, name: str) -> None:
        """Remove it from a group."""
        ...

    def tag_instances(self, instance_ids: Sequence[str], stack: str) -> None:
        """Set the tag on instances."""
        ...

    def untag_instances(self, instance_ids: Sequence[str], stack: str) -> None:
        """Remove it from those instances on which it has this value."""
        ...


class OtherStackError(Exception):
    """Resources have another stack's tag; each of `problems` says which one, whose it is, and the remedy."""

    def __init__(self, *resources: str) -> None:
        remedy = "if that stack does not use it any more, take the tag away with sluice enroll --remove --stack"
        self.problems = tuple(f"{what}: {remedy} {what.rpartition('=')[2]}" for what in resources)
        super().__init__("; ".join(self.problems))


@dataclass(slots=True)
class _Tagging:
    """What is to be done, and what has another stack's tag."""

    stack: str
    actions: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def belongs(self, what: str, tag: str | None) -> bool:
        """Whether a resource has no tag or this stack's; another stack's is noted."""
        if tag not in (None, self.stack):
            self.others.append(f"{what} has the tag {TAG}={tag}")
            return False
        return True

    def done(self) -> tuple[str, ...]:
        """Do all of it, unless a resource is another stack's; returns the resources, in words."""
        if self.others:
            raise OtherStackError(*self.others)
        for _, action in self.actions:
            action()
        return tuple(what for what, _ in self.actions)


def enroll(
    fleet: Fleet, stack: str, account: Account, writer: TagWriter, *, queues_alone: bool = False
) -> tuple[str, ...]:
    """Set the tag wherever it is missing. It is safe to repeat.

    The group comes before its instances, so that an instance which starts meanwhile has the tag from the group.

    Args:
        fleet: whose queues, group and instances are tagged.
        stack: the tag's value.
        account: where tags are read; each answer must be fresh.
        writer: sets the tag.
        queues_alone: tag nothing but the queues.

    Returns:
        What was tagged, in words.

    Raises:
        OtherStackError: a resource has another stack's tag. Nothing was tagged, except where it is an instance.
        PortError: a tag could not be read or set.
    """
    tagging = _Tagging(stack)
    for url in queue_urls(fleet):
        what, tag = f"queue {url.rpartition('/')[2]}", account.queue_tag(url)
        if tagging.belongs(what, tag) and tag is None:
            tagging.actions.append((what, partial(writer.tag_queue, url, stack)))
    if queues_alone:
        return tagging.done()
    group = account.group(fleet.group)
    if (
        group is not None
        and tagging.belongs(f"group {group.name}", group.tag)
        and not (group.tag == stack and group.tags_instances)
    ):
        tagging.actions.append((f"group {group.name}", partial(writer.tag_group, group.name, stack)))
    tagged = tagging.done()
    return tagged + _enroll_instances(fleet, stack, account, writer)


def _enroll_instances(fleet: Fleet, stack: str, account: Account, writer: TagWriter) -> tuple[str, ...]:
    group = account.group(fleet.group)
    if group is None or not group.instances:
        return ()
    tagging, tags = _Tagging(stack), account.instance_tags(group.instances)
    untagged = [one for one in group.instances if tagging.belongs(f"instance {one}", tags.get(one)) and one not in tags]
    if untagged:
        what = f"{count(len(untagged), 'instance')} of group {group.name}"
        tagging.actions.append((what, partial(writer.tag_instances, untagged, stack)))
    return tagging.done()


def withdraw(fleet: Fleet, stack: str, account: Account, writer: TagWriter) -> tuple[str, ...]:
    """Remove the tag wherever it has this stack's name. It is safe to repeat.

    Args: those of `enroll`.

    Returns:
        From what it was removed, in words.

    Raises:
        PortError: a tag could not be read or removed.
    """
    tagging = _Tagging(stack)
    for url in queue_urls(fleet):
        if account.queue_tag(url) == stack:
            what = f"queue {url.rpartition('/')[2]}"
            tagging.actions.append((what, partial(writer.untag_queue, url)))
    group = account.group(fleet.group)
    if group is not None:
        if group.tag == stack:
            tagging.actions.append((f"group {group.name}", partial(writer.untag_group, group.name)))
        tags = account.instance_tags(group.instances) if group.instances else {}
        if mine := [one for one in group.instances if tags.get(one) == stack]:
            what = f"{count(len(mine), 'instance')} of group {group.name}"
            tagging.actions.append((what, partial(writer.untag_instances, mine, stack)))
    return tagging.done()


def queue_urls(fleet: Fleet) -> tuple[str, ...]:
    """Every queue and dead-letter queue of a fleet, each once."""
    return tuple(dict.fromkeys([*(source.queue for source in fleet.sources), *fleet.dead_letter_queues]))
