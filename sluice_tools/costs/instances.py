"""The price table of EC2 instances, instances.toml."""

import datetime as dt
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "instances.toml"


class UnknownTypeError(ValueError):
    """The table has no price of an instance type; the message says which it has."""


@dataclass(frozen=True, slots=True)
class InstancePrices:
    """On-Demand prices of one region, as read on a day."""

    region: str
    system: str  # the operating system that they include
    page: str  # where AWS states them
    source: str  # what they were read from
    read_on: dt.date
    families: Mapping[str, Mapping[str, float]]  # family -> size -> dollars an hour

    def of(self, instance_type: str) -> float:
        """What an instance of a type costs an hour, in dollars.

        Raises:
            UnknownTypeError: the table does not have it.
        """
        family, _, size = instance_type.partition(".")
        sizes = self.families.get(family)
        if sizes is None:
            known = f"there are prices of {', '.join(self.families)}"
        elif size not in sizes:
            known = f"of {family} there are prices of {', '.join(sizes)}"
        else:
            return sizes[size]
        raise UnknownTypeError(f"{known} (got {instance_type[:40]}); of others, --hourly-cost takes the price")

    def basis(self, instance_type: str) -> str:
        """Which price that is, for a sentence."""
        return (
            f"the On-Demand price of {instance_type} with {self.system} in {self.region} on"
            f" {self.read_on.isoformat()}; other regions cost up to about twice as much"
        )


def load(path: Path = TABLE) -> InstancePrices:
    """Read a price table."""
    return InstancePrices(**tomllib.loads(path.read_text(encoding="utf-8")))
