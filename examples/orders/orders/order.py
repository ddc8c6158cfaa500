"""What an order is, and the one place that says whether some data is one."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

MAX_CUSTOMER_LENGTH: Final = 80
"""Characters: it fits the page and the column."""

MAX_QUANTITY: Final = 1000
"""Of one item in one order; a larger number is more likely a slip of the finger than a wish."""

_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SKU = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_SKU_LENGTH: Final = 40


class RejectedError(Exception):
    """This order will never succeed as things stand: more tries are useless, an operator has to change something.

    Attributes:
        cause: `Kind: detail`, the same text for every order that fails for the same cause.
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.cause = f"{kind}: {detail}"
        super().__init__(self.cause)


class InvalidOrderError(RejectedError):
    """The data is not an order.

    Attributes:
        problems: Field name -> what would be right, for every field that is wrong, in the order of the fields.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        # What was given stays out of the cause: it would make a failure group of every message.
        super().__init__("InvalidOrder", "; ".join(f"{field}: {why}" for field, why in self.problems.items()))


@dataclass(frozen=True, slots=True)
class Order:
    """One customer's wish for some of one item."""

    order_id: str
    customer: str
    sku: str
    quantity: int

    def body(self) -> str:
        """The order as the message that travels through the queue."""
        return json.dumps(asdict(self))


def parse_order(data: Mapping[str, Any]) -> Order:
    """Make an order of a JSON object or of a form's fields.

    Args:
        data: `order_id`, 8 to 64 letters, digits, `-` or `_`; `customer`, 1 to 80 printable characters; `sku`, such
            as `tea-green`, 1 to 40 characters; `quantity`, 1 to 1000, also as decimal digits in a string.

    Raises:
        InvalidOrderError: Names every field that is wrong, not only the first.
    """
    problems: dict[str, str] = {}
    order_id, customer, sku = (_text(data.get(field)) for field in ("order_id", "customer", "sku"))
    if not _ORDER_ID.fullmatch(order_id):
        problems["order_id"] = "give 8 to 64 letters, digits, '-' or '_'"
    if not customer or len(customer) > MAX_CUSTOMER_LENGTH or not customer.isprintable():
        problems["customer"] = f"give a name of 1 to {MAX_CUSTOMER_LENGTH} printable characters"
    if len(sku) > _MAX_SKU_LENGTH or not _SKU.fullmatch(sku):
        problems["sku"] = "give an item such as 'tea-green': lower-case letters and digits, joined by '-'"
    quantity = _whole_number(data.get("quantity"))
    if quantity is None or not 1 <= quantity <= MAX_QUANTITY:
        problems["quantity"] = f"give a whole number from 1 to {MAX_QUANTITY}"
    if problems or quantity is None:
        raise InvalidOrderError(problems)
    return Order(order_id, customer, sku, quantity)


def parse_body(body: str) -> Order:
    """Make an order of a message's body.

    Raises:
        InvalidOrderError: The body is not a JSON object (named as field `body`), or a field of it is wrong.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidOrderError({"body": "give one JSON object"}) from error
    if not isinstance(data, dict):
        raise InvalidOrderError({"body": "give one JSON object"})
    return parse_order(data)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _whole_number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    # Four digits hold the greatest quantity: longer texts need not be read to be refused.
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,4}\s*", value):
        return int(value)
    return None
