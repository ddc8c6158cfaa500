"""Which of the project's extras has a library that is not installed."""

EXTRAS = {"numpy": "backtest", "scipy": "backtest"}
"""A library that only an extra of pyproject.toml has, and that extra."""


def missing_extra(error: BaseException | None) -> str | None:
    """What to install where a command's module could not be imported; None where that is not for want of an extra."""
    while error is not None:
        library = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
        if library in EXTRAS:
            extra = EXTRAS[library]
            return (
                f"{library} is not installed. It comes with the extra `{extra}`: install Sluice again as you did, with"
                f" [{extra}] behind what you named, such as `uv tool install '.[{extra}]'` in a clone."
            )
        error = error.__cause__
    return None
