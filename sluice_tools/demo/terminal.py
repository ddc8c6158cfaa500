"""Shows the story as it happens: a live page in a terminal, otherwise a line for each event."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sluice.model.planning import Action, Decision
from sluice_tools.demo.watcher import Observations, Sample

REFRESH_PER_S = 4
WIDTH_POINTS = 60
"""Samples in a sparkline: half a minute at the watcher's period."""
BARS = " ▁▂▃▄▅▆▇█"
DECISION_LINES = 6
STYLES = {Action.SCALE_OUT: "green", Action.SCALE_IN: "cyan", Action.HOLD: "dim"}


class TerminalView:
    """The demo's output; a context manager. Its methods may be called from one thread only."""

    def __init__(self, console: Console, acts: Iterable[str], target_wait_s: float) -> None:
        self._console = console
        self._live_mode = console.is_terminal
        self._target_wait_s = target_wait_s
        self._observations: Observations | None = None
        self._said: list[Text] = []
        self._started_at = time.time()
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

    def act(self, number: int, title: str) -> None:
        """An act begins."""
        self._progress.update(self._task, description=f"act {number} of {len(self._acts)}: {title}")
        self._progress.update(self._task, completed=number - 1)
        self.say(f"Act {number}: {title}", style="bold")

    def done(self) -> None:
        """The last act is over."""
        self._progress.update(self._task, description="the story is over", completed=len(self._acts))

    def say(self, sentence: str, style: str = "") -> None:
        """One sentence of the story."""
        self.say_decisions()
        line = Text.assemble((f"{time.time() - self._started_at:6.1f} s  ", "dim"), (sentence, style))
        self._said.append(line)
        if not self._live_mode:
            self._console.print(line)

    def say_decisions(self) -> None:
        """Print the decisions made since the last call; the live page shows them anyway."""
        if self._live_mode or self._observations is None:
            return
        for decision, _ in list(self._observations.changes()):
            if decision.id not in self._known:
                self._known.add(decision.id)
                self._console.print(
                    Text.assemble((f"{decision.at - self._started_at:6.1f} s  ", "dim"), _in_words(decision))
                )

    def _page(self) -> RenderableType:
        parts: list[RenderableType] = [self._progress]
        if self._observations is not None and (last := self._observations.last) is not None:
            parts += [self._figures(list(self._observations.samples), last), self._decisions(self._observations)]
        parts.append(Panel(Group(*self._said[-8:]), title="story", border_style="dim"))
        return Group(*parts)

    def _figures(self, samples: list[Sample], last: Sample) -> Panel:
        recent = samples[-WIDTH_POINTS:]
        late = last.oldest_wait_s > self._target_wait_s
        table = Table.grid(padding=(0, 2))
        table.add_row("backlog", f"{last.backlog}", Text(_spark([s.backlog for s in recent]), "yellow"))
        table.add_row(
            "capacity",
            f"{last.working} working, {last.launching} launching, {last.draining} draining",
            Text(_spark([s.working + s.draining for s in recent]), "green"),
        )
        table.add_row(
            "oldest wait",
            Text(f"{last.oldest_wait_s:.1f} s of {self._target_wait_s:g} s", "red" if late else ""),
            Text(_spark([s.oldest_wait_s for s in recent], self._target_wait_s), "red" if late else "blue"),
        )
        table.add_row("dead letters", f"{last.dead} in the queue, {last.quarantined} in quarantine", "")
        return Panel(table, title="orders", border_style="blue")

    def _decisions(self, observations: Observations) -> Panel:
        # A line each: one that wrapped would push the newest out of the panel.
        lines = [
            Text.assemble(
                (f"{decision.at - self._started_at:6.1f} s  ", "dim"),
                _in_words(decision),
                no_wrap=True,
                overflow="ellipsis",
            )
            for decision, _ in list(observations.changes())[-DECISION_LINES:]
        ]
        return Panel(Group(*lines), title="decisions", border_style="green", height=DECISION_LINES + 2)


def _in_words(decision: Decision) -> Text:
    return Text(decision.sentence, STYLES[decision.action])


def _spark(values: list[float] | list[int], ceiling: float | None = None) -> str:
    """Values as a row of bars; full height is the greatest of them, or `ceiling` where that is greater."""
    top = max([*values, ceiling or 0, 1])
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)
