"""The AWS smoke test's own logic: what it asks, what it costs, when it gives up, what its audit says."""

from __future__ import annotations

import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sluice_tools.interruptions import Interrupted, interruptible, undisturbed
from sluice_tools.smoke import cost
from sluice_tools.smoke.__main__ import confirm, main, report
from sluice_tools.smoke.account import Account, Names
from sluice_tools.smoke.evidence import Audit, MetricDelay, Timing, read_work_logs
from sluice_tools.smoke.removal import Left
from sluice_tools.smoke.run import Result
from sluice_tools.smoke.settings import SmokeSettings
from sluice_tools.smoke.waiting import Deadline, SmokeError, until

HELD = Audit(
    sent=300,
    stored=300,
    lost=0,
    database_holds=True,
    in_queues=0,
    quarantined=2,
    redriven=2,
    still_quarantined=0,
    peak_consumers=4,
    instances=4,
    drained=4,
    drained_at_work=2,
    interrupted=0,
    silent=0,
)


class Clock:
    """A clock that its waiter moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """An environment without credentials, region or configuration."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


# --- before it begins ---


@pytest.mark.parametrize("prefix", ["ab", "Smoke", "9lives", "a--b", "smoke-", "a" * 23, "sm_oke", "smoke.x"])
def test_prefix_is_refused_when_no_names_can_be_made_of_it(prefix: str) -> None:
    """Bucket, stack and role names have rules; the message says what may be given."""
    with pytest.raises(SmokeError, match=r"^--prefix: .* 3 to 22 lower-case"):
        Names(prefix, "123456789012", "eu-west-1")


def test_names_fit_when_prefix_and_region_are_the_longest() -> None:
    """A bucket's name has at most 63 characters, a stack of Sluice's 40, a role's 64."""
    names = Names("a" * 22, "123456789012", "ap-southeast-1")
    assert len(names.bucket) <= 63
    assert len(names.sluice) <= 40
    assert len(f"{names.sluice}-redrive-jobs-{names.region}") <= 64


@pytest.mark.usefixtures("nobody")
def test_account_is_refused_when_no_region_is_set() -> None:
    """The message names the variable and gives a line to paste."""
    with pytest.raises(SmokeError, match=r"^AWS_REGION: .*AWS_REGION=eu-west-1 make aws-smoke"):
        Account({})


@pytest.mark.usefixtures("nobody")
def test_run_ends_with_two_when_there_are_no_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which variables to set, and that there is a sandbox."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr("sluice_tools.smoke.__main__.SAM", Path(__file__))  # as if SAM CLI were there
    assert main(yes=True) == 2
    said = capsys.readouterr().out
    assert "AWS credentials: none were found; set AWS_PROFILE" in said
    assert "make aws-smoke SANDBOX=1" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"architecture": "mips"}, "--architecture: 'mips' must be one of arm64, x86_64"),
        ({"deadline_minutes": 0.0}, "--deadline-minutes: 0 must be more than 0"),
        ({"remove_only": True}, "--remove: give the --prefix"),
    ],
)
def test_run_ends_with_two_when_an_option_is_wrong(
    given: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before AWS is asked anything."""
    assert main(**given) == 2
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("typed", ["123456789012 eu-west-1", "  123456789012   eu-west-1 "])
def test_run_goes_on_when_account_and_region_are_typed(typed: str) -> None:
    """Blanks do not matter."""
    confirm("123456789012", "eu-west-1", ask=lambda _: typed)


@pytest.mark.parametrize("typed", ["", "yes", "123456789012", "123456789012 eu-west-2"])
def test_run_is_refused_when_anything_else_is_typed(typed: str) -> None:
    """A slip costs nothing."""
    with pytest.raises(SmokeError, match="nothing was made"):
        confirm("123456789012", "eu-west-1", ask=lambda _: typed)


def test_run_is_refused_when_nobody_is_there_to_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, YES=1 is the only way on."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SmokeError, match="YES=1"):
        confirm("123456789012", "eu-west-1")


def test_estimate_grows_with_instances_and_time() -> None:
    """Twice the hours and a dearer type cost more; a run of an hour with the defaults stays under a dollar."""
    hour = cost.total(cost.estimate("t4g.micro", 4, 1.0))
    assert 0.05 < hour < 1.0
    assert cost.total(cost.estimate("t4g.micro", 4, 2.0)) > 1.8 * hour - cost.REQUESTS
    assert cost.total(cost.estimate("t4g.micro", 8, 1.0)) > hour
    assert cost.total(cost.estimate("m9x.metal", 4, 1.0)) > hour


# --- waiting ---


def test_waiting_ends_when_the_condition_holds() -> None:
    """And says how long it took."""
    clock = Clock()
    took = until("x", lambda: clock.now >= 3, patience_s=9, pause_s=1, clock=clock, sleep=clock.sleep)
    assert took == 3


def test_waiting_ends_when_patience_is_over() -> None:
    """The message names what was waited for."""
    clock = Clock()
    with pytest.raises(SmokeError, match="waited 5 s in vain for the moon"):
        until("the moon", lambda: False, patience_s=5, pause_s=1, clock=clock, sleep=clock.sleep)


def test_waiting_ends_when_the_deadline_has_passed() -> None:
    """However patient the step is."""
    clock = Clock()
    deadline = Deadline(60, clock)
    with pytest.raises(SmokeError, match=r"deadline of 1 min .* the moon; --deadline-minutes"):
        until("the moon", lambda: False, patience_s=999, pause_s=7, deadline=deadline, clock=clock, sleep=clock.sleep)
    assert 60 <= clock.now < 67


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_story_is_interrupted_when_a_signal_comes(number: int) -> None:
    """Where the main thread is, with the signal's number; the former handler is back after it."""
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, interruptible():
        signal.raise_signal(number)
    assert caught.value.number == number
    assert signal.getsignal(number) is before


def test_removal_goes_on_when_two_signals_come_and_ends_with_the_third() -> None:
    """Once or twice is impatience; each time it says how many more it takes."""
    said: list[str] = []
    with undisturbed(said.append):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert [line.split("Interrupt ")[1][0] for line in said] == ["2", "1"]
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_durations_are_aws_s_when_scaled_by_whole_minutes() -> None:
    """A sandbox whose minutes are AWS's has AWS's durations but for how long this machine is waited for."""
    aws, here = SmokeSettings(), SmokeSettings.sandbox(60.0)
    waits = {name: getattr(here, name) for name in ("look_s", "late_lines_s", "patience_s", "stack_patience_s")}
    assert here == replace(aws, **waits)  # type: ignore[arg-type] # seconds, by their names


# --- evidence ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lost": 1, "stored": 300}, "1 orders were lost"),
        ({"stored": 299}, "299 orders are stored"),
        ({"database_holds": False}, "contradicts itself"),
        ({"in_queues": 3}, "3 messages are still in the queues"),
        ({"quarantined": 1}, "1 orders were quarantined"),
        ({"redriven": 0}, "0 orders were sent back"),
        ({"still_quarantined": 1}, "1 orders are still quarantined"),
        ({"peak_consumers": 1}, "1 consumers at the most"),
        ({"drained": 0}, "no consumer was drained"),
        ({"interrupted": 1}, "1 orders were interrupted"),
        ({"silent": 1}, "1 instances left no work log"),
    ],
)
def test_audit_says_what_does_not_hold_when_one_figure_is_wrong(change: dict[str, Any], said: str) -> None:
    """Each check can fail, alone."""
    assert HELD.failures(2) == []
    (failure,) = replace(HELD, **change).failures(2)
    assert said in failure


def line(event: str, instance: str = "i-1", **about: object) -> str:
    """One line of a work log."""
    return json.dumps({"at": 1.0, "event": event, "instance": instance, "process": 7} | about)


def test_work_logs_tell_who_was_at_work_and_who_was_interrupted() -> None:
    """One drained idle, one at work, one that ended in the midst of its second message."""
    logs = read_work_logs(
        [
            line("started", "i-1", message_id="a", at=5.0),
            line("started", "i-1", message_id="b", at=4.0),
            line("draining", "i-1", working=1),
            line("finished", "i-1", message_id="a"),
            line("finished", "i-1", message_id="b"),
            line("drained", "i-1"),
            line("draining", "i-2", working=0),
            line("drained", "i-2"),
            line("started", "i-3", message_id="c"),
            line("finished", "i-3", message_id="c"),
            line("started", "i-3", message_id="d"),
        ]
    )
    assert (logs.drained, logs.drained_at_work, logs.interrupted) == (2, 1, 1)
    assert logs.wrote == {"i-1", "i-2", "i-3"}
    assert logs.first_started_at["i-1"] == 4.0


class FakeCloudWatch:
    """CloudWatch with one figure from some moment on."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.asked: list[Any] = []

    def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        """Answer with what there is."""
        self.asked.append(asked)
        return {"MetricDataResults": [{"Values": self.values}]}


def test_metric_delay_runs_from_the_end_of_the_minute_when_the_figure_comes() -> None:
    """Nothing is asked within that minute, and nothing once the figure was seen."""
    cloudwatch = FakeCloudWatch()
    metric = MetricDelay(cloudwatch, "orders", 60.0)
    metric.look(100.0)
    metric.sent(130.0, 5)  # in the minute from 120 to 180
    metric.look(179.0)
    assert cloudwatch.asked == []
    metric.look(200.0)
    assert metric.delay_s is None
    cloudwatch.values = [5.0]
    metric.look(245.0)
    metric.look(300.0)
    assert metric.delay_s == 65.0
    assert len(cloudwatch.asked) == 2


def test_timing_says_median_and_range_when_there_are_several() -> None:
    """One is said alone, and none is said to be none."""
    assert Timing("x", (1.0, 9.0, 2.0)).in_words() == "2.0 s (1.0 to 9.0, 3 times)"
    assert Timing("x", (4.25,)).in_words() == "4.2 s"
    assert Timing("x", ()).in_words() == "not seen"


# --- the end ---


def test_report_gives_the_commands_when_something_is_left() -> None:
    """And the exit code is not 0, though the audit held."""
    out = io.StringIO()
    result = Result(audit=HELD, left=[Left("table x-Ledger", "aws dynamodb delete-table --table-name x-Ledger")])
    assert report(Console(file=out, width=200), result, as_json=False) == 1
    assert "1 left in the account" in out.getvalue()
    assert "aws dynamodb delete-table --table-name x-Ledger" in out.getvalue()


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (Result(audit=HELD), 0),
        (Result(failures=["lost"]), 1),
        (Result(failures=["interrupted"], signal=signal.SIGINT), 130),
        (Result(failures=["interrupted"], signal=signal.SIGTERM), 143),
    ],
)
def test_exit_code_tells_how_it_ended(result: Result, code: int) -> None:
    """As shells expect it of a signal."""
    assert report(Console(file=io.StringIO()), result, as_json=False) == code
