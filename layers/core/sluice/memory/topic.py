"""The topic in memory."""


class MemoryTopic:
    """The Topic port: subjects and texts, the first one first."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []

    def publish(self, subject: str, text: str) -> None:
        """Publish a notice."""
        self.notices.append((subject, text))
