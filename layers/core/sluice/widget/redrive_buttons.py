"""The two buttons at every selection of messages: dry run and redrive."""

from collections.abc import Mapping
from typing import Any

import htpy

from sluice.config.fleet import Fleet
from sluice.widget.elements import call_action
from sluice.widget.text import number
from sluice.widget.view import View


def redrive_buttons(view: View, fleet: Fleet, selection: Mapping[str, Any], what: str, label: str = "") -> htpy.Node:
    """Dry run and redrive of a selection; none where redrives are not possible.

    The confirmation is built from counts and checked names alone, never from a message's text: AWS does not document
    how a dashboard shows it.

    Args:
        view: for the function that the buttons call.
        fleet: the fleet.
        selection: the fields of the redrive request that select messages.
        what: the selection in words, as the object of "send".
        label: added to the buttons' own labels.
    """
    if view.redrive_arn is None:
        return None
    request = {"fleet": fleet.name, **selection}
    suffix = f" {label}" if label else ""
    rate = f"at most {counted_rate(fleet.redrive.rate_per_s)} a second"
    return [
        htpy.button(type="button", title=f"Show what would be sent: {what}")[f"Dry run{suffix}"],
        call_action(view.redrive_arn, {"redrive": {**request, "dry_run": True}}, "popup"),
        htpy.button(".sl-go", type="button", title=f"Send {what} back")[f"Redrive{suffix}"],
        call_action(
            view.redrive_arn,
            {"redrive": {**request, "dry_run": False}},
            "popup",
            confirmation=f"Send {what} of fleet {fleet.name} back to {_destination(fleet, selection)}, {rate}?",
        ),
    ]


def counted_rate(per_s: float) -> str:
    """Such as `1 message` or `0.5 messages`, of a rate's period."""
    return f"{number(per_s)} {'message' if per_s == 1 else 'messages'}"


def _destination(fleet: Fleet, selection: Mapping[str, Any]) -> str:
    """The queue or queues a selection is sent to, and which of them are paused."""
    sources = [source for source in fleet.sources if selection.get("queue") in {None, source.name}]
    paused = [source.name for source in sources if source.paused]
    where = "the queue" if len(sources) == 1 else "the queues they came from"
    if not paused:
        return where
    verb = "is" if len(paused) == 1 else "are"
    return f"{where} ({', '.join(paused)} {verb} paused: messages wait there)"
