"""One call at a time, kept as it came."""

from __future__ import annotations

import socket
import ssl

import httpx2 as httpx
import pytest

from receiver import clock, errors
from receiver.sandbox import faults
from receiver.upstream import probing, routes
from tests import sandbox_server, server

pytestmark = pytest.mark.anyio


async def _asked(address: str, route: str = routes.LIST, run_id: str | None = None) -> probing.ProbeResult:
    probe = probing.Probe(address, sandbox_server.KEY, clock.now, timeout=30)
    try:
        return await probe.ask(route, run_id)
    finally:
        await probe.aclose()


async def test_an_answer_is_kept_with_its_headers_and_its_clock() -> None:
    with sandbox_server.running() as sandbox:
        seen = await _asked(sandbox.url)
    assert (seen.status, seen.error, seen.is_complete) == (200, None, True)
    assert seen.body.startswith(b'{"runs":')
    assert seen.skew is not None
    assert abs(seen.skew) < 60


async def test_a_refusal_is_kept_with_the_bytes_of_its_body() -> None:
    with sandbox_server.running(faults=faults.Faults(error_shape="text")) as sandbox:
        seen = await _asked(sandbox.url, routes.STATUS, "run_never")
    assert (seen.status, type(seen.error)) == (404, errors.UpstreamStatusError)
    assert seen.body.startswith(b'{"error":')


async def test_without_webhook_secrets_only_the_cause_is_kept() -> None:
    seen = await _asked(f"http://127.0.0.1:{server.free_port()}")
    assert (seen.status, seen.body, seen.skew) == (None, b"", None)
    assert seen.cause == "the connection is refused"


@pytest.mark.parametrize(
    ("led_to", "named"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be resolved"),
        (ssl.SSLError(1, "wrong version number"), "TLS cannot be established"),
        (httpx.ConnectTimeout(""), "no connection is established in time"),
        (httpx.ReadTimeout(""), "it accepts the connection and does not answer in time"),
        (httpx.RemoteProtocolError(""), "it does not speak HTTP, or cuts the connection"),
        (ExceptionGroup("all", [OSError("odd"), ConnectionRefusedError()]), "the connection is refused"),
    ],
)
async def test_what_led_to_no_answer_is_named(led_to: Exception, named: str) -> None:
    error = errors.RequestNotSent(routes.LIST, "ConnectError")
    error.__cause__ = httpx.ConnectError("all attempts failed") if isinstance(led_to, OSError) else led_to
    if error.__cause__ is not led_to:
        error.__cause__.__cause__ = led_to
    assert probing.cause(error).startswith(named)
