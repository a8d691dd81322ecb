"""The endpoint for events in process: its answers while its secrets are in trouble."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from receiver import app, clock, settings, signing_keys, timeouts
from receiver.crypto import secret_box, signatures, tokens
from receiver.inbound import requests
from receiver.web import request_limits
from storage import ids
from storage.engine import database
from storage.repositories import webhook_endpoints
from storage.transitions import webhook_changes
from tests import life

pytestmark = pytest.mark.anyio

KEY = b"the key of this very endpoint"
OTHER = b"the key of another endpoint"
GOOD = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"id":"evt_1","type":"webhook.test","data":{}}'


@asynccontextmanager
async def served(
    folder: Path, secrets: str, failures: int = 100, root: str = "", **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a server with these webhook secrets in its settings, and a client that may fail so often."""
    given = settings.load(env_file=None, data_dir=folder, webhook_secrets=secrets, log_level="error", **more)
    # The secrets are looked at once at the start; then a request alone is a reason to.
    bounds = request_limits.Bounds(failures=failures, seconds=3600)
    overrides = app.Overrides(timing=timeouts.Timing(secrets=3600), bounds=bounds)
    ledger = app.create_app(given, overrides=overrides, with_worker=False)
    transport = httpx.ASGITransport(app=ledger, root_path=root)
    async with ledger.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://ledger.test") as client:
        yield client


def signed(key: bytes = KEY, body: bytes = BODY, at: str = "", delivery: str = "dlv_1") -> dict[str, str]:
    """Return the headers of an event that is signed with this key."""
    at = at or str(int(time.time()))
    return {
        signatures.ID_HEADER: delivery,
        signatures.TIMESTAMP_HEADER: at,
        signatures.SIGNATURE_HEADER: signatures.sign(key, delivery, at, body),
    }


async def post(client: httpx.AsyncClient, key: bytes) -> httpx.Response:
    """Post an event that is signed with this key."""
    return await client.post("/webhooks/case", content=BODY, headers=signed(key))


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield a body whose length is not announced."""
    for piece in pieces:
        yield piece


def rows(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    """Return rows of a server's database."""
    with closing(sqlite3.connect(folder / "runledger.db")) as file:
        return file.execute(statement).fetchall()


def token(folder: Path) -> str:
    """Return the token of an unknown run."""
    return tokens.Signer(signing_keys.of_addresses(settings.load(env_file=None, data_dir=folder))).token("0" * 32)


async def registered_elsewhere(folder: Path, key: bytes) -> None:
    """Store a secret of an endpoint from another process, as `webhooks register` does."""
    given, now = settings.load(env_file=None, data_dir=folder), clock.now()
    text = "whsec_" + base64.b64encode(key).decode()
    sealed = secret_box.SecretBox(signing_keys.of_addresses(given)).seal(text, now)
    async with database.Database(given.url) as store:
        _, fence = await life.request_secret(store, "row", "https://ledger.test/webhooks/case", now)
        secret = webhook_endpoints.Secret(ids.new(now), "row", sealed, now, fence=fence)
        await store.write(webhook_changes.store_secret, webhook_changes.NewSecret(secret, "whe_1", None), now)


async def test_a_forgery_is_turned_away_for_good(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        assert [(await post(client, key)).status_code for key in (KEY, OTHER)] == [200, 401]


async def test_a_body_that_a_later_secret_may_verify_is_kept_whole(tmp_path: Path) -> None:
    body = BODY + b" " * requests.REJECTED_BYTES
    async with served(tmp_path, GOOD) as client:
        await client.post("/webhooks/case", content=body, headers=signed(OTHER, body))
    assert rows(tmp_path, "SELECT reason, length(body) FROM deliveries") == [("bad signature", len(body))]


async def test_without_any_secret_an_event_is_to_come_again(tmp_path: Path) -> None:
    async with served(tmp_path, "") as client:
        answer = await post(client, KEY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_beside_a_secret_that_does_not_decode_the_others_verify_as_ever(tmp_path: Path) -> None:
    """What none of them has signed may be its own: it is to come again, and nothing else suffers."""
    async with served(tmp_path, f"whsec_no!base64 {GOOD}") as client:
        assert (await post(client, KEY)).status_code == 200
        answer = await post(client, OTHER)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert (await client.get("/healthz")).status_code == 200


async def test_what_is_signed_with_a_secret_unknown_to_this_process_is_looked_up_before_it_is_judged(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, GOOD) as client:
        assert (await post(client, OTHER)).status_code == 401
        await registered_elsewhere(tmp_path, OTHER)
        assert (await post(client, OTHER)).status_code == 200


async def test_a_request_without_a_signature_is_turned_away(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        assert (await client.post("/webhooks/case", content=BODY)).status_code == 401


async def test_after_too_many_failures_of_an_address_a_signed_forgery_is_503_and_a_genuine_event_is_accepted(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, GOOD, failures=2) as client:
        answers = [await post(client, key) for key in (OTHER, OTHER, OTHER, KEY)]
        assert [answer.status_code for answer in answers] == [401, 401, 503, 200]
        assert answers[2].headers["retry-after"] == "10"


async def test_a_secret_that_is_not_known_here_yet_loses_nothing_where_too_many_did_not_verify(
    tmp_path: Path,
) -> None:
    """503 comes again, and by then the secrets were looked at; any answer of 4xx might be the last word."""
    async with served(tmp_path, GOOD, failures=1) as client:
        assert (await post(client, OTHER)).status_code == 401
        await registered_elsewhere(tmp_path, OTHER)
        assert (await post(client, OTHER)).status_code == 503


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
        assert (await client.get("/v1/runs")).status_code == 401, "a request without a key costs nothing"


async def test_a_callback_is_accepted_from_an_address_with_too_many_failures(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, failures=0) as client:
        assert (await client.post("/callbacks/nonsense")).status_code == 429
        assert (await client.post(f"/callbacks/{token(tmp_path)}", content=b"{}")).status_code == 200


async def test_what_is_turned_away_as_one_too_many_is_counted_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, failures=1) as client:
        for _ in range(5):
            await post(client, OTHER)
    found = "SELECT count(*), (SELECT count FROM rejections WHERE cause = 'bad signature') FROM deliveries"
    assert rows(tmp_path, found) == [(1, 5)]


@pytest.mark.parametrize("form", ["{}", "{}000", "{}.25", " {}", '"{}"'])
async def test_a_signed_time_is_genuine_in_each_of_its_forms(tmp_path: Path, form: str) -> None:
    async with served(tmp_path, GOOD) as client:
        headers = signed(at=form.format(int(time.time())))
        assert (await client.post("/webhooks/case", content=BODY, headers=headers)).status_code == 200


async def test_a_signed_time_that_cannot_be_read_comes_again_until_its_event_is_known(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        headers = signed(at="soon")
        assert (await client.post("/webhooks/case", content=BODY, headers=headers)).status_code == 503
        await post(client, KEY)
        repeated = await client.post("/webhooks/case", content=BODY, headers=headers)
        assert (repeated.status_code, repeated.json()["verdict"]) == (200, "duplicate")


WHERE = "http://ledger.test"
EVENTS = (
    "/webhooks/case/", "//webhooks//case", "/webhooks%2Fcase", "/webhooks/c%2561se", "/Webhooks/CASE//",
    "/ledger/webhooks/case", "/webhooks/case?from=proxy",
)  # fmt: skip


@pytest.mark.parametrize("path", EVENTS)
async def test_an_event_is_accepted_on_any_path_that_proxies_make_of_it(tmp_path: Path, path: str) -> None:
    async with served(tmp_path, GOOD) as client:
        assert (await client.post(WHERE + path, content=BODY, headers=signed())).status_code == 200
        assert (await client.post(WHERE + path, content=BODY, headers=signed(OTHER))).status_code == 401


@pytest.mark.parametrize(
    "path", ["/callbacks/{}/", "//callbacks//{}", "/callbacks%2F{}", "/ledger/callbacks/{}", "/Callbacks/{}%20"]
)
async def test_a_callback_is_accepted_on_any_path_that_proxies_make_of_it(tmp_path: Path, path: str) -> None:
    async with served(tmp_path, GOOD) as client:
        spelled = WHERE + path.format(token(tmp_path).replace(".", "%252E"))
        assert (await client.post(spelled, content=b"{}")).status_code == 200
        assert (await client.post(path.format("nonsense"), content=b"{}")).status_code == 404
        assert (await client.request("HEAD", spelled)).status_code == 204


async def test_the_paths_hold_below_a_mount_too(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, root="/api/ledger") as client:
        for path in ("/api/ledger/webhooks/case/", "/api/ledger//webhooks/case"):
            assert (await client.post(path, content=BODY, headers=signed())).status_code == 200


LARGE = json.dumps({"id": "evt_2", "data": {"runId": "run_9", "note": "x" * 300_000}}).encode()


@pytest.mark.parametrize("is_declared", [True, False])
async def test_the_beginning_of_a_genuine_event_that_is_too_large_is_stored(
    tmp_path: Path, is_declared: bool
) -> None:
    body = LARGE if is_declared else in_pieces(LARGE[:700], LARGE[700:200_000], LARGE[200_000:])
    async with served(tmp_path, GOOD, body_limit=100_000) as client:
        answer = await client.post("/webhooks/case", content=body, headers=signed(body=LARGE))
        assert (answer.status_code, answer.json()["verdict"]) == (200, "accepted")
    ((kept, size, sha256, upstream_id, reason),) = rows(
        tmp_path, "SELECT body, size, body_sha256, upstream_id, reason FROM deliveries"
    )
    assert (kept, size, sha256) == (
        LARGE[: requests.TRUNCATED_BYTES],
        len(LARGE),
        hashlib.sha256(LARGE).hexdigest(),
    )
    assert (upstream_id, reason) == ("run_9", "the body is larger than the limit: its beginning is kept")


async def test_a_large_event_is_known_by_its_delivery(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, body_limit=1024) as client:
        answers = [
            await client.post("/webhooks/case", content=LARGE, headers=signed(body=LARGE, delivery=delivery))
            for delivery in ("dlv_1", "dlv_1", "dlv_2")
        ]
    assert [answer.json()["verdict"] for answer in answers] == ["accepted", "duplicate", "accepted"]


async def test_a_large_forgery_is_413_and_charged_to_its_sender(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, body_limit=1024, failures=2) as client:
        forged, late = signed(OTHER, LARGE), signed(body=LARGE, at="1000000000")
        statuses = [
            (await client.post("/webhooks/case", content=LARGE, headers=headers)).status_code
            for headers in ({}, forged, late, forged, forged, signed(body=LARGE))
        ]
    assert statuses == [413, 413, 503, 413, 503, 503], "what is signed is not even read where nothing is left"


async def test_a_large_event_is_signed_with_a_secret_that_is_looked_up(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, body_limit=1024) as client:
        await registered_elsewhere(tmp_path, OTHER)
        answer = await client.post("/webhooks/case", content=LARGE, headers=signed(OTHER, LARGE))
        assert answer.status_code == 200


async def test_what_is_larger_than_is_ever_read_comes_again(tmp_path: Path) -> None:
    length = {"content-length": str(requests.MAX_READ_BYTES + 1)}
    async with served(tmp_path, GOOD) as client:
        answer = await client.post("/webhooks/case", content=in_pieces(b"{"), headers=signed() | length)
        assert answer.status_code == 503
        path = f"/callbacks/{token(tmp_path)}"
        taken = await client.post(path, content=in_pieces(b"{"), headers=length)
        assert (taken.status_code, taken.headers["connection"]) == (200, "close"), "the rest is not waited for"


async def test_the_beginning_of_a_callback_that_is_too_large_is_stored(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, body_limit=1024) as client:
        answer = await client.post(f"/callbacks/{token(tmp_path)}", content=LARGE)
        assert (answer.status_code, answer.json()["verdict"]) == (200, "accepted")
    assert rows(tmp_path, "SELECT length(body), size FROM deliveries") == [(1024, len(LARGE))]


async def test_headers_of_others_never_hide_the_signature(tmp_path: Path) -> None:
    many = {"a-first": "x" * requests.HEADER_BYTES, "cookie": "y" * 5000}
    async with served(tmp_path, GOOD) as client:
        answer = await client.post("/webhooks/case", content=BODY, headers=many | signed())
        assert answer.status_code == 200
    ((kept,),) = rows(tmp_path, "SELECT headers FROM deliveries")
    assert set(json.loads(kept)) >= {
        signatures.ID_HEADER,
        signatures.TIMESTAMP_HEADER,
        signatures.SIGNATURE_HEADER,
    }


@pytest.mark.parametrize("delivery", ["", "d" * 5000, "a b", "\u00e9"])
async def test_an_event_without_an_id_is_identified_by_the_id_of_its_delivery(
    tmp_path: Path, delivery: str
) -> None:
    async with served(tmp_path, GOOD) as client:
        given = signed(body=b"[]", delivery=delivery)
        headers = {name.encode(): value.encode("latin-1") for name, value in given.items()}
        verdicts = [
            (await client.post("/webhooks/case", content=b"[]", headers=headers)).json()["verdict"] for _ in "12"
        ]
        other = await client.post("/webhooks/case", content=b"{}", headers=signed(body=b"{}", delivery="dlv_2"))
    assert [*verdicts, other.json()["verdict"]] == ["accepted", "duplicate", "accepted"]


async def test_an_event_without_an_id_is_the_same_where_a_proxy_duplicates_the_header(tmp_path: Path) -> None:
    doubled = dict(signed(body=b"[]")) | {signatures.ID_HEADER: "dlv_1, dlv_1"}
    async with served(tmp_path, GOOD) as client:
        answers = [
            await client.post("/webhooks/case", content=b"[]", headers=each)
            for each in (doubled, signed(body=b"[]"), doubled)
        ]
    assert [each.json()["verdict"] for each in answers] == ["accepted", "duplicate", "duplicate"]


async def test_events_with_an_empty_id_are_distinguished_by_their_bodies(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        answers = [
            await client.post("/webhooks/case", content=body, headers=signed(body=body, delivery=""))
            for body in (b"[1]", b"[2]", b"[1]")
        ]
    assert [each.json()["verdict"] for each in answers] == ["accepted", "accepted", "duplicate"]


async def test_events_without_any_id_are_distinguished_by_their_bodies(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD) as client:
        verdicts = []
        for body in (b"[1]", b"[2]", b"[1]"):
            headers = signed(body=body, delivery="")
            del headers[signatures.ID_HEADER]
            verdicts.append((await client.post("/webhooks/case", content=body, headers=headers)).json()["verdict"])
    assert verdicts == ["accepted", "accepted", "duplicate"]


async def test_a_body_is_verified_as_it_came_and_read_through_its_compression(tmp_path: Path) -> None:
    body = gzip.compress(b'{"id":"evt_1","data":{"runId":"run_9"}}')
    async with served(tmp_path, GOOD) as client:
        headers = signed(body=body) | {"content-encoding": "gzip"}
        assert (await client.post("/webhooks/case", content=body, headers=headers)).status_code == 200
    assert rows(tmp_path, "SELECT upstream_id, event_id FROM deliveries") == [("run_9", "evt_1")]


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded"])
async def test_callers_behind_a_proxy_have_buckets_of_their_own(tmp_path: Path, name: str) -> None:
    async with served(tmp_path, GOOD, failures=1, trusted_proxies="127.0.0.1") as client:
        callers = ("203.0.113.7:1", "203.0.113.8:2", "203.0.113.7:3", "[2001:db8::7]:4", '"[2001:db8::8]:5"')
        spelled = [each if name[0] == "x" else f"for={each}" for each in callers]
        statuses = [
            (await client.post("/callbacks/nonsense", headers={name: each})).status_code for each in spelled
        ]
    assert statuses == [404, 404, 429, 404, 429], "a /64 is one caller"
    found = rows(tmp_path, "SELECT DISTINCT remote_addr FROM deliveries ORDER BY 1")
    assert found == [("2001:db8::7",), ("203.0.113.7",), ("203.0.113.8",)]


async def test_an_address_that_was_forged_is_not_believed_from_others(tmp_path: Path) -> None:
    async with served(tmp_path, GOOD, failures=1, trusted_proxies="10.0.0.0/8") as client:
        for caller in ("203.0.113.7", "203.0.113.8"):
            await client.post("/callbacks/nonsense", headers={"x-forwarded-for": caller})
    assert rows(tmp_path, "SELECT DISTINCT remote_addr FROM deliveries") == [("127.0.0.1",)]


async def test_a_dashboard_spelling_makes_no_key_of_its_version(tmp_path: Path) -> None:
    async with served(tmp_path, f"v1,{GOOD}") as client:
        assert [(await post(client, key)).status_code for key in (b"v1", b"\xbf", KEY)] == [401, 401, 200]
