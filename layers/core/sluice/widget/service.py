"""The widget's service: an event in, HTML or Markdown out. It reads documents and the ledger, and writes nothing.

A source that cannot be read is shown as such in its place, with what to grant, and hides nothing else.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sluice.config.fleet import Fleet
from sluice.model.need import OperatorNeed
from sluice.model.observed import Mode
from sluice.model.payload_error import PayloadError
from sluice.planning import shards
from sluice.planning.learning.forecasting import WEEK_S
from sluice.planning.shadow.scorecard import score
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError
from sluice.ports.ledger import ConsoleLedger
from sluice.ports.stack import Ports
from sluice.widget.documentation import DOCUMENTATION
from sluice.widget.messages import MESSAGES_PER_PAGE, PopupContext, render_message_detail, render_message_list
from sluice.widget.overview import FleetRow, FleetsView, Ranking, page_count
from sluice.widget.page import render, render_overview, render_problems
from sluice.widget.request import WidgetRequest, read_request, theme_of
from sluice.widget.view import (
    FLEETS_PER_PAGE,
    FleetDocuments,
    FleetRecords,
    Period,
    ReadFailure,
    Source,
    View,
    WidgetSettings,
)

DECISIONS_MAX = 1_500  # a day of one a minute, 4 h of one in ten seconds: they are read in about a second


@dataclass(frozen=True, slots=True)
class WidgetAnswer:
    """What the dashboard gets, and what the log gets."""

    text: str  # HTML; Markdown for a description
    summary: str  # for the log
    problems: tuple[str, ...] = ()  # for the log and the metric


@dataclass(frozen=True, slots=True)
class WidgetService:
    """Answers the widget's events."""

    ports: Callable[[], Ports[ConsoleLedger]]  # not called for a description or for a faulty request
    now: Callable[[], float]  # epoch seconds
    settings: WidgetSettings

    def respond(self, event: object) -> WidgetAnswer:
        """Answer one event: `{"describe": true}`, or the widget's parameters with `widgetContext`.

        It never raises because of what an event, a document or AWS says: every problem is shown in the widget.
        """
        if isinstance(event, Mapping) and event.get("describe"):
            return WidgetAnswer(DOCUMENTATION, "documentation sent")
        try:
            request = read_request(event, self.now())
        except PayloadError as error:
            text = render_problems("This widget cannot be shown:", error.problems, theme_of(event))
            return WidgetAnswer(text, "the request is invalid", error.problems)
        try:
            if request.fleet and (request.message_id or request.failure_group):
                return self._show_messages(request, request.fleet, self.ports())
            view = self._read_view(request, self.ports())
        except PortError as error:  # the ports themselves cannot be made, or a message cannot be read
            text = render_problems("This widget cannot read its stack:", (str(error),), request.theme)
            return WidgetAnswer(text, "the stack could not be read", (str(error),))
        problems = tuple(f"{failure.source}: {failure.problem}" for failure in view.failures)
        problems += tuple(str(error) for error in view.documents.invalid)
        if isinstance(view, FleetsView):
            html = render_overview(view, request.theme, request.width_px)
        else:
            html = render(view, request.theme, request.width_px)
        return WidgetAnswer(html, "widget rendered", problems + view.notes)

    def _show_messages(self, request: WidgetRequest, fleet: str, ports: Ports[ConsoleLedger]) -> WidgetAnswer:
        """A page of a failure group's messages, or one message, for a popup."""
        context = PopupContext(
            fleet,
            request.period.now,
            request.period.clock,
            request.theme,
            self.settings.console_arn,
            self.settings.operator_arn,
        )
        if request.message_id:
            entry = ports.ledger.quarantine.quarantined_message(fleet, request.message_id)
            if entry is None:
                problem = f"No message {request.message_id} is in the quarantine of {fleet}."
                text = render_problems("The message was not found:", (problem,), request.theme)
                return WidgetAnswer(text, "message not found")
            return WidgetAnswer(render_message_detail(entry, ports.archive.load(entry.key), context), "message shown")
        group = request.failure_group or ""
        page, after = ports.ledger.quarantine.quarantined(fleet, group, MESSAGES_PER_PAGE, request.after)
        known = ports.ledger.failure_groups.failure_group(fleet, group)
        return WidgetAnswer(render_message_list(page, group, after, context, known), "messages listed")

    def _read_view(self, request: WidgetRequest, ports: Ports[ConsoleLedger]) -> View | FleetsView:
        """All that the widget shows: of the fleet that is asked for, or of all where none is and there are several."""
        try:
            loaded = ports.fleets.load(last_usable=True)
        except PortError as error:
            failures = (ReadFailure(Source.FLEETS, str(error)),)
            if request.view == "fleets":
                return FleetsView(request.period, self.settings, notes=request.notes, failures=failures)
            return View(request.period, self.settings, notes=request.notes, failures=failures)
        asks_for_all = request.view is None and request.fleet is None and len(loaded.shown) > 1
        if request.view == "fleets" or asks_for_all:
            return read_fleets(request, loaded, ports.ledger, self.settings)
        view = View(request.period, self.settings, filter=request.filter, notes=request.notes)
        fleet, notes = choose_fleet(request.fleet, loaded)
        view = replace(view, documents=_documents(loaded), fleet=fleet, notes=request.notes + notes)
        if fleet is None:
            return view
        reader = RecordReader(ports.ledger, request.period)
        records = reader.read(fleet)
        return replace(view, records=records, failures=tuple(reader.failures))


def read_fleets(
    request: WidgetRequest, loaded: LoadedFleets, ledger: ConsoleLedger, settings: WidgetSettings
) -> FleetsView:
    """All that the overview shows: what is known of all fleets, and the records of those of one page."""
    view = FleetsView(request.period, settings, search=request.search, notes=request.notes)
    reader = RecordReader(ledger, request.period)
    invalid = frozenset(each.fleet.name for each in loaded.drain_only)
    ranking = Ranking(loaded.shown, invalid, reader.needs(), reader.lateness(), request.period.now)
    found = ranking.found(request.search)
    page = min(request.page, page_count(len(found)))
    names = found[(page - 1) * FLEETS_PER_PAGE : page * FLEETS_PER_PAGE]
    drains = reader.drains_by_fleet() if names else Counter()
    rows = tuple(
        replace(
            reader.row(ranking.fleets[name]),
            drains=drains[name],
            needs=tuple(ranking.by_fleet.get(name, ())),
            invalid=name in invalid,
            lateness=ranking.lateness.get(name, 0.0),
        )
        for name in names
    )
    return replace(
        view,
        documents=_documents(loaded),
        rows=rows,
        found=len(found),
        in_need=ranking.in_need,
        page=page,
        failures=tuple(dict.fromkeys(reader.failures)),
    )


@dataclass(slots=True)
class RecordReader:
    """Reads a fleet's records; `failures` has the sources that could not be read."""

    ledger: ConsoleLedger
    period: Period
    failures: list[ReadFailure] = field(default_factory=list)

    def read(self, fleet: Fleet) -> FleetRecords:
        """The fleet's records; a source that could not be read is empty here and named in `failures`."""
        name, period, ledger = fleet.name, self.period, self.ledger
        decisions = self._try(
            Source.DECISIONS,
            lambda: ledger.decisions.decisions(name, DECISIONS_MAX + 1, since=period.since, until=period.until),
        )
        records = FleetRecords(
            decisions=decisions[:DECISIONS_MAX],
            truncated=len(decisions) > DECISIONS_MAX,
            drains=self._try(Source.DRAINS, lambda: ledger.drains.all_of(name)),
            failure_groups=self._try(Source.FAILURE_GROUPS, lambda: ledger.failure_groups.failure_groups(name)),
            jobs=self._try(Source.REDRIVES, lambda: ledger.jobs.jobs(name)),
            needs=self.needs(),
        )
        return self._with_scores(records, name) if fleet.mode is Mode.SHADOW else records

    def needs(self) -> tuple[OperatorNeed, ...]:
        """What needs an operator, of all fleets."""
        return self._try(Source.NEEDS, self.ledger.needs.noted)

    def lateness(self) -> dict[str, float]:
        """The fleets that were late in the planner's last rounds, and by how many target waits, by one query."""
        chains = self._try(Source.LATE, lambda: self.ledger.chains.chains(shards.KIND))
        return {name: waits for chain in chains for name, waits in shards.Shard.of(chain).late}

    def drains_by_fleet(self) -> Counter[str]:
        """How many drains are under way in each fleet, by one query."""
        return Counter(drain.fleet for drain in self._try(Source.DRAINS, self.ledger.drains.unreleased))

    def row(self, fleet: Fleet) -> FleetRow:
        """A fleet's row in the overview: its last decision, and how much is in quarantine."""
        period, ledger = self.period, self.ledger
        decisions = self._try(
            Source.DECISIONS,
            lambda: ledger.decisions.decisions(fleet.name, 1, since=period.since, until=period.until),
        )
        quarantined = self._try(Source.FAILURE_GROUPS, lambda: (ledger.quarantine.quarantine_size(fleet.name),))
        return FleetRow(
            fleet,
            latest=decisions[0][0] if decisions else None,
            quarantined=quarantined[0] if quarantined else None,
        )

    def _with_scores(self, records: FleetRecords, fleet: str) -> FleetRecords:
        """The records with the shadow comparison over a day and over a week."""
        for shadow in self._try(Source.SHADOW, lambda: (self.ledger.planner_state.memory(fleet).shadow,)):
            return replace(records, day_score=score(shadow), week_score=score(shadow, WEEK_S))
        return records

    def _try[T](self, source: Source, read: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        try:
            return read()
        except PortError as error:
            self.failures.append(ReadFailure(source, str(error)))
            return ()


def _documents(loaded: LoadedFleets) -> FleetDocuments:
    return FleetDocuments(
        names=tuple(sorted(loaded.shown)),
        invalid=loaded.invalid,
        drain_only=loaded.drain_only,
        unread_versions=tuple(str(error) for error in loaded.unread),
    )


def choose_fleet(name: str | None, loaded: LoadedFleets) -> tuple[Fleet | None, tuple[str, ...]]:
    """The fleet to show, and a note where there is no fleet of that name.

    Without a name it is the first by name, of those with a valid document if there is one. A fleet whose document is
    invalid and has no earlier version needs no note: the document's problems are shown anyway.
    """
    by_name = {fleet.name: fleet for fleet in loaded.fleets}
    if name is None and by_name:
        return by_name[min(by_name)], ()
    by_name = loaded.shown
    if name is None:
        return (by_name[min(by_name)] if by_name else None), ()
    if name in by_name:
        return by_name[name], ()
    if any(error.name == name for error in loaded.invalid):
        return None, ()
    return None, (f"There is no fleet {name} in this stack.",)
