"""What one seed of a scenario came to."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Report:
    """One seed's story and what it violated."""

    seed: int
    violations: tuple[str, ...]
    story: tuple[str, ...]  # a line an event, in order of time
    counts: dict[str, int] = field(default_factory=dict)  # what happened how often, to be summed over seeds
