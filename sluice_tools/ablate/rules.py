"""The planner's rules, and what the planner is without each of them.

A rule is switched off by putting something else in the place of a constant or a function, in the module that uses it.
Whatever a rule's code is in, `Rule.off` names it as `module:name`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import inf
from typing import Any

from sluice.model.decisions import ReasonCode
from sluice.model.planning import Forecast, Snapshot
from sluice.planning.learning.significance import MOST_ERRORS

PLANNING = "sluice.planning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the planner.

    Args:
        name: what the table calls it.
        says: what the planner does by it, in a few words.
        off: what stands in its place without it: `module:name`, below `sluice.planning`, and the value.
        holds: the world in which it is there for fewer launches, whatever these cost; empty for none.
    """

    name: str
    says: str
    off: Mapping[str, Any]
    holds: str = ""


@contextmanager
def without(rule: Rule | None) -> Iterator[None]:
    """The planner without a rule, until the end of the `with`; with all of them for None."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for place, value in (rule.off if rule else {}).items():
            path, name = place.split(":")
            module = import_module(f"{PLANNING}.{path}")
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in reversed(before):
            setattr(module, name, value)


def _limits_but(*codes: ReasonCode) -> tuple[tuple[ReasonCode, Any], ...]:
    from sluice.planning.limits import LIMITS  # noqa: PLC0415 - as it is when it is asked for

    return tuple((code, limit) for code, limit in LIMITS if code not in codes)


def _forecasters(*names: str) -> dict[str, Any]:
    from sluice.planning.learning.forecasting import FORECASTERS  # noqa: PLC0415 - as above

    return {name: FORECASTERS[name] for name in FORECASTERS if name == "level" or name not in names}


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _first(first: Any, *_: Any, **__: Any) -> Any:
    """What it was given, as it was."""
    return first


def _as_forecast(arrivals: Forecast, *_: Any, **__: Any) -> Forecast:
    return arrivals


def _as_read(snapshot: Snapshot, *_: Any, **__: Any) -> Snapshot:
    return snapshot


FORECASTS = ("slow", "steady", "trend", "hour")


def rules() -> tuple[Rule, ...]:
    """Every rule that can be switched off, in the order of docs/planner.md."""
    return (
        Rule("guard", "reserve a share of the target wait", {"launch_cost:GUARD_SHARE": 0.0}),
        Rule("caution", "count on less than the mean of what units complete", {"supply:MOST": 0.0}),
        Rule("places-at-hand", "count on half of a launch's places", {"supply:AT_HAND": 0.0}),
        Rule(
            "patience",
            "forecast nothing where a launch can wait for its message",
            {"assessment:is_patient": _always(value=False)},
        ),
        Rule(
            "gathering", "let a launch from zero wait for more messages", {"assessment:_can_wait": _always(value=False)}
        ),
        Rule("idle", "release an idle fleet's last unit between messages", {"assessment:IDLE_SHARE": 0.0}),
        Rule("steadying", "know little traffic by its last sixty messages", {"assessment:steadied": _as_forecast}),
        Rule(
            "rare-arrivals",
            "launch for one chance in n",
            {"limits:MOST_ERRORS": 0.0, "demand:quantile": _always(MOST_ERRORS)},
        ),
        Rule("periodic-batches", "launch ahead of batches that recur", {"learning.learn:learn_batches": _first}),
        *(
            Rule(f"forecast-{name}", f"forecast by {name}", {"learning.forecasting:FORECASTERS": _forecasters(name)})
            for name in FORECASTS
        ),
        Rule(
            "forecasts",
            "forecast by anything but the level",
            {"learning.forecasting:FORECASTERS": _forecasters(*FORECASTS)},
        ),
        Rule("changed-level", "follow a step that two minutes prove", {"learning.forecasting:_proven": _first}),
        Rule("lately", "release by what came in the last minute", {"learning.learn:lately": _always(inf)}),
        Rule("doubted-counts", "read a count that jumps again", {"learning.signal_quality:believed": _as_read}),
        Rule(
            "margin",
            "learn a margin from late messages",
            {"learning.safety_margin:STEP_LEAST": 0.0, "learning.safety_margin:STEP_MOST": 0.0},
        ),
        Rule("changed-rate", "replace the rate after three odd minutes", {"learning.odd_periods:RECENT": 10**9}),
        Rule(
            "left-undone",
            "learn no speed where consumers leave messages undone",
            {
                "learning.service_rate:hides_work": _always(value=False),
                "learning.learn:hides_work": _always(value=False),
            },
        ),
        Rule("cold-start", "launch each first message a unit", {"planner:LIMITS": _limits_but(ReasonCode.COLD_START)}),
        *(
            Rule(str(code), says, {"planner:LIMITS": _limits_but(code)})
            for code, says in (
                (ReasonCode.NOTHING_RECEIVED, "launch no more where nothing is received"),
                (ReasonCode.LAUNCH_HANGS, "launch another instead of one that hangs"),
                (ReasonCode.SPARE_LAUNCHES, "launch others beside those needed where launches fail"),
                (ReasonCode.LAUNCH_FAILED, "launch one at a time while launches fail"),
                (ReasonCode.SHORT_LIVED, "launch one each half hour while units end at once"),
            )
        ),
        Rule(
            str(ReasonCode.OTHER_CONTROLLER),
            "leave a capacity that something else sets",
            {"planner:LIMITS": _limits_but(ReasonCode.OTHER_CONTROLLER)},
            holds="second-controller",
        ),
        Rule(
            "stabilization-window",
            "scale in to the window's highest need",
            {"planner:LIMITS": _limits_but(ReasonCode.STABILIZATION_WINDOW)},
        ),
        Rule("scale-in-floor", "keep the last unit", {"planner:LIMITS": _limits_but(ReasonCode.SCALE_IN_FLOOR)}),
        Rule("busy-capacity", "keep busy units", {"planner:LIMITS": _limits_but(ReasonCode.BUSY_CAPACITY)}),
    )
