"""What the doctor finds at a stored event that did not verify."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from receiver.crypto import signatures
from receiver.inbound import signature_doctor, webhook_secrets
from receiver.inbound.webhook_secrets import KnownSecret
from storage import states
from storage.engine.database import Database
from storage.repositories import deliveries
from tests import life
from tests.receiver.inbound.test_webhook_secrets import secrets_of

pytestmark = pytest.mark.anyio
#: Text that is base64, hexadecimal and plain, of which each reading is long enough.
SPELLED = "0123456789abcdef" * 4
BODY = b'{"id":"evt_1", "type":"agent.run.completed"}\r\n'


def stored(key: bytes, signed: bytes = BODY, late: int = 4, **changes: Any) -> deliveries.StoredDelivery:
    """Return a rejected event that was signed with a key."""
    at = str(int(life.NOW.timestamp()) - late)
    headers: Mapping[str, str] = {
        signatures.ID_HEADER: "dlv_1",
        signatures.TIMESTAMP_HEADER: at,
        signatures.SIGNATURE_HEADER: signatures.sign(key, "dlv_1", at, signed),
    }
    values: dict[str, Any] = dict.fromkeys(deliveries.StoredDelivery.__dataclass_fields__)
    values |= {"headers": headers, "body": BODY, "size": len(BODY), "received_at": life.NOW, "repeats": 0}
    values |= {"source": states.Source.PLATFORM, "verdict": states.Verdict.REJECTED}
    return deliveries.StoredDelivery(**(values | changes))


@pytest.mark.parametrize(
    ("event", "text", "remedy", "verifies"),
    [
        (stored(base64.b64decode(SPELLED)), "matches", "Process it again", True),
        (stored(base64.b64decode(SPELLED), late=4000), "too far off", "timedatectl", True),
        (stored(bytes.fromhex(SPELLED)), "read as hex", "KEY_ENCODING=hex", False),
        (stored(SPELLED.encode()), "read as raw", "KEY_ENCODING=raw", False),
        (stored(base64.b64decode(SPELLED), BODY.strip()), "without the blanks", "byte for byte", False),
        (stored(b"another key" * 3), "No other reading", "another secret", False),
        (stored(b"k", size=10**6), "cannot be checked", "sent again", False),
        (stored(b"k", headers={}), "Headers are missing", "unsigned", False),
    ],
)
async def test_it_names_what_differs_and_what_to_do(
    database: Database, event: deliveries.StoredDelivery, text: str, remedy: str, verifies: bool
) -> None:
    found = await signature_doctor.Doctor(secrets_of(database, SPELLED))(event, life.NOW)
    assert any(text in each.text for each in found.findings), found.findings
    assert remedy in found.remedy
    assert found.verifies is verifies


def test_a_finding_never_has_the_signature_that_was_expected() -> None:
    expected = signatures.sign(SPELLED.encode(), "dlv_1", str(int(life.NOW.timestamp()) - 4), BODY).partition(",")[
        2
    ]
    known = [KnownSecret(signatures.Secret("name", SPELLED.encode()))]
    found = signature_doctor.examine(stored(b"another key" * 3), known)
    assert expected not in repr(found)
    assert SPELLED not in repr(found)


async def test_without_a_secret_it_says_how_to_get_one(database: Database) -> None:
    known: webhook_secrets.WebhookSecrets = secrets_of(database)
    found = await signature_doctor.Doctor(known)(stored(b"k"), life.NOW)
    assert "webhooks register" in found.remedy
