"""Functions' processes in the sandbox: forked from one that has the imports done, and yet each as a fresh one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.sandbox.emulator.function_processes import TEMPLATES_MAX, ForkedProcess, FunctionProcesses

LAYER = """\
import os
loaded_in, state = os.getpid(), []
level = os.environ.get("SHARED_LEVEL", "none")
"""
"""A library in a layer, in the place of what all functions import."""
SCRIPT = """\
import json, os, random, signal, sys
for layer in filter(None, os.environ["_LAMBDA_LAYERS_DIRS"].split(os.pathsep)):
    sys.path[:0] = [layer, layer + "/python"]
import aws_lambda_powertools as library
for line in sys.stdin:
    scope = {}
    exec(json.loads(line), scope | {"library": library}, scope)
    print(json.dumps(scope["answer"]), flush=True)
"""
"""A function's script: it runs what it is sent, and prints its answer."""
EVERYTHING = """
import os, signal, sys
answer = {
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "environ": dict(os.environ),
    "main": {name: repr(value) for name, value in vars(sys.modules["__main__"]).items() if name == "__file__"},
    "handles": sorted(os.listdir("/proc/self/fd"), key=int)[:-1],
    "signals": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals()) if n not in (9, 19)],
    "streams": [(s.fileno(), s.encoding, s.errors, s.line_buffering) for s in (sys.stdin, sys.stdout, sys.stderr)],
}
"""
"""What a script finds in its process."""


class Function:
    """A function's files, and its processes."""

    def __init__(self, directory: Path, layer: Path, processes: FunctionProcesses) -> None:
        """With a folder for its code, and a link to the layer, as ministack has them."""
        self.directory, self._processes = directory, processes
        self.code = directory / "code"
        self.code.mkdir(parents=True)
        (directory / "layer_0").symlink_to(layer)
        (directory / "_worker.py").write_text(SCRIPT)

    def start(self, processes: Any = None, **variables: str) -> Any:
        """A process with these variables."""
        return (processes or self._processes.start)(
            [sys.executable, str(self.directory / "_worker.py")],
            cwd=str(self.code),
            env=os.environ | {"_LAMBDA_LAYERS_DIRS": str(self.directory / "layer_0")} | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )


def ask(process: Any, code: str) -> Any:
    """What a process answers to code that assigns `answer`."""
    process.stdin.write(json.dumps(code) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@pytest.fixture
def processes() -> Iterator[FunctionProcesses]:
    """What starts processes here."""
    made = FunctionProcesses()
    yield made
    made.close()


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """An unpacked layer with one library, and a core that does nothing."""
    for package, source in (("aws_lambda_powertools", LAYER), ("sluice", ""), ("sluice/aws", ""), ("sluice/more", "")):
        path = tmp_path / "unpacked/python" / package / "__init__.py"
        path.parent.mkdir(parents=True)
        path.write_text(source)
    return tmp_path / "unpacked"


@pytest.fixture
def function(tmp_path: Path, layer: Path, processes: FunctionProcesses) -> Function:
    """A function."""
    return Function(tmp_path / "first", layer, processes)


def test_imports_are_done_once_when_two_functions_start(
    function: Function, tmp_path: Path, layer: Path, processes: FunctionProcesses
) -> None:
    """Both find the library that a third process has loaded, and all of the core."""
    started = [function.start(), Function(tmp_path / "second", layer, processes).start()]

    loaded = {ask(process, "answer = library.loaded_in") for process in started}
    core = [ask(process, "import sys; answer = 'sluice.more' in sys.modules") for process in started]
    own = {ask(process, "import os; answer = os.getpid()") for process in started}

    assert len(loaded) == 1
    assert all(core)
    assert len(own | loaded) == 3


def test_process_is_as_a_fresh_one_when_it_is_forked(function: Function) -> None:
    """Arguments, module path, folder, environment, descriptors, signals and streams."""
    forked = function.start(OWN="1")
    fresh = function.start(subprocess.Popen, OWN="1")

    assert isinstance(forked, ForkedProcess)
    assert ask(forked, EVERYTHING) == ask(fresh, EVERYTHING)
    fresh.communicate()


def test_nothing_of_a_process_is_there_when_another_starts(function: Function) -> None:
    """Neither what it did to a library, its environment, its path or its folder, nor its random numbers."""
    change = (
        "import os, sys, random; library.state.append(1); os.environ['LEAK'] = '1'; sys.path.append('/leak');"
        "os.chdir('/'); sys.modules['leak'] = library; answer = random.random()"
    )
    look = (
        "import os, sys, random; answer = [library.state, os.environ.get('LEAK'), '/leak' in sys.path, os.getcwd(),"
        "'leak' in sys.modules, random.random()]"
    )
    number = ask(function.start(), change)

    *found, other = ask(function.start(), look)

    assert found == [[], None, False, str(function.code), False]
    assert other != number


@pytest.mark.parametrize("own_file", ["aws_lambda_powertools.py", "json/__init__.py", "a-1.0.dist-info/METADATA"])
def test_process_is_fresh_when_its_code_could_hide_an_import(function: Function, own_file: str) -> None:
    """Its code has modules of the same names, or libraries of its own."""
    path = function.code / own_file
    path.parent.mkdir(exist_ok=True)
    path.touch()

    with function.start() as process:
        assert ask(process, "import os; answer = library.loaded_in == os.getpid()")
        process.stdin.close()


@pytest.mark.parametrize("variables", [{"SHARED_LEVEL": "high"}, {"PYTHONHASHSEED": "1"}, {"TZ": "Asia/Tokyo"}])
def test_process_has_another_template_when_its_variables_change_an_import(
    function: Function, variables: dict[str, str]
) -> None:
    """Or what the interpreter itself reads; other variables make no difference."""
    usual, another = function.start(), function.start(OWN="1")

    changed = function.start(**variables)

    assert ask(changed, "answer = library.level") == variables.get("SHARED_LEVEL", "none")
    loaded = [ask(process, "answer = library.loaded_in") for process in (usual, another, changed)]
    assert loaded[0] == loaded[1] != loaded[2]


def test_process_is_fresh_when_there_are_many_templates(function: Function) -> None:
    """Variables that differ from process to process would fill the memory with them."""
    for level in range(TEMPLATES_MAX):
        assert isinstance(function.start(SHARED_LEVEL=str(level)), ForkedProcess)

    with function.start(SHARED_LEVEL="another") as process:
        assert ask(process, "import os; answer = [library.level, library.loaded_in == os.getpid()]") == [
            "another",
            True,
        ]
        process.stdin.close()
    assert isinstance(function.start(SHARED_LEVEL="0"), ForkedProcess)


def test_process_is_fresh_when_its_layer_has_a_site_directory(function: Function, layer: Path) -> None:
    """Its `.pth` files have a say in where modules are found."""
    (layer / "python/lib/python3.13/site-packages").mkdir(parents=True)

    with function.start() as process:
        assert ask(process, "import os; answer = library.loaded_in == os.getpid()")
        process.stdin.close()


def test_end_is_seen_when_a_process_ends_or_is_ended(function: Function) -> None:
    """By itself, and by a signal; a wait that is too short says so."""
    by_itself, ended = function.start(), function.start()
    with pytest.raises(subprocess.TimeoutExpired):
        ended.wait(timeout=0.01)
    assert (by_itself.poll(), ended.poll()) == (None, None)

    by_itself.stdin.close()
    ended.terminate()

    assert (by_itself.wait(timeout=30), ended.wait(timeout=30)) == (0, 0)
    assert by_itself.stdout.read() == ""
    ended.kill()  # once more does no harm


def test_traceback_is_on_standard_error_when_the_script_fails(function: Function) -> None:
    """And the process is over."""
    process = function.start()

    process.stdin.write(json.dumps("raise LookupError('of the function')") + "\n")

    assert process.stdout.readline() == ""
    assert process.stderr.read().rstrip().endswith("LookupError: of the function")
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    "library",
    [
        "import os; dict(os.environ)",
        "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()",
        "import os; assert 'template' not in os.sys.argv[0]",
    ],
)
def test_process_is_fresh_when_an_import_cannot_be_shared(
    function: Function, layer: Path, library: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads the environment as a whole, starts a thread, or fails: that is told once."""
    source = f"{library}\nimport os\nloaded_in = os.getpid()\n"
    (layer / "python/aws_lambda_powertools/__init__.py").write_text(source)

    for _ in range(2):
        with function.start() as process:
            assert ask(process, "import os; answer = library.loaded_in == os.getpid()")
            process.stdin.close()

    assert [record.getMessage() for record in caplog.records] == [
        f"imports from {layer} cannot be shared: its functions are started afresh, and say themselves what is wrong"
    ]
