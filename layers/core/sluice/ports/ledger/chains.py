"""Chains: one record for each, which makes doubled, late and reordered messages harmless."""

from typing import Protocol

from sluice.model.chain import Chain, Step


class Chains(Protocol):
    """The chains' records. Every write but `start`, `ask` and `assign` names the version that it was made from."""

    def start(self, chain_id: str, due_at: float, data: str, assignment: str = "{}") -> Chain | None:
        """Make a chain at version 1; None if it exists.

        Args:
            chain_id: `<kind>/<name>`.
            due_at: when its first step is due, in epoch seconds.
            data: what its workers carry from step to step, as JSON.
            assignment: what it works on, as JSON.
        """
        ...

    def claim(self, step: Step, until: float, now: float) -> Chain | None:
        """Begin a step: the record one version on, with `at_work_until` set.

        Args:
            step: what the message asks for.
            until: when the worker is ended at the latest, in epoch seconds.
            now: epoch seconds.

        Returns:
            The record as written. None, and nothing is written, if there is no such chain, it is at another version, or
            a worker is at it.
        """
        ...

    def rest(self, chain: Chain, due_at: float, data: str) -> Chain | None:
        """End a step: the record one version on, with no worker at it.

        Returns:
            The record as written. None, and nothing is written, if it is at another version than `chain`, or was asked
            for since.
        """
        ...

    def end(self, chain: Chain) -> bool:
        """Delete a chain; False, and it stays, if it is at another version than `chain` or was asked for since."""
        ...

    def ask(self, chain_id: str) -> Chain | None:
        """Note that a chain is asked for; the record as written, at the version that it had. None if there is none."""
        ...

    def assign(self, chain_id: str, assignment: str) -> Chain | None:
        """Set what a chain works on, and note that it is asked for; the rest is as it was. None if there is none."""
        ...

    def chain(self, chain_id: str) -> Chain | None:
        """A chain's record, if there is one."""
        ...

    def chains(self, kind: str) -> tuple[Chain, ...]:
        """Every chain of a kind, in the order of their ids."""
        ...
