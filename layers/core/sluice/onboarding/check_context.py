"""What every check is given: the fleet, the facts, and how to write the AWS CLI's commands."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.config.fleet import Fleet
from sluice.model.observed import Mode
from sluice.onboarding.facts import Facts
from sluice.onboarding.findings import Finding, FindingCode, Severity


@dataclass(frozen=True, slots=True)
class CheckContext:
    """One fleet to be checked."""

    fleet: Fleet
    facts: Facts
    stack: str
    region: str
    aws: str  # how the AWS CLI is called, such as "aws --region eu-west-1"
    will_tag: bool = False  # whether a deployment sets the missing tags, so that they are nothing to report
    fields: Mapping[str, str] = field(default_factory=dict)  # by field: the user's name for it

    @property
    def conflict(self) -> Severity:
        """How serious a conflict over the group's size is: a problem only if the fleet's mode is act."""
        return Severity.PROBLEM if self.fleet.mode is Mode.ACT else Severity.WARNING

    def field_name(self, name: str) -> str:
        """A field by the name that the user knows."""
        return self.fields.get(name, name)

    def problem(self, code: FindingCode, what: str, why: str, remedy: str) -> Finding:
        """A finding that fails a deployment; `remedy` is the arguments of the AWS CLI."""
        return self.finding(code, Severity.PROBLEM, what, why, remedy)

    def warning(self, code: FindingCode, what: str, why: str, remedy: str) -> Finding:
        """A finding that a deployment logs."""
        return self.finding(code, Severity.WARNING, what, why, remedy)

    def finding(self, code: FindingCode, severity: Severity, what: str, why: str, remedy: str) -> Finding:
        """A finding of this severity; `remedy` is the arguments of the AWS CLI."""
        return Finding(code, severity, what, why, f"{self.aws} {remedy}")


def seconds(value: float) -> str:
    """A length of time with its unit: in days, hours or minutes if that is a whole number, else in seconds."""
    for unit, length_s in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count = value / length_s
        if value >= length_s and count == int(count):
            return f"{count:.0f} {unit}{'' if count == 1 else 's'}"
    return f"{value:g} seconds"
