"""The webhook secrets that a running server uses."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from datetime import UTC, datetime

import pytest

from receiver import timeouts
from receiver.crypto import pasted_secrets, secret_box, signatures
from receiver.inbound import webhook_secrets
from storage import errors, ids
from storage.engine.database import Database
from storage.repositories import deliveries, webhook_endpoints
from storage.tables.integrations import WEBHOOK_SECRETS
from storage.transitions import webhook_changes
from tests import life

pytestmark = pytest.mark.anyio

BOX = secret_box.SecretBox(["the server's key"])
URL = "https://ledger.test/webhooks/case"


def text(key: bytes) -> str:
    """Return a secret in its text form."""
    return "whsec_" + base64.b64encode(key.ljust(pasted_secrets.MIN_BYTES, b".")).decode()


def secrets_of(
    store: Database, *given: str, complaints: list[str] | None = None, encoding: str = "base64"
) -> webhook_secrets.WebhookSecrets:
    """Return the webhook secrets of a server with these settings; `complaints` collects its warnings."""
    complain = (lambda _: None) if complaints is None else complaints.append
    return webhook_secrets.WebhookSecrets(store, BOX, given, encoding, timeouts.Timing(), complain)


async def learn(
    store: Database,
    key: bytes,
    *,
    row: str = "row",
    at: datetime = life.NOW,
    box: secret_box.SecretBox = BOX,
    grace: float = 0,
) -> None:
    """Store a secret of the upstream; the one before it ends after `grace` seconds."""
    _, fence = await life.request_secret(store, row, URL, at)
    secret = webhook_endpoints.Secret(ids.new(at), row, box.seal(text(key), at), at, fence=fence)
    ends = datetime.fromtimestamp(at.timestamp() + grace, at.tzinfo)
    await store.write(
        webhook_changes.store_secret, webhook_changes.NewSecret(secret, f"whe_{row}", None, "active", ends), at
    )


def keys(held: webhook_secrets.WebhookSecrets, at: datetime = life.NOW) -> list[bytes]:
    return [secret.key.rstrip(b".") for secret in held.usable(at)]


async def test_the_secrets_of_the_settings_are_there_at_once(database: Database) -> None:
    assert keys(secrets_of(database, text(b"one"), text(b"two"))) == [b"one", b"two"]


async def test_a_registered_secret_is_seen_at_the_next_look_and_comes_first(database: Database) -> None:
    held = secrets_of(database, text(b"of the settings"))
    await learn(database, b"registered")
    assert keys(held) == [b"of the settings"]
    await held.refresh(life.NOW)
    assert keys(held) == [b"registered", b"of the settings"]


async def test_a_secret_that_is_in_both_places_is_one(database: Database) -> None:
    held = secrets_of(database, text(b"same"))
    await learn(database, b"same")
    await held.refresh(life.NOW)
    assert keys(held) == [b"same"]


async def test_a_secret_that_ends_at_the_end_of_the_calendar_verifies_until_then(database: Database) -> None:
    """An earlier release stored whatever the upstream sent."""
    held = secrets_of(database)
    await learn(database, b"old")
    await learn(database, b"new", at=life.at(10))
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
    ends = WEBHOOK_SECRETS.update().where(WEBHOOK_SECRETS.c.expires_at.is_not(None))
    await database.write(lambda connection: connection.execute(ends.values(expires_at=last)))
    await held.refresh(life.at(10))
    assert keys(held, life.at(10_000)) == [b"new", b"old"]


async def test_a_former_secret_is_believed_five_minutes_longer_than_it_signs(database: Database) -> None:
    """What was signed at the last moment may still be on its way."""
    held = secrets_of(database)
    await learn(database, b"old")
    await learn(database, b"new", at=life.at(10), grace=60)
    await held.refresh(life.at(10))
    assert keys(held, life.at(70 + 300)) == [b"new", b"old"]
    assert keys(held, life.at(71 + 300)) == [b"new"]


async def test_while_a_secret_is_requested_a_mismatch_may_be_its_own(database: Database) -> None:
    held = secrets_of(database, text(b"one"))
    await life.request_secret(database, "row", URL)
    assert not held.awaits_secret(life.NOW)
    await held.refresh(life.NOW)
    assert held.awaits_secret(life.at(599))


async def test_a_registration_that_broke_off_turns_no_forgery_into_a_503_for_ever(database: Database) -> None:
    held = secrets_of(database, text(b"one"))
    await life.request_secret(database, "row", URL)
    await held.refresh(life.at(600))
    assert not held.awaits_secret(life.at(600))
    (warning,) = await held.warnings(life.at(600))
    assert "runledger webhooks register" in warning


async def test_a_secret_sealed_under_a_lost_key_is_named_and_the_others_work_on(database: Database) -> None:
    complaints: list[str] = []
    held = secrets_of(database, text(b"of the settings"), complaints=complaints)
    await learn(database, b"lost", box=secret_box.SecretBox(["another key"]))
    await held.refresh(life.NOW)
    assert (keys(held), held.has_unusable(life.NOW)) == ([b"of the settings"], True)
    (warning,) = await held.warnings(life.NOW)
    assert "RUNLEDGER_SECRET_KEYS" in warning
    assert complaints == [warning]


async def test_a_lost_secret_that_was_rotated_away_is_no_longer_warned_of(database: Database) -> None:
    held = secrets_of(database)
    await learn(database, b"lost", box=secret_box.SecretBox(["another key"]))
    await learn(database, b"new", at=life.at(1), grace=60)
    assert await held.warnings(life.at(2)) == []
    assert held.has_unusable(life.at(2))  # what it has signed may still be on its way


async def test_an_unusable_secret_is_reported_once_however_often_the_warnings_are_read(database: Database) -> None:
    complaints: list[str] = []
    held = secrets_of(database, complaints=complaints)
    await learn(database, b"lost", box=secret_box.SecretBox(["another key"]))
    for _ in range(3):
        await held.refresh(life.NOW)
    assert len(complaints) == 1


@pytest.mark.parametrize("spelled", ["whsec_not base64!", "whsec_", "whsec_-_-_"])
async def test_a_secret_of_the_settings_that_does_not_decode_is_named_without_itself(
    database: Database, spelled: str
) -> None:
    complaints: list[str] = []
    held = secrets_of(database, text(b"good"), spelled, complaints=complaints)
    assert (keys(held), held.has_unusable(life.NOW)) == ([b"good"], True)
    (warning,) = await held.warnings(life.NOW)
    assert "RUNLEDGER_WEBHOOK_SECRETS" in warning
    assert "number 2" in warning
    assert spelled not in warning
    assert complaints == [warning]


async def test_a_registered_secret_that_can_be_guessed_verifies_nothing_and_is_named(database: Database) -> None:
    held, at = secrets_of(database, text(b"good")), life.NOW
    _, fence = await life.request_secret(database, "row", URL, at)
    secret = webhook_endpoints.Secret(ids.new(at), "row", BOX.seal("whsec_c2hvcnQ=", at), at, fence=fence)
    await database.write(
        webhook_changes.store_secret, webhook_changes.NewSecret(secret, "whe_row", None, "active", at), at
    )
    await held.refresh(at)
    assert (keys(held), held.has_unusable(at)) == ([b"good"], True)
    (warning,) = await held.warnings(at)
    assert "has 5 bytes, which can be guessed: run `runledger webhooks rotate`" in warning


async def test_a_registered_secret_of_another_encoding_is_named(database: Database) -> None:
    held = secrets_of(database, encoding="hex")
    await learn(database, b"in base64")
    (warning,) = await held.warnings(life.NOW)
    assert "RUNLEDGER_WEBHOOK_KEY_ENCODING" in warning


@pytest.mark.parametrize(
    ("status", "remedy"),
    [("disabled", "resume"), ("auto_disabled", "resume"), (webhook_endpoints.GONE, "register")],
)
async def test_an_endpoint_that_is_sent_nothing_is_warned_of(database: Database, status: str, remedy: str) -> None:
    held = secrets_of(database)
    await learn(database, b"one")
    await database.write(webhook_changes.store_check, "row", webhook_changes.EndpointCheck(status, 3), life.NOW)
    (warning,) = await held.warnings(life.NOW)
    assert "whe_row" in warning
    assert f"runledger webhooks {remedy}" in warning


async def test_nothing_is_warned_of_where_all_is_well(database: Database) -> None:
    held = secrets_of(database, text(b"one"))
    await learn(database, b"two")
    assert await held.warnings(life.NOW) == []


class Slow(Database):
    """A database that counts reads; each waits for the gate."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reads = 0
        self.gate = asyncio.Event()

    async def read(self, function: object, *args: object, **kw: object) -> object:  # type: ignore[override]
        self.reads += 1
        await self.gate.wait()
        return await super().read(function, *args, **kw)  # type: ignore[arg-type]


async def test_a_flood_of_forgeries_costs_one_read_at_a_time(database_url: str) -> None:
    store = Slow(database_url)
    async with store:
        held = secrets_of(store)
        first = asyncio.create_task(held.refresh(life.NOW))
        await asyncio.sleep(0)
        flood = [asyncio.create_task(held.refresh(life.NOW)) for _ in range(500)]
        await asyncio.sleep(0)
        assert store.reads == 1
        store.gate.set()
        await asyncio.gather(first, *flood)
        assert store.reads == 2


async def test_a_refresh_during_a_read_is_answered_by_a_later_read(database_url: str) -> None:
    store = Slow(database_url)
    async with store:
        held = secrets_of(store)
        first = asyncio.create_task(held.refresh(life.NOW))
        await asyncio.sleep(0)
        await learn(store, b"new")
        later = asyncio.create_task(held.refresh(life.NOW))
        store.gate.set()
        await asyncio.gather(first, later)
        assert (keys(held), store.reads) == ([b"new"], 2)


async def test_a_cancelled_refresh_leaves_the_turn_to_the_next(database_url: str) -> None:
    store = Slow(database_url)
    async with store:
        held = secrets_of(store)
        first = asyncio.create_task(held.refresh(life.NOW))
        await asyncio.sleep(0)
        later = asyncio.create_task(held.refresh(life.NOW))
        await asyncio.sleep(0)
        first.cancel()
        store.gate.set()
        await later
        assert store.reads == 2


async def test_trouble_with_the_database_is_raised_and_the_settings_secret_stays_usable() -> None:
    async with Database("sqlite:////nowhere/at/all.db") as nothing:
        held = secrets_of(nothing, text(b"one"))
        with pytest.raises(errors.Unavailable):
            await held.refresh(life.NOW)
        assert keys(held) == [b"one"]


def signed(key: bytes, body: bytes) -> deliveries.StoredDelivery:
    """Return a stored event that this secret has signed."""
    at, name = str(int(life.NOW.timestamp())), "dlv_1"
    mac = signatures.sign(signatures.decode(text(key)).key, name, at, body)
    headers = {
        signatures.ID_HEADER: name,
        signatures.TIMESTAMP_HEADER: at,
        signatures.SIGNATURE_HEADER: mac,
    }
    stored = {each.name: None for each in dataclasses.fields(deliveries.StoredDelivery)}
    return deliveries.StoredDelivery(**{**stored, "received_at": life.NOW, "headers": headers, "body": body})  # type: ignore[arg-type]


async def test_the_secrets_that_signed_a_stored_event_are_named(database: Database) -> None:
    held = secrets_of(database, text(b"one"), text(b"two"))
    newest, oldest = (secret.name for secret in held.usable(life.NOW))
    event = signed(b"two", b"{}")
    assert held.signers(event) == [oldest]
    assert held.signers(signed(b"one", b"{}")) == [newest]
    assert held.signers(dataclasses.replace(event, body=b"[]")) == []
