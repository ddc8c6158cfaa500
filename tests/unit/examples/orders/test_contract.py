"""What travels with a message that cannot be processed."""

import pytest

from examples.orders.orders import contract
from examples.orders.orders.contract import Attribute, stamp

SOURCE = "arn:aws:sqs:eu-central-1:000000000000:orders"


def text(value: str) -> Attribute:
    """A String attribute."""
    return {"DataType": "String", "StringValue": value}


def test_stamp_adds_cause_source_and_first_time_when_there_is_room() -> None:
    """The three stamps stand beside what the message carried, whatever its type."""
    own: dict[str, Attribute] = {"blob": {"DataType": "Binary.png", "BinaryValue": b"\x00"}, "shop": text("north")}
    stamped = stamp(own, cause="UnknownItem: sku-13", source=SOURCE, first_sent_at=1000.25)
    assert stamped == {
        **own,
        "sluice.cause": text("UnknownItem: sku-13"),
        "sluice.source": text(SOURCE),
        "sluice.first_sent_at": {"DataType": "Number", "StringValue": "1000.250"},
    }
    assert "sluice.cause" not in own


@pytest.mark.parametrize(("own_count", "fits"), [(7, True), (8, False), (10, False)])
def test_stamp_refuses_when_there_would_be_more_than_ten(own_count: int, fits: bool) -> None:
    """SQS takes ten attributes; a message is stamped with all three or not at all."""
    own = {f"a{number}": text("x") for number in range(own_count)}
    stamped = stamp(own, cause="Any: cause", source=SOURCE, first_sent_at=1.0)
    assert (stamped is not None) == fits
    assert stamped is None or len(stamped) <= contract.MAX_ATTRIBUTES


def test_stamp_keeps_first_time_and_attempts_when_it_failed_before() -> None:
    """A redriven message that fails again keeps its age and its count, and takes no further room."""
    before: dict[str, Attribute] = {
        **{f"a{number}": text("x") for number in range(6)},
        contract.CAUSE: text("OutOfStock: kettle"),
        contract.SOURCE: text("arn:other"),
        contract.FIRST_SENT_AT: {"DataType": "Number", "StringValue": "5.500"},
        contract.ATTEMPTS: {"DataType": "Number", "StringValue": "2"},
    }
    stamped = stamp(before, cause="UnknownItem: kettle", source=SOURCE, first_sent_at=999.0)
    assert stamped is not None
    assert stamped[contract.CAUSE] == text("UnknownItem: kettle")
    assert stamped[contract.SOURCE] == text(SOURCE)
    assert contract.first_sent_at_of(stamped) == 5.5
    assert contract.attempts_of(stamped) == 2


def test_stamp_makes_the_cause_sendable_when_it_is_long_or_odd() -> None:
    """Control characters, which SQS refuses, are replaced, and a long cause is cut."""
    stamped = stamp({}, cause="Bad\x00\ud800\n" + "x" * 1000, source=SOURCE, first_sent_at=1.0)
    assert stamped is not None
    value = stamped[contract.CAUSE]["StringValue"]
    assert value.startswith("Bad???x")
    assert len(value) == contract.MAX_CAUSE_LENGTH


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "-1"])
def test_numbers_are_absent_when_they_cannot_be_read(value: str) -> None:
    """Attributes are somebody's data: what is no number is as good as none."""
    attributes: dict[str, Attribute] = {
        contract.FIRST_SENT_AT: {"DataType": "Number", "StringValue": value},
        contract.ATTEMPTS: {"DataType": "Number", "StringValue": value},
    }
    assert contract.first_sent_at_of(attributes) is None
    assert contract.attempts_of(attributes) == 0
