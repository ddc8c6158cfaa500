"""The copy of the fleets' documents in the ledger, on moto and the emulator: who reads what, and how old it may be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import botocore.client
import pytest

from sluice.aws import Clients, ParameterDocuments, SsmFleets
from sluice.aws.document_copy import CLAIMED_S, HEAD, PARTITION, PREFIX, DocumentCopy
from sluice.aws.fleets import CACHED_S, CHECKED_S, LOOKED_S, OVERDUE_S
from sluice.aws.ledger.forms import RECORD_VERSION
from sluice.aws.ledger.records import DOCUMENT, DOCUMENTS_HEAD
from sluice.aws.parameters import StoredDocument
from sluice.aws.table import Table
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import LostAnswerError, TryLaterError
from tests.integration.contract_worlds import EMULATOR, MOTO, AwsWorld, open_world


class Broken:
    """What never answers."""

    def __getattr__(self, name: str) -> Any:
        """A call that fails."""

        def fail(*_: Any) -> None:
            raise TryLaterError("silent")

        return fail


class Stack:
    """Processes of one stack over one ledger, on one clock, and the calls that AWS got."""

    def __init__(self, world: AwsWorld) -> None:
        self.world = world
        self.now = world.now() + 1.0
        self.calls: Counter[str] = Counter()
        self.table = Table(Clients(world.environ), world.environ["SLUICE_TABLE"])
        self.copy = DocumentCopy(self.table)

    def process(self, store: Any = None, copy: Any = None) -> SsmFleets:
        """A function's process that has read nothing yet."""
        store = store or ParameterDocuments(Clients(self.world.environ), self.world.environ["SLUICE_FLEETS_PATH"])
        return SsmFleets(store, copy or DocumentCopy(self.table), lambda: self.now, lambda: self.now)

    def write(self, name: str, target_wait_s: int = 60) -> None:
        """Write a document, of which no event comes."""
        document = {
            "queue": f"https://sqs.eu-central-1.amazonaws.com/123456789012/{name}",
            "group": name,
            "target_wait_s": target_wait_s,
        }
        self.world.client("ssm").put_parameter(
            Name=self.path(name), Value=json.dumps(document), Type="String", Overwrite=True
        )

    def delete(self, name: str) -> None:
        """Delete a document, of which no event comes."""
        self.world.client("ssm").delete_parameter(Name=self.path(name))

    def path(self, name: str) -> str:
        """A document's parameter."""
        return self.world.environ["SLUICE_FLEETS_PATH"] + name


@pytest.fixture(params=[MOTO, EMULATOR])
def stack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Each world in turn, with a ledger."""
    for world in open_world(request):
        assert isinstance(world, AwsWorld)
        world.make_table()
        found = Stack(world)
        real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

        def counted(self: Any, operation: str, arguments: Any, real: Any = real, found: Stack = found) -> Any:
            found.calls[operation] += 1
            return real(self, operation, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
        yield found


def waits(loaded: LoadedFleets) -> dict[str, float]:
    """The target wait of each fleet."""
    return {fleet.name: fleet.target_wait_s for fleet in loaded.fleets}


def test_documents_come_from_the_copy_by_two_calls(stack: Stack) -> None:
    """Not from Parameter Store's pages of ten; and after that by one small call, once in some seconds."""
    for number in range(12):
        stack.write(f"f{number:02d}")
    stack.process().refresh()
    reader = stack.process()
    stack.calls.clear()
    assert len(reader.load().fleets) == 12
    assert stack.calls == {"GetItem": 1, "Query": 1}
    assert reader.load() is reader.load()
    stack.now += LOOKED_S
    reader.load()
    assert stack.calls == {"GetItem": 2, "Query": 1}


def test_change_is_seen_by_every_process_when_its_event_came(stack: Stack) -> None:
    """At once where it came, and within LOOKED_S elsewhere; whichever it was: a new one, a change, one less."""
    stack.write("one", 30)
    planner, drainer = stack.process(), stack.process()
    planner.refresh()
    assert waits(planner.load()) == waits(drainer.load()) == {"one": 30}
    for name, change, expected in (
        ("two", lambda: stack.write("two", 60), {"one": 30, "two": 60}),
        ("one", lambda: stack.write("one", 90), {"one": 90, "two": 60}),
        ("two", lambda: stack.delete("two"), {"one": 90}),
    ):
        change()
        stack.calls.clear()
        planner.refresh(name)
        assert stack.calls["GetParametersByPath"] == 0
        assert waits(planner.load()) == expected
        stack.now += LOOKED_S
        assert waits(drainer.load()) == expected
    planner.refresh("two")  # the event comes twice
    assert waits(planner.load()) == {"one": 90}


def test_change_without_an_event_is_found_by_the_check(stack: Stack) -> None:
    """After CHECKED_S, by one process, however often all of them are asked for it."""
    stack.write("one", 30)
    stack.write("two", 30)
    processes = [stack.process() for _ in range(3)]
    processes[0].refresh()
    stack.write("one", 90)
    stack.write("three", 90)
    stack.delete("two")
    stack.now += CHECKED_S - 1.0
    for process in processes:
        process.refresh()
        assert waits(process.load()) == {"one": 30, "two": 30}
    stack.now += 6.0
    stack.calls.clear()
    for process in processes:
        process.refresh()
    assert stack.calls["GetParametersByPath"] == 1
    assert [waits(process.load()) for process in processes] == [{"one": 90, "three": 90}] * 3


def test_nothing_is_written_when_nothing_changed(stack: Stack) -> None:
    """But the time of the check: the revision stays, and so does what every process has loaded."""
    stack.write("one")
    process = stack.process()
    process.refresh()
    before = process.load()
    stack.now += CHECKED_S
    stack.calls.clear()
    process.refresh()
    assert process.load() is before
    assert stack.calls["TransactWriteItems"] == 0


def test_parameter_store_is_read_when_there_is_no_copy(stack: Stack) -> None:
    """Before the planner's first minute; and not at each look."""
    stack.write("one", 30)
    process = stack.process()
    assert waits(process.load()) == {"one": 30}
    stack.write("one", 90)
    stack.now += CACHED_S - 1.0
    assert waits(process.load()) == {"one": 30}
    stack.now += 1.0 + LOOKED_S
    assert waits(process.load()) == {"one": 90}


def test_parameter_store_is_read_when_no_planner_keeps_the_copy(stack: Stack) -> None:
    """A document is OVERDUE_S old at most, whatever has happened to the planner."""
    stack.write("one", 30)
    stack.process().refresh()
    stack.write("one", 90)
    process = stack.process()
    stack.now += OVERDUE_S - 1.0
    assert waits(process.load()) == {"one": 30}
    stack.now += 1.0 + LOOKED_S
    assert waits(process.load()) == {"one": 90}


def test_documents_are_found_when_ledger_or_parameter_store_is_silent(stack: Stack) -> None:
    """Each stands in for the other. Without both there is an error, and the next load asks again."""
    stack.write("one", 30)
    stack.process().refresh()
    assert waits(stack.process(copy=Broken()).load()) == {"one": 30}
    stack.now += OVERDUE_S
    assert waits(stack.process(store=Broken()).load()) == {"one": 30}
    process = stack.process(store=Broken(), copy=Broken())
    for _ in range(2):
        with pytest.raises(TryLaterError, match="silent"):
            process.load()


def test_copy_is_not_read_before_it_is_whole(stack: Stack) -> None:
    """A planner that ends while it makes the first copy leaves a part of it: no fleet may be missing for it."""
    for number in range(3):
        stack.write(f"f{number}")

    class Ending(DocumentCopy):
        def note_check(self, now: float) -> None:
            raise LostAnswerError("the process ended")

    with pytest.raises(LostAnswerError):
        stack.process(copy=Ending(stack.table)).refresh()
    assert stack.copy.head() is None
    assert len(stack.process().load().fleets) == 3
    stack.process().refresh()
    assert stack.copy.head() is None, "the check is claimed by the one that ended"
    stack.now += CLAIMED_S
    stack.process().refresh()
    assert stack.copy.head() is not None


def test_more_documents_are_copied_than_a_transaction_takes(stack: Stack) -> None:
    """And the revision is one more with each of them."""
    documents = {f"f{number:03d}": StoredDocument(f"text {number}", 1, 10.0) for number in range(210)}
    stack.copy.change(documents, (), 20.0)
    stack.copy.note_check(20.0)
    assert stack.copy.documents() == documents
    head = stack.copy.head()
    assert head is not None
    assert head.revision == 3


def test_later_state_stays_when_an_earlier_one_is_written_after_it(stack: Stack) -> None:
    """Two events of one document may be handled in any order, and a check may have read before either."""
    newer, older = StoredDocument("newer", 2, 20.0), StoredDocument("older", 1, 10.0)
    stack.copy.change({"one": newer}, (), 21.0)
    stack.copy.change({"one": older, "two": older}, (), 22.0)
    assert stack.copy.documents() == {"one": newer, "two": older}
    stack.copy.change({}, ("one", "two"), 15.0)  # who saw them missing had read before the newer one was written
    assert stack.copy.documents() == {"one": newer}


def rewrite(stack: Stack, sk: str, changes: dict[str, Any], gone: tuple[str, ...] = ()) -> None:
    """Put a record of the copy as another version of Sluice would have written it."""
    table = stack.table.name
    key = {"pk": {"S": PARTITION}, "sk": {"S": sk}}
    item = stack.world.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
    kept = {name: value for name, value in item.items() if name not in gone}
    stack.world.client("dynamodb").put_item(TableName=table, Item=kept | changes)


def test_records_of_the_copy_have_a_version(stack: Stack) -> None:
    """The head and each document, as every other record of the ledger."""
    stack.write("one")
    stack.process().refresh()
    found = stack.world.client("dynamodb").scan(TableName=stack.table.name)["Items"]
    versions = {item["sk"]["S"]: item.get(RECORD_VERSION) for item in found}
    assert versions == {
        HEAD: {"N": str(DOCUMENTS_HEAD.version)},
        f"{PREFIX}one": {"N": str(DOCUMENT.version)},
    }


def test_copy_is_read_when_it_was_written_before_it_had_a_version(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """A record without one is of version 1. Nothing of it is left out, and a change is written with a version."""
    stack.write("one", 30)
    stack.write("two", 30)
    stack.process().refresh()
    for sk in (HEAD, f"{PREFIX}one", f"{PREFIX}two"):
        rewrite(stack, sk, {}, gone=(RECORD_VERSION,))
    process = stack.process()
    assert waits(process.load()) == {"one": 30, "two": 30}
    assert stack.calls["GetParametersByPath"] == 1, "the copy was made once, and is read since"
    stack.write("one", 90)
    process.refresh("one")
    assert waits(process.load()) == {"one": 90, "two": 30}
    found = stack.world.client("dynamodb").scan(TableName=stack.table.name)["Items"]
    assert {item["sk"]["S"] for item in found if RECORD_VERSION in item} == {HEAD, f"{PREFIX}one"}
    assert not caplog.records


def test_copy_is_read_as_far_as_known_when_a_later_version_wrote_it(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """After a return to an earlier release. What is not known is logged: once, however many documents have it."""
    for name in ("one", "two", "three"):
        stack.write(name, 30)
    stack.process().refresh()
    later, more = {RECORD_VERSION: {"N": str(DOCUMENT.version + 1)}}, {"owner": {"S": "nobody"}}
    for name in ("one", "two", "three"):
        rewrite(stack, f"{PREFIX}{name}", later | more)
    rewrite(stack, HEAD, later)
    assert waits(stack.process().load()) == {"one": 30, "two": 30, "three": 30}
    head, *of_documents = [record.getMessage() for record in caplog.records]
    assert head.startswith("ledger record documents head: the head of the documents' copy is of version 2, and this is")
    each = "ledger record documents document#one (and 2 more alike): "
    assert of_documents == [
        f"{each}the copy of a document is of version 2, and this is version 1: read as far as known",
        f"{each}attribute owner of the copy of a document is not known and was left out",
    ]
