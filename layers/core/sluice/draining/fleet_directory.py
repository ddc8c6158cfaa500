"""The fleets' documents as drains need them, kept between invocations; of an invalid one its last usable version.

While the documents cannot be read, those that were read last are used: which instances wait, and at which hook, does
not change because Parameter Store is away.
"""

from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime

from sluice.config.fleet import QUEUES_PATH, Fleet
from sluice.model.draining import StopOrder
from sluice.model.frozen import dataclass
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError
from sluice.ports.stack import Ports
from sluice.telemetry import Log

# Many instances end at once, each with an event of its own: the documents are not asked for with each, and one that is
# invalid is logged once a minute.
FLEETS_KEPT_S = 60.0


@dataclass(slots=True)
class FleetDirectory:
    """The fleets' documents, kept for a while between invocations.

    `stops_read` has the fleets, with what is stopped in them, of which this process has read what a stop printed.
    """

    ports: Ports[object]
    now: Callable[[], float]
    log: Log
    stops_read: set[tuple[str, StopOrder]] = field(default_factory=set)
    _fleets: tuple[Fleet, ...] = ()
    _unread: tuple[PortError, ...] = ()
    _read_at: float | None = None

    def all(self, kept_s: float = FLEETS_KEPT_S) -> tuple[Fleet, ...]:
        """Every fleet, as read at most `kept_s` seconds ago; one with an invalid document by its last usable version.

        Raises:
            PortError: they cannot be read, and never were.
        """
        if self._read_at is not None and self.now() - self._read_at < kept_s:
            return self._fleets
        try:
            loaded = self.ports.fleets.load(last_usable=True)
        except PortError as error:
            if self._read_at is None:
                raise
            age_s = round(self.now() - self._read_at)
            self.log.warning("fleets' documents could not be read: the last are used", problem=str(error), age_s=age_s)
            self._unread = (error,)
            return self._fleets
        self._log_invalid(loaded)
        self._fleets = (*loaded.fleets, *(each.fleet for each in loaded.drain_only))
        self._unread, self._read_at = loaded.unread, self.now()
        return self._fleets

    def managing(self, group: str, *, look_again: bool = False) -> Fleet | None:
        """The fleet of a group.

        Args:
            group: the Auto Scaling group's name.
            look_again: whether to read the documents again for a group that is not known: not where the whole account
                may ask, such as for its Spot warnings.

        Raises:
            PortError: none is known, and the group may be that of a fleet whose document could not be read.
        """
        for kept_s in (FLEETS_KEPT_S, 0.0) if look_again else (FLEETS_KEPT_S,):
            if found := next((fleet for fleet in self.all(kept_s) if fleet.group == group), None):
                return found
        return self._or_unread(None)

    def known(self, name: str) -> Fleet | None:
        """The fleet of that name; the documents are read again for one that is not known yet.

        Raises:
            PortError: it is not known, and its document may be one that could not be read.
        """
        found = (one for kept_s in (FLEETS_KEPT_S, 0.0) for one in self.all(kept_s) if one.name == name)
        return self._or_unread(next(found, None))

    def named(self, name: str) -> Fleet | None:
        """The fleet of that name, as of now.

        Raises:
            PortError: as `known`.
        """
        return self._or_unread(next((fleet for fleet in self.all(0.0) if fleet.name == name), None))

    def _or_unread(self, fleet: Fleet | None) -> Fleet | None:
        """The fleet. One that is not found may have a document that could not be read: then why it could not."""
        if fleet is None and self._unread:
            raise self._unread[0]
        return fleet

    def _log_invalid(self, loaded: LoadedFleets) -> None:
        """One line for each invalid document, with what its fleet's instances are drained by."""
        written_at = {each.document: each.written_at for each in loaded.drain_only}
        for bad in loaded.invalid:
            if QUEUES_PATH in bad.name:
                self.log.error(
                    "a queue's document is invalid: its fleet goes on without it", queue=bad.name, problems=bad.problems
                )
            elif bad.name in written_at:
                self.log.error(
                    "a fleet's document is invalid: its instances are drained as the last usable version says",
                    fleet=bad.name,
                    problems=bad.problems,
                    version_written_at=datetime.fromtimestamp(written_at[bad.name], UTC).isoformat(timespec="seconds"),
                )
            else:
                self.log.error(
                    "a fleet's document is invalid: its instances are not drained",
                    fleet=bad.name,
                    problems=bad.problems,
                )
        for error in loaded.unread:
            self.log.error("earlier versions of an invalid document could not be read", problem=str(error))
