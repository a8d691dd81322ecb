"""Witnesses sign checkpoints: what is stored and proved, and what a witness that misbehaves does not stop."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import select

from receiver import timeouts
from receiver.crypto import log_policy
from receiver.verifier import ed25519, public_forms
from receiver.worker import ledger_tasks
from storage import merkle
from storage.engine.database import Database
from storage.ledger import checkpoints, entries, forms, proofs, publication
from storage.tables.ledger import LEDGER_COSIGNATURES
from storage.transitions import restoring
from tests import witness
from tests.receiver.worker.proof.signing import LOG, POLL, Signing, running, until

pytestmark = pytest.mark.anyio
TIMING = timeouts.Timing(witness=POLL, witness_call=5, witness_backoff=POLL, witness_backoff_most=POLL, poll=POLL)


class Now(Signing):
    """Signing at the time of this machine, which the witness has too."""

    def clock(self) -> datetime:
        return datetime.now(UTC)  # noqa: DTZ


@contextlib.asynccontextmanager
async def witnessed(
    database: Database, *witnesses: witness.Witness, quorum: int | None = None, timing: timeouts.Timing = TIMING
) -> AsyncIterator[Signing]:
    """Sign and publish over a store with these witnesses, within the block."""
    with witness.running(*witnesses):
        listed = [log_policy.Witness(each.url, each.key.public) for each in witnesses]
        policy = log_policy.Policy([LOG.verifier], listed, quorum or log_policy.majority(len(listed)))
        made = Now(database, policy=policy)
        publishing = ledger_tasks.Publishing(policy, [LOG], None, timing, made.telemetry)
        async with running(*(work() for work in publishing.tasks(database, made.clock))):
            yield made


def named(count: int) -> list[witness.Witness]:
    return [witness.Witness(LOG.verifier, witness.Key(f"witness.test/{at}")) for at in range(count)]


async def lines(store: Database) -> list[tuple[int, str]]:
    rows = select(LEDGER_COSIGNATURES.c.size, LEDGER_COSIGNATURES.c.line)
    return await store.read(lambda connection: [tuple(row) for row in connection.execute(rows)])


async def proved(made: Signing, index: int) -> public_forms.Trust | None:
    """Return who vouches for an entry, by the policy that an auditor has; None while nobody does."""
    found = await made.store.read(proofs.prove, index)
    if found is None:
        return None
    proof = public_forms.parse_proof(found.proof.encode())
    public_forms.demand_included(found.leaf, proof)
    try:
        policy = public_forms.parse_policy(made.policy.text.encode())
        return public_forms.trust(proof.checkpoint, policy, ed25519.verify)
    except public_forms.Refused:
        return None


async def test_each_entry_is_proved_with_the_signatures_of_the_quorum(database: Database) -> None:
    first, second, third = named(3)
    third.fault = "down"
    async with witnessed(database, first, second, third) as made:
        for count, last in ((1, 0), (300, 300), (5, 305)):
            await made.append(count)
            trust = await until(partial(proved, made, last))
            assert set(trust.witnesses) == {first.key.public.title, second.key.public.title}
        report = await until(lambda: made.report(f"{publication.WITNESS}{third.key.public.title}"))
    assert "it answered 500" in report.problem
    assert first.seen is not None
    assert (first.size, second.size, third.size) == (306, 306, 0)


async def test_while_entries_come_an_auditor_gets_the_checkpoint_that_the_quorum_has_signed(
    database: Database,
) -> None:
    (one,) = named(1)
    async with witnessed(database, one) as made:
        await made.append(3)
        await until(lambda: proved(made, 2))
        one.fault = "down"
        await made.append(4)
        await until(lambda: _signed(made, 7))
        assert await proved(made, 1) is not None
        assert await proved(made, 6) is None
        one.fault = ""
        await until(lambda: proved(made, 6))


async def _signed(made: Signing, size: int) -> bool:
    newest = await made.store.read(checkpoints.newest)
    return newest is not None and newest.size == size


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("down", "it answered 500"),
        ("forbidden", "it answered 403 (it does not know the key of this ledger): unknown key"),
        ("garbage", "its answer is not UTF-8"),
        ("large", "its answer has more than 65536 bytes"),
        ("slow", "it did not answer in time"),
        ("other key", "no signature of its key"),
        ("long ago", "it signed with the time 1970-01-01"),
        ("never right", "it names another size each time"),
    ],
)
async def test_a_witness_that_misbehaves_is_reported_once_and_stops_no_signing(
    database: Database, fault: str, said: str
) -> None:
    (one,) = named(1)
    one.fault = fault
    timing = replace(TIMING, witness_call=0.2 if fault == "slow" else 5)
    async with witnessed(database, one, timing=timing) as made:
        await made.append(2)
        await until(lambda: _asked(one, 4))
        await until(lambda: _signed(made, 2))
        report = await until(lambda: made.report(f"{publication.WITNESS}{one.key.public.title}"))
        assert said in report.problem
        assert await lines(database) == []
        one.fault = ""
        await until(lambda: proved(made, 1))
    (line,) = [line for line in made.lines if line["event"] == "ledger_witness_failed"]
    assert line["level"] == "warning"


async def _asked(one: witness.Witness, times: int) -> bool:
    return len(one.asked) >= times


async def test_a_witness_that_signed_before_says_from_where_the_proof_goes_on(database: Database) -> None:
    (one,) = named(1)
    async with witnessed(database, one) as made:
        await made.append(5)
        await until(lambda: proved(made, 4))
    await database.write(lambda connection: connection.execute(LEDGER_COSIGNATURES.delete()))
    async with witnessed(database, one) as made:
        await made.append(4)
        await until(lambda: proved(made, 8))
    assert (5, 9) in one.asked


async def test_a_store_that_is_older_than_a_witness_signs_nothing(database: Database) -> None:
    (one,) = named(1)
    async with witnessed(database, one) as made:
        await made.append(2)
        await until(lambda: proved(made, 1))
    text = forms.checkpoint_text(LOG.name, 7, merkle.root([b"x" * 32]))
    one.seen = public_forms.parse_checkpoint(forms.signed(text, [LOG.line(text)]).encode())
    async with witnessed(database, one) as made:
        await made.append(1)
        report = await until(lambda: made.report(publication.SIGNING))
        await until(lambda: _has_stopped(made))
        assert await _signed(made, 2)
    assert report.problem is None or "has a checkpoint of 7 entries, and this store has signed 2" in report.problem


async def _has_stopped(made: Signing) -> bool:
    report = await made.report(publication.SIGNING)
    return report is not None and report.problem is not None


async def test_a_restored_copy_is_signed_only_once_its_witness_answers(database: Database) -> None:
    (one,) = named(1)
    async with witnessed(database, one) as made:
        await made.append(2)
        await until(lambda: proved(made, 1))
    one.fault = "down"
    await database.write(restoring.mark_restored, made.clock())
    await database.write(entries.number, 10)
    async with witnessed(database, one) as made:
        await until(lambda: _has_stopped(made))
        assert await _signed(made, 2)
        one.fault = ""
        await until(lambda: proved(made, 2))


async def test_a_signature_by_ml_dsa_is_kept_and_counts_for_nothing(database: Database) -> None:
    (one,) = named(1)
    value = b"idid" + (7).to_bytes(8, "big") + b"s" * 2420
    one.more = [
        f"\u2014 {one.key.name} {base64.b64encode(value).decode()}",
        f"\u2014 another {base64.b64encode(value).decode()}",
        "no line at all",
    ]
    async with witnessed(database, one) as made:
        await made.append(1)
        trust = await until(lambda: proved(made, 0))
    assert list(trust.witnesses) == [one.key.public.title]
    kept = {line for _, line in await lines(database)}
    assert one.more[0] in kept
    assert len(kept) == 2
