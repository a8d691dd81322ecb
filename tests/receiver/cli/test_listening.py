"""A server that is run by us: what it says of itself is true when it says it."""

from __future__ import annotations

import os
import signal
import socket

import anyio
import pytest
from starlette.applications import Starlette

from receiver.cli import listening

pytestmark = pytest.mark.anyio


async def test_a_server_that_says_it_is_ready_can_be_connected_to_at_once() -> None:
    connected: list[object] = []

    def ready() -> None:
        with socket.create_connection(bound.getsockname(), timeout=5) as connection:
            connected.append(connection.getpeername())
        os.kill(os.getpid(), signal.SIGTERM)

    with listening.bind("127.0.0.1", 0) as bound, anyio.fail_after(30):
        await listening.serve(Starlette(), bound, ready)
    assert connected
