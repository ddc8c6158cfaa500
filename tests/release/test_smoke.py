"""`make aws-smoke` on the sandbox: the whole of it, beside other people's things."""

from __future__ import annotations

import pytest

from tests.support.smoke_place import SETTINGS, Place

pytestmark = pytest.mark.sandbox


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
