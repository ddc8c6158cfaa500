"""What a stack costs: recorded calls times the price table, and polls and alarms by the templates themselves."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from random import Random

import pytest

from sluice_tools.costs import docs_table, instances, prices, usage
from sluice_tools.costs.bill import bill, total
from sluice_tools.costs.calls import size_of
from sluice_tools.costs.usage import MONTH_S, Recorded, Recording, Stack
from tests.support.command_line import run

TABLE = prices.load()


def used(fleets: int, each: float, shard: float = 3.0) -> Recorded:
    """What a round uses: so many calls for the shard, and so many for each fleet."""
    calls = {"sqs.GetQueueAttributes": each * fleets, "sqs.SendMessage": shard}
    return Recorded(
        calls, write_units=2.0 + each * fleets, seconds=0.1 + 0.01 * each * fleets, series=8.0 * fleets, invocations=1.0
    )


RECORDING = Recording(
    {"idle": {1: used(1, 1.0), 25: used(25, 1.0)}, "busy": {1: used(1, 3.0), 25: used(25, 3.0)}},
    {
        "planner": Recorded({"sqs.SendMessage": 1.0}, invocations=1.0),
        "stale": Recorded(write_units=1.0, invocations=1.0),
    },
)


def dollars(stack: Stack, what: str) -> float:
    """One line of a bill."""
    return next(line.dollars for line in bill(stack, RECORDING, TABLE, dashboard=True) if line.what == what)


def test_price_is_told_with_its_source_when_it_is_read() -> None:
    """Each names the unit and AWS's page, and the table says where and when."""
    assert (TABLE.region, TABLE.checked_on) == ("us-east-1", dt.date(2026, 11, 29))
    for name, price in TABLE.prices.items():
        assert price.page.startswith("https://aws.amazon.com/"), name
        assert price.dollars >= 0
        assert price.per >= 1
        assert price.of
    assert TABLE["sqs_request"].of_units(2_500_000) == pytest.approx(1.0)


def test_instance_price_is_told_with_its_source_when_it_is_read() -> None:
    """The table names region, day and source; a larger size costs what its share of the family's largest says."""
    table = instances.load()
    assert (table.region, table.read_on) == ("us-east-1", dt.date(2026, 2, 9))
    assert table.page.startswith("https://aws.amazon.com/ec2/pricing/")
    assert table.source.startswith("https://")
    assert table.of("t3.large") == 0.0832
    parts = {"medium": 0.5, "large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8, "8xlarge": 16, "9xlarge": 18}
    parts |= {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4}
    for family, sizes in table.families.items():
        if family.startswith("g"):
            assert list(sizes.values()) == sorted(sizes.values()), family  # sizes share one accelerator's price
            continue
        for size, dollars in sizes.items():
            assert dollars == pytest.approx(sizes["large"] * parts[size], rel=0.01), f"{family}.{size}"


def test_metrics_are_read_thrice_as_often_when_launches_take_longer_than_the_target() -> None:
    """Nothing else changes on the bill."""
    usual, slow = (bill(Stack(1, 24.0, slow_launches=slow), usage.load(), TABLE) for slow in (False, True))
    for before, after in zip(usual, slow, strict=True):
        times = 3.0 if before.what == "CloudWatch: metrics read" else 1.0
        assert after.count == pytest.approx(times * before.count), before.what
        assert before.what != "CloudWatch: metrics read" or before.count > 0.0


@pytest.mark.parametrize(("fleets", "hot", "calls"), [(1, 0.0, 1.0), (1, 1.0, 3.0), (50, 0.0, 50.0), (50, 0.5, 100.0)])
def test_round_is_the_shards_part_and_its_fleets_when_it_is_of_another_size(
    fleets: int, hot: float, calls: float
) -> None:
    """What a shard uses and what a fleet adds are taken from the two sizes that were recorded."""
    found = RECORDING.round_of(fleets, hot)
    assert found.calls["sqs.GetQueueAttributes"] == pytest.approx(calls)
    assert found.calls["sqs.SendMessage"] == pytest.approx(3.0)
    assert found.write_units == pytest.approx(2.0 + calls)


def test_polls_are_paid_for_when_queues_are_empty() -> None:
    """Each poll lasts 20 s; five poll where a mapping has a maximum concurrency, and two where it has none."""
    template, fleet = usage.template_of("template"), usage.template_of("fleet")
    work = 5 if "ScalingConfig" in template.resources["Steps"]["Properties"] else 2
    dead = 5 if "ScalingConfig" in fleet.resources["DeadLetters"]["Properties"] else 2

    assert usage.polls(Stack(1, dead_letters=False), 0.0) == pytest.approx(work * MONTH_S / 20)
    assert usage.polls(Stack(10), 0.0) - usage.polls(Stack(9), 0.0) == pytest.approx(dead * MONTH_S / 20)


def test_polls_are_ended_by_messages_when_there_are_some() -> None:
    """By simulation: two pollers wait, and each message goes to either; few messages leave almost every poll whole."""
    rng, month_s, per_s = Random(3), 400_000.0, 0.1167
    began, now, empty = [0.0, 0.0], 0.0, 0
    while now < month_s:
        now += rng.expovariate(per_s)
        for poller, at in enumerate(began):
            empty += int((now - at) // 20.0)
            began[poller] = at + (now - at) // 20.0 * 20.0
        began[rng.randrange(2)] = now
    expected = empty * MONTH_S / month_s
    assert usage.empty_polls(2, per_s * MONTH_S) == pytest.approx(expected, rel=0.03)
    assert usage.empty_polls(2, 1.0) == pytest.approx(usage.empty_polls(2, 0.0), rel=1e-4)


def test_memory_is_the_templates_when_lambda_is_billed() -> None:
    """All functions have that of Globals."""
    template = usage.template_of("template")
    assert usage.memory_mb() == 512
    assert not [name for name, one in template.resources.items() if "MemorySize" in one.get("Properties", {})]


def test_alarms_are_the_templates_when_they_are_counted() -> None:
    """A further fleet costs nothing for alarms with detail stack; one over metric math costs by its metrics."""
    assert usage.alarm_metrics(Stack(1_000)) == usage.alarm_metrics(Stack(1)) <= 13
    assert usage.alarm_metrics(Stack(2, detail="fleet")) - usage.alarm_metrics(Stack(1, detail="fleet")) == 8


def test_usage_of_a_month_when_two_shards_are_needed() -> None:
    """A round a shard and tick, a stale step a shard and minute, one invocation a minute of each function."""
    found = usage.usage(Stack(100, hot_hours=0.0), RECORDING)
    rounds, minutes = 2 * MONTH_S / 10, MONTH_S / 60

    assert found.steps == pytest.approx(rounds + 2 * minutes)
    assert found.work.invocations == pytest.approx(rounds + 2 * minutes + minutes)
    assert found.work.calls["sqs.GetQueueAttributes"] == pytest.approx(rounds * 50)
    assert found.series == 0
    assert usage.usage(Stack(100, detail="fleet"), RECORDING).series == pytest.approx(800)


def test_bill_has_every_service_when_it_is_made() -> None:
    """The sum is the lines'; ticks twice as often cost twice as much where the ticks cost."""
    stack = Stack(1)
    lines = bill(stack, RECORDING, TABLE)
    assert total(lines) == pytest.approx(sum(line.dollars for line in lines))
    assert {line.what.partition(":")[0] for line in lines} == {
        "Lambda", "SQS", "CloudWatch", "DynamoDB", "Auto Scaling", "Parameter Store",
    }  # fmt: skip
    assert total(bill(stack, RECORDING, TABLE, dashboard=True)) - total(lines) == pytest.approx(3.0)
    slow = dollars(Stack(1, tick_s=20.0), "SQS: steps sent, queues counted")
    assert dollars(stack, "SQS: steps sent, queues counted") == pytest.approx(2 * slow, rel=0.1)
    assert dollars(Stack(1, detail="fleet"), "CloudWatch: custom metrics") == pytest.approx(8 * 0.30)


def test_item_is_as_large_as_dynamodb_says_when_it_is_measured() -> None:
    """Names and values in UTF-8; two digits of a number are a byte, and one more; lists and maps have three more."""
    assert size_of({"pk": {"S": "fleet#ä"}}) == 2 + 8
    assert size_of({"n": {"N": "1234"}, "b": {"BOOL": True}}) == 1 + 3 + 1 + 1
    assert size_of({"l": {"L": [{"S": "ab"}]}}) == 1 + 3 + 1 + 2


def test_recording_is_the_same_when_it_was_kept(tmp_path: Path) -> None:
    """What is written is what is read."""
    path = tmp_path / "recorded.json"
    path.write_text(RECORDING.to_json())
    assert usage.load(path).round_of(50, 0.5) == RECORDING.round_of(50, 0.5)


def test_command_prints_the_bill_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """By service with the price's page, or as JSON; a wrong number is refused by its option's name."""
    assert run("cost", "--fleets", "3", "--hot-hours", "4", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stack"]["fleets"] == 3
    assert found["dollars"] == pytest.approx(sum(line["dollars"] for line in found["lines"]), abs=0.001)
    assert run("cost") == 0
    assert "without free tiers" in capsys.readouterr().out
    assert run("cost", "--hot-hours", "25") == 2
    assert "--hot-hours" in capsys.readouterr().err


def test_docs_have_the_table_when_figures_are_recorded_anew() -> None:
    """docs/operations.md says what the recording comes to."""
    text = docs_table.PAGE.read_text()
    table = text.partition(docs_table.BEGIN)[2].partition(docs_table.END)[0]
    assert table.strip().splitlines() == list(docs_table.lines())
    rows = {row.split("|")[1].strip() for row in table.strip().splitlines()[2:]}
    assert {"Lambda", "SQS", "CloudWatch", "DynamoDB", "in all"} <= rows


def test_costs_are_those_that_were_asked_for() -> None:
    """Dollars of a fleet and month: alone and idle, alone and busy day and night, and one of a thousand."""
    found = [total(bill(stack, usage.load(), TABLE)) / stack.fleets for stack in docs_table.STACKS.values()]
    assert [dollars <= most for dollars, most in zip(found, (2.5, 5.0, 0.5), strict=True)] == [True] * 3, found
