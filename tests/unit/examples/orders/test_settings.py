"""What the environment says to the consumer and the front end."""

import traceback
from pathlib import Path

import pytest

from examples.orders.orders.locating import open_database
from examples.orders.orders.postgres import PostgresDatabase
from examples.orders.orders.settings import SelfDrain, SettingsError, read_settings
from examples.orders.orders.sqlite import SqliteDatabase

LEAST = {"QUEUE_URL": "http://queue"}


def test_settings_have_defaults_when_only_the_queue_is_given() -> None:
    """The queue is all that has to be said."""
    settings = read_settings(LEAST)
    assert settings.queue_url == "http://queue"
    assert settings.dead_letter_queue_url is None
    assert (settings.database_url, settings.database_url_parameter) == (None, None)
    assert (settings.concurrency, settings.work_s, settings.self_drain) == (4, 0.0, None)
    assert settings.instance


def test_settings_are_read_when_they_are_given() -> None:
    """Each variable reaches its setting."""
    settings = read_settings(
        LEAST
        | {
            "DEAD_LETTER_QUEUE_URL": "http://dead",
            "DATABASE_URL": "postgresql://db/orders",
            "INSTANCE_ID": "i-1",
            "CONCURRENCY": "7",
            "WORK_S": "0.25",
            "WORK_S_BY_SKU": "carpet-silk=20, rug=2.5",
            "VISIBILITY_S": "6",
            "RECEIVE_WAIT_S": "1",
            "WORK_LOG": "work.jsonl",
            "DRAIN_VIA": "self",
            "GROUP_NAME": "group",
            "LIFECYCLE_HOOK": "hook",
            "SLUICE_IMDS": "http://imds/",
            "PORT": "0",
        }
    )
    assert settings.dead_letter_queue_url == "http://dead"
    assert (settings.instance, settings.concurrency, settings.work_s) == ("i-1", 7, 0.25)
    assert settings.work_s_by_sku == {"carpet-silk": 20.0, "rug": 2.5}
    assert (settings.visibility_s, settings.receive_wait_s, settings.port) == (6, 1, 0)
    assert settings.work_log == Path("work.jsonl")
    assert settings.self_drain == SelfDrain("http://imds", "i-1", "group", "hook")


def test_settings_name_every_variable_when_several_are_wrong() -> None:
    """All problems are reported at once, each with what would be right."""
    wrong = {"CONCURRENCY": "many", "WORK_S": "nan", "VISIBILITY_S": "5", "PORT": "-1", "DRAIN_VIA": "phone"}
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "QUEUE_URL",
        "CONCURRENCY",
        "WORK_S",
        "VISIBILITY_S",
        "DRAIN_VIA",
        "PORT",
    ]


@pytest.mark.parametrize("text", ["carpet", "carpet=long", "carpet=-1", "carpet=inf", "=5", "carpet=nan"])
def test_work_by_item_is_refused_when_it_is_no_time(text: str) -> None:
    """What would be right is shown."""
    with pytest.raises(SettingsError, match="WORK_S_BY_SKU: give items with 0 to 3600 seconds each"):
        read_settings(LEAST | {"WORK_S_BY_SKU": text})


def test_settings_ask_for_group_and_hook_when_the_consumer_drains_itself() -> None:
    """What is to be completed has to be named."""
    with pytest.raises(SettingsError, match=r"GROUP_NAME: .*\nLIFECYCLE_HOOK: "):
        read_settings(LEAST | {"DRAIN_VIA": "self"})


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///orders.db", SqliteDatabase),
        ("sqlite:////var/lib/orders.db", SqliteDatabase),
        ("postgresql://user:secret@host/orders", PostgresDatabase),
        ("postgres:///orders", PostgresDatabase),
    ],
)
def test_database_is_of_the_kind_that_its_url_names(url: str, kind: type) -> None:
    """The URL alone decides; nothing is connected."""
    assert isinstance(open_database(url), kind)


@pytest.mark.parametrize(
    "url", ["", "orders.db", "sqlite://", "sqlite:///", "mysql://host/x", "postgresql://u:hunter2@[bad"]
)
def test_database_is_refused_when_its_url_is_none(url: str) -> None:
    """The error says what would be right, and does not repeat a password, not even in its cause."""
    with pytest.raises(ValueError, match=r"URL|give sqlite") as caught:
        open_database(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)).replace(repr(url), "")
