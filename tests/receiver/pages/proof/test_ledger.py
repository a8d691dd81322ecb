"""The page of the ledger, and the proofs of a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert

from receiver.crypto import log_keys, log_policy
from receiver.verifier import ed25519, public_forms
from receiver.web import operations
from storage.engine.database import Database
from storage.ledger import checkpoints, entries, publication
from storage.tables.ledger import LEDGER_COSIGNATURES
from tests import life, witness
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio
LOG = log_keys.new("runledger.test/ledger")
SEEN, SILENT = (
    log_policy.Witness(f"https://{name}.test", witness.Key(name).public) for name in ("seen", "silent")
)
POLICY = log_policy.Policy([LOG.verifier], [SEEN, SILENT], 1)


@pytest.fixture
async def browser(database: Database) -> AsyncIterator[Browser]:
    async for made in browsing.opened(database, ledger=operations.Ledger(POLICY)):
        await made.sign_in()
        yield made


async def sign(store: Database, *witnesses: log_policy.Witness) -> checkpoints.Checkpoint:
    await store.write(entries.number, 1000)
    made = await store.write(checkpoints.sign_next, LOG.name, lambda text: [LOG.line(text)], life.NOW)
    assert made is not None
    given = {"size": made.size, "line": "— seen.test x", "received_at": life.at(60)}
    rows = [{**given, "witness": each.key.text} for each in witnesses]
    await store.write(lambda connection: rows and connection.execute(insert(LEDGER_COSIGNATURES), rows))
    return made


async def test_the_page_has_the_checkpoint_the_policy_and_the_witnesses(browser: Browser) -> None:
    await life.settled_run(browser.database)
    made = await sign(browser.database, SEEN)
    said = await browser.text("/ledger")
    for each in ("all of them", made.root.hex(), POLICY.text.split("\n")[0], "1 of 2 have to sign", "never"):
        assert each in said
    assert "— seen.test x" in said


async def test_entries_are_listed_in_words_newest_first_and_page_by_page(browser: Browser) -> None:
    for _ in range(30):
        await life.queued(browser.database)
    await browser.database.write(entries.number, 1000)
    page = (await browser.get("/ledger")).text
    said = browsing.seen(page)
    assert said.index("The upstream created it") < said.index("The run was accepted and stored")
    older = page.partition("/ledger?before=")[2].partition('"')[0]
    assert f"entry-{int(older) - 1}" in (await browser.get(f"/ledger?before={older}")).text
    assert "An API key was made" in await browser.text(f"/ledger?before={older}")
    assert "No entry here" in await browser.text("/ledger?before=0")
    await browser.get("/ledger?before=x", 404)


async def test_before_the_first_checkpoint_the_page_says_when_one_comes(browser: Browser) -> None:
    assert "A server signs one a second after the first entry" in await browser.text("/ledger")


async def test_a_place_without_checkpoints_is_named_with_its_problem(browser: Browser) -> None:
    where, problem = publication.FOLDER, "no room is left"
    await browser.database.write(publication.failed, where, LOG.name, problem, life.NOW)
    expected = "Checkpoints of the ledger are not written to their folder: no room is left."
    assert expected in await browser.text("/ledger")


async def test_the_page_has_the_outcome_of_the_last_verification(browser: Browser) -> None:
    store, where = browser.database, publication.VERIFICATION
    assert "Last verification, UTC never" in await browser.text("/ledger")
    await store.write(publication.reached, where, LOG.name, 4, life.at(60))
    assert "Last verification, UTC no breaks, 12:01" in await browser.text("/ledger")
    await store.write(publication.failed, where, LOG.name, "2 breaks: row_changed 2", life.at(120))
    said = await browser.text("/ledger")
    assert "Last verification, UTC 2 breaks, found 12:02" in said
    assert "found 2 breaks: row_changed 2; runledger ledger verify names each" in said


async def test_a_run_shows_which_of_its_entries_are_signed(browser: Browser) -> None:
    run = await life.running(browser.database)
    assert "not yet" in await browser.text(f"/runs/{run.id}?tab=proof")
    await sign(browser.database)
    said = await browser.text(f"/runs/{run.id}?tab=proof")
    assert ("signed" in said, "not yet" in said) == (True, False)
    assert f"runledger receipt {run.id} --to receipt" in said
    assert "Download the evidence" in said


async def test_the_receipt_of_a_run_is_a_file_that_others_check(browser: Browser) -> None:
    run = await life.settled_run(browser.database)
    await sign(browser.database)
    sent = await browser.get(f"/runs/{run.upstream_id}/receipt.json")
    assert sent.headers["content-disposition"] == f'attachment; filename="receipt-{run.id}.json"'
    found = json.loads(sent.text)
    trusted = dataclasses.replace(POLICY, witnesses=(), quorum=0)
    for entry in found["entries"]:
        proof = public_forms.parse_proof(entry["proof"].encode())
        public_forms.trust(proof.checkpoint, public_forms.parse_policy(trusted.text.encode()), ed25519.verify)
        public_forms.demand_included(entry["leaf"].encode(), proof)
    assert (found["run"], found["policy"]) == (run.id, POLICY.text)
    await browser.get("/runs/no/receipt.json", 404)
