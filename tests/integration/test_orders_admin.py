"""The commands for whoever runs the database, as an operator runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.orders.orders.store import Delivery
from tests.support.orders_fakes import make_order, new_store
from tests.support.orders_services import EXAMPLE, run_admin

DELIVERY = Delivery(1.0, 2.0, 1, 0, "i-1")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a database that is not there yet."""
    return {"DATABASE_URL": f"sqlite:///{tmp_path}/orders.db"}


def test_database_is_made_once_when_init_is_repeated(environment: dict[str, str], tmp_path: Path) -> None:
    """The second time changes nothing."""
    assert [run_admin(environment, "init").returncode for _ in range(2)] == [0, 0]
    audit = json.loads(run_admin(environment, "audit").stdout)
    assert (audit["stored"], audit["holds"]) == (0, True)


def test_audit_tells_lost_from_stored_when_it_is_told_what_was_sent(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """An order that was sent and is not stored is named, and the exit code says that the audit does not hold."""
    store = new_store(tmp_path)
    order = make_order()
    store.process(order, DELIVERY)
    store.close()
    sent = tmp_path / "sent"
    sent.write_text(f"{order.order_id}\n")
    held = run_admin(environment, "audit", "--sent", str(sent))
    assert (held.returncode, json.loads(held.stdout)["holds"]) == (0, True)
    sent.write_text(f"{order.order_id}\nlost-order-1\n")
    lost = run_admin(environment, "audit", "--sent", str(sent))
    answer = json.loads(lost.stdout)
    assert (lost.returncode, answer["sent"], answer["not_stored"]) == (1, 2, ["lost-order-1"])


def test_audit_fails_when_work_was_interrupted(environment: dict[str, str], tmp_path: Path) -> None:
    """What the work logs say counts as well."""
    new_store(tmp_path).close()
    log = tmp_path / "work.jsonl"
    log.write_text(json.dumps({"event": "started", "instance": "i-1", "process": 1, "message_id": "m1"}))
    failed = run_admin(environment, "audit", "--work-log", str(log))
    assert (failed.returncode, json.loads(failed.stdout)["work"]["interrupted"]) == (1, [["i-1", "m1"]])


def test_stock_is_received_when_an_item_is_new(environment: dict[str, str], tmp_path: Path) -> None:
    """The fix for orders of an unknown item."""
    store = new_store(tmp_path)
    done = run_admin(environment, "stock", "sku-13", "--name", "Thing 13", "--price-cents", "1300", "--count", "9")
    assert done.returncode == 0, done.stderr
    assert ("sku-13", "Thing 13", 1300, 9) in {
        (item.sku, item.name, item.price_cents, item.on_hand) for item in store.totals().stock
    }
    store.close()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "COMMAND"),
        (("stock", "sku-13", "--price-cents", "-1", "--count", "1"), 2, "from 0 up"),
        (("stock", "sku-13", "--price-cents", "x", "--count", "1"), 2, "invalid"),
        (("audit",), 1, "python -m orders.admin init"),
    ],
)
def test_command_says_what_is_wrong_when_it_is(
    environment: dict[str, str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    """On standard error, without a traceback."""
    failed = run_admin(environment, *arguments)
    assert failed.returncode == code
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr


def test_database_url_is_named_when_it_is_none() -> None:
    """Like the other variables."""
    failed = run_admin({"DATABASE_URL": "orders.db"}, "init")
    assert (failed.returncode, failed.stderr.partition(":")[0]) == (2, "DATABASE_URL")


def test_lock_is_refused_when_the_database_is_a_server() -> None:
    """A server is stopped instead; nothing is connected to find that out."""
    failed = run_admin({"DATABASE_URL": "postgresql://127.0.0.1:9/orders"}, "lock", "--seconds", "1")
    assert (failed.returncode, "PostgreSQL" in failed.stderr) == (2, True)


def test_database_takes_orders_again_when_the_lock_is_over(environment: dict[str, str], tmp_path: Path) -> None:
    """However the command ends."""
    store = new_store(tmp_path)
    command = [sys.executable, "-m", "orders.admin", "lock", "--seconds", "0.1"]
    subprocess.run(command, env=environment | {"PYTHONPATH": str(EXAMPLE)}, check=True, timeout=60)
    store.probe()
    store.close()
