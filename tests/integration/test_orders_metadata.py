"""The consumer draining by itself: a metadata service on a socket, Auto Scaling answers, and the whole program."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from examples.orders.orders.lifecycle import Lifecycle, LifecycleError
from examples.orders.orders.settings import SelfDrain
from sluice_tools.sandbox.sandbox import Sandbox
from tests.support.orders_fakes import make_order, new_store
from tests.support.orders_services import orders_processes


class Metadata(http.server.ThreadingHTTPServer):
    """An instance metadata service, version 2 only."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.items = {"autoscaling/target-lifecycle-state": "InService", "instance-id": "i-0123456789abcdef0"}
        self.tokens: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not ttl.isdecimal() or not 1 <= int(ttl) <= 21600:
            self._answer(400, "")
            return
        self.server.tokens.add(token := f"token-{len(self.server.tokens)}")
        self._answer(200, token)

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
            self._answer(401, "")
            return
        item = self.server.items.get(self.path.removeprefix("/latest/meta-data/"))
        self._answer(404 if item is None else 200, item or "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    """A metadata service that answers."""
    with Metadata() as server:
        serving = threading.Thread(target=server.serve_forever, args=[0.05])
        serving.start()
        yield server
        server.shutdown()
        serving.join(10)


class FakeAutoScaling:
    """Records completions, or refuses them."""

    def __init__(self, code: str = "", message: str = "") -> None:
        self.code, self.message = code, message
        self.completed: list[dict[str, str]] = []

    def complete_lifecycle_action(self, **arguments: str) -> None:
        """Record it."""
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": self.message}}, "CompleteLifecycleAction")
        self.completed.append(arguments)


def lifecycle(url: str, autoscaling: FakeAutoScaling, instance_id: str | None = None) -> Lifecycle:
    """Of an instance in a group."""
    return Lifecycle(SelfDrain(url, instance_id, "group", "hook"), autoscaling)  # type: ignore[arg-type]


def test_state_is_read_when_the_service_wants_tokens(metadata: Metadata) -> None:
    """A token first, as version 2 has it."""
    mine = lifecycle(metadata.url, FakeAutoScaling())
    assert mine.target_state() == "InService"
    metadata.items["autoscaling/target-lifecycle-state"] = "Terminated\n"
    assert mine.target_state() == "Terminated"
    del metadata.items["autoscaling/target-lifecycle-state"]
    assert mine.target_state() is None


def test_state_is_unknown_when_the_service_is_not_there() -> None:
    """Not "in no group": that would be an answer."""
    with pytest.raises(LifecycleError, match="metadata service"):
        lifecycle("http://127.0.0.1:9", FakeAutoScaling()).target_state()


@pytest.mark.parametrize(("given", "used"), [(None, "i-0123456789abcdef0"), ("i-given", "i-given")])
def test_action_is_completed_for_this_instance(metadata: Metadata, given: str | None, used: str) -> None:
    """By its id, which needs no token of the hook's."""
    autoscaling = FakeAutoScaling()
    lifecycle(metadata.url, autoscaling, given).complete()
    assert autoscaling.completed == [
        {
            "AutoScalingGroupName": "group",
            "LifecycleHookName": "hook",
            "InstanceId": used,
            "LifecycleActionResult": "CONTINUE",
        }
    ]


def test_action_counts_as_completed_when_it_is_over() -> None:
    """Its hook timed out, or someone else was first."""
    over = FakeAutoScaling("ValidationError", "No active Lifecycle Action found with instance ID i-given")
    lifecycle("http://unused", over, "i-given").complete()


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("AccessDenied", "no", "grant autoscaling:CompleteLifecycleAction on group group"),
        ("ValidationError", "Group not found", "Group not found"),
        ("Throttling", "Rate exceeded", "Rate exceeded"),
    ],
)
def test_action_is_not_completed_when_auto_scaling_refuses(code: str, message: str, said: str) -> None:
    """The error says what to do, and it is tried again."""
    with pytest.raises(LifecycleError, match=said):
        lifecycle("http://unused", FakeAutoScaling(code, message), "i-given").complete()


@pytest.mark.sandbox
def test_consumer_drains_and_completes_its_action_when_its_instance_is_terminated(
    sandbox: Sandbox, unique: Callable[[str], str], metadata: Metadata, tmp_path: Path
) -> None:
    """Work is finished first; then the action is completed; then the process stays until the instance ends."""
    order = make_order()
    store = new_store(tmp_path)
    store.close()
    sqs = sandbox.client("sqs")
    url = sqs.create_queue(QueueName=unique("orders-self"))["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=order.body())
    environment = sandbox.env() | {
        "QUEUE_URL": url,
        "DATABASE_URL": f"sqlite:///{tmp_path}/orders.db",
        "RECEIVE_WAIT_S": "1",
        "WORK_S": "3",
        "DRAIN_VIA": "self",
        "GROUP_NAME": "no-such-group",
        "LIFECYCLE_HOOK": "hook",
        "SLUICE_IMDS": metadata.url,
    }
    with orders_processes(tmp_path, environment) as start:
        consumer = start("consumer")
        consumer.until(lambda: consumer.lines("started"))
        metadata.items["autoscaling/target-lifecycle-state"] = "Terminated"
        consumer.until(lambda: consumer.lines("drained"))
        # The group does not exist here: what matters is that it was asked, after the drain, and not given up.
        consumer.until(lambda: "the lifecycle action is not complete yet" in consumer.err.read_text())
        assert store.stored_ids() == {order.order_id}
        sqs.send_message(QueueUrl=url, MessageBody=make_order().body())
        assert consumer.process.poll() is None
        consumer.terminate()
        assert consumer.exit_code() == 0
    assert len(consumer.lines("started")) == 1
    store.close()
    assert metadata.tokens
