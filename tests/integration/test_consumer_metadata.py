"""The consumer's helper where the instance metadata service does not answer, as in a container one hop too far away."""

import socket

import pytest

from examples.consumer.sluice_consumer import Metadata, MetadataError


def test_cure_is_named_when_the_metadata_service_does_not_answer() -> None:
    """Nothing listens at the port: the error says what to run."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(MetadataError, match="--http-put-response-hop-limit 2"):
        Metadata(url).read("instance-id")
