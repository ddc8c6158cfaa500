"""What ministack looks up to give an answer its content type: a service's protocol, without the rest of its model.

ministack has botocore read the whole model of each service, which takes a fifth of a second of a processor for those
that a deployed stack calls. A model says its metadata at its beginning.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_responses = Host("core.responses", "_service_model", "_BOTOCORE_NAME")
METADATA = '"metadata"'
BEGINNING = 4_096
"""Bytes: any service's metadata ends within the first 700."""


@dataclass(frozen=True, slots=True)
class Model:
    """What ministack asks of a service's model."""

    metadata: dict[str, Any]


def model(service: str) -> Model | None:
    """The model of a service by botocore's name, in its newest version; None where botocore has none."""
    package = importlib.util.find_spec("botocore")
    assert package is not None
    assert package.origin is not None
    versions = sorted((Path(package.origin).parent / "data" / service).glob("*/service-2.json.gz"))
    if not versions:
        return None
    with gzip.open(versions[-1]) as file:
        text = file.read(BEGINNING).decode(errors="replace")
    return Model(json.JSONDecoder().raw_decode(text, text.index("{", text.index(METADATA)))[0])


def install() -> None:
    """Put it in the place of ministack's own."""
    names = _responses["_BOTOCORE_NAME"]
    _responses["_service_model"] = functools.cache(lambda service: model(names.get(service, service)))
