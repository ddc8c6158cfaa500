"""A deployed stack's functions as the `sluice` command knows them: what they are asked, and what they answer."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from sluice_tools.commands import functions, redrive


class StackFunctions:
    """Lambda's client: the same answer each time, or the next of several; one may be a function."""

    def __init__(self, *answers: object, **more: str) -> None:
        self.answers = list(answers)
        self.more = more  # fields of Lambda's own answer, such as FunctionError
        self.asked: list[tuple[str, Any]] = []
        self.error: BaseException | None = None

    def invoke(self, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 (AWS's names)
        """Lambda's Invoke."""
        if self.error:
            raise self.error
        self.asked.append((FunctionName, json.loads(Payload)))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if callable(answer):
            answer = answer(FunctionName, self.asked[-1][1])
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return {"Payload": io.BytesIO(text), **self.more}

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> StackFunctions:
        """Be the functions that the command invokes, for user `ada`."""
        monkeypatch.setattr(functions, "lambda_client", lambda _aws: self)
        monkeypatch.setattr("getpass.getuser", lambda: "ada")
        monkeypatch.setattr(redrive, "WATCH_S", 0.0)
        return self
