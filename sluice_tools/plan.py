"""`sluice plan`: what the planner would decide, and why, from files alone; no AWS account is asked."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from sluice.config.fleet import ConfigError, Fleet, parse
from sluice.config.problems import describe_fault
from sluice.model.decisions import Action, Decision, Figure
from sluice.model.planning import Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.learning.learn import learn
from sluice.planning.planner import plan as decide
from sluice_tools.commands.frame import UsageError
from sluice_tools.commands.output import console

NUMBER_MOST = 1e12  # more than any queue holds, and later than any moment in epoch seconds
SIGNED = (["outlier_run"], ["counted"], ["chosen"])  # fields of a memory whose numbers may be below 0
LEAD_MOST_S = 604_800.0  # seven days: no launch takes as long, and a plan looks a lead time ahead
COLOURS = {Action.SCALE_OUT: "green", Action.SCALE_IN: "yellow", Action.HOLD: "cyan"}


class FileError(UsageError):
    """A file that cannot be used; `problems` has every fault, each naming the file and its field."""

    def __init__(self, path: Path, problems: tuple[str, ...]) -> None:
        super().__init__(*(f"{path}: {problem}" for problem in problems))


def plan(
    *,
    fleet: Path,
    snapshot: Path,
    memory: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Decide on one snapshot of a fleet, offline, and print the decision with every reason.

    Args:
        fleet: the fleet's document, as in Parameter Store, as JSON.
        snapshot: what a tick measured, as JSON (see examples/plan).
        memory: what the planner had learned before the tick, as JSON; by default nothing.
        as_json: print the decision as one JSON object.
    """
    document = read_fleet(fleet)
    seen = _read(Snapshot, snapshot, partial(snapshot_problems, document))
    known = Memory() if memory is None else _read(Memory, memory, memory_problems)
    timing = Timing()
    learned, estimates = learn(known, seen, document, timing=timing, now=seen.at)
    decision = decide(seen, document, estimates, learned, timing=timing, now=seen.at)
    if as_json:
        print(TypeAdapter(Decision).dump_json(decision, indent=2).decode())
    else:
        _show(decision, console())


# --------------------------------------------------------------------------- checks


def snapshot_problems(fleet: Fleet, snapshot: Snapshot) -> Iterator[str]:
    """What cannot be in a snapshot of a fleet, each as a sentence that begins with the field."""
    if snapshot.fleet != fleet.name:
        yield f"fleet: must be {fleet.name}, the fleet of the document (got {snapshot.fleet})"
    if fleet.shared and len(snapshot.queues) != len(fleet.sources):
        yield f"queues: must be the fleet's {len(fleet.sources)} queues in their order (got {len(snapshot.queues)})"
    group = snapshot.group
    if group is None:
        return
    if group.name != fleet.group:
        yield f"group.name: must be {fleet.group}, the group of the document (got {group.name})"
    if group.min_size > group.max_size:
        yield f"group.min_size: must be at most max_size, which is {group.max_size} (got {group.min_size})"
    for index, instance in enumerate(group.instances):
        if instance.weight <= 0.0:
            yield f"group.instances.{index}.weight: must be above 0 (got {instance.weight:g})"


def memory_problems(memory: Memory) -> Iterator[str]:
    """What cannot be in a memory, each as a sentence that begins with the field."""
    estimate = memory.service_rate.estimate
    if estimate is not None and estimate.mean <= 0.0:
        yield f"service_rate.estimate.mean: must be above 0 (got {estimate.mean:g})"
    launches = memory.launches
    for name in ("to_service", "to_first_message", "reported"):
        lead = getattr(launches, name)
        if lead is not None and lead.mean > LEAD_MOST_S:
            yield f"launches.{name}.mean: must be at most {LEAD_MOST_S:.0f}, seven days (got {lead.mean:.10g})"


def _numbers(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a document, with its field."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _numbers(each, f"{where}{name}.")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _numbers(each, f"{where}{index}.")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where.rstrip("."), value


def _number_problems(document: Any) -> Iterator[str]:
    """A problem for every number that nothing observed or learned can be."""
    for where, number in _numbers(document):
        least = -NUMBER_MOST if where.split(".")[-2:-1] in SIGNED else 0.0
        if not least <= number <= NUMBER_MOST:
            yield f"{where}: must be a number from {least:g} to {NUMBER_MOST:g} (got {number:g})"
        elif where.endswith("period_s") and number == 0.0:
            yield f"{where}: must be above 0 (got 0)"


def _show(decision: Decision, to: Console) -> None:
    to.print(decision.sentence, style=f"bold {COLOURS[decision.action]}", highlight=False)
    reasons = Table("reason", "capacity", "why", title="From the need to the wanted capacity", title_justify="left")
    for reason in decision.reasons:
        change = f"{reason.before} → {reason.after}" if reason.before != reason.after else f"{reason.after}"
        reasons.add_row(reason.code, change, reason.sentence)
    figures = Table(
        "figure", "value", "age", "source", title="Figures that the decision is based on", title_justify="left"
    )
    for figure in decision.figures:
        figures.add_row(figure.name, _value(figure), _age(figure), figure.source)
    to.print(reasons)
    to.print(figures)


def _value(figure: Figure) -> str:
    return "-" if figure.value is None else f"{figure.value:.4g}"


def _age(figure: Figure) -> str:
    return "-" if figure.age_s is None else f"{figure.age_s:.0f} s"


# --------------------------------------------------------------------------- files


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(path, (f"cannot be read: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise FileError(path, (f"must be UTF-8 text: {error.reason} at byte {error.start}",)) from error


def read_fleet(path: Path) -> Fleet:
    """A fleet's document from a file.

    Raises:
        FileError: it cannot be read or used.
    """
    try:
        return parse(path.stem, _text(path))
    except ConfigError as error:
        raise FileError(path, tuple(error.problems)) from error


def _read[T](kind: type[T], path: Path, problems_of: Callable[[T], Iterable[str]]) -> T:
    """A dataclass of the model from its JSON file; an unknown field is a fault, since it is most likely misspelt.

    A number is a JSON number: a text that reads as one would pass unchecked.

    Args:
        kind: the dataclass.
        path: the file.
        problems_of: what else is wrong with it.
    """
    adapter = TypeAdapter(kind)
    text = _text(path)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(path, (f"must be JSON: {error}",)) from error
    try:
        value = adapter.validate_json(text, strict=True)
    except ValidationError as error:
        problems = [problem for fault in error.errors(include_url=False) for problem in describe_fault(fault, {})]
        raise FileError(path, tuple(problems)) from error
    found = (
        *_unknown(document, adapter.dump_python(value, mode="json")),
        *_number_problems(document),
        *problems_of(value),
    )
    if found:
        raise FileError(path, found)
    return value


def _unknown(given: Any, known: Any, where: str = "") -> Iterator[str]:
    """A problem for every field that the model does not have."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        for name, value in given.items():
            if name in known:
                yield from _unknown(value, known[name], f"{where}{name}.")
            else:
                yield f"{where}{name}: is an unknown field; there are {', '.join(known)}"
    elif isinstance(given, list) and isinstance(known, list):
        for index, (one, other) in enumerate(zip(given, known, strict=False)):
            yield from _unknown(one, other, f"{where}{index}.")
