"""Shows the story as it happens: a live page in a terminal, otherwise a line for each event."""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sluice.model.decisions import Action, Decision
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.demo.story_time import StoryLine, in_story
from sluice_tools.demo.watcher import Observations, Sample

REFRESH_PER_S = 4
WIDTH_POINTS = 60
"""Samples in a sparkline, where the terminal is wide enough: half a minute at the watcher's period."""
COLUMN_WIDTHS = (12, 36, 9)
"""Of what is shown, its figures and its scale: fixed, so that nothing moves as the figures change."""
GAP = 2
BARS = " ▁▂▃▄▅▆▇█"
FIGURE_ROWS = 4
FRAME = 2
"""Rows, and columns but for the padding, that a panel's border takes."""
LEAST_ROWS = 4
"""Of a panel's text, in however small a terminal."""
STYLES = {Action.SCALE_OUT: "green", Action.SCALE_IN: "cyan", Action.HOLD: "dim"}


class TerminalView:
    """The demo's output; a context manager. Its methods may be called from one thread only."""

    def __init__(self, console: Console, acts: Iterable[str], settings: DemoSettings) -> None:
        self._console = console
        self._live_mode = console.is_terminal
        self._settings = settings
        self._observations: Observations | None = None
        self._began_at: float | None = None
        self.story: list[StoryLine] = []
        """The story so far, without what came before its first act."""
        self._lines: list[Text] = []
        self._known: set[str] = set()
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console
        )
        self._acts = list(acts)
        self._task = self._progress.add_task("getting ready", total=len(self._acts))
        self._live = Live(console=console, get_renderable=self._page, refresh_per_second=REFRESH_PER_S, transient=False)

    def __enter__(self) -> Self:
        """Start the live page."""
        if self._live_mode:
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop, and leave the last page on the screen."""
        if self._live_mode:
            self._live.stop()

    def observe(self, observations: Observations) -> None:
        """Show these observations from now on."""
        self._observations = observations

    def act(self, number: int, title: str, began_at: float) -> None:
        """An act begins, and with the first one the story's time."""
        if self._began_at is None:
            self._began_at = began_at
        self._progress.update(self._task, description=f"act {number} of {len(self._acts)}: {title}")
        self._progress.update(self._task, completed=number - 1)
        self._add(StoryLine(began_at, title, number))

    def done(self) -> None:
        """The last act is over."""
        self._progress.update(self._task, description="the story is over", completed=len(self._acts))

    def say(self, sentence: str) -> None:
        """One sentence of the story, or of what comes before it."""
        self._add(StoryLine(time.time(), sentence))

    def _add(self, line: StoryLine) -> None:
        self.say_decisions()
        if self._began_at is not None:
            self.story.append(line)
        sentence = f"Act {line.act}: {line.sentence}" if line.act else line.sentence
        text = Text.assemble(self._moment(line.at), (sentence, "bold" if line.act else ""))
        self._lines.append(text)
        if not self._live_mode:
            self._console.print(text)

    def _moment(self, at: float) -> tuple[str, str]:
        return f"{'' if self._began_at is None else in_story(at, self._began_at):>8}  ", "dim"

    def say_decisions(self) -> None:
        """Print the decisions made since the last call; the live page shows them anyway."""
        if self._live_mode or self._observations is None:
            return
        for decision, _ in list(self._observations.changes()):
            if decision.id not in self._known:
                self._known.add(decision.id)
                self._console.print(self._decision(decision))

    def _decision(self, decision: Decision) -> Text:
        return Text.assemble(self._moment(decision.at), Text(decision.sentence, STYLES[decision.action]))

    def _page(self) -> RenderableType:
        parts: list[RenderableType] = [self._progress]
        # What the progress bar and the frames leave of the screen: rich cuts off what is below its end.
        rows = self._console.height - 2 - FRAME
        if self._observations is not None and (last := self._observations.last) is not None:
            rows -= FIGURE_ROWS + 2 * FRAME
            decided = max(LEAST_ROWS, rows * 3 // 5)
            rows -= decided
            parts.append(self._figures(list(self._observations.samples), last))
            decisions = [self._decision(decision) for decision, _ in list(self._observations.changes())]
            parts.append(self._newest(decisions, decided, "decisions", "green"))
        parts.append(self._newest(self._lines, max(LEAST_ROWS, rows), "story", "dim"))
        return Group(*parts)

    def _figures(self, samples: list[Sample], last: Sample) -> Panel:
        room = self._console.width - FRAME - 2 - sum(COLUMN_WIDTHS) - 3 * GAP
        recent, target_s = samples[-max(1, min(WIDTH_POINTS, room)) :], self._settings.target_wait_s
        late = last.oldest_wait_s > target_s
        table = Table.grid(padding=(0, GAP))
        label, figures, scale = COLUMN_WIDTHS
        for width in (label, figures, len(recent), scale):
            table.add_column(width=width, no_wrap=True)
        # A scale that followed the figures would make the same bar mean something else from one look to the next.
        table.add_row(
            "backlog",
            f"{last.backlog}",
            Text(_spark([s.backlog for s in recent], self._settings.burst_count), "yellow"),
            f"0 to {self._settings.burst_count}",
        )
        table.add_row(
            "capacity",
            f"{last.working} working, {last.launching} launching, {last.draining} draining",
            Text(_spark([s.working + s.draining for s in recent], self._settings.max_instances), "green"),
            f"0 to {self._settings.max_instances}",
        )
        table.add_row(
            "oldest wait",
            Text(f"{last.oldest_wait_s:.1f} s of {target_s:g} s", "red" if late else ""),
            Text(_spark([s.oldest_wait_s for s in recent], target_s), "red" if late else "blue"),
            f"0 to {target_s:g} s",
        )
        table.add_row("dead letters", f"{last.dead} in the queue, {last.quarantined} in quarantine", "", "")
        return Panel(table, title="orders", border_style="blue")

    def _newest(self, entries: Sequence[Text], rows: int, title: str, style: str) -> Panel:
        """A panel of so many rows of text with the newest entries, each of them whole."""
        width = self._console.width - FRAME - 2
        shown = newest_whole(entries, self._console, width, rows)
        needed = sum(len(entry.wrap(self._console, width)) for entry in shown)
        return Panel(Group(*shown), title=title, border_style=style, height=max(rows, needed) + FRAME)


def newest_whole(entries: Sequence[Text], console: Console, width: int, rows: int) -> list[Text]:
    """The newest entries that fit into so many rows when they are wrapped, oldest first; at least the last one."""
    shown: list[Text] = []
    for entry in reversed(entries):
        rows -= len(entry.wrap(console, width))
        if rows < 0 and shown:
            break
        shown.insert(0, entry)
    return shown


def _spark(values: Sequence[float], ceiling: float) -> str:
    """Values as a row of bars; full height is `ceiling`, and whatever is above it."""
    return "".join(BARS[round(min(value / ceiling, 1.0) * (len(BARS) - 1))] for value in values)
