"""The types of the fields of a fleet's document, and the class that all its sections share."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sluice.config.problems import QUEUE_URL, flag, number

QueueUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s/]+/[A-Za-z0-9-]+/[A-Za-z0-9_-]{1,80}(?:\.fifo)?$", description=QUEUE_URL)
]
# Text that holds a number is accepted, because CloudFormation's parameters are text.
Number = Annotated[float, BeforeValidator(number)]
Count = Annotated[int, BeforeValidator(number)]
Flag = Annotated[bool, BeforeValidator(flag)]


class Section(BaseModel):
    """A part of a document: frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", allow_inf_nan=False)


def validated[S: Section](section: S, problems: list[str]) -> S:
    """Return the section if it has no problems; each problem is `field: what it must be`.

    Raises:
        ValueError: there are problems, one on each line; pydantic reports them.
    """
    if problems:
        raise ValueError("\n".join(problems))
    return section
