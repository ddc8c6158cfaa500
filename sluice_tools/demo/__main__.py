"""`make demo`: runs the story, audits it, and writes a timeline and a page; it fails if a check of the audit fails."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from sluice.model.redrive_jobs import JobState
from sluice_tools.demo import page, timeline
from sluice_tools.demo.acts import ACTS, Story
from sluice_tools.demo.audit import Audit, lost, percentile, waits
from sluice_tools.demo.comparison import target_tracking
from sluice_tools.demo.environment import FLEET, DemoEnvironment, running_environment
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.demo.terminal import TerminalView
from sluice_tools.demo.watcher import Watcher
from sluice_tools.demo.work_log import WorkLog
from sluice_tools.order_traffic import FrontEnd, Traffic
from sluice_tools.sandbox.sandbox import ROOT, SandboxError

OUTPUT = ROOT / "build/demo"

app = App(help=__doc__)


@app.default
def main(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False, output: Path = OUTPUT) -> int:
    """Run the demo's story on the embedded emulator.

    Args:
        as_json: print the audit as one JSON object on the last line.
        output: the folder for the timeline, the page and the logs.

    Returns:
        0 if every check of the audit passes, 1 otherwise, or if the sandbox fails.
    """
    console = Console()
    settings = DemoSettings()
    _print_settings(console, settings)
    try:
        with run_story(console, settings, output / "state") as story:
            audit = audit_of(story)
            write_results(story, audit, output)
    except SandboxError as error:
        console.print(f"The demo ended: {error}", style="bold red", markup=False, highlight=False)
        return 1
    failures = audit.failures(len(story.poison))
    _print_audit(console, audit, failures, output)
    if as_json:
        print(json.dumps(audit.as_dict()))
    return 1 if failures else 0


@contextmanager
def run_story(console: Console, settings: DemoSettings, state: Path) -> Iterator[Story]:
    """Set up the environment, run the story, and keep the environment until the block ends.

    Args:
        console: where the story is printed.
        settings: the demo's short settings.
        state: folder for logs and the database, emptied first.
    """
    with TerminalView(console, [act.title for act in ACTS], settings) as view, ExitStack() as stack:
        demo = stack.enter_context(running_environment(settings, view.say, state))
        traffic = stack.enter_context(Traffic(FrontEnd(demo.front_end_url)))
        work = WorkLog(demo.work_log, lambda: traffic.sent)
        watcher = stack.enter_context(watch(demo, work))
        view.observe(watcher.observations)
        story = Story(demo, traffic, watcher, view)
        story.run()
        yield story


def watch(demo: DemoEnvironment, work: WorkLog) -> Watcher:
    """A watcher of the environment's fleet."""
    return Watcher(
        demo.ports,
        work,
        fleet=FLEET,
        queue_url=demo.orders["QueueUrl"],
        dead_letter_url=demo.orders["DeadLetterQueueUrl"],
        group=demo.orders["GroupName"],
    )


def audit_of(story: Story) -> Audit:
    """The story's figures. By now every order is out of the queues; an order that is not stored is lost."""
    now = time.time()
    sent = story.traffic.sent
    work = story.watcher.work
    stored = story.demo.stored_ids()
    counted = [one.wait_s for one in waits(sent, work.started(), story.outage_acts) if one.counted]
    seen = story.watcher.observations
    peak = max(sample.working + sample.draining for sample in tuple(seen.samples))
    target_s = story.settings.target_wait_s
    tracking = target_tracking([one.sent_at for one in sent.values()], story.began_at, now, story.settings)
    return Audit(
        sent=len(sent),
        stored=len(stored & set(sent)),
        lost=len(lost(sent, stored)),
        charged_twice=story.demo.charged_twice(),
        quarantined=story.quarantined_count,
        redriven=sum(
            job.progress.sent_count
            for job in story.demo.ports.ledger.jobs.jobs(FLEET)
            if job.state not in {JobState.STOPPED, JobState.CAME_BACK}
        ),
        drains=len(set(work.drained()) - story.killed),
        interrupted=sum(1 for one in work.open() if one.instance not in story.killed),
        drained_order_s=story.drained_order_s,
        peak_capacity=peak,
        wait_p50_s=percentile(counted, 0.50),
        wait_p99_s=percentile(counted, 0.99),
        wait_max_s=max(counted, default=0.0),
        target_wait_s=target_s,
        late_share=sum(wait_s > target_s for wait_s in counted) / max(1, len(counted)),
        instance_seconds=sum(lived.seconds(now) for lived in tuple(seen.instances.values())),
        fixed_fleet_instance_seconds=peak * (now - story.began_at),
        target_tracking_instance_seconds=tracking.instance_s,
        target_tracking_late_share=tracking.late_share,
    )


def write_results(story: Story, audit: Audit, output: Path) -> None:
    """Write the picture and the page of a story into a folder, as `timeline.png` and `index.html`."""
    seen, settings = story.watcher.observations, story.settings
    story_waits = waits(story.traffic.sent, story.watcher.work.started(), story.outage_acts)
    samples = tuple(seen.samples)  # the watcher still watches, and adds to them
    figure = timeline.draw(samples, story.spans, story_waits, settings.target_wait_s)
    text = page.render(
        svg=timeline.save(figure, output / "timeline.png"),
        audit=audit,
        failures=audit.failures(len(story.poison)),
        story=story.view.story,
        pictures=story.pictures,
        decisions=seen.changes(),
        began_at=story.began_at,
        settings=settings,
    )
    page.write(output / "index.html", text)


def _print_settings(console: Console, settings: DemoSettings) -> None:
    table = Table(title="The demo's short durations, and what AWS has in their place", title_justify="left")
    for column in ("setting", "in the demo", "on AWS"):
        table.add_column(column)
    for row in settings.in_words():
        table.add_row(*row)
    console.print(table)


def _print_audit(console: Console, audit: Audit, failures: list[str], output: Path) -> None:
    table = Table(title="Audit: what was sent against what the database has", title_justify="left", show_header=False)
    for label, figure in audit.in_words():
        table.add_row(label, figure)
    console.print(table)
    console.print(audit.cost())
    for sentence in failures:
        console.print(f"CHECK FAILED: {sentence}", style="bold red")
    if not failures:
        console.print("Every check passed.", style="bold green")
    for name in ("timeline.png", "index.html"):
        path = output / name
        console.print(f"  {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    raise SystemExit(app())
