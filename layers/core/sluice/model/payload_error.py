"""The error of a payload that a function does not understand: one for every function that reads payloads."""


class PayloadError(ValueError):
    """A payload that is not understood; `problems` says what is wrong with it, a sentence for each field."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))
