"""A bucket of failures that has one more between two looks at it."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from receiver import admission, backoff, callbacks, clock, rejections, telemetry, tokens
from storage.database import Database
from tests.receiver import test_callbacks, test_keyring

pytestmark = pytest.mark.anyio


class Refilled(admission.Admission):
    """It was empty when it was looked at, and a moment later there is one failure more in it."""

    def is_spent(self, address: str | None) -> bool:
        return True

    def charge(self, address: str | None) -> bool:
        return True


def asked(store: Database, body_limit: int) -> httpx.AsyncClient:
    """A client of public endpoints that know one secret and have such a bucket."""
    secrets, ring = test_keyring.ring(store, test_callbacks.GOOD), rejections.Ring(store, clock.now)
    signer, told, timing = tokens.Signer(["a key of 24 bytes or more"]), telemetry.Telemetry(), backoff.Timing()
    public = callbacks.Public(store, signer, secrets, ring, told, timing, clock.now, body_limit, Refilled())
    transport = httpx.ASGITransport(app=callbacks.Callbacks(public))
    return httpx.AsyncClient(transport=transport, base_url="http://ledger.test")


@pytest.mark.parametrize("body_limit", [1024, 16])
async def test_what_is_signed_and_not_looked_at_is_never_called_a_forgery(
    embedded: Database, body_limit: int
) -> None:
    """Its secret may be newer than what is known here: only a look could tell."""
    async with asked(embedded, body_limit) as client:
        answer = await test_callbacks.post(client, test_callbacks.OTHER)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
