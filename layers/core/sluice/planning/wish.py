"""The capacity wanted so far, as limits change it one after the other."""

from math import inf

from sluice.model.frozen import dataclass
from sluice.planning.assessment import Assessment


@dataclass(slots=True)
class Wish:
    """The capacity wanted so far, in units; `ceiling` is what hard caps allow."""

    want: int
    ceiling: float = inf

    def raise_to(self, least: int) -> bool:
        """Want at least so much, as far as the ceiling allows; whether that changed anything."""
        before = self.want
        self.want = max(self.want, int(min(least, self.ceiling)))
        return self.want != before

    def keep(self, tick: Assessment, units: int) -> bool:
        """Keep so many units that can be counted on, of those that are there; whether that changed anything."""
        return units > 0 and self.raise_to(min(tick.current, units + tick.supply.hung_units))

    def cap(self, most: int) -> bool:
        """Want at most so much; whether that changed anything."""
        before = self.want
        self.ceiling = min(self.ceiling, most)
        self.want = min(self.want, most)
        return self.want != before


def ceiling(tick: Assessment, units: int) -> int:
    """A cap that does not scale in a fleet about which something is unknown."""
    return max(units, tick.current) if tick.gaps else units
