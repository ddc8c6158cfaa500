"""The planner and the simulator, compiled for backtests: the shipped source by way of mypyc, three times as fast.

A fortnight of ticks every ten seconds is 120,960 calls of what is deployed, and the interpreter takes 100 microseconds
for each. Nothing compiled is ever deployed, nothing but a backtest uses it, and what it decides is the same to the last
digit. `python -m sluice_tools.compiled` builds, `use` has a process import what was built, if it was built from the
source as it is now; else all goes on interpreted.
"""

import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

from sluice_tools.sources import CHECKOUT

BUILT = CHECKOUT / "build" / "compiled"
MANIFEST = "manifest.json"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")  # tells the interpreter's version and the machine

# What a tick of a backtest spends its time in. `sluice.config` is pydantic's, and stays interpreted.
MODULES = (
    "sluice.model.frozen",
    "sluice.model.observed",
    "sluice.model.timing",
    "sluice.model.usage",
    "sluice.model.shadow",
    "sluice.model.planning",
    "sluice.model.decisions",
    "sluice.planning.demand",
    "sluice.planning.supply",
    "sluice.planning.deadlines",
    "sluice.planning.launch_cost",
    "sluice.wording",
    "sluice.planning.learning.periodic_batches",
    "sluice.planning.learning.schedules",
    "sluice.planning.learning.forecasting",
    "sluice.planning.learning.signal_quality",
    "sluice.planning.learning.safety_margin",
    "sluice.planning.learning.significance",
    "sluice.planning.learning.undone",
    "sluice.planning.learning.at_work",
    "sluice.planning.learning.throughput",
    "sluice.planning.learning.prefetch",
    "sluice.planning.learning.count_filter",
    "sluice.planning.learning.service_spread",
    "sluice.planning.learning.odd_periods",
    "sluice.planning.learning.service_rate",
    "sluice.planning.learning.lead_time",
    "sluice.planning.learning.redeliveries",
    "sluice.planning.learning.poison",
    "sluice.planning.learning.samples",
    "sluice.planning.learning.learn",
    "sluice.planning.multi_queue",
    "sluice.planning.assessment",
    "sluice.planning.wish",
    "sluice.planning.consumption",
    "sluice.planning.control",
    "sluice.planning.launch_limits",
    "sluice.planning.evidence",
    "sluice.planning.explanation",
    "sluice.planning.limits",
    "sluice.planning.visibility",
    "sluice.planning.planner",
    "sluice_tools.backtest.random_draws",
    "sluice_tools.backtest.simulated_queue",
    "sluice_tools.backtest.simulated_group",
    "sluice_tools.backtest.worlds.queue",
    "sluice_tools.backtest.worlds.group",
    "sluice_tools.backtest.simulator",
    "sluice_tools.backtest.floors",
    "sluice_tools.backtest.policies.kubernetes",
    "sluice_tools.backtest.policies.open_source",
    "sluice_tools.backtest.policies.staffing",
    "sluice_tools.backtest.policies.aws",
    "sluice_tools.backtest.policies.sluice",
)


class _Finder:
    """Finds compiled modules before anything else is looked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Where a compiled module is; None of any other."""
        file = self.files.get(name)
        return None if file is None else spec_from_file_location(name, file)


def use(built: Path = BUILT) -> bool:
    """Import what is compiled, from now on and in this process; in one that has imported it interpreted it is too late.

    Returns:
        Whether there is anything that was built from the source as it is.
    """
    if in_use():
        return True
    if not fits(built):
        return False
    if loaded := sys.modules.keys() & set(MODULES):
        raise RuntimeError(f"imported already, interpreted: {', '.join(sorted(loaded))}")
    # Beside the modules there is the library that all of them are in.
    files = {".".join(path.relative_to(built).parts).removesuffix(SUFFIX): path for path in built.rglob(f"*{SUFFIX}")}
    sys.meta_path.insert(0, _Finder(files))
    return True


def in_use() -> bool:
    """Whether this process imports what is compiled."""
    return any(isinstance(each, _Finder) for each in sys.meta_path)


def fits(built: Path = BUILT) -> bool:
    """Whether what is built is of this interpreter, and of the source as it is now."""
    try:
        manifest = json.loads((built / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest["suffix"] == SUFFIX and manifest["source"] == fingerprint(map(Path, manifest["source"])))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fingerprint(paths: Iterable[Path]) -> dict[str, str]:
    """A digest of each file, by its path from the checkout."""
    return {str(path): hashlib.sha256((CHECKOUT / path).read_bytes()).hexdigest() for path in paths}
