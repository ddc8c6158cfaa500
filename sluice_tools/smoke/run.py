"""One run: make, tell the story, audit, and delete everything again, whatever happened on the way."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from sluice.ports.errors import PortError
from sluice_tools.interruptions import Interrupted, interruptible, undisturbed
from sluice_tools.order_traffic import NotAcceptedError
from sluice_tools.sam_cli import SamError
from sluice_tools.smoke.account import Account, Names
from sluice_tools.smoke.deployment import Deployment, Machines, make_steps
from sluice_tools.smoke.evidence import Audit, Timing, as_dict, gather
from sluice_tools.smoke.removal import Left, Removal
from sluice_tools.smoke.settings import SmokeSettings
from sluice_tools.smoke.story import act_steps, begin
from sluice_tools.smoke.waiting import Deadline, SmokeError

FAILURES = (SmokeError, SamError, NotAcceptedError, PortError, ClientError, BotoCoreError, OSError)
"""What may end the story early. Anything else is a fault of this tool, and is raised once everything is deleted."""


@dataclass(slots=True)
class Result:
    """How it went."""

    audit: Audit | None = None
    timings: list[Timing] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # of the story, the audit and the removal
    left: list[Left] = field(default_factory=list)
    signal: int | None = None  # which signal ended it

    @property
    def exit_code(self) -> int:
        """0 where all held and nothing is left; after a signal what shells expect; 1 otherwise."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.failures or self.left else 0


def run(
    account: Account,
    names: Names,
    settings: SmokeSettings,
    machines: Machines,
    *,
    deadline: Deadline,
    directory: Path,
    say: Callable[[str], None],
    step: Callable[[str], None],
) -> Result:
    """Make everything, tell the story, audit it, delete everything.

    Args:
        account: where.
        names: of what is made.
        settings: durations and counts.
        machines: what instances are.
        deadline: of everything but the removal, which is always carried out.
        directory: for logs, and for `audit.json`.
        say: called with what happens.
        step: called with each step before it begins.

    Raises:
        SmokeError: One of the names is in use. Nothing was made then, and nothing is deleted.
    """
    result = Result()
    directory.mkdir(parents=True, exist_ok=True)
    deployment = Deployment(account, names, settings, machines, deadline, directory)
    if used := deployment.in_use():
        raise SmokeError(
            f"in use already: {', '.join(used)}. What an earlier run left is deleted by "
            f"`make aws-smoke REMOVE=1 PREFIX={names.prefix}`; otherwise give another PREFIX"
        )
    removal = Removal(account, names, settings, directory / "made.json", say, absent_before=True)
    # One in the other, so that there is no moment at which a signal would end the process with everything left there.
    with undisturbed(say):
        try:
            with interruptible():
                _perform(deployment, result, say, step)
        except Interrupted as interruption:
            result.signal = interruption.number
            result.failures.append(f"interrupted by {signal.Signals(interruption.number).name}")
            say("Interrupted: everything that was made is deleted now")
        except FAILURES as error:
            result.failures.append(str(error))
            say(f"Failed: {error}")
        finally:
            result.left = remove(removal, say, step)
    result.failures += [f"not deleted: {problem}" for problem in removal.problems]
    return result


def remove(removal: Removal, say: Callable[[str], None], step: Callable[[str], None]) -> list[Left]:
    """Delete everything of a prefix; what is left, with the reason where somebody insisted on leaving it."""
    try:
        step("removal")
        return removal.run()
    except Interrupted:
        say("The removal was ended. This is left:")
        removal.problems.append("the removal was interrupted")
        return removal.left()


def _perform(deployment: Deployment, result: Result, say: Callable[[str], None], step: Callable[[str], None]) -> None:
    for what, make in make_steps(deployment):
        step(what)
        make()
    story = begin(deployment, say)
    with story.traffic:
        for what, act in act_steps(story):
            step(what)
            act()
    step("audit")
    audit, timings, said = gather(story)
    result.audit, result.timings = audit, timings
    result.failures += audit.failures(deployment.settings.poison)
    text = json.dumps(as_dict(audit, timings) | {"database": said}, indent=1)
    (deployment.directory / "audit.json").write_text(text + "\n")
