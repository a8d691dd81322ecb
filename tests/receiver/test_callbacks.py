"""The endpoint for events in process: what is answered while its secrets are in trouble."""

from __future__ import annotations

import base64
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2 as httpx
import pytest

from receiver import admission, app, backoff, clock, settings, signatures, tokens, vault
from storage import database, ids, transitions, webhooks

pytestmark = pytest.mark.anyio

KEY = b"the key of the endpoint"
GOOD = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"id":"evt_1","type":"webhook.test","data":{}}'


@asynccontextmanager
async def served(folder: Path, secrets: str, failures: int = 100) -> AsyncIterator[httpx.AsyncClient]:
    """A server with these webhook secrets in its settings, and a client of it that may fail so often."""
    given = settings.load(env_file=None, data_dir=folder, webhook_secrets=secrets, log_level="error")
    # The secrets are looked at once at the start; then a request alone is a reason to.
    bounds = admission.Bounds(failures=failures, seconds=3600)
    seams = app.Seams(timing=backoff.Timing(secrets=3600), bounds=bounds)
    ledger = app.create_app(given, seams=seams, with_worker=False)
    transport = httpx.ASGITransport(app=ledger)
    async with ledger.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://ledger.test") as client:
        yield client


async def post(client: httpx.AsyncClient, key: bytes) -> httpx.Response:
    """An event that is signed with this key."""
    at = str(int(time.time()))
    headers = {
        signatures.ID_HEADER: "dlv_1",
        signatures.TIMESTAMP_HEADER: at,
        signatures.SIGNATURE_HEADER: signatures.sign(key, "dlv_1", at, BODY),
    }
    return await client.post("/webhooks/case", content=BODY, headers=headers)


async def registered_elsewhere(folder: Path, key: bytes) -> None:
    """Another process stores this secret of an endpoint, as `webhooks register` does."""
    given, now = settings.load(env_file=None, data_dir=folder), clock.now()
    text = "whsec_" + base64.b64encode(key).decode()
    sealed = vault.Vault(settings.signing_keys(given)).seal(text, now)
    learned = transitions.Learned(webhooks.Secret(ids.new(now), "row", sealed, now), "whe_1", None)
    async with database.Database(given.url) as store:
        await store.write(transitions.request_secret, "row", "https://ledger.test/webhooks/case", now)
        await store.write(transitions.learn_secret, learned, now)


async def test_a_forgery_is_turned_away_for_good(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        assert [(await post(client, key)).status_code for key in (KEY, b"another")] == [200, 401]


async def test_without_any_secret_an_event_is_to_come_again(tmp_path: Path) -> None:
    async with served(tmp_path, "") as client:
        answer = await post(client, KEY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_beside_a_secret_that_does_not_decode_the_others_verify_as_ever(tmp_path: Path) -> None:
    """What none of them has signed may be its own: it is to come again, and nothing else suffers."""
    async with served(tmp_path, f"whsec_no!base64 {GOOD}") as client:
        assert (await post(client, KEY)).status_code == 200
        answer = await post(client, b"another")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert (await client.get("/healthz")).status_code == 200


async def test_what_is_signed_with_a_secret_unknown_to_this_process_is_looked_up_before_it_is_judged(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, GOOD) as client:
        assert (await post(client, b"another")).status_code == 401
        await registered_elsewhere(tmp_path, b"another")
        assert (await post(client, b"another")).status_code == 200


async def test_a_request_without_a_signature_is_turned_away(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        assert (await client.post("/webhooks/case", content=BODY)).status_code == 401


async def test_from_where_too_many_did_not_verify_a_forgery_is_429_and_the_genuine_is_taken(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, GOOD, failures=2) as client:
        answers = [await post(client, key) for key in (b"another", b"another", b"another", KEY)]
        assert [answer.status_code for answer in answers] == [401, 401, 429, 200]
        assert answers[2].headers["retry-after"] == "10"


async def test_a_secret_that_is_not_known_here_yet_loses_nothing_where_too_many_did_not_verify(
    tmp_path: Path,
) -> None:
    """429 comes again, and by then the secrets were looked at; an answer of 401 would have been the last word."""
    async with served(tmp_path, GOOD, failures=1) as client:
        assert (await post(client, b"another")).status_code == 401
        await registered_elsewhere(tmp_path, b"another")
        assert (await post(client, b"another")).status_code == 429


async def test_an_unsigned_event_from_where_too_many_did_not_verify_is_not_even_read(tmp_path: Path) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    async with served(tmp_path, GOOD, failures=0) as client:
        answer = await client.post("/webhooks/case", content=unread())
        assert (answer.status_code, answer.headers["connection"]) == (429, "close")


async def test_unknown_addresses_and_keys_are_at_the_expense_of_the_same_bucket(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, failures=2) as client:
        bad = {"Authorization": f"Bearer rl_0_{'A' * 43}"}
        first = [(await client.get("/v1/runs", headers=bad)).status_code for _ in range(3)]
        assert first == [401, 401, 429]
        assert (await client.post("/callbacks/nonsense")).status_code == 429
        assert (await client.get("/v1/runs")).status_code == 401, "who has no key at all costs nothing"


async def test_a_callback_is_taken_from_where_too_many_did_not_verify(tmp_path: Path) -> None:
    given = settings.load(env_file=None, data_dir=tmp_path)
    token = tokens.Signer(settings.signing_keys(given)).token("0" * 32)
    async with served(tmp_path, GOOD, failures=0) as client:
        assert (await client.post("/callbacks/nonsense")).status_code == 429
        assert (await client.post(f"/callbacks/{token}", content=b"{}")).status_code == 200


async def test_what_is_turned_away_as_one_too_many_is_counted_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, failures=1) as client:
        for _ in range(5):
            await post(client, b"another")
    found = "SELECT count(*), (SELECT count FROM rejections WHERE cause = 'bad signature') FROM deliveries"
    with closing(sqlite3.connect(tmp_path / "runledger.db")) as file:
        assert file.execute(found).fetchall() == [(1, 5)]
