"""A stub of AWS for benchmarks: it answers what a planner's round asks for, each call after the same time.

It runs in a process of its own, so that its work is not counted. Groups have instances as AWS describes them, queues
have counts, metrics have a quarter of an hour of points, and the ledger's table is a dictionary. A queue or group whose
name is in `--silent` gets no answer.
"""

import asyncio
import json
import re
import sys
import time
from typing import Annotated, Any
from urllib.parse import parse_qs

from cyclopts import App, Parameter

INSTANCES = 4  # of a group that is in use
SETS = re.compile(r"#(\w+) = (:\w+)")
POINTS = 15
NOBODY_WAITS_S = 60.0

app = App(name="bench-stub", help=__doc__)
type Item = dict[str, Any]


class Stub:
    """The answers. Names that end in an even digit are of fleets in use, the others of idle ones."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.desired: dict[str, int] = {}  # by group, where it was set

    def answer(self, target: str, body: bytes) -> tuple[bytes, str]:
        """The answer's body, and its content type."""
        operation = target.rpartition(".")[2]
        if operation:
            return json.dumps(getattr(self, f"_{operation}")(json.loads(body))).encode(), "application/x-amz-json-1.0"
        fields = parse_qs(body.decode())
        return self._query(fields["Action"][0], fields).encode(), "text/xml"

    def _GetQueueAttributes(self, request: Item) -> Item:  # noqa: N802 - AWS's names
        busy = in_use(request["QueueUrl"])
        counts = dict.fromkeys(request["AttributeNames"], "0")
        if busy:
            counts |= {"ApproximateNumberOfMessages": "40", "ApproximateNumberOfMessagesNotVisible": "4"}
        return {"Attributes": counts}

    def _GetMetricData(self, request: Item) -> Item:  # noqa: N802
        newest = (time.time() // 60 - 3) * 60
        points = {
            "Timestamps": [newest - 60.0 * (POINTS - 1 - number) for number in range(POINTS)],
            "Values": [60.0] * POINTS,
            "StatusCode": "Complete",
        }
        return {
            "MetricDataResults": [
                {"Id": one["Id"], "Label": one["Id"], **points} for one in request["MetricDataQueries"]
            ]
        }

    def _GetItem(self, request: Item) -> Item:  # noqa: N802
        item = self.items.get(_key(request["Key"]))
        return {} if item is None else {"Item": item}

    def _BatchGetItem(self, request: Item) -> Item:  # noqa: N802
        found = {
            table: [item for key in asked["Keys"] if (item := self.items.get(_key(key))) is not None]
            for table, asked in request["RequestItems"].items()
        }
        return {"Responses": found, "UnprocessedKeys": {}}

    def _Query(self, request: Item) -> Item:  # noqa: N802
        values = request["ExpressionAttributeValues"]
        pk, low, high = (values[name]["S"] for name in (":pk", ":low", ":high"))
        return {"Items": [item for key, item in self.items.items() if key[0] == pk and low <= key[1] <= high]}

    def _PutItem(self, request: Item) -> Item:  # noqa: N802
        self.items[_key(request["Item"])] = request["Item"]
        return {}

    def _UpdateItem(self, request: Item) -> Item:  # noqa: N802
        item = self.items.setdefault(_key(request["Key"]), dict(request["Key"]))
        for name, value in SETS.findall(request["UpdateExpression"]):
            item[name] = request["ExpressionAttributeValues"][value]
        return {"Attributes": item}

    def _TransactWriteItems(self, request: Item) -> Item:  # noqa: N802
        for write in request["TransactItems"]:
            for kind, one in write.items():
                {"Put": self._PutItem, "Update": self._UpdateItem}[kind](one)
        return {}

    def _BatchWriteItem(self, request: Item) -> Item:  # noqa: N802
        for writes in request["RequestItems"].values():
            for write in writes:
                self._PutItem(write["PutRequest"])
        return {"UnprocessedItems": {}}

    def _query(self, action: str, fields: dict[str, list[str]]) -> str:
        """An answer of Auto Scaling's."""
        body = ""
        if action == "DescribeAutoScalingGroups":
            names = [values[0] for name, values in fields.items() if name.startswith("AutoScalingGroupNames")]
            groups = "".join(_group(name, self.desired.get(name, INSTANCES if in_use(name) else 0)) for name in names)
            body = f"<{action}Result><AutoScalingGroups>{groups}</AutoScalingGroups></{action}Result>"
        elif action == "DescribeScalingActivities":
            body = f"<{action}Result><Activities/></{action}Result>"
        elif action == "SetDesiredCapacity":
            self.desired[fields["AutoScalingGroupName"][0]] = int(fields["DesiredCapacity"][0])
        space = 'xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"'
        return f"<{action}Response {space}>{body}<ResponseMetadata/></{action}Response>"


def in_use(name: str) -> bool:
    """Whether a queue or group is of a fleet that has work."""
    return name[-1] in "02468"


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _group(name: str, count: int) -> str:
    """A group, as Auto Scaling describes one: most of it is of no use to a tick, and is parsed all the same."""
    instances = "".join(
        f"<member><InstanceId>i-{abs(hash((name, number))) % 16**17:017x}</InstanceId>"
        "<InstanceType>c7g.large</InstanceType><AvailabilityZone>eu-central-1a</AvailabilityZone>"
        "<LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus><LaunchTemplate>"
        f"<LaunchTemplateId>lt-0c0ffee1234567890</LaunchTemplateId><LaunchTemplateName>{name}</LaunchTemplateName>"
        "<Version>3</Version></LaunchTemplate><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
        for number in range(count)
    )
    tags = "".join(
        f"<member><ResourceId>{name}</ResourceId><ResourceType>auto-scaling-group</ResourceType><Key>{key}</Key>"
        f"<Value>bench</Value><PropagateAtLaunch>true</PropagateAtLaunch></member>"
        for key in ("Name", "sluice:stack", "team")
    )
    return (
        f"<member><AutoScalingGroupName>{name}</AutoScalingGroupName><AutoScalingGroupARN>arn:aws:autoscaling:"
        f"eu-central-1:000000000000:autoScalingGroup:0:autoScalingGroupName/{name}</AutoScalingGroupARN>"
        f"<MinSize>0</MinSize><MaxSize>20</MaxSize><DesiredCapacity>{count}</DesiredCapacity>"
        "<DefaultCooldown>300</DefaultCooldown><AvailabilityZones><member>eu-central-1a</member></AvailabilityZones>"
        "<HealthCheckType>EC2</HealthCheckType><HealthCheckGracePeriod>0</HealthCheckGracePeriod>"
        f"<Instances>{instances}</Instances><CreatedTime>2026-11-01T09:00:00.123Z</CreatedTime>"
        "<VPCZoneIdentifier>subnet-0c0ffee1234567890</VPCZoneIdentifier><TerminationPolicies><member>Default</member>"
        f"</TerminationPolicies><Tags>{tags}</Tags><NewInstancesProtectedFromScaleIn>false"
        "</NewInstancesProtectedFromScaleIn></member>"
    )


async def _serve(stub: Stub, latency_s: float, silent: frozenset[str], streams: Any) -> None:
    """Answer one connection's requests, one after the other."""
    reader, writer = streams
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = (one.partition(":") for one in head.split("\r\n"))
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            named = {one.decode() for one in re.findall(rb"fleet-\d+", body)}
            if len(named) == 1 and named <= silent and b"pk" not in body:
                await asyncio.sleep(NOBODY_WAITS_S)
            await asyncio.sleep(latency_s)
            answer, kind = stub.answer(headers.get("x-amz-target", ""), body)
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _run(latency_s: float, silent: frozenset[str]) -> None:
    stub = Stub()
    server = await asyncio.start_server(
        lambda reader, writer: _serve(stub, latency_s, silent, (reader, writer)), "127.0.0.1", 0, limit=2**22
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@app.default
def run(*, latency_ms: float = 20.0, silent: Annotated[list[str], Parameter(negative="")] | None = None) -> None:
    """Serve until the process is ended; the port is the first line printed.

    Args:
        latency_ms: how long each answer takes.
        silent: names of fleets whose own calls get no answer.
    """
    try:
        asyncio.run(_run(latency_ms / 1_000, frozenset(silent or ())))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    app()
