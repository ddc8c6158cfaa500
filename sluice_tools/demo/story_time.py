"""The story's times: seconds since its first act began, the same in the terminal, on the page and in the picture."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One line of the story."""

    at: float  # epoch seconds
    sentence: str
    act: int = 0  # the act that begins with it, from 1 on; 0: a sentence within an act


def in_story(at: float, began_at: float) -> str:
    """A moment as every output shows it, such as `83.2 s`.

    Args:
        at: epoch seconds.
        began_at: when the first act began, epoch seconds.
    """
    return f"{max(0.0, at - began_at):.1f} s"
