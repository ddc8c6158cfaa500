"""What is wrong or was ignored, at the head of the widget: sources that failed, invalid documents, silence."""

import htpy

from sluice.config.fleet import QUEUES_PATH, ConfigError
from sluice.widget.decisions import SENTENCE_MAX_CHARACTERS
from sluice.widget.elements import and_more
from sluice.widget.overview import SILENT_S, FleetsView
from sluice.widget.text import duration, safe_text
from sluice.widget.view import FleetDocuments, View

INVALID_SHOWN = 10


def render_notes(view: View | FleetsView) -> htpy.Node:
    """Every note that the whole widget has."""
    notes: list[htpy.Node] = [
        htpy.div(".sl-note.sl-bad")[
            htpy.b[f"{failure.source.capitalize()} could not be read. "],
            safe_text(failure.problem, SENTENCE_MAX_CHARACTERS),
        ]
        for failure in view.failures
    ]
    notes += [_invalid(bad, view.documents, view) for bad in view.documents.invalid[:INVALID_SHOWN]]
    notes.append(and_more(len(view.documents.invalid) - INVALID_SHOWN, "invalid document"))
    notes += [
        htpy.div(".sl-note.sl-bad")[
            htpy.b["Earlier versions of a fleet's document could not be read. "],
            safe_text(problem, SENTENCE_MAX_CHARACTERS),
        ]
        for problem in view.documents.unread_versions
    ]
    notes += [htpy.div(".sl-note")[safe_text(note, SENTENCE_MAX_CHARACTERS)] for note in view.notes]
    if isinstance(view, View) and (silent_s := _without_decision_s(view)) is not None:
        notes.append(
            htpy.div(".sl-note")[
                htpy.b[f"No decision for {duration(silent_s)}. "],
                "The planner records a decision about each fleet every three minutes: see its log and its alarm.",
            ]
        )
    return notes


def _invalid(bad: ConfigError, documents: FleetDocuments, view: View | FleetsView) -> htpy.Node:
    """An invalid document with every problem, and what is still done for its fleet or queue."""
    problems = htpy.ul[[htpy.li[safe_text(problem, SENTENCE_MAX_CHARACTERS)] for problem in bad.problems]]
    if QUEUES_PATH in bad.name:
        title = [htpy.b["The document of queue ", safe_text(bad.name), " is invalid:"]]
        return htpy.div(".sl-note.sl-bad")[
            title, problems, "Its fleet runs without this queue until the document is corrected."
        ]
    clock = view.period.clock
    used = next((each for each in documents.drain_only if each.document == bad.name), None)
    drained = (
        "No earlier version of the document is valid, so its instances are not drained either."
        if used is None
        else "Its instances are still drained, by the version of the document from"
        f" {clock.day(used.written_at)} {clock.second(used.written_at)} {clock.zone}."
    )
    return htpy.div(".sl-note.sl-bad")[
        htpy.b["The document of fleet ", safe_text(bad.name), " is invalid:"],
        problems,
        "Until the document is corrected, the fleet's capacity does not change, ",
        "and its dead letters stay in their queue. ",
        drained if used or not documents.unread_versions else None,
    ]


def _without_decision_s(view: View) -> float | None:
    """Seconds since the last decision, where they are too many and the time range reaches the present."""
    if not view.records.decisions or view.period.now - view.period.until > SILENT_S:
        return None
    silent_s = view.period.now - view.records.decisions[0][0].at
    return silent_s if silent_s > SILENT_S else None
