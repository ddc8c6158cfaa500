"""Values: dataclasses that only the type checker freezes."""

import dataclasses

import pytest

from sluice.model.frozen import dataclass, replace


@dataclass(frozen=True, slots=True)
class Point:
    """A value with a default, and one that is made anew for each."""

    x: float
    y: float = 2.0
    names: tuple[str, ...] = dataclasses.field(default_factory=tuple)


@dataclass(slots=True)
class Tally:
    """Not frozen: to be written to."""

    count: int = 0


def test_value_when_it_is_compared():
    """Equal by its fields, and a key as a frozen dataclass is; one that is written to is none."""
    assert Point(1.0) == Point(1.0, 2.0, ())
    assert {Point(1.0): "there"}[Point(1.0)] == "there"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Tally())


def test_value_when_it_is_a_dataclass():
    """Whoever asks for its fields finds them: the ledger's codec and the command line do."""
    assert [each.name for each in dataclasses.fields(Point)] == ["x", "y", "names"]
    assert dataclasses.asdict(Point(1.0, names=("a",))) == {"x": 1.0, "y": 2.0, "names": ("a",)}


def test_value_when_some_of_it_is_replaced():
    """Another with the rest as it was; the first one stays."""
    first = Point(1.0, 3.0, ("a",))
    assert replace(first, y=4.0) == dataclasses.replace(first, y=4.0) == Point(1.0, 4.0, ("a",))
    assert first == Point(1.0, 3.0, ("a",))


def test_value_when_what_is_replaced_is_no_field():
    """It is refused by name."""
    with pytest.raises(TypeError, match="'z'"):
        replace(Point(1.0), z=1.0)
