"""What a change set would do, in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.wording import count

ADD, CHANGE, REPLACE, MAY_REPLACE, REMOVE = "add", "change", "replace", "may replace", "remove"
ORDER = (REMOVE, REPLACE, MAY_REPLACE, CHANGE, ADD)

# What is lost with a resource of these types.
STATEFUL = {
    "AWS::DynamoDB::Table": "what Sluice has learned, its drains, its jobs and its failure groups",
    "AWS::S3::Bucket": "the bodies of quarantined messages",
    "AWS::SQS::Queue": "the messages in it",
    "AWS::Logs::LogGroup": "its logs",
}
NESTED = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one resource.

    Attributes:
        action: one of ORDER.
        logical_id: the resource's name in the template.
        kind: its type, such as AWS::DynamoDB::Table.
        properties: what of it changes, by name.
        kept: whether the old resource stays in the account after it was replaced or removed.
    """

    action: str
    logical_id: str
    kind: str
    properties: tuple[str, ...] = ()
    kept: bool = False

    @property
    def loss(self) -> str | None:
        """What would be lost or left behind, as a sentence; None where nothing is."""
        if self.kind not in STATEFUL or self.action in {ADD, CHANGE}:
            return None
        content = STATEFUL[self.kind]
        may = "may be" if self.action == MAY_REPLACE else "is"
        if self.action == REMOVE:
            return f"{self.logical_id} ({self.kind}) is removed from the stack, " + (
                f"and stays in the account with {content}." if self.kept else f"and {content} are lost."
            )
        return f"{self.logical_id} ({self.kind}) {may} replaced by an empty one: " + (
            f"{content} stay in the old one, which stays in the account." if self.kept else f"{content} are lost."
        )


def changes_of(described: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The changes of a change set, as CloudFormation describes them, what is lost first.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
    """
    found = [_change(one["ResourceChange"]) for one in described if "ResourceChange" in one]
    return sorted(found, key=lambda one: (ORDER.index(one.action), one.logical_id))


def _change(described: Mapping[str, Any]) -> Change:
    action, replacement = described["Action"], described.get("Replacement", "False")
    simple = {"Add": ADD, "Import": ADD, "Remove": REMOVE}.get(action)
    by_replacement = {"True": REPLACE, "Conditional": MAY_REPLACE}.get(replacement, CHANGE)
    names = (
        detail.get("Target", {}).get("Name") or detail.get("Target", {}).get("Attribute")
        for detail in described.get("Details", [])
    )
    return Change(
        # Dynamic: CloudFormation cannot say before it does it.
        simple or (MAY_REPLACE if action == "Dynamic" else by_replacement),
        described["LogicalResourceId"],
        described["ResourceType"],
        tuple(dict.fromkeys(str(name) for name in names if name)),
        "Retain" in described.get("PolicyAction", ""),
    )


def summary(changes: Iterable[Change]) -> str:
    """How many resources there are of each action, as a sentence."""
    counts = dict.fromkeys(ORDER, 0)
    for change in changes:
        counts[change.action] += 1
    done = {
        ADD: "added", CHANGE: "changed in place", REPLACE: "replaced", MAY_REPLACE: "changed and perhaps replaced",
        REMOVE: "removed",
    }  # fmt: skip
    parts = [f"{count(counts[action], 'resource')} {done[action]}" for action in reversed(ORDER) if counts[action]]
    return ", ".join(parts) + "." if parts else "Nothing changes."


def warnings(changes: Iterable[Change]) -> list[str]:
    """A sentence for each resource with data that would go."""
    return [change.loss for change in changes if change.loss]
