"""The SendClaims port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Mapping

from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.ledger import Ledger
from sluice.ports.ledger.send_claims import SEND_CLAIM_KEPT_S
from sluice.redriving.sending_claims import claims_by
from tests.integration.ledger.samples import AT, FLEET


def batch_claim(*ids: str, name: str = "c-1", sent: tuple[str, ...] = (), at: float = AT) -> BatchClaimRecord:
    """A batch claim of these messages."""
    return BatchClaimRecord(FLEET, name, at, at + 60, ids, sent)


def claimed_batch(ledger: Ledger, record: BatchClaimRecord, again: bool = False) -> Mapping[str, Claim]:
    """What a batch claim grants: it is written, and then others' claims are read."""
    ledger.send_claims.record_batch_claim(record)
    return claims_by(record, ledger.send_claims, again)


def test_retry_is_granted_once(ledger: Ledger) -> None:
    """While the claimant is at it, everyone else is told so, message by message."""
    assert ledger.send_claims.claim_sends(FLEET, ["a", "b"], AT + 60, AT) == {"a": Claim.GRANTED, "b": Claim.GRANTED}
    assert ledger.send_claims.claim_sends(FLEET, ["b", "c"], AT + 61, AT + 1) == {"b": Claim.BUSY, "c": Claim.GRANTED}
    assert ledger.send_claims.claim_sends("other", ["a"], AT + 61, AT + 1) == {"a": Claim.GRANTED}


def test_retry_is_sent_when_confirmed(ledger: Ledger) -> None:
    """What was sent stays sent, also after the claimant's time, also when an operator asks again."""
    ledger.send_claims.claim_sends(FLEET, ["a"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["a"], AT + 1)
    assert ledger.send_claims.claim_sends(FLEET, ["a"], AT + 999, AT + 100) == {"a": Claim.SENT}
    assert ledger.send_claims.claim_sends(FLEET, ["a"], AT + 999, AT + 100, again=True) == {"a": Claim.SENT}


def test_retry_is_doubtful_when_its_claimant_is_gone(ledger: Ledger) -> None:
    """It may have been sent: only an operator's request grants it again, and only once."""
    ledger.send_claims.claim_sends(FLEET, ["a"], AT + 60, AT)
    assert ledger.send_claims.claim_sends(FLEET, ["a"], AT + 120, AT + 60) == {"a": Claim.DOUBTFUL}
    assert ledger.send_claims.claim_sends(FLEET, ["a"], AT + 120, AT + 60, again=True) == {"a": Claim.GRANTED}
    assert ledger.send_claims.claim_sends(FLEET, ["a"], AT + 130, AT + 70, again=True) == {"a": Claim.BUSY}


def test_retry_is_free_when_released(ledger: Ledger) -> None:
    """What was surely not sent can be claimed again; what was sent cannot be released."""
    ledger.send_claims.claim_sends(FLEET, ["a", "b"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["b"], AT)
    ledger.send_claims.release_sends(FLEET, ["a", "b", "never claimed"])
    assert ledger.send_claims.claim_sends(FLEET, ["a", "b"], AT + 61, AT + 1) == {"a": Claim.GRANTED, "b": Claim.SENT}


def test_retry_is_free_when_no_copy_can_be_left(ledger: Ledger) -> None:
    """A mark is good for as long as a copy of the message may be in a queue, and no longer."""
    ledger.send_claims.claim_sends(FLEET, ["a"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["a"], AT)
    later = AT + SEND_CLAIM_KEPT_S + 1
    assert ledger.send_claims.claim_sends(FLEET, ["a"], later, later - 2) == {"a": Claim.SENT}
    assert ledger.send_claims.claim_sends(FLEET, ["a"], later + 60, later) == {"a": Claim.GRANTED}


def test_many_retries_are_claimed_confirmed_and_released_at_once(ledger: Ledger) -> None:
    """More than a transaction holds, some of them another's: each by itself, as one would be."""
    many = [f"m-{n:03d}" for n in range(230)]
    ledger.send_claims.claim_sends(FLEET, many[100:103], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, many[102:103], AT)
    claims = ledger.send_claims.claim_sends(FLEET, many, AT + 61, AT + 1)
    assert {m for m in many if claims[m] is not Claim.GRANTED} == set(many[100:103])
    assert [claims[m] for m in many[100:103]] == [Claim.BUSY, Claim.BUSY, Claim.SENT]
    ledger.send_claims.confirm_sends(FLEET, many[103:], AT + 2)
    ledger.send_claims.release_sends(FLEET, many)
    again = ledger.send_claims.claim_sends(FLEET, many, AT + 62, AT + 2)
    assert {m for m in many if again[m] is Claim.SENT} == set(many[102:])
    assert {m for m in many if again[m] is Claim.GRANTED} == set(many[:102])


def test_marks_are_told_without_a_claim(ledger: Ledger) -> None:
    """Those that have one; asking changes nothing."""
    ledger.send_claims.claim_sends(FLEET, ["a", "b", "c"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["b"], AT)
    for _ in range(2):
        assert ledger.send_claims.claims_of(FLEET, ["a", "b", "d"], AT + 1) == {"a": Claim.BUSY, "b": Claim.SENT}
    assert ledger.send_claims.claims_of(FLEET, ["a", "b"], AT + 61) == {"a": Claim.DOUBTFUL, "b": Claim.SENT}
    assert ledger.send_claims.claims_of(FLEET, ["a"], AT + SEND_CLAIM_KEPT_S + 1) == {}
    assert ledger.send_claims.claims_of("other", ["a"], AT + 1) == {}
    assert ledger.send_claims.claims_of(FLEET, [], AT + 1) == {}


def test_batch_claim_is_granted_once(ledger: Ledger) -> None:
    """What one record claims, no other claim gets, of whichever kind; what another has, it does not get."""
    ledger.send_claims.claim_sends(FLEET, ["b", "c"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["c"], AT)
    claims = claimed_batch(ledger, batch_claim("a", "b", "c", "d"))
    assert claims == {"a": Claim.GRANTED, "b": Claim.BUSY, "c": Claim.SENT, "d": Claim.GRANTED}
    assert claimed_batch(ledger, batch_claim("d", "e", name="c-2")) == {"d": Claim.BUSY, "e": Claim.GRANTED}
    assert ledger.send_claims.claim_sends(FLEET, ["a", "f"], AT + 60, AT) == {"a": Claim.BUSY, "f": Claim.GRANTED}
    assert ledger.send_claims.claims_of(FLEET, ["a", "c", "e"], AT) == {
        "a": Claim.BUSY,
        "c": Claim.SENT,
        "e": Claim.BUSY,
    }


def test_batch_claim_says_what_was_sent_when_it_is_settled(ledger: Ledger) -> None:
    """What it no longer names is free; what may have been sent is in doubt once its claimant is gone."""
    claimed_batch(ledger, batch_claim("a", "b", "c"))
    ledger.send_claims.record_batch_claim(batch_claim("b", sent=("a",)))
    assert ledger.send_claims.claim_sends(FLEET, ["a", "b", "c"], AT + 130, AT + 70) == {
        "a": Claim.SENT, "b": Claim.DOUBTFUL, "c": Claim.GRANTED,
    }  # fmt: skip
    ledger.send_claims.release_sends(FLEET, ["a", "b", "c"])
    assert claimed_batch(ledger, batch_claim("a", "b", name="c-2", at=AT + 70), again=True) == {
        "a": Claim.SENT, "b": Claim.GRANTED,
    }  # fmt: skip


def test_batch_claim_is_forgotten_when_it_names_nothing(ledger: Ledger) -> None:
    """And by itself, once no copy of its messages can be in a queue."""
    claimed_batch(ledger, batch_claim("a"))
    ledger.send_claims.record_batch_claim(batch_claim())
    assert ledger.send_claims.claims_of(FLEET, ["a"], AT) == {}
    ledger.send_claims.record_batch_claim(batch_claim(sent=("a",)))
    later = AT + SEND_CLAIM_KEPT_S + 1
    assert ledger.send_claims.claim_sends(FLEET, ["a"], later, later - 2) == {"a": Claim.SENT}
    assert ledger.send_claims.claim_sends(FLEET, ["a"], later + 60, later) == {"a": Claim.GRANTED}


def test_batch_claim_sees_the_marks_when_there_are_many(ledger: Ledger) -> None:
    """Above a few hundred its messages' own marks are asked for; the answer is the same."""
    many = [f"m-{n:03d}" for n in range(450)]
    ledger.send_claims.claim_sends(FLEET, many, AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, many[400:], AT)
    claims = claimed_batch(ledger, batch_claim("a", many[0], many[449]))
    assert claims == {"a": Claim.GRANTED, many[0]: Claim.BUSY, many[449]: Claim.SENT}
