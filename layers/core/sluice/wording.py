"""Numbers in sentences for people: singular and plural, units, rounded to what is of use."""

MINUTES_FROM_S = 120.0  # below two minutes seconds read better
HOURS_FROM_S = 7_200.0
DAYS_FROM_S = 172_800.0
EXACT_FROM_S = 600.0  # a shorter target wait is read in the seconds in which it was set
DAYS_MOST = 30.0  # how much more makes no difference


def count(number: float, noun: str) -> str:
    """Such as "1 message" or "740 messages"; the number is rounded to a whole one."""
    whole = round(number)
    return f"{whole} {noun}" if whole == 1 else f"{whole:,} {noun}s"


def is_are(number: float) -> str:
    """The verb of so many, rounded to a whole number."""
    return "is" if round(number) == 1 else "are"


def duration(seconds: float) -> str:
    """Such as "44 s", "12 min", "3 h" or "5 days"."""
    seconds = max(0.0, seconds)
    if seconds < MINUTES_FROM_S:
        return f"{seconds:.0f} s"
    if seconds < HOURS_FROM_S:
        return f"{seconds / 60.0:.0f} min"
    if seconds < DAYS_FROM_S:
        return f"{seconds / 3600.0:.0f} h"
    days = seconds / 86_400.0
    return f"{days:.0f} days" if days <= DAYS_MOST else f"more than {DAYS_MOST:.0f} days"


def exactly(seconds: float) -> str:
    """Such as "120 s", "15 min", "4 h" or "14 days": a length of time that a user has set, without rounding."""
    for length_s, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= EXACT_FROM_S and seconds >= 2 * length_s and seconds % length_s == 0:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:,.10g} s"


def seconds_or_longer(seconds: float) -> str:
    """Such as "63 s" or "180 s", beside what a user has set in seconds; from ten minutes on as `duration` has it."""
    return f"{seconds:.0f} s" if seconds < EXACT_FROM_S else duration(seconds)


def rate(per_s: float) -> str:
    """Such as "1.9 messages a second"; by the minute or the hour where that reads better."""
    number, unit = per_s, "second"
    if per_s < 0.5:
        number, unit = (per_s * 60.0, "minute") if per_s * 60.0 >= 0.5 else (per_s * 3600.0, "hour")
    text = f"{number:.0f}" if number >= 10.0 else f"{number:.2g}"
    article = "an" if unit == "hour" else "a"
    return f"{text} {'message' if text == '1' else 'messages'} {article} {unit}"


def capitalised(clause: str) -> str:
    """A clause as a sentence of its own, without the full stop."""
    return clause[:1].upper() + clause[1:]
