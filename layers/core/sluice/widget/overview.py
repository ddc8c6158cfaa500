"""All fleets of a stack in one table: those that need an operator first, found by name, a page at a time.

A stack holds a thousand fleets, so that a page reads the last decision and the quarantine of its own fleets alone.
Which fleets need an operator is known of all by one query, and which are late by another, of the planner's chains.
These decide the order over all pages. Within a page, fleets with messages in quarantine come before the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import htpy

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.need import OperatorNeed
from sluice.model.observed import Mode
from sluice.notices import REASONS
from sluice.widget.attention import needs_of, rank
from sluice.widget.chart.samples import VISIBLE, figure_value
from sluice.widget.elements import call_action, for_screen_readers
from sluice.widget.text import UNKNOWN, counted, duration, number, safe_string, safe_text
from sluice.widget.tiles import is_late, oldest_words, target_words
from sluice.widget.view import FLEETS_PER_PAGE, FleetDocuments, Period, ReadFailure, WidgetSettings
from sluice.wording import capitalised

SEARCH_FIELD = "sluice-fleets"  # the name of the search field among all forms of a dashboard
SEARCH_MAX_CHARACTERS = 200
NO_DOCUMENTS = FleetDocuments()
SILENT_S = 300.0  # as the alarm on the planner: no tick in five minutes


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One fleet of the page that is shown."""

    fleet: Fleet
    latest: Decision | None = None  # None: there is none in the time range
    quarantined: int | None = None  # messages; None where that could not be read
    drains: int = 0  # under way
    needs: tuple[OperatorNeed, ...] = ()  # the most serious first
    invalid: bool = False  # its document is
    lateness: float = 0.0  # how many target waits its oldest message had waited in the last round, if it was late

    @property
    def is_late(self) -> bool:
        """Whether it is late by the last round, or was so by its last decision in the time range."""
        return self.lateness > 0.0 or is_late(self.latest, self.fleet)

    @property
    def order(self) -> tuple[object, ...]:
        """Ascending from the worst."""
        return (
            *_need_order(self.needs, invalid=self.invalid),
            -self.lateness,
            not self.is_late,
            not self.quarantined,
            self.fleet.name,
        )


@dataclass(frozen=True, slots=True)
class FleetsView:
    """All that the overview shows."""

    period: Period
    settings: WidgetSettings
    documents: FleetDocuments = NO_DOCUMENTS
    rows: tuple[FleetRow, ...] = ()  # of this page
    found: int = 0  # fleets that the search finds, over all pages
    in_need: int = 0  # of all fleets: those that need an operator
    search: str = ""
    page: int = 1
    failures: tuple[ReadFailure, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Ranking:
    """The order of all fleets in the overview, as far as it is known without reading each of them."""

    fleets: dict[str, Fleet]
    invalid: frozenset[str]
    needs: tuple[OperatorNeed, ...]
    lateness: Mapping[str, float]  # of the fleets that are late
    now: float
    by_fleet: dict[str, list[OperatorNeed]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_fleet = needs_of(self.needs, frozenset(self.fleets), self.now)

    @property
    def in_need(self) -> int:
        """How many fleets need an operator, or have an invalid document."""
        return sum(name in self.by_fleet or name in self.invalid for name in self.fleets)

    def _order(self, name: str) -> tuple[object, ...]:
        needs = _need_order(self.by_fleet.get(name, ()), invalid=name in self.invalid)
        return (*needs, -self.lateness.get(name, 0.0), name)

    def found(self, search: str) -> list[str]:
        """The names that hold the text that is searched for, the worst first."""
        names = [name for name in self.fleets if search.strip().casefold() in name.casefold()]
        return sorted(names, key=self._order)


def _need_order(needs: Sequence[OperatorNeed], *, invalid: bool) -> tuple[bool, bool, int, int]:
    return not invalid, not needs, rank(needs[0]) if needs else 0, -len(needs)


def page_count(found: int) -> int:
    """How many pages so many fleets take: one at least."""
    return max(1, -(-found // FLEETS_PER_PAGE))


# --------------------------------------------------------------------------- the page


def render_fleets(view: FleetsView) -> htpy.Node:
    """Head, search, table and pages."""
    total = len(view.documents.names)
    return [
        htpy.div(".sl-head")[
            htpy.h2["Fleets"],
            htpy.span(".sl-pill.sl-bad" if view.in_need else ".sl-pill.sl-good")[
                f"{view.in_need:,} of {total:,} {'needs' if view.in_need == 1 else 'need'} an operator"
            ]
            if total
            else None,
            htpy.span(".sl-when")[f"as of {view.period.second(view.period.now)} {view.period.clock.zone}"],
        ],
        _search(view) if total else None,
        _table(view) if view.rows else _nothing(view),
        _pages(view),
    ]


def _search(view: FleetsView) -> htpy.Node:
    """The search field; a dashboard sends the fields of its forms with every call."""
    arn = view.settings.console_arn
    if arn is None:
        return None
    return htpy.div(".sl-filter")[
        htpy.form[
            htpy.input(
                name=SEARCH_FIELD,
                value=safe_string(view.search, SEARCH_MAX_CHARACTERS),
                placeholder="part of a name",
                aria_label="Search fleets by name",
            )
        ],
        htpy.button(type="button")["Search"],
        call_action(arn, {"view": "fleets"}, "widget"),
        [htpy.button(type="button")["Show all"], call_action(arn, {"view": "fleets", "search": ""}, "widget")]
        if view.search
        else None,
    ]


def _nothing(view: FleetsView) -> htpy.Node:
    if not view.documents.names:
        return None
    return htpy.p(".sl-quiet")["No fleet has ", htpy.b[safe_text(view.search, SEARCH_MAX_CHARACTERS)], " in its name."]


_COLUMNS = ("Capacity", "Waiting", "Oldest wait", "Quarantined", "Draining")


def _table(view: FleetsView) -> htpy.Node:
    return htpy.table(".sl-fleets")[
        htpy.thead[
            htpy.tr[
                htpy.th(scope="col")["Fleet"],
                [htpy.th(".sl-figure", scope="col")[name] for name in _COLUMNS],
            ]
        ],
        htpy.tbody[[_row(row, view) for row in sorted(view.rows, key=lambda row: row.order)]],
    ]


def _row(row: FleetRow, view: FleetsView) -> htpy.Node:
    latest, arn = row.latest, view.settings.console_arn
    waited: htpy.Node = [oldest_words(latest), htpy.div(".sl-facts")[target_words(row.fleet)]]
    name = safe_text(row.fleet.name)
    return htpy.tr[
        htpy.th(scope="row")[
            [htpy.button(".sl-name", type="button")[name], call_action(arn, {"fleet": row.fleet.name}, "widget")]
            if arn
            else name,
            htpy.div(".sl-facts")[_state(row, view.period)],
        ],
        _cell(_COLUMNS[0], _capacity(latest)),
        _cell(_COLUMNS[1], number(figure_value(latest, VISIBLE)) if latest else UNKNOWN),
        _cell(_COLUMNS[2], waited, bad=is_late(latest, row.fleet)),
        _cell(_COLUMNS[3], number(row.quarantined), bad=bool(row.quarantined)),
        _cell(_COLUMNS[4], number(row.drains)),
    ]


def _cell(name: str, content: htpy.Node, *, bad: bool = False) -> htpy.Node:
    """A figure, with its column's name for the narrow layout, which has no head of the table."""
    return htpy.td(class_=["sl-figure", "sl-bad" if bad else None])[
        htpy.span(".sl-column")[name], htpy.span(".sl-value")[content]
    ]


def _capacity(latest: Decision | None) -> htpy.Node:
    if latest is None:
        return UNKNOWN
    if latest.want == latest.current:
        return number(latest.current)
    return [
        f"{latest.current:,} ",
        htpy.span(aria_hidden="true")["\N{RIGHTWARDS ARROW}"],
        for_screen_readers("wanted:"),
        f" {latest.want:,}",
    ]


_MODES = {Mode.SHADOW: "shadow", Mode.PAUSED: "paused"}


def _state(row: FleetRow, period: Period) -> htpy.Node:
    """What is wrong with a fleet, in words; its mode where that is not to act."""
    pills: list[htpy.Node] = []
    if row.invalid:
        pills.append(htpy.span(".sl-pill.sl-bad")["invalid document"])
    if row.needs:
        pills.append(htpy.span(".sl-pill.sl-bad")["needs an operator"])
    if row.is_late:
        pills.append(htpy.span(".sl-pill.sl-bad")["late"])
    if row.fleet.mode in _MODES:
        pills.append(htpy.span(".sl-pill.sl-warn")[_MODES[row.fleet.mode]])
    if row.latest is None:
        pills.append(htpy.span(".sl-pill.sl-warn")["no decision in this time range"])
    elif (silent_s := period.until - row.latest.at) > SILENT_S:
        pills.append(htpy.span(".sl-pill.sl-warn")[f"no decision for {duration(silent_s)}"])
    said = [htpy.div[f"{capitalised(REASONS[need.reason].began)}."] for need in row.needs]
    return [[[pill, " "] for pill in pills] or htpy.span(".sl-pill.sl-good")["in time"], said]


def _pages(view: FleetsView) -> htpy.Node:
    """Where in all pages this one is, and the buttons to the ones beside it."""
    pages = page_count(view.found)
    if pages == 1:
        return None
    first = (view.page - 1) * FLEETS_PER_PAGE + 1
    here = f"{first:,} to {first + len(view.rows) - 1:,} of {counted(view.found, 'fleet')}"
    arn = view.settings.console_arn
    places = (("Previous page", view.page - 1), ("Next page", view.page + 1))
    return htpy.div(".sl-line.sl-pages")[
        htpy.span(".sl-facts")[here],
        htpy.span(".sl-acts")[
            [
                [
                    htpy.button(type="button")[label],
                    call_action(arn, {"view": "fleets", "search": view.search, "page": page}, "widget"),
                ]
                for label, page in places
                if 1 <= page <= pages
            ]
        ]
        if arn
        else None,
    ]
