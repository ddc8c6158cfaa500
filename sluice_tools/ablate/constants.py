"""The planner's named constants: which of them are tuned, and which could not be other than they are.

A constant is tuned where another value would be as right, and only results speak for the one it has. The others are
units, facts of AWS, bounds of the ledger's record or of the work of a tick, and the arithmetic's own numbers.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PLANNING = Path(__file__).parents[2] / "layers" / "core" / "sluice" / "planning"
LEFT_OUT = frozenset({"shadow"})  # scores decisions, and makes none

UNIT, AWS, BOUND, ARITHMETIC = "unit", "fact of AWS", "bound of records, work or texts", "arithmetic"

# What no result could change. Every other number is tuned.
NOT_TUNED: Mapping[str, Mapping[str, frozenset[str]]] = {
    UNIT: {
        "learning/forecasting": frozenset({"HOUR_S", "DAY_S", "WEEK_S"}),
        "learning/schedules": frozenset({"WEEKDAYS", "CLOCK_CHANGE_S"}),
    },
    AWS: {
        "control": frozenset({"READ_WITHIN_S"}),
        "launch_cost": frozenset({"MINIMUM_BILLING_S"}),
        "demand": frozenset({"DELAY_MAX_S"}),
        "learning/forecasting": frozenset({"REVISED_PERIODS"}),
        "learning/undone": frozenset({"RECEIVED_AT_ONCE"}),
        "learning/periodic_batches": frozenset({"SETTLED_PERIODS"}),
        "multi_queue": frozenset({"ACTIVE_PERIODS"}),
    },
    BOUND: {
        "demand": frozenset({"BACKLOG_KNOTS"}),
        "explanation": frozenset({"NOTABLE_S", "LIVE_SHARE"}),
        "learning/forecasting": frozenset({"HISTORY_PERIODS", "LEVEL_PERIODS", "STEADY_PERIODS"}),
        "learning/periodic_batches": frozenset(
            {"PULSES_MAX", "EXPECTED_MAX", "INTERVALS_MAX", "USUAL_PERIODS", "PULSES_S"}
        ),
        "learning/at_work": frozenset({"RECEIVED_PERIODS"}),
        "learning/redeliveries": frozenset({"RETURNS_KEPT"}),
        "learning/schedules": frozenset({"REPEATS_MAX"}),
        "learning/samples": frozenset({"QUEUE_PERIODS"}),
        "learning/throughput": frozenset({"LEVELS_MOST"}),
        "launch_limits": frozenset({"MESSAGE_MAX"}),
        "planner": frozenset({"NEEDS_COUNT"}),
    },
    ARITHMETIC: {
        "deadlines": frozenset({"TINY", "LATENESS_MAX_S"}),
        "launch_cost": frozenset({"FEW_PER_S"}),
        "learning/at_work": frozenset({"AT_WORK_SHARE"}),
        "learning/forecasting": frozenset({"ROOTS", "USUAL_LEAST_S"}),
        "learning/significance": frozenset({"MOST_ERRORS"}),
        "learning/throughput": frozenset({"TELLING"}),
    },
}
# Rounds, shards and reports decide on no capacity.
NO_DECISIONS = frozenset(
    {"service", "stack_events", "tick", "shards", "payloads", "metric_reader", "reports", "round", "observing"}
)


def constants() -> Iterator[tuple[str, str]]:
    """Every named number of the modules that decide: the module's path below planning/, without `.py`, and the name."""
    for path in sorted(PLANNING.rglob("*.py")):
        module = path.relative_to(PLANNING).with_suffix("").as_posix()
        if module.split("/")[0] in LEFT_OUT | NO_DECISIONS:
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            yield from ((module, name) for name in _numbers(node))


def tuned() -> list[tuple[str, str]]:
    """The constants that are tuned."""
    fixed = {(module, name) for modules in NOT_TUNED.values() for module, names in modules.items() for name in names}
    return [each for each in constants() if each not in fixed]


def _numbers(node: ast.stmt) -> Iterator[str]:
    """The upper-case names that a statement gives a number: a literal, or arithmetic."""
    target = (
        node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    )
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(target, ast.Name) and target.id.isupper() and _is_number(value):
        yield target.id


def _is_number(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, int | float) and not isinstance(value.value, bool)
    if isinstance(value, ast.UnaryOp):
        return _is_number(value.operand)
    if isinstance(value, ast.BinOp):
        return any(_is_number(each) or isinstance(each, ast.Name) for each in (value.left, value.right))
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "round"
