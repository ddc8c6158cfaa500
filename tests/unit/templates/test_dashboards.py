"""The dashboard for Grafana and the saved queries name metrics, dimensions and log fields that the functions write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.draining.telemetry import DrainState
from sluice.telemetry import LIMITS, NEEDS_OPERATOR, Detail, Record, Scope, Unit, emit
from sluice_tools.cfn import Template
from tests.support.telemetry_names import WRITERS, log_fields_of, metrics_of

ROOT = Path(__file__).resolve().parents[3]
GRAFANA: dict[str, Any] = json.loads((ROOT / "dashboards/grafana.json").read_text())
QUERIES = Template.load(ROOT / "dashboards/queries.yaml").resolve({"SluiceStack": "blue"})
STACK = Template.load(ROOT / "template.yaml")
DEPLOYED = STACK.resolve(
    {
        "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
        "GroupName": "workers",
        "TargetWaitSeconds": "60",
    }
)
AWS_METRICS = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateAgeOfOldestMessage",
        "NumberOfMessagesSent",
        "NumberOfMessagesDeleted",
    },
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html
    "AWS/AutoScaling": {"GroupDesiredCapacity", "GroupInServiceInstances"},
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {"Errors", "Duration", "Throttles"},
}
"""The services' own metrics that the dashboard shows, with the pages that name them."""
AWS_DIMENSIONS = {"AWS/SQS": "QueueName", "AWS/AutoScaling": "AutoScalingGroupName", "AWS/Lambda": "FunctionName"}

TARGETS = [target for panel in GRAFANA["panels"] for target in panel.get("targets", [])]
METRICS = [target for target in TARGETS if target["queryMode"] == "Metrics"]
OF_SLUICE = [target for target in METRICS if target["namespace"] == "Sluice"]
LOGS = [target for target in TARGETS if target["queryMode"] == "Logs"]
VARIABLES = {each["name"]: each for each in GRAFANA["templating"]["list"]}


class Dimensions:
    """Takes the dimensions of what `emit` writes."""

    def __init__(self) -> None:
        """Nothing was written."""
        self.names: set[str] = set()

    def add_dimension(self, name: str, value: str) -> None:
        """As Powertools' Metrics."""
        self.names.add(name)

    def add_metric(self, name: str, unit: str, value: float) -> None:
        """As Powertools' Metrics."""

    def add_metadata(self, key: str, value: str) -> None:
        """As Powertools' Metrics."""

    def flush_metrics(self) -> None:
        """As Powertools' Metrics."""


def dimensions_of(record: Record, detail: Detail) -> set[str]:
    """The names of the dimensions with which a figure is written; Powertools adds `service` to each."""
    written = Dimensions()
    emit(written, [record], Scope("blue", detail))
    return {"service", *written.names}


def functions_named(text: str, prefix: str) -> str:
    """The function that a log group's or a service's name ends with."""
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


# --- metrics ---


@pytest.mark.parametrize("target", OF_SLUICE, ids=lambda target: f"{target['metricName']}")
def test_metric_of_sluice_when_a_graph_shows_it(target: dict[str, Any]) -> None:
    """The function of its `service` writes it, with these dimensions, into the namespace of the template."""
    function = functions_named(target["dimensions"]["service"], "sluice-")
    services = {
        resource["Properties"]["Environment"]["Variables"].get("POWERTOOLS_SERVICE_NAME")
        for resource in STACK.body["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    name = target["metricName"]

    assert (
        target["namespace"]
        == STACK.body["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]
    )
    assert f"sluice-{function}" in services
    if name == NEEDS_OPERATOR:
        limit = next(iter(LIMITS))
        expected = dimensions_of(Record("orders", limit, Unit.COUNT, LIMITS[limit] + 1), Detail.STACK)
        assert target["dimensions"]["stack"] == "$stack"
    else:
        assert name in metrics_of(function)
        expected = dimensions_of(Record("orders", name, Unit.COUNT, 0), Detail.FLEET)
        assert target["dimensions"]["fleet"] == "$fleet"
    assert set(target["dimensions"]) == expected


def test_metrics_of_sluice_when_they_are_counted() -> None:
    """Each function that writes metrics of a fleet has some on the dashboard."""
    assert {target["dimensions"]["service"] for target in OF_SLUICE} == {
        "sluice-planner",
        "sluice-drainer",
        "sluice-redriver",
    }
    assert len(OF_SLUICE) > 20


def test_metric_when_no_function_writes_it() -> None:
    """The comparison can fail: a name that is not in the code is not found, nor one of another function."""
    assert "Backlogs" not in metrics_of("planner")
    assert "DrainsStarted" in metrics_of("drainer")
    assert "DrainsStarted" not in metrics_of("planner")
    assert {"ShadowLate", "Need"} <= metrics_of("planner")


@pytest.mark.parametrize(
    "target",
    [target for target in METRICS if target["namespace"] != "Sluice"],
    ids=lambda target: f"{target['metricName']}-{next(iter(target['dimensions'].values()))}",
)
def test_metric_of_a_service_when_a_graph_shows_it(target: dict[str, Any]) -> None:
    """It is one that the service has, by the service's dimension, of a variable or of a resource of the stack."""
    (dimension, value), *others = target["dimensions"].items()
    named = {f"${name}" for name in VARIABLES} | {
        resource["Properties"].get(key, "").replace("sluice", "$stack")
        for resource in DEPLOYED.resources.values()
        for key in ("FunctionName", "QueueName")
        if isinstance(resource.get("Properties", {}).get(key), str)
    }

    assert target["metricName"] in AWS_METRICS[target["namespace"]]
    assert dimension == AWS_DIMENSIONS[target["namespace"]]
    assert not others
    assert value in named


# --- the file as Grafana reads it ---


def test_queries_use_variables_when_something_is_to_be_chosen() -> None:
    """Region, data source and all names are variables: nothing of one account is in the file."""
    text = (ROOT / "dashboards/grafana.json").read_text()
    used = set(re.findall(r"\$\{?([a-z_]+)", text))

    assert (
        used
        == set(VARIABLES)
        == {
            "datasource",
            "region",
            "stack",
            "fleet",
            "queue",
            "dead_letter_queue",
            "group",
        }
    )
    assert {target["region"] for target in TARGETS} == {"$region"}
    assert {target["datasource"]["uid"] for target in TARGETS} == {"${datasource}"}
    assert not re.search(r"\d{12}|eu-west|us-east", text)


def test_panels_when_they_are_laid_out() -> None:
    """Ids and targets' letters are there once, and no panel lies over another on the grid of 24 columns."""
    panels = GRAFANA["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        taken |= cells
        letters = [target["refId"] for target in panel.get("targets", [])]
        assert len(letters) == len(set(letters))
    assert len({panel["id"] for panel in panels}) == len(panels)


# --- log fields ---

LANGUAGE = """
fields filter stats sort limit display dedup as by and or not in like asc desc
count max min avg sum latest earliest ispresent bin
"""
WORDS = frozenset(LANGUAGE.split())
"""Words of the query language that the queries use.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html"""


def fields_of(query: str) -> set[str]:
    """The log fields that a query names: what is no word of the language, no text, no period and no name it gives."""
    bare = re.sub(r'"[^"]*"', "", query)
    given = set(re.findall(r"\bas (\w+)", bare))
    found = set(re.findall(r"(?<![\w.@])@?[A-Za-z_][\w.]*", re.sub(r"bin\(\w+\)", "", bare)))
    return {name.split(".")[0] for name in found - WORDS - given if not name.startswith("@")}


def queries() -> Iterator[tuple[str, list[str], str]]:
    """Each query of both files: its name, its functions and its text."""
    for name, resource in QUERIES.resources.items():
        properties = resource["Properties"]
        groups = [functions_named(group, "/aws/lambda/blue-") for group in properties["LogGroupNames"]]
        yield name, groups, properties["QueryString"]
    for panel in GRAFANA["panels"]:
        for target in panel.get("targets", []):
            if target["queryMode"] == "Logs":
                groups = [functions_named(group, "/aws/lambda/$stack-") for group in target["logGroupNames"]]
                yield f"grafana-{panel['title']}", groups, target["expression"]


@pytest.mark.parametrize(("name", "functions", "query"), list(queries()), ids=lambda value: str(value)[:40])
def test_query_when_its_fields_are_looked_up(name: str, functions: list[str], query: str) -> None:
    """Each field is one that a function of its log groups writes, and each group is one of the template's."""
    groups = {
        resource["Properties"]["LogGroupName"]
        for resource in DEPLOYED.resources.values()
        if resource["Type"] == "AWS::Logs::LogGroup"
    }
    written = {"fleets", NEEDS_OPERATOR}.union(*(log_fields_of(function) for function in functions))

    assert {f"/aws/lambda/sluice-{function}" for function in functions} <= groups
    assert set(functions) <= set(WRITERS)
    assert fields_of(query) <= written, name
    assert len(query) <= 10_000


def test_query_when_it_compares_with_a_state() -> None:
    """A drain's state and a log level are spelt as the code has them."""
    text = " ".join(query for _, _, query in queries())

    assert set(re.findall(r'drain = "(\w+)"', text)) <= {state.value for state in DrainState}
    assert set(re.findall(r'"([A-Z]+)"', text)) == {"ERROR", "WARNING"}


def test_fields_when_a_query_is_read() -> None:
    """Names that it gives, words, texts and the service's own fields are left out; an element counts as its list."""
    query = (
        'fields @timestamp, reasons.1.code as limit | filter level = "ERROR" | stats max(need) as m by bin(1h), fleet'
    )

    assert fields_of(query) == {"reasons", "level", "need", "fleet"}
    assert "no_such_field" not in log_fields_of("planner")
    assert {"need", "fleet", "message", "level", "problem"} <= log_fields_of("planner")
