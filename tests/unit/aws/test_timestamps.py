"""Timestamps of AWS's answers: the fast path reads what botocore's own parser reads."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.utils import parse_timestamp

from sluice.aws.clients import Clients, read_timestamp


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-29T06:00:00Z",
        "2026-11-29T06:00:00.123Z",
        "2026-11-29T06:00:00.123456Z",
        "2026-11-29T06:00:00.1234567Z",
        "2026-11-29T06:00:00+00:00",
        "2026-11-29T08:00:00+02:00",
        "Sun, 29 Nov 2026 06:00:00 GMT",
        "20261129T060000Z",
        "20261129",
        "1795935600",
        1_795_935_600,
        1_795_935_600.25,
    ],
)
def test_timestamp_is_read_as_botocore_reads_it(value: Any) -> None:
    """In every form that AWS's protocols use: the same moment, with its time zone."""
    read, expected = read_timestamp(value), parse_timestamp(value)
    assert read.timestamp() == expected.timestamp()
    assert (read.tzinfo is None) == (expected.tzinfo is None)


@pytest.mark.parametrize("value", ["yesterday", "2026-13-29T06:00:00Z"])
def test_timestamp_is_refused_when_botocore_refuses_it(value: str) -> None:
    """With botocore's own error."""
    with pytest.raises(ValueError, match="Invalid timestamp"):
        read_timestamp(value)


def test_clients_of_a_session_read_timestamps_by_the_fast_path() -> None:
    """By botocore's hook, and for ticks' clients as for the others."""
    environ = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    for clients in (Clients(environ), Clients(environ).of_ticks):
        client: Any = clients.autoscaling
        parser = client._endpoint._response_parser_factory.create_parser("query")
        assert parser._timestamp_parser is read_timestamp


def test_ticks_ask_once_and_wait_two_seconds() -> None:
    """All else keeps its retries."""
    environ = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    clients = Clients(environ)
    ticks: Any = clients.of_ticks.autoscaling.meta.config
    usual: Any = clients.autoscaling.meta.config
    assert (ticks.retries["total_max_attempts"], ticks.read_timeout, ticks.connect_timeout) == (1, 2.0, 2.0)
    assert (usual.retries["total_max_attempts"], usual.read_timeout) == (3, 5.0)
