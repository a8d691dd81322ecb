"""A server that the product runs: it reports readiness when it is ready."""

from __future__ import annotations

import os
import signal
import socket

import anyio
import pytest

from receiver.server import uvicorn_server
from tests import routes_only

pytestmark = pytest.mark.anyio


async def test_a_server_that_reports_readiness_accepts_connections_at_once() -> None:
    connected: list[object] = []

    def ready() -> None:
        with socket.create_connection(bound.getsockname(), timeout=5) as connection:
            connected.append(connection.getpeername())
        os.kill(os.getpid(), signal.SIGTERM)

    with uvicorn_server.bind("127.0.0.1", 0) as bound, anyio.fail_after(30):
        await uvicorn_server.serve(routes_only.Application(), bound, ready)
    assert connected
