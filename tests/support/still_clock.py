"""The clock of the tests over the ports in memory."""

START_AT = 1_767_225_600.0


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = START_AT

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now
