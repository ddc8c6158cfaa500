"""Where a smoke test runs: in an account of AWS, or in the sandbox, where machines are processes."""

import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from sluice_tools.sandbox.sandbox import Sandbox
from sluice_tools.smoke.account import TAG, Names
from sluice_tools.smoke.deployment import ORDERS, Machines


def sandbox_machines(sandbox: Sandbox, names: Names) -> Machines:
    """The sandbox's machines: shell scripts in place of user data, and SQLite in place of PostgreSQL.

    Everything else is the same: they are launched by the same groups, take their database from the same parameter, are
    drained by the same Run Command, and leave their work logs in the same bucket.
    """
    directory = sandbox.directory / names.prefix
    directory.mkdir(parents=True, exist_ok=True)
    database, consumer, admin = (directory / name for name in ("database", "consumer", "orders-admin"))
    python = shlex.quote(sys.executable)
    url = f"sqlite:///{directory / 'orders.db'}"
    put = (
        "import boto3; boto3.client('ssm').put_parameter("
        f"Name={names.database_parameter!r}, Type='SecureString', Value={url!r}, "
        f"Tags=[{{'Key': {TAG!r}, 'Value': {names.prefix!r}}}])"
    )
    _script(admin, {"PYTHONPATH": str(ORDERS), "DATABASE_URL": url}, f'exec {python} -m orders.admin "$@"')
    _script(
        database,
        {},
        f"set -e\n{shlex.quote(str(admin))} init\n{python} -c {shlex.quote(put)}\n"
        "trap 'exit 0' TERM\nwhile :; do sleep 0.5; done",
    )

    def prepare(orders: Mapping[str, str]) -> None:
        variables = {
            "PYTHONPATH": str(ORDERS),
            "QUEUE_URL": orders["QueueUrl"],
            "DEAD_LETTER_QUEUE_URL": orders["DeadLetterQueueUrl"],
            "DATABASE_URL_PARAMETER": names.database_parameter,
            "WORK_LOG_BUCKET": names.bucket,
            "RECEIVE_WAIT_S": "1",
        }
        # What user data takes from the template's parameters, and what differs from machine to machine.
        _script(
            consumer,
            variables,
            f'export WORK_LOG="{directory}/$INSTANCE_ID.jsonl"\nexec {python} -m orders.consumer',
        )

    return Machines(
        architecture="arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
        database_command=f"exec {database}",
        consumer_command=f"exec {consumer}",
        admin=str(admin),
        prepare=prepare,
    )


def _script(path: Path, variables: Mapping[str, str], body: str) -> None:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    path.write_text("\n".join(["#!/bin/sh", *exports, body, ""]))
    path.chmod(0o755)
