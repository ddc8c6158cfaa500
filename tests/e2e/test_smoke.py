"""`make aws-smoke` on the sandbox: the whole of it, beside other people's things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.smoke_place import SETTINGS, Place, planted_place

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("smoke")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The account, with other people's things in it."""
    with planted_place(tmp_path_factory.mktemp("smoke")) as made:
        yield made


@pytest.fixture(scope="module")
def before(place: Place) -> dict[str, set[str]]:
    """What is in the account before any run."""
    return place.everything()


def test_story_holds_and_other_people_s_things_alone_are_left_when_it_runs_through(
    place: Place, before: dict[str, set[str]]
) -> None:
    """Burst, drains, poison, redrive and audit; then the account is as it was."""
    result = place.run(lambda _: None)

    assert result.failures == []
    assert result.exit_code == 0
    assert result.audit is not None
    assert result.audit.failures(SETTINGS.poison) == []
    assert result.audit.sent > SETTINGS.burst
    assert {timing.what for timing in result.timings if not timing.seconds} == set()
    assert (place.directory / "audit.json").exists()
    assert place.everything() == before
