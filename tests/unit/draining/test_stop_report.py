"""What a stop's output says of how systemd stops units, and what there is to mend."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.draining.stop_report import UNCHANGED, UnitStop, advice, read_output, read_properties

LINE = "sluice-stop unit=worker.service kill_mode=control-group stop_timeout_s=90"


@pytest.mark.parametrize(
    ("output", "stops"),
    [
        ("", ()),
        ("unit worker.service has stopped: success\n", ()),
        (f"{LINE}\n", (UnitStop("worker.service", "control-group", 90.0),)),
        (LINE, ()),  # it may be cut off
        (f"{LINE} unchanged=shell\nunit ...", (UnitStop("worker.service", "control-group", 90.0, "shell"),)),
        (
            f"{LINE}\nsluice-stop unit=worker.service unchanged=no-reload\n",
            (UnitStop("worker.service", "control-group", 90.0, "no-reload"),),
        ),
        (
            f"{LINE}\nsluice-stop unit=web.service kill_mode=mixed stop_timeout_s=infinity\n",
            (UnitStop("worker.service", "control-group", 90.0), UnitStop("web.service", "mixed", math.inf)),
        ),
        ("sluice-stop unit=worker.service\nsluice-stop kill_mode=mixed stop_timeout_s=90\n", ()),
        ("sluice-stop unit=worker.service kill_mode=mixed stop_timeout_s=soon\n", ()),
    ],
)
def test_lines_are_read_from_a_stops_output(output: str, stops: tuple[UnitStop, ...]) -> None:
    """Those that are whole, each unit once."""
    assert read_output(output) == stops


@given(
    output=st.text() | st.lists(st.sampled_from(["sluice-stop", " ", "unit=", "kill_mode=", "=", "\n"])).map("".join)
)
def test_any_output_is_read(output: str) -> None:
    """Whatever a document of the user's own prints."""
    assert all(isinstance(stop, UnitStop) for stop in read_output(output))
    assert all(isinstance(stop, UnitStop) for stop in read_properties(output))


@pytest.mark.parametrize(
    ("text", "stop_timeout_s"),
    [("1min 30s", 90.0), ("15min", 900.0), ("2h 5s", 7_205.0), ("500ms", 0.5), ("infinity", math.inf), ("?", math.inf)],
)
def test_properties_are_read_as_systemctl_prints_them(text: str, stop_timeout_s: float) -> None:
    """Of the units that exist."""
    printed = f"""Id=worker@1.service
LoadState=loaded
KillMode=mixed
TimeoutStopUSec={text}

Id=gone.service
LoadState=not-found
KillMode=control-group
TimeoutStopUSec=1min 30s

Id=workers.target
LoadState=loaded
"""
    assert read_properties(printed) == (UnitStop("worker@1.service", "mixed", stop_timeout_s),)


@pytest.mark.parametrize("unchanged", [*UNCHANGED, "what a later document says"])
def test_reason_is_a_sentence_when_the_document_could_not_do_all(unchanged: str) -> None:
    """It names the unit, once for several alike."""
    stops = [UnitStop(name, "control-group", 900.0, unchanged) for name in ("a.service", "b.service")]
    (sentence,) = advice(stops, 900.0)
    assert "nit a.service" in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("stop_timeout_s", [90.0, 900.0, math.inf])
def test_stop_timeout_is_reported_when_it_is_below_the_deadline(stop_timeout_s: float) -> None:
    """Another stop than Sluice's would kill the consumer before its deadline."""
    said = (
        "Unit worker.service has a TimeoutStopSec of 90 s, which is shorter than drain.deadline_s (15 min). Sluice"
        " raises it for its own stops alone: set TimeoutStopSec=900 in the unit."
    )
    stop = UnitStop("worker.service", "mixed", stop_timeout_s)
    assert advice([stop], 900.0) == ((said,) if stop_timeout_s < 900.0 else ())
