"""Policies that can be compared, by name.

Each is a dataclass whose public fields are its parameters, written from what its makers document.
"""

from collections.abc import Mapping
from dataclasses import fields
from math import inf
from typing import Any, cast

from sluice_tools.backtest.policies.aws import Predictive, StepScaling, TargetTracking
from sluice_tools.backtest.policies.clairvoyant import Clairvoyant
from sluice_tools.backtest.policies.open_source import Buildkite, Keda, Wpa
from sluice_tools.backtest.policies.sluice import Sluice
from sluice_tools.backtest.policies.staffing import Fixed, Little
from sluice_tools.backtest.simulator import Policy

POLICIES: Mapping[str, type[Any]] = {
    "sluice": Sluice,
    "target-tracking": TargetTracking,
    "step-scaling": StepScaling,
    "predictive": Predictive,
    "keda": Keda,
    "buildkite": Buildkite,
    "wpa": Wpa,
    "little": Little,
    "fixed": Fixed,
    "clairvoyant": Clairvoyant,
}

DEFAULT = tuple(POLICIES)
FORESEEING = frozenset({"clairvoyant"})  # act on what has not come yet: references, not peers


class PolicyError(ValueError):
    """A policy or parameter that there is not."""


def make(spec: str) -> Policy:
    """A policy from its name, or `name:parameter=value,parameter=value`.

    Raises:
        PolicyError: no such policy or parameter, or a value of the wrong kind.
    """
    name, _, rest = spec.partition(":")
    kind = POLICIES.get(name)
    if kind is None:
        raise PolicyError(f"--policy: must be one of {', '.join(POLICIES)} (got {name})")
    given: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise PolicyError(f"--policy {name}: parameters are written parameter=value (got {pair})")
        given[key.strip()] = value.strip()
    return with_params(name, given)


def with_params(name: str, given: Mapping[str, Any]) -> Policy:
    """A policy with some parameters set; text is read as the parameter's own kind.

    Raises:
        PolicyError: no such parameter, or a value of the wrong kind.
    """
    kind, defaults = POLICIES[name], defaults_of(name)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in defaults:
            raise PolicyError(f"--policy {name}: {key}: must be one of {', '.join(defaults)}")
        values[key] = _read(value, defaults[key], f"--policy {name}: {key}")
    return cast("Policy", kind(**values))


def _read(value: Any, default: Any, where: str) -> Any:
    """A value as the kind that the default is of; a parameter without one is a number."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    if isinstance(default, bool):
        if value.lower() not in ("0", "1", "true", "false", "yes", "no"):
            raise PolicyError(f"{where}: must be yes or no (got {value})")
        return value.lower() in ("1", "true", "yes")
    kind = "a whole number" if isinstance(default, int) else "a number"
    try:
        number = int(value) if isinstance(default, int) else float(value)
    except ValueError as error:
        raise PolicyError(f"{where}: must be {kind} (got {value})") from error
    if not 0 <= number < inf:  # shares, seconds, instances and percent: none is negative
        raise PolicyError(f"{where}: must be {kind}, at least 0 (got {value})")
    return number


def defaults_of(name: str) -> Mapping[str, Any]:
    """A policy's parameters as they are unless set."""
    return {each.name: each.default for each in fields(POLICIES[name]) if each.init}


def label(name: str, params: Mapping[str, Any]) -> str:
    """A policy with those of its parameters that are not as usual, as `make` reads it."""
    usual = defaults_of(name)
    changed = ",".join(f"{key}={value}" for key, value in params.items() if key in usual and usual[key] != value)
    return f"{name}:{changed}" if changed else name
