"""What is an order, and what is said of data that is none."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.orders.orders.order import InvalidOrderError, Order, parse_body, parse_order

GOOD = {"order_id": "order-0001", "customer": "Ada", "sku": "tea-green", "quantity": 2}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def test_order_survives_the_queue_when_it_is_good() -> None:
    """What the front end accepts is what the consumer reads."""
    order = parse_order({**GOOD, "quantity": " 12 ", "customer": ' Zoë <b>&" '})
    assert order == Order("order-0001", 'Zoë <b>&"', "tea-green", 12)
    assert parse_body(order.body()) == order


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order_id", "short"),
        ("order_id", "a" * 65),
        ("order_id", "with space in it"),
        ("order_id", 12345678),
        ("customer", ""),
        ("customer", "   "),
        ("customer", "x" * 81),
        ("customer", "a\nb"),
        ("customer", "nul\x00"),
        ("customer", "lone \ud800 surrogate"),
        ("sku", "Tea"),
        ("sku", "-tea"),
        ("sku", "x" * 41),
        ("quantity", 0),
        ("quantity", -3),
        ("quantity", 1001),
        ("quantity", 10**30),
        ("quantity", 1.5),
        ("quantity", True),
        ("quantity", "two"),
        ("quantity", "9" * 5000),
        ("quantity", None),
    ],
)
def test_order_is_refused_by_name_when_one_field_is_wrong(field: str, value: object) -> None:
    """The error names the field that is wrong, only that one, and says what would be right."""
    with pytest.raises(InvalidOrderError) as caught:
        parse_order({**GOOD, field: value})
    assert list(caught.value.problems) == [field]
    assert caught.value.problems[field].startswith("give ")
    assert caught.value.cause.startswith(f"InvalidOrder: {field}: give ")


def test_order_names_every_field_when_several_are_wrong() -> None:
    """An operator gets to see all problems at once."""
    with pytest.raises(InvalidOrderError) as caught:
        parse_order({})
    assert list(caught.value.problems) == ["order_id", "customer", "sku", "quantity"]


def test_cause_is_the_same_when_different_data_fails_alike() -> None:
    """Two customers' wrong quantities are one failure group."""
    causes = set()
    for quantity in (-1, -2, "x"):
        with pytest.raises(InvalidOrderError) as caught:
            parse_order({**GOOD, "quantity": quantity})
        causes.add(caught.value.cause)
    assert len(causes) == 1


@pytest.mark.parametrize("body", ["", "{", "[]", "1", "null", '"text"', "[" * 100_000, "NaN"])
def test_body_is_refused_when_it_is_no_object(body: str) -> None:
    """A body that is not a JSON object is named as such."""
    with pytest.raises(InvalidOrderError) as caught:
        parse_body(body)
    assert list(caught.value.problems) == ["body"]


@given(st.text() | JSON.map(json.dumps))
def test_body_is_an_order_or_refused_when_it_is_anything(body: str) -> None:
    """No body makes the consumer fail in any other way."""
    with contextlib.suppress(InvalidOrderError):
        order = parse_body(body)
        assert parse_body(order.body()) == order


@given(st.fixed_dictionaries({name: JSON | st.just(value) for name, value in GOOD.items()}))
def test_fields_are_an_order_or_refused_when_they_are_anything(data: dict[str, Any]) -> None:
    """What is accepted holds to its bounds, and can be stored as text."""
    with contextlib.suppress(InvalidOrderError):
        order = parse_order(data)
        assert 1 <= order.quantity <= 1000
        assert order.customer.isprintable()
        order.body().encode()
