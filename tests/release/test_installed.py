"""From a wheel in an empty environment to a redrive, an upgrade amid a drain and a redrive, and the way back."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.model.draining import DrainOutcome
from sluice.model.planning import TimedLaunch
from sluice_tools.cfn import Template
from sluice_tools.release import pack_deployment, version_of
from sluice_tools.sandbox.sandbox import REGION, ROOT, Sandbox
from tests.support.deployed_stacks import FLEET, SETTINGS, STACK, Deployed, consume
from tests.support.installed import TIMEOUT_S, earlier_sources, install, paste, run, uv, wheel_of
from tests.support.pasted import blocks, fresh_copy
from tests.support.pasted_deployment import paste as paste_with_answers
from tests.support.running import UP, Running, started
from tests.support.transcript import Transcript

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

Eventually = Callable[..., Any]

# It ends once the test lets it: a drain is under way for as long as an upgrade takes, on any machine.
WORKER = """\
#!/bin/sh
trap 'while [ ! -e "$(dirname "$0")/may-end" ]; do sleep 0.2; done; exit 0' TERM
while :; do sleep 0.2; done
"""
TYPED, TRANSCRIPT = Transcript(), ROOT / "docs/transcript.md"
COUNT, RATE_PER_S = 24, 1
"""Of a redrive that takes longer than an upgrade does here."""


def printed(section: str, program: str = "sluice") -> str:
    """The lines that docs/install.md prints in a section, as they stand; those for a shell that need an account."""
    (found,) = [
        block
        for block in blocks(ROOT / "docs/install.md")
        if block.section == section and block.language == "sh" and program in block.text and not block.runs_here
    ]
    return found.text


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with this version's wheel in dist/, and in which the lines of docs/install.md are typed."""
    directory = tmp_path_factory.mktemp("clone")
    wheel_of(ROOT, directory / "dist")
    yield directory
    page = ROOT / ("docs" if os.environ.get("SLUICE_UPDATE_DOCS") == "1" else "build") / "transcript.md"
    TYPED.write(page, {str(directory): "~/sluice", str(directory / "sandbox"): "~", str(Path.home()): "~"})


@pytest.fixture(scope="module")
def programs(clone: Path) -> Path:
    """What the lines under "Install" install: the folder of programs."""
    lines = printed("Install")
    TYPED.add("Install", lines, paste(lines, clone, clone / "bin", **tools(clone)))
    return clone / "bin"


def tools(clone: Path) -> dict[str, str]:
    """Where uv installs tools, in place of the user's own folders."""
    return {
        "UV_TOOL_DIR": str(clone / "tools"),
        "UV_TOOL_BIN_DIR": str(clone / "bin"),
        "UV_PYTHON": sys.executable,
    }


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel of the version before."""
    directory = tmp_path_factory.mktemp("earlier")
    return install(wheel_of(earlier_sources(directory / "sources"), directory), directory / "environment")


@pytest.fixture(scope="module")
def running(clone: Path) -> Iterator[Running]:
    """What the lines under "Try it without an account" install and start, in a folder of its own."""
    *installing, starting = printed("Try it without an account").strip().splitlines()
    folder = clone / "sandbox"
    folder.mkdir()
    worker = clone / "worker"
    worker.write_text(WORKER)
    worker.chmod(0o755)
    # Another environment than that of the tool: an upgrade of the tool replaces it.
    installed = paste("\n".join(installing), clone, folder / "bin", **tools(folder))
    caches = {"XDG_CACHE_HOME": str(folder), "UV_CACHE_DIR": run(uv(), "cache", "dir", cwd=clone).strip()}
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    with started(f"{starting} --consumer {worker}", folder, PATH=path, **caches) as process:
        process.until_printed(UP)
        TYPED.add(
            "Try it without an account",
            "\n".join([*installing, starting]),
            f"{installed}\n{starting}\n{process.printed}",
        )
        yield process


@pytest.fixture(scope="module")
def deployed(running: Running, earlier: Path, clone: Path, programs: Path) -> Deployed:
    """The wheel's own sandbox, and Sluice in it, as the lines under "Deploy" deploy it, by the earlier version."""
    sandbox = Sandbox()
    sandbox.port = int(re.findall(r"AWS_ENDPOINT_URL=http://127.0.0.1:(\d+)", running.printed)[0])
    orders = sandbox.outputs("orders")
    # The demo's own drain ends within a minute, and an upgrade may take longer.
    parameters = json.loads((running.folder / "sluice/sandbox/parameters.json").read_text())
    parameters |= {"Settings": json.dumps(SETTINGS), "TickSeconds": "2"}
    (clone / "parameters.json").write_text(json.dumps(parameters))
    assert programs  # they are installed first, as on the page
    lines = printed("Deploy", "deploy")
    said = TYPED.add("Deploy", lines, paste(lines, clone, earlier, **sandbox.env()))
    assert said.index("Stack sluice is new") < said.index("Make these changes?") < said.index("is made.")
    return Deployed(sandbox, orders, sandbox.outputs(STACK), "", parameters)


def sluice(programs: Path, sandbox: Sandbox, *arguments: str) -> str:
    """Run an environment's `sluice` against the sandbox, away from the checkout; what it printed."""
    return run(programs / "sluice", *arguments, cwd=programs, **sandbox.env())


def instances(deployed: Deployed) -> dict[str, str]:
    """Lifecycle state by instance id."""
    (group,) = deployed.sandbox.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[deployed.orders["GroupName"]]
    )["AutoScalingGroups"]
    return {one["InstanceId"]: one["LifecycleState"] for one in group["Instances"]}


def layers(deployed: Deployed) -> dict[str, set[str]]:
    """The layers of each of the stack's functions."""
    found = deployed.sandbox.client("lambda").list_functions()["Functions"]
    return {one["FunctionName"]: {layer["Arn"] for layer in one.get("Layers", ())} for one in found}


def test_commands_run_when_nothing_but_the_wheel_is_installed(programs: Path) -> None:
    """Version, help, completion and a plan; what needs an extra says which; no other package is at the top."""
    assert run(programs / "sluice", "--version", cwd=programs).strip() == version_of(ROOT)
    assert "deploy" in run(programs / "sluice", "--help", cwd=programs)
    completion = ["--install-completion", "--shell", "bash", "--output", programs / "completion"]
    run(programs / "sluice", *completion, cwd=programs)
    assert "backtest" in (programs / "completion").read_text()
    inputs = ["--fleet", ROOT / "examples/plan/fleet.json", "--snapshot", ROOT / "examples/plan/snapshot.json"]
    assert json.loads(run(programs / "sluice", "plan", *inputs, "--json", cwd=programs))["want"]
    run(programs / "sluice", "cost", cwd=programs)
    env = {"PATH": os.environ["PATH"]}
    for extra, given in (("backtest", ["--trace", ROOT / "examples/plan/orders.csv"]), ("sandbox", ["--bare"])):
        assert "Needs the extra" in run(programs / "sluice", extra, "--help", cwd=programs)
        line = [programs / "sluice", extra, *given]
        refused = subprocess.run(line, cwd=programs, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 2
        assert f"comes with the extra `{extra}`" in refused.stderr
    found = (
        "import importlib.util as u; print([n for n in ('tools', 'functions', 'examples', 'tests') if u.find_spec(n)])"
    )
    assert run(programs.parent / "tools/sluice/bin/python", "-c", found, cwd=programs).strip() == "[]"


@pytest.mark.parametrize("line", ["uvx --from . sluice", "pip install ."])
def test_command_runs_when_installed_from_a_clone(tmp_path: Path, line: str) -> None:
    """As docs/install.md says, each builds the wheel by itself, in an environment where nothing else is."""
    assert f"`{line}`" in (ROOT / "docs/install.md").read_text()
    copy, environment = fresh_copy(tmp_path), tmp_path / "environment"
    run(uv(), "venv", "--quiet", "--seed", "--python", sys.executable, environment, cwd=copy)
    path = os.pathsep.join([str(environment / "bin"), str(Path(uv()).parent), os.environ["PATH"]])
    if line.startswith("pip"):
        run("bash", "-euc", line, cwd=copy, PATH=path)
        line = "sluice"
    line = line.replace("uvx ", f"uvx --python {sys.executable} ")

    version, templates = run("bash", "-euc", f"{line} --version; {line} deploy --help", cwd=copy, PATH=path).split(
        "\n", 1
    )

    assert version == version_of(ROOT)
    assert "--parameters" in templates


def test_second_sandbox_is_refused_while_the_first_runs(running: Running) -> None:
    """It would empty the folder of the first."""
    env = {"PATH": os.environ["PATH"], "HOME": str(running.folder), "XDG_CACHE_HOME": str(running.folder)}
    line = [running.folder / "bin/sluice", "sandbox", "--bare"]

    refused = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert refused.returncode == 1
    assert f"is in use by process {running.process.pid}" in refused.stderr
    assert (running.folder / "sluice/sandbox/parameters.json").exists()


def test_nothing_is_lost_when_upgraded_amid_a_drain_and_a_redrive(
    deployed: Deployed, programs: Path, clone: Path, earlier: Path, eventually: Eventually
) -> None:
    """What was learned is kept, the drain and the job end as they would have, and each message is there once."""
    sandbox, ports = deployed.sandbox, deployed.ports()
    sqs = sandbox.client("sqs")
    sqs.send_message(QueueUrl=deployed.orders["QueueUrl"], MessageBody="work")
    (instance, *_) = eventually(lambda: [key for key, state in instances(deployed).items() if state == "InService"])
    launched = time.time()
    launch = TimedLaunch(instance, launched - 5, launched - 2, launched - 1, launched)
    ports.ledger.planner_state.note_launch(FLEET, launch)  # as the drainer does when a consumer reports
    # The planner reads such notes at the first tick of a minute, and each tick takes time of its own.
    eventually(lambda: ports.ledger.planner_state.memory(FLEET).launches.reported, within_s=150.0)
    assert consume(deployed) == ["work"]

    bodies = [f"order {number}" for number in range(COUNT)]
    for body in bodies:
        cause = {"sluice.cause": {"DataType": "String", "StringValue": "unknown sku"}}
        sqs.send_message(QueueUrl=deployed.orders["DeadLetterQueueUrl"], MessageBody=body, MessageAttributes=cause)
    eventually(lambda: len(ports.ledger.quarantine.quarantined(FLEET)[0]) == COUNT, within_s=120.0)
    sandbox.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=True
    )
    eventually(lambda: [one for one in ports.ledger.drains.unreleased_of(FLEET) if one.instance_id == instance])
    before, old = ports.ledger.planner_state.memory(FLEET), layers(deployed)
    options = ["--fleet", FLEET, "--all", "--rate", str(RATE_PER_S), "--json"]
    job_id = json.loads(sluice(earlier, sandbox, "redrive", "start", *options))["job"]["id"]
    running = ports.ledger.jobs.job(FLEET, job_id)
    assert running is not None
    assert running.state == "running"
    assert running.progress.sent_count < COUNT

    said = TYPED.add(
        "Upgrade", printed("Upgrade"), paste(printed("Upgrade"), clone, programs, **tools(clone), **sandbox.env())
    )

    assert f" to {version_of(ROOT)}. " in said
    assert "Look at this" not in said, "nothing with data is replaced"
    assert sandbox.outputs(STACK)["Version"] == version_of(ROOT)
    assert old.keys() == layers(deployed).keys()
    assert all(arns != old[name] for name, arns in layers(deployed).items())
    after = ports.ledger.planner_state.memory(FLEET)
    assert after.from_ledger.unread == ()
    assert after.learned_at >= before.learned_at > 0
    assert before.launches.reported
    assert after.launches.reported
    assert after.launches.reported.mean == before.launches.reported.mean
    assert [one.lead_s for one in ports.ledger.planner_state.timed([FLEET])[FLEET]] == [launch.lead_s]
    (drain,) = [one for one in ports.ledger.drains.all_of(FLEET) if one.instance_id == instance]
    assert drain.outcome is None, "it is still under way"
    eventually(lambda: ports.ledger.planner_state.memory(FLEET).learned_at > after.learned_at)  # the new code ticks

    (clone / "may-end").touch()
    eventually(lambda: instance not in instances(deployed))
    (drain,) = [one for one in ports.ledger.drains.all_of(FLEET) if one.instance_id == instance]
    assert drain.outcome is DrainOutcome.COMPLETED
    taken: list[str] = []
    eventually(lambda: taken.extend(consume(deployed)) or len(taken) >= COUNT, within_s=120.0)
    assert sorted(taken) == sorted(bodies)
    ended = eventually(lambda: (job := ports.ledger.jobs.job(FLEET, job_id)) and job.state == "done" and job.progress)
    assert (ended.sent_count, ended.failed_count, ended.doubtful_count, ended.returned_count) == (COUNT, 0, 0, 0)
    assert ports.ledger.quarantine.quarantined(FLEET)[0] == ()
    assert consume(deployed) == []


def test_nothing_changes_when_deployed_again(deployed: Deployed, programs: Path) -> None:
    """The same version and the same parameters make no change set; one parameter changes what depends on it."""
    assert "nothing changes" in sluice(programs, deployed.sandbox, "deploy")
    shown = json.loads(sluice(programs, deployed.sandbox, "deploy", "--set", "Mode=shadow", "--dry-run", "--json"))
    assert (shown["changed"], {one["resource"] for one in shown["changes"]}) == (False, {"Checked", "Fleet"})
    assert "nothing changes" in sluice(programs, deployed.sandbox, "deploy"), "a dry run leaves nothing"


def test_dead_letter_is_back_when_redriven_as_printed(
    deployed: Deployed, programs: Path, clone: Path, eventually: Eventually
) -> None:
    """The lines under "Deploy" that show and send what is in quarantine, for this fleet's name."""
    sandbox, quarantine = deployed.sandbox, deployed.ports().ledger.quarantine
    sandbox.client("sqs").send_message(QueueUrl=deployed.orders["DeadLetterQueueUrl"], MessageBody="poison")
    eventually(lambda: quarantine.quarantined(FLEET)[0])

    lines = printed("Deploy", "redrive").replace("--fleet main", f"--fleet {FLEET}")
    assert lines.count(FLEET) == 2
    TYPED.add("Redrive", lines, paste(lines, clone, programs, **sandbox.env()))

    assert eventually(lambda: consume(deployed)) == ["poison"]
    assert quarantine.quarantined(FLEET)[0] == ()


def test_stack_has_the_releases_code_when_its_archive_is_deployed(
    deployed: Deployed, programs: Path, clone: Path
) -> None:
    """The lines under "Deploy with SAM CLI alone": each function runs the archive's own code, and Sluice answers."""
    sandbox, dist = deployed.sandbox, clone / "dist"
    (wheel,) = dist.glob("*.whl")
    pack_deployment(wheel, ROOT / "samconfig.toml", dist / f"sluice-{version_of(ROOT)}-deployment.zip")
    questions = Template.load(ROOT / "template.yaml").parameters
    # Stack, region, the parameters; changes shown, roles, rollback, save, file, environment: as SAM CLI proposes.
    answers = ["", REGION, *(deployed.parameters.get(name, "") for name in questions), *[""] * 6, "y"]
    with_sam = f"export PATH={ROOT / '.envs/sam/bin'}:$PATH\n"

    done = paste_with_answers(
        sandbox, clone, with_sam + printed("Deploy with SAM CLI alone", "sam"), answers, within_s=TIMEOUT_S
    )

    assert done.returncode == 0, done.stdout[-4_000:]
    digests = {
        base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
        for path in (clone / "deployment/code").glob("functions-*.zip")
    }
    functions = sandbox.client("lambda").list_functions()["Functions"]
    assert {one["CodeSha256"] for one in functions if one["FunctionName"].startswith(STACK)} == digests
    assert FLEET in sluice(programs, sandbox, "status")


def test_fleet_goes_on_when_the_earlier_version_is_deployed_again(
    deployed: Deployed, earlier: Path, eventually: Eventually
) -> None:
    """By the older wheel's own command; its code reads what the newer one wrote, and scales out from zero."""
    sandbox = deployed.sandbox
    eventually(lambda: not instances(deployed), within_s=120.0)

    said = sluice(earlier, sandbox, "deploy", "--yes")

    assert f" from Sluice {version_of(ROOT)} to " in said
    sandbox.client("sqs").send_message(QueueUrl=deployed.orders["QueueUrl"], MessageBody="work")
    eventually(lambda: "InService" in instances(deployed).values())
    assert consume(deployed) == ["work"]


def test_transcript_has_the_pages_lines_when_it_is_read() -> None:
    """docs/transcript.md is of the lines that docs/install.md prints now, from the first to the redrive."""
    shown = [line.removeprefix("$ ") for line in TRANSCRIPT.read_text().splitlines() if line.startswith("$ ")]
    sections = ("Install", "Try it without an account", "Deploy", "Upgrade")
    told = [
        line
        for section, program in [
            *((one, "deploy" if one == "Deploy" else "sluice") for one in sections),
            ("Deploy", "redrive"),
        ]
        for line in printed(section, program).replace("--fleet main", f"--fleet {FLEET}").splitlines()
        if not line.startswith("#")
    ]
    assert shown == told


def test_everything_ends_when_the_wheels_sandbox_is_terminated(running: Running) -> None:
    """As in a clone: consumers, functions and emulator end with it, and it says so."""
    running.process.terminate()

    running.is_over()
