"""The tree of the ledger over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from receiver.crypto import log_keys, log_policy
from receiver.verifier import ed25519, public_forms
from receiver.web import operations
from storage import merkle
from storage.engine.database import Database
from storage.ledger import checkpoints, entries
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio
LOG = log_keys.new("runledger.test/ledger")
POLICY = public_forms.parse_policy(f"log {LOG.verifier_key}\nquorum none\n".encode())


@pytest.fixture
async def open_deployment(database: Database) -> AsyncIterator[Deployment]:
    """Yield a deployment whose ledger anybody may read."""
    ledger = operations.Ledger(log_policy.Policy([LOG.verifier]), is_open=True)
    async for made in app_fixture.opened(database, ledger=ledger):
        yield made


async def sign(store: Database, count: int = 0) -> None:
    """Append so many entries, number all, and sign a checkpoint."""
    entry = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, None, "worker", {"via": "exec"})
    await store.write(entries.append, [entry] * count)
    await store.write(entries.number, 1000)
    await store.write(checkpoints.sign_next, LOG.name, lambda text: [LOG.line(text)], life.NOW)


async def test_a_checkpoint_is_the_note_alone_and_is_signed_by_the_key(open_deployment: Deployment) -> None:
    await sign(open_deployment.database)
    answer = await open_deployment.client.get("/v1/ledger/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    found = public_forms.parse_checkpoint(answer.content)
    assert public_forms.trust(found, POLICY, ed25519.verify).logs == [LOG.name]
    assert (await open_deployment.client.get("/v1/ledger/key")).text == f"{LOG.verifier_key}\n"
    policy = await open_deployment.client.get("/v1/ledger/policy")
    assert public_forms.parse_policy(policy.content) == POLICY


async def test_tiles_have_the_hashes_and_the_entries(open_deployment: Deployment) -> None:
    await sign(open_deployment.database, 300)
    get = open_deployment.client.get
    whole, above = await get("/v1/ledger/tile/0/000"), await get("/v1/ledger/tile/1/000.p/1")
    assert whole.headers["cache-control"] == "public, max-age=31536000, immutable"
    leaves = [whole.content[at : at + 32] for at in range(0, 256 * 32, 32)]
    assert above.content == merkle.root(leaves)
    bundle = (await get("/v1/ledger/tile/entries/000")).content
    size = int.from_bytes(bundle[:2], "big")
    assert merkle.leaf_hash(bundle[2 : 2 + size]) == leaves[0]


@pytest.mark.parametrize(
    "path",
    ["0/000.p/256", "0/00", "0/1", "0/x000/000", "0/001.p/299", "64/000", "-1/000", "entries", "0/000.p/0", "a"],
)
async def test_what_is_no_tile_of_the_checkpoint_is_not_found(open_deployment: Deployment, path: str) -> None:
    await sign(open_deployment.database, 300)
    problem(await open_deployment.client.get(f"/v1/ledger/tile/{path}"), 404)


async def test_without_a_checkpoint_the_answer_says_when_one_comes(open_deployment: Deployment) -> None:
    answer = await open_deployment.client.get("/v1/ledger/checkpoint")
    assert "a second after an entry" in problem(answer, 404)["detail"]


@pytest.mark.parametrize("path", ["checkpoint", "key", "policy", "tile/0/000.p/1"])
async def test_a_ledger_that_is_not_open_needs_a_key_that_reads(deployment: Deployment, path: str) -> None:
    await sign(deployment.database)
    problem(await deployment.client.get(f"/v1/ledger/{path}"), 401)
    problem(await deployment.get(f"/v1/ledger/{path}", "submit"), 403)
    answer = await deployment.get(f"/v1/ledger/{path}")
    assert answer.headers["cache-control"].startswith("private")
