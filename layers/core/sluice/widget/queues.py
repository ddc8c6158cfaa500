"""The queues of a fleet that has several: target wait, priority, last figures, and redrive of each."""

import htpy

from sluice.config.fleet import Fleet, QueuePolicy
from sluice.redriving.failure_groups import queue_name
from sluice.widget.chart.samples import figure_value
from sluice.widget.redrive_buttons import redrive_buttons
from sluice.widget.text import DOT, counted, number, safe_text
from sluice.widget.view import View
from sluice.wording import duration, exactly

# The beginnings of the names of a decision's figures about one of several queues; the queue's name follows.
WAITING, OLDEST, NEED = "visible in ", "oldest_wait_s in ", "need of "
_PAUSED = "Consumers do not receive from this queue, and its dead letters wait"


def render_queues(view: View, fleet: Fleet) -> htpy.Node:
    """Each queue, in the order in which consumers receive from them; paused ones last."""
    if not fleet.shared:
        return None
    sources = sorted(fleet.sources, key=lambda source: (source.paused, -source.priority))
    quarantined = sum(group.count for group in view.records.failure_groups)
    return htpy.section[
        htpy.h3["Queues", htpy.span(".sl-count")[f"{len(sources)}"]],
        htpy.ul(".sl-rows")[[_queue(source, view, fleet, quarantined=quarantined) for source in sources]],
    ]


def _queue(source: QueuePolicy, view: View, fleet: Fleet, *, quarantined: int) -> htpy.Node:
    dead = (
        f"dead letters in {queue_name(source.dead_letter_queue)}"
        if source.dead_letter_queue
        else "no dead-letter queue"
    )
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[safe_text(source.name)],
            htpy.span(".sl-pill.sl-warn", title=_PAUSED)["paused"] if source.paused else None,
            htpy.span(".sl-acts")[
                redrive_buttons(view, fleet, {"queue": source.name}, f"the quarantined messages of queue {source.name}")
            ]
            if quarantined and view.redrive_arn
            else None,
        ],
        htpy.div(".sl-facts")[
            f"target {exactly(source.target_wait_s or fleet.target_wait_s)}{DOT}priority {source.priority}{DOT}{dead}",
            _last_figures(source, view, source.target_wait_s or fleet.target_wait_s),
        ],
    ]


def _last_figures(source: QueuePolicy, view: View, target_wait_s: float) -> htpy.Node:
    """The last decision's figures of a queue, as far as it has them."""
    if not view.records.decisions:
        return None
    latest = view.records.decisions[0][0]
    waiting, oldest_s, need = (figure_value(latest, f"{what}{source.name}") for what in (WAITING, OLDEST, NEED))
    late = oldest_s is not None and oldest_s > target_wait_s
    return [
        f"{DOT}{counted(round(waiting), 'message')} waiting" if waiting is not None else None,
        [DOT, htpy.span(class_={"sl-bad": late})[f"oldest message {duration(oldest_s)}{', late' if late else ''}"]]
        if oldest_s is not None
        else None,
        f"{DOT}needs a capacity of {number(need)}" if need is not None else None,
    ]
