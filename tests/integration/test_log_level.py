"""The stack's LogLevel, in processes that have the environment that Lambda gives a function."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice_tools.sandbox.emulator.function_processes import ForkedProcess, FunctionProcesses

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
TICK = """
from types import SimpleNamespace
from sluice.chains import message_of
from sluice.config.fleet import Fleet
from sluice.memory import memory_ports
queue = "https://sqs.eu-central-1.amazonaws.com/000000000000/orders"
fleet = Fleet(name="orders", queue=queue, group="workers", target_wait_s=60)
ports = memory_ports(lambda: 1_800_000_000.0, [fleet])
ports.fleets.put("broken", "{}")
app._ports = lambda: ports
context = SimpleNamespace(
    function_name="sluice-planner", memory_limit_in_mb=512, aws_request_id="r-1", invoked_function_arn="arn",
    get_remaining_time_in_millis=lambda: 30_000,
)
app.time.time = lambda: 1_800_000_000.0
app.handler({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, context)
for step in ports.work.receive("ticks"):
    app.handler({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": message_of(step)}]}, context)
"""


class Functions:
    """The functions' processes, forked from one that has imported the core, and the libraries of its environment."""

    def __init__(self, directory: Path) -> None:
        """With the core as a layer in this folder."""
        self._layer, self._script = directory / "layer", directory / "script.py"
        self._layer.mkdir()
        (self._layer / "python").symlink_to(ROOT / "layers/core")
        self.processes = FunctionProcesses()

    def run(self, function: str, code: str, level: str) -> str:
        """What a function's process prints, where the stack's LogLevel is that; its module is `app`."""
        folder = ROOT / "functions" / function
        path = [str(self._layer / "python"), str(folder)]
        self._script.write_text(f"import sys\nsys.path[:0] = {path}\nimport app\n{code}")
        environ = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_FUNCTION_NAME": f"sluice-{function}",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG" if level == "DEBUG" else "INFO",  # Lambda sets it by ApplicationLogLevel
            "LOG_LEVEL": level,
            "POWERTOOLS_SERVICE_NAME": f"sluice-{function}",
            "POWERTOOLS_TRACE_DISABLED": "1",
            "PYTHONWARNINGS": "error::UserWarning",
            "_LAMBDA_LAYERS_DIRS": str(self._layer),
        }
        process = self.processes.start([sys.executable, str(self._script)], cwd=str(folder), env=environ)
        assert isinstance(process, ForkedProcess)
        printed, errors = process.stdout.read(), process.stderr.read()
        assert errors == ""
        return printed


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """Functions that start quickly."""
    made = Functions(tmp_path_factory.mktemp("functions"))
    yield made
    made.processes.close()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_lines_are_kept_from_the_stacks_level_on(functions: Functions, function: str, level: str) -> None:
    """Of every function, whatever Lambda's own filter is at."""
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    code = (
        "import logging\n"
        f"for level in {levels}:\n"
        "    if logging.getLogger(app.logger.name).isEnabledFor(getattr(logging, level)): print(level)\n"
    )
    assert functions.run(function, code, level).split() == levels[levels.index(level) :]


@pytest.mark.parametrize(("level", "least"), [("INFO", {"INFO", "ERROR"}), ("WARNING", {"ERROR"})])
def test_metrics_get_through_when_only_warnings_are_kept(functions: Functions, level: str, least: set[str]) -> None:
    """A tick's metrics are lines without a level, which Lambda takes for INFO; its decision is one of level INFO."""
    lines = [json.loads(line) for line in functions.run("planner", TICK, level).splitlines()]
    metrics = {name for line in lines if "_aws" in line for name in line}
    assert "NeedsOperator" in metrics
    assert {line["level"] for line in lines if "_aws" not in line} == least
