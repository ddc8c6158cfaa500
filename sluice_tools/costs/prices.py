"""The price table, prices.toml."""

import datetime as dt
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "prices.toml"


@dataclass(frozen=True, slots=True)
class Price:
    """What one kind of usage costs."""

    dollars: float
    per: float
    of: str
    page: str  # where AWS states it

    def of_units(self, count: float) -> float:
        """What so many cost, in dollars."""
        return count / self.per * self.dollars


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The prices of one region, as checked on a day."""

    region: str
    checked_on: dt.date
    prices: Mapping[str, Price]

    def __getitem__(self, name: str) -> Price:
        """The price of that name."""
        return self.prices[name]


def load(path: Path = TABLE) -> PriceTable:
    """Read a price table."""
    found = tomllib.loads(path.read_text())
    return PriceTable(
        found["region"], found["checked_on"], {name: Price(**price) for name, price in found["prices"].items()}
    )
