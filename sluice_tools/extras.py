"""Which of the project's extras has a library that is not installed."""

from importlib.util import find_spec

EXTRAS = {
    "numpy": "backtest",
    "scipy": "backtest",
    "psycopg": "sandbox",
    "starlette": "sandbox",
    "uv": "sandbox",
    "uvicorn": "sandbox",
}
"""A library that only an extra of pyproject.toml has, and that extra."""
FIRST = {"backtest": "numpy", "sandbox": "uvicorn"}
"""An extra -> the library whose absence says that the extra is not installed."""


def missing_extra(error: BaseException | None) -> str | None:
    """What to install where a command's module could not be imported; None where that is not for want of an extra."""
    while error is not None:
        library = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
        if library in EXTRAS:
            return _remedy(library)
        error = error.__cause__
    return None


def absent(extra: str) -> str | None:
    """What to install where an extra is not installed; None where it is."""
    return None if find_spec(FIRST[extra]) else _remedy(FIRST[extra])


def _remedy(library: str) -> str:
    extra = EXTRAS[library]
    return (
        f"{library} is not installed. It comes with the extra `{extra}`: install Sluice again as you did, with"
        f" [{extra}] behind what you named, such as `uv tool install '.[{extra}]'` in a clone."
    )
