"""The LaunchLog port on DynamoDB."""

from sluice.aws.ledger.keys import PAST_ALL, ms, ttl
from sluice.aws.ledger.records import LAUNCH_EVENT, readable
from sluice.aws.table import Table, Value, text, typed_all
from sluice.model.launches import Launch
from sluice.ports.ledger.launch_log import LAUNCHES_LOGGED_S

PARTITION = "launches"
# An event is noted by another process under its own clock, and a moment after the time that its key says: what is
# younger than this is read again.
OVERLAP_S = 60.0


class DynamoLaunchLog:
    """The LaunchLog port: one partition for all groups, in the order in which events were noted.

    One query reads any number of groups, and reads only what is new to this process: nothing, as a rule. Even 1,000
    groups that launch an instance a minute write 17 items a second, far from a partition's 1,000.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, tuple[float, Launch]] = {}  # by activity, with when it was noted
        self._read_until: float | None = None

    def note_launch_event(self, launch: Launch, now: float) -> None:
        """Note a launch under the time of its noting: an event that comes late is read all the same."""
        figures: dict[str, Value] = {
            "pk": PARTITION,
            "sk": f"{ms(now)}#{launch.activity}",
            "data": LAUNCH_EVENT.to_text(launch),
            "ttl": ttl(now + LAUNCHES_LOGGED_S),
        }
        self._table.put(typed_all(figures))

    def launches(self, now: float) -> tuple[Launch, ...]:
        """Every launch noted lately: those that this process knows, and those noted since it last looked."""
        oldest = now - LAUNCHES_LOGGED_S
        since = oldest if self._read_until is None else max(oldest, self._read_until - OVERLAP_S)
        for item in self._table.query(PARTITION, ms(since), PAST_ALL, consistent=False):
            noted_at = float(text(item, "sk").partition("#")[0]) / 1_000
            for launch in readable(LAUNCH_EVENT, [item]):
                self._known[launch.activity] = (noted_at, launch)
        self._read_until = now
        self._known = {key: kept for key, kept in self._known.items() if kept[0] > oldest}
        return tuple(launch for _, launch in self._known.values())
