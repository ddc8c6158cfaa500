"""What the checks find: each finding says what is wrong, why it matters, and which command to run."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How serious a finding is."""

    PROBLEM = "problem"  # the fleet cannot work: the deployment fails
    WARNING = "warning"  # it may be intended: the deployment goes on


class FindingCode(StrEnum):
    """The check that found it."""

    QUEUE_MISSING = "queue-missing"
    DEAD_LETTER_QUEUE_MISSING = "dead-letter-queue-missing"
    REDRIVE_POLICY_MISSING = "redrive-policy-missing"
    REDRIVE_POLICY_ELSEWHERE = "redrive-policy-elsewhere"
    DEAD_LETTERS_UNATTENDED = "dead-letters-unattended"
    DEAD_LETTERS_MOVE_ON = "dead-letters-move-on"
    RECEIVED_ONCE = "received-once"
    VISIBILITY_SHORT = "visibility-short"
    DEAD_LETTER_VISIBILITY_SHORT = "dead-letter-visibility-short"
    RETENTION_SHORT = "retention-short"
    KEY_MISSING = "key-missing"
    KEY_ELSEWHERE = "key-elsewhere"
    KEY_UNUSABLE = "key-unusable"
    KEY_POLICY_CLOSED = "key-policy-closed"
    GROUP_MISSING = "group-missing"
    GROUP_CANNOT_SCALE_OUT = "group-cannot-scale-out"
    GROUP_SIZE_FIXED = "group-size-fixed"
    PROCESS_SUSPENDED = "process-suspended"
    NEW_INSTANCES_PROTECTED = "new-instances-protected"
    WARM_POOL = "warm-pool"
    SCALING_POLICY = "scaling-policy"
    PREDICTIVE_SCALING = "predictive-scaling"
    SCHEDULED_ACTION = "scheduled-action"
    OTHER_FLEET = "other-fleet"
    OTHER_HOOK = "other-hook"
    HOOK_SHORT = "hook-short"
    PROFILE_MISSING = "profile-missing"
    ROLE_WITHOUT_SSM = "role-without-ssm"
    AGENT_SILENT = "agent-silent"
    METADATA_OFF = "metadata-off"
    METADATA_HOP_LIMIT = "metadata-hop-limit"
    DOCUMENT_NAME = "document-name"
    VETO_ALARM_MISSING = "veto-alarm-missing"
    UNTAGGED = "untagged"
    OTHER_STACKS_TAG = "other-stacks-tag"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `remedy` is a command line that mends the fault, or shows what is needed to mend it."""

    code: FindingCode
    severity: Severity
    what: str
    why: str
    remedy: str

    def __str__(self) -> str:
        """One paragraph, for a deployment's error."""
        return f"{self.what} {self.why} Run: {self.remedy}"
