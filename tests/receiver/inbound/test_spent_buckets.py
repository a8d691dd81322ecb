"""A bucket of failures that refills between two checks."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from receiver import clock, telemetry, timeouts
from receiver.crypto import tokens
from receiver.inbound import endpoints, rejection_buffer
from receiver.web import request_limits
from storage.engine.database import Database
from tests.receiver.inbound import test_endpoints, test_webhook_secrets

pytestmark = pytest.mark.anyio


class Refilled(request_limits.Limits):
    """A bucket that is empty at the first check and allows one failure a moment later."""

    def is_exhausted(self, address: str | None) -> bool:
        return True

    def charge(self, address: str | None, failure: request_limits.E, excess: request_limits.E) -> request_limits.E:
        return failure


def asked(store: Database, body_limit: int) -> httpx.AsyncClient:
    """Return a client of public endpoints with one secret and such a bucket."""
    public = endpoints.PublicEndpoints(
        store,
        tokens.Signer(["a key of 24 bytes or more"]),
        test_webhook_secrets.secrets_of(store, test_endpoints.GOOD),
        rejection_buffer.RejectionBuffer(store, clock.now),
        telemetry.Telemetry(),
        timeouts.Timing(),
        clock.now,
        body_limit,
        Refilled(),
    )
    transport = httpx.ASGITransport(app=public)
    return httpx.AsyncClient(transport=transport, base_url="http://ledger.test")


@pytest.mark.parametrize("body_limit", [1024, 16])
async def test_what_is_signed_and_not_looked_at_is_never_called_a_forgery(
    embedded: Database, body_limit: int
) -> None:
    """Its secret may be newer than those loaded; only another read of the database would show it."""
    async with asked(embedded, body_limit) as client:
        answer = await test_endpoints.post(client, test_endpoints.OTHER)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
