"""The tag sluice:stack is set where it is missing, removed where it is the stack's, and left where it is another's."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.memory.account import MemoryAccount
from sluice.onboarding.tags import OtherStackError, enroll, withdraw
from sluice.ports.errors import NeedsFixError
from tests.support.account_world import DEAD, GROUP, INSTANCES, QUEUE, fleet_of, group, sound
from tests.unit.onboarding.test_account_checks import deployed, document

EVERYTHING = ("queue orders", "queue orders-dead", "group workers", "2 instances of group workers")


def untagged() -> MemoryAccount:
    """A sound account without any tag."""
    account = sound()
    account.tags = {}
    group(tag=None, tags_instances=False)(account)
    return account


def test_everything_is_tagged_once_when_enrolled_twice() -> None:
    """Queues, group and instances; the second time nothing is left to do."""
    account = untagged()

    assert enroll(fleet_of(), "sluice", account, account) == EVERYTHING
    assert account.tags == dict.fromkeys((QUEUE, DEAD, *INSTANCES), "sluice")
    assert (account.groups[GROUP].tag, account.groups[GROUP].tags_instances) == ("sluice", True)
    assert enroll(fleet_of(), "sluice", account, account) == ()


def test_group_passes_its_tag_on_when_it_did_not() -> None:
    """A tag that its instances do not get serves only half."""
    account = sound()
    group(tags_instances=False)(account)

    assert enroll(fleet_of(), "sluice", account, account) == ("group workers",)
    assert account.groups[GROUP].tags_instances


def test_instance_is_tagged_when_it_starts_while_the_group_is() -> None:
    """Instances are listed after the group has its tag, so that none is without it."""

    class Launching(MemoryAccount):
        """A group that launches one more instance right before it is tagged."""

        def tag_group(self, name: str, stack: str) -> None:
            """Launch, then tag."""
            group(instances=(*INSTANCES, "i-0cccccccccccccccc"))(self)
            super().tag_group(name, stack)

    there = untagged()
    account = Launching(queues=there.queues, groups=there.groups)

    enroll(fleet_of(), "sluice", account, account)

    assert account.tags["i-0cccccccccccccccc"] == "sluice"


@pytest.mark.parametrize("resource", [QUEUE, DEAD, GROUP])
def test_nothing_is_tagged_when_a_resource_is_another_stacks(resource: str) -> None:
    """Neither it nor the rest of the fleet."""
    account = untagged()
    if resource == GROUP:
        group(tag="blue")(account)
    else:
        account.tags[resource] = "blue"
    before = dict(account.tags)

    with pytest.raises(OtherStackError, match="has the tag sluice:stack=blue"):
        enroll(fleet_of(), "sluice", account, account)

    assert account.tags == before
    assert account.groups[GROUP].tag in (None, "blue")


def test_instance_keeps_its_tag_when_it_is_another_stacks() -> None:
    """It was moved into the group, and someone has to decide."""
    account = untagged()
    account.tags[INSTANCES[0]] = "blue"

    with pytest.raises(OtherStackError, match=INSTANCES[0]):
        enroll(fleet_of(), "sluice", account, account)

    assert account.tags[INSTANCES[0]] == "blue"


def test_own_tags_alone_are_removed_when_withdrawn() -> None:
    """What has another stack's stays; the second time nothing is left to do."""
    account = sound()
    account.tags[DEAD] = account.tags[INSTANCES[1]] = "blue"

    removed = withdraw(fleet_of(), "sluice", account, account)

    assert removed == ("queue orders", "group workers", "1 instance of group workers")
    assert account.tags == {DEAD: "blue", INSTANCES[1]: "blue"}
    assert (account.groups[GROUP].tag, account.groups[GROUP].tags_instances) == (None, False)
    assert withdraw(fleet_of(), "sluice", account, account) == ()


def tagging(account: MemoryAccount) -> dict[str, Any]:
    """What makes a deployment tag."""

    def enrolling(fleet: Any, alone: bool) -> tuple[str, ...]:
        return enroll(fleet, "sluice", account, account, queues_alone=alone)

    return {"will_tag": True, "enroll": enrolling}


def test_deployment_tags_what_it_names_when_nothing_is_wrong() -> None:
    """And nothing when something is."""
    account = untagged()
    assert deployed(account, **tagging(account)).tagged == EVERYTHING

    broken = untagged()
    group(max_size=0)(broken)
    assert deployed(broken, **tagging(broken)).problems
    assert broken.tags == {}


def test_deployment_fails_when_the_tag_cannot_be_set() -> None:
    """It says so; an update that names nothing new goes on, since its rollback could not do better."""
    account = untagged()
    account.refuses = frozenset({"tag_queue"})

    (problem,) = deployed(account, **tagging(account)).problems
    assert problem.startswith("The tag sluice:stack could not be set: tag_queue: is not allowed")
    update = deployed(account, document(target_wait_s="30"), before=document(), **tagging(account))
    assert (update.problems, update.known_problems) == ((), (problem,))
    moved = deployed(account, before=document(group="others"), **tagging(account))
    assert moved.problems == (problem,)


def test_deployment_fails_when_a_queue_is_another_stacks() -> None:
    """With the tag, whose it is, and the remedy."""
    account = untagged()
    account.tags[QUEUE] = "blue"

    (problem,) = deployed(account, **tagging(account)).problems

    assert "Queue orders has the tag sluice:stack=blue, and this stack is sluice." in problem
    assert "tag-queue" in problem


def test_result_has_the_reason_when_tags_change_meanwhile() -> None:
    """Between the check and the tagging another stack may have come first."""

    def late(_fleet: Any, _alone: bool) -> tuple[str, ...]:
        raise OtherStackError("queue orders has the tag sluice:stack=blue")

    (problem,) = deployed(untagged(), will_tag=True, enroll=late).problems
    assert problem.startswith("queue orders has the tag sluice:stack=blue: if that stack does not use it any more")


def test_only_its_queues_are_tagged_when_a_further_queue_is_deployed() -> None:
    """The group is the fleet's."""
    account = untagged()

    assert enroll(fleet_of(), "sluice", account, account, queues_alone=True) == EVERYTHING[:2]
    assert account.groups[GROUP].tag is None


def test_missing_queue_is_an_error_when_its_tags_are_read() -> None:
    """A port's error comes through."""
    account = untagged()
    account.refuses = frozenset({"queue_tag"})

    with pytest.raises(NeedsFixError):
        enroll(fleet_of(), "sluice", account, account)
