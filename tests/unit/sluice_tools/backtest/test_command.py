"""`sluice backtest` on the command line: table, JSON, and what cannot be used."""

import json
import re
from pathlib import Path

import pytest

from sluice_tools import cli
from sluice_tools.backtest import command
from sluice_tools.backtest.command import BAD_INPUT, backtest
from sluice_tools.backtest.worlds.catalogue import WORLDS
from sluice_tools.backtest.worlds.results import WorldRun
from sluice_tools.backtest.worlds.world import World
from sluice_tools.commands.aws_options import AwsOptions

JSON = AwsOptions(as_json=True)
MATRIX = {"trace": None, "seconds_per_message": None, "matrix": True}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal wide enough that no row is wrapped."""
    monkeypatch.setenv("COLUMNS", "220")


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """An hour of traffic in a file."""
    path = tmp_path / "hour.csv"
    path.write_text("minute,arrivals\n" + "".join(f"{minute},{6 + minute % 7}\n" for minute in range(60)))
    return str(path)


def test_backtest_when_json_is_asked_for(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A list of records on standard output, the table on standard error."""
    status = backtest(trace=trace, seconds_per_message=10, policy=["sluice", "little:beta=2"], jobs=1, aws=JSON)
    told = capsys.readouterr()
    records, out = json.loads(told.out), told.err
    assert status == 0
    assert [record["policy"] for record in records] == ["sluice", "little"]
    for record in records:
        assert record["trace"] == "hour"
        assert record["cost_ratio"] > 0.9
        assert 0 <= record["late_fraction"] <= 1
        assert record["wait_p50_s"] <= record["wait_p99_s"] <= record["wait_max_s"]
        assert record["launches"] >= 1
        assert record["instance_hours"] > 0
    assert records[1]["params"]["beta"] == 2.0
    assert records[1]["params"]["target_wait_s"] == 120
    assert "seed 1" in out
    assert "little:beta=2.0" in out
    bound_hours = float(re.search(r"of the bound, (\d+\.\d+) instance-hours", out)[1])  # type: ignore[index]
    for record in records:
        assert record["bound_hours"] == pytest.approx(bound_hours, abs=0.06)
        assert record["cost_of_bound"] == pytest.approx(record["instance_hours"] / record["bound_hours"], rel=0.01)
        assert f"{record['cost_of_bound']:.3f}" in out


def test_backtest_when_the_terminal_is_narrow(
    trace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 80 columns every policy keeps its name and every heading its word."""
    monkeypatch.setenv("COLUMNS", "80")
    policies = ["target-tracking", "step-scaling", "clairvoyant", "fixed:scale=0.1"]
    assert backtest(trace=trace, seconds_per_message=900, policy=policies, jobs=1) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in (*policies[:3], "cost", "hours", "median", "longest", "launches"))
    assert max(map(len, out.splitlines())) <= 80
    assert backtest(trace=trace, seconds_per_message=900, policy=policies, instance_type="m7g.large", jobs=1) == 0
    table = capsys.readouterr().out.split("Cost is in")[0]
    assert all(word in table for word in (*policies[:3], "cost", "hours", " $ ", "median", "longest", "launches"))


def test_backtest_when_an_hours_cost_is_given(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dollars stand beside instance-hours in the table, in JSON and on the page."""
    page, given = tmp_path / "page.html", {"policy": ["fixed"], "jobs": 1, "aws": JSON}
    assert backtest(trace=trace, seconds_per_message=900, hourly_cost=0.0832, report=page, **given) == 0  # type: ignore[arg-type]
    told = capsys.readouterr()
    (record,) = json.loads(told.out)
    assert record["dollars"] == pytest.approx(record["instance_hours"] * 0.0832, abs=0.01)
    assert record["dollars"] > 1
    assert re.search(rf" \$ .*\n.*\n.*fixed .* {record['dollars']:,.2f} ", told.err)
    assert "Dollars are instance-hours times $0.0832, as --hourly-cost says." in told.err
    assert "dollars at 0.0832 an hour" in page.read_text()
    assert f">{record['dollars']:,.2f}<" in page.read_text()
    assert backtest(trace=trace, seconds_per_message=900, **given) == 0  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert "dollars" not in (told.out + told.err).lower()


def test_backtest_when_an_instance_type_is_given(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its price is the table's; what is printed says of which region, and as of which day."""
    page, given = tmp_path / "page.html", {"policy": ["fixed"], "jobs": 1, "aws": JSON}
    assert backtest(trace=trace, seconds_per_message=900, instance_type="m7g.large", report=page, **given) == 0  # type: ignore[arg-type]
    told = capsys.readouterr()
    (record,) = json.loads(told.out)
    assert record["dollars"] == pytest.approx(record["instance_hours"] * 0.0816, abs=0.01)
    assert "On-Demand price of m7g.large with Linux in us-east-1 on 20" in told.err
    assert "On-Demand price of m7g.large with Linux in us-east-1 on 20" in page.read_text()


def test_backtest_when_minutes_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so beside the results."""
    path = tmp_path / "gap.csv"
    path.write_text("\ufefftime,sent\n2026-11-30T09:00:00Z,9\n2026-11-30T09:01:00Z,9\n2026-11-30T09:05:00Z,9\n")
    assert backtest(trace=str(path), seconds_per_message=10, policy=["fixed"], jobs=1, aws=JSON) == 0
    assert "3 of 6 minutes missing; taken as minutes without arrivals." in capsys.readouterr().err


@pytest.mark.slow
def test_backtest_when_a_generated_trace_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """No file is needed."""
    assert backtest(trace="on-off", seconds_per_message=8, policy=["fixed"]) == 0
    assert "on-off: target wait 120 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"policy": ["magic"]}, "--policy: must be one of sluice"),
        ({"policy": ["little:gamma=1"]}, "gamma: must be one of beta"),
        ({"policy": ["little:beta=much"]}, "must be a number"),
        ({"policy": ["little:beta"]}, "parameter=value"),
        ({"policy": ["sluice:hinted=maybe"]}, "must be yes or no"),
        ({"policy": ["fixed:at=noon"]}, "must be peak or mean"),
        ({"seconds_per_message": 0}, "--seconds-per-message: must be above 0"),
        ({"seconds_per_message": None}, "--seconds-per-message: must be given"),
        ({"trace": "nothing"}, "--trace: must be a CSV or JSON file or one of diurnal"),
        (
            {"trace": "n" * 5_000},
            "--trace: must be a CSV or JSON file or one of diurnal",
        ),  # no file can have such a name
        ({"seconds_per_message": float("inf")}, "--seconds-per-message: must be above 0 and at most 43,200 (got inf)"),
        ({"target_wait": float("nan")}, "--target-wait: must be above 0 and at most 1,209,600 (got nan)"),
        ({"boot": -1.0}, "--boot: must be at least 0 and at most 43,200 (got -1)"),
        ({"launch_failure": -0.1}, "--launch-failure: must be at least 0 and below 1 (got -0.1)"),
        ({"launch_failure": float("nan")}, "--launch-failure: must be at least 0 and below 1 (got nan)"),
        ({"tune": -0.001}, "--tune: must be at least 0 and below 1 (got -0.001)"),
        ({"hourly_cost": float("inf")}, "--hourly-cost: must be above 0 (got inf)"),
        ({"hourly_cost": -1.0}, "--hourly-cost: must be above 0 (got -1)"),
        (
            {"instance_type": "m5.metal"},
            "--instance-type: of m5 there are prices of large, xlarge, 2xlarge, 4xlarge, 8xlarge (got m5.metal);",
        ),
        ({"instance_type": "x9.large"}, "--instance-type: there are prices of t2, t3, t3a,"),
        ({"instance_type": ""}, "--instance-type: there are prices of t2, t3, t3a,"),
        (
            {"instance_type": "m5.large", "hourly_cost": 1.0},
            "--instance-type: must be left out with --hourly-cost",
        ),
        ({"jobs": 0}, "--jobs: must be at least 1 (got 0)"),
        ({"seed": -1}, "--seed: must be at least 0 (got -1)"),
        ({"policy": ["keda:queue_share=-0.5"]}, "--policy keda: queue_share: must be a number, at least 0 (got -0.5)"),
        ({"policy": ["keda:queue_share=nan"]}, "--policy keda: queue_share: must be a number, at least 0 (got nan)"),
        ({"policy": ["sluice:tick_s=inf"]}, "--policy sluice: tick_s: must be a number, at least 0 (got inf)"),
        ({"queue": "orders"}, "--trace: must be left out with --queue"),
        ({"matrix": True}, "--trace: must be left out with --matrix"),
        ({"trace": None, "seconds_per_message": None}, "--trace: exactly one of --trace, --queue, --matrix, --worlds"),
        ({"group": "orders"}, "--group: must be left out with --trace; it belongs to --queue (got orders)"),
        ({"days": 3}, "--days: must be left out with --trace"),
        ({"seeds": 2}, "--seeds: must be left out with --trace"),
        ({"traces": Path("none")}, "--traces: must be left out with --trace"),
        ({"trace": None, "matrix": True}, "--seconds-per-message: must be left out with --matrix"),
        (MATRIX | {"traces": Path("none")}, "--traces: must be a folder (got none)"),
        (MATRIX | {"traces": Path()}, "--traces: must have a file experiments.csv"),
        ({"report": Path()}, "--report: must be a file (got the folder .)"),
        (
            {"aws": AwsOptions(region="eu-west-1")},
            "--region: must be left out with --trace; it belongs to --queue (got eu-west-1)",
        ),
        ({"aws": AwsOptions(profile="shop")}, "--profile: must be left out with --trace"),
        ({"aws": AwsOptions(stack="other")}, "--stack: must be left out; a queue has its history without a stack"),
    ],
)
def test_backtest_when_something_cannot_be_used(
    trace: str, given: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names the option as typed, and exit status 2."""
    arguments = {"trace": trace, "seconds_per_message": 10.0, "policy": ["fixed"], **given}
    assert backtest(**arguments) == BAD_INPUT  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert any(line.startswith("sluice backtest: ") for line in told.splitlines())  # below that it runs interpreted
    assert says in told


@pytest.mark.slow
def test_worlds_when_some_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each and what was said in it; as JSON a record for each seed."""
    given = ["backtest", "--worlds", "fifo-two-groups", "dead-consumers", "--seeds", "2", "--jobs", "1", "--json"]
    assert cli.run(given) == 0
    told = capsys.readouterr()
    records, out = json.loads(told.out), told.err
    assert [(each["world"], each["params"]["seed"]) for each in records] == [
        ("fifo-two-groups", 1),
        ("fifo-two-groups", 2),
        ("dead-consumers", 1),
        ("dead-consumers", 2),
    ]
    for record in records:
        assert record["cost_of_bound"] == pytest.approx(record["instance_hours"] / record["bound_hours"], rel=0.01)
        assert {each["reason"] for each in record["said"]} > {"need"}
    assert [record["in_time"] for record in records] == [False, False, True, True]
    assert "of 1,440 ticks: need: " in out
    assert "Late: two message groups let two messages be worked on at once" in out
    assert "The bound has 6 unit-hours for one unit" in out
    assert len(records[0]["said"]) > 5
    assert "other sentences: with --json, the list has them" in out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"worlds": ["magic"]}, "--worlds: must be of fifo-two-groups, "),
        ({"worlds": [], "trace": "step"}, "--trace: must be left out with --worlds"),
        ({"worlds": [], "matrix": True}, "--matrix: must be left out with --worlds"),
        ({"worlds": ["fifo-two-groups"], "seeds": 0}, "--seeds: must be at least 1 (got 0)"),
        ({"worlds": ["fifo-two-groups"], "policy": ["magic"]}, "must be one of sluice"),
    ],
)
def test_worlds_when_something_cannot_be_used(
    given: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names it, and exit status 2."""
    assert backtest(jobs=1, **given) == BAD_INPUT  # type: ignore[arg-type]
    assert says in capsys.readouterr().err


def test_worlds_when_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are run, with Sluice, and with as many seeds as are asked for."""
    run: list[object] = []

    def run_worlds(worlds: list[World], specs: list[str], seeds: range, jobs: int | None) -> list[WorldRun]:
        run.extend([[world.name for world in worlds], specs, list(seeds), jobs])
        return []

    monkeypatch.setattr(command, "run_worlds", run_worlds)
    assert cli.run(["backtest", "--worlds", "--seed", "5", "--seeds", "3"]) == 0
    assert run == [list(WORLDS), ["sluice"], [5, 6, 7], None]


def test_cli_when_backtest_is_called(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command is the one of that name."""
    assert cli.run(["backtest", "--trace", trace, "--seconds-per-message", "10", "--policy", "fixed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])[0]["policy"] == "fixed"
