"""The onboarding function's modules, and a request of CloudFormation to it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """A module of functions/onboarding, which Lambda finds beside its handler."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"functions/onboarding/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/sluice-Fleet-1ABC/0a1b2c3d"


def request(kind: str = "Create", **more: Any) -> dict[str, Any]:
    """CloudFormation's request."""
    return {
        "RequestType": kind,
        "ResponseURL": "https://cloudformation-custom-resource-response.s3.amazonaws.com/?signature=secret",
        "StackId": STACK,
        "RequestId": "r-1",
        "ResourceType": "Custom::SluiceFleet",
        "LogicalResourceId": "Checked",
        "ResourceProperties": {"Name": "orders", "Document": {}},
        **more,
    }
