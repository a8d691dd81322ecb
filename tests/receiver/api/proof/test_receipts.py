"""Receipts of runs over HTTP, checked by the auditor's verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from receiver.crypto import log_keys, log_policy
from receiver.verifier import ed25519, public_forms
from receiver.web import operations
from storage.engine.database import Database
from storage.ledger import checkpoints, entries
from storage.transitions import submitting
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio
LOG = log_keys.new("runledger.test/ledger")


@pytest.fixture
async def deployment(database: Database) -> AsyncIterator[Deployment]:
    async for made in app_fixture.opened(database, ledger=operations.Ledger(log_policy.Policy([LOG.verifier]))):
        yield made


async def sign(store: Database) -> None:
    await store.write(entries.number, 1000)
    await store.write(checkpoints.sign_next, LOG.name, lambda text: [LOG.line(text)], life.NOW)


async def test_each_entry_of_a_run_has_its_proof(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    await sign(deployment.database)
    found = (await deployment.get(f"/v1/runs/{run.upstream_id}/receipt")).json()
    policy = public_forms.parse_policy(found["policy"].encode())
    for entry in found["entries"]:
        proof = public_forms.parse_proof(entry["proof"].encode())
        public_forms.trust(proof.checkpoint, policy, ed25519.verify)
        public_forms.demand_included(entry["leaf"].encode(), proof)
        assert proof.index == entry["number"]
    assert len(found["entries"]) == len(await life.ledger_kinds(deployment.database, run.id))
    assert (found["run"], found["keys"], found["pending"], found["note"]) == (run.id, [LOG.verifier_key], 0, None)


async def test_entries_that_no_checkpoint_has_are_pending_and_the_answer_says_what_to_do(
    deployment: Deployment,
) -> None:
    run = await life.queued(deployment.database)
    found = (await deployment.get(f"/v1/runs/{run.id}/receipt")).json()
    assert [entry["proof"] for entry in found["entries"]] == [None, None]
    assert found["pending"] == 2
    assert "ask again in a second" in found["note"]


async def test_a_receipt_comes_page_by_page(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database)
    for place in range(5):
        tags = {"place": str(place)}
        await deployment.database.write(submitting.change_tags, run.id, tags, "key:backend", life.at(place))
    await sign(deployment.database)
    numbers, address = [], f"/v1/runs/{run.id}/receipt?limit=4"
    page = (await deployment.get(address)).json()
    numbers += [entry["number"] for entry in page["entries"]]
    page = (await deployment.get(f"{address}&cursor={page['nextCursor']}")).json()
    numbers += [entry["number"] for entry in page["entries"]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6
    assert not page["hasMore"]


async def test_a_run_that_is_unknown_has_no_receipt(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/runs/run_nobody/receipt"), 404)
