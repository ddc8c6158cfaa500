"""What must be started, and by when."""

type Knot = tuple[float, float]  # (seconds from now, messages due by then)
