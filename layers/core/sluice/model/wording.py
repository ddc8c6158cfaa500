"""Words for numbers in sentences that people read: counted(2, "message") -> "2 messages"."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun, singular or plural, thousands separated: `1 message`, `1,400 messages`.

    Args:
        count: how many.
        one: the noun in the singular.
        many: the noun in the plural, where that is not the singular with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
