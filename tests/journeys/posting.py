"""Requests of unknown senders and of the upstream to the public endpoints, well and badly formed."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import socket
import time
from collections.abc import Mapping, Sequence

import httpx2 as httpx

from receiver.crypto import signatures
from receiver.sandbox import endpoints
from tests.journeys.harness import Deployment

ANY_KEY = b"not the key of any endpoint"


def event(upstream_id: str, event_id: str, status: str = "completed") -> bytes:
    """Return the body of a platform event."""
    body = {"id": event_id, "type": f"agent.run.{status}", "data": {"runId": upstream_id, "status": status}}
    return json.dumps(body).encode()


def signed(
    deployment: Deployment,
    body: bytes,
    *,
    key: bytes | None = None,
    at: float | None = None,
    secret: str | None = None,
) -> dict[str, str]:
    """Return the three headers for a body, signed with the deployment's secret or any other key."""
    delivery, moment = f"dlv_{secrets.token_hex(8)}", str(int(time.time() if at is None else at))
    used = signatures.decode(secret or deployment.secret).key if key is None else key
    return {
        "case-webhook-id": delivery,
        "case-webhook-timestamp": moment,
        "case-webhook-signature": endpoints.signature(used, delivery, moment, body),
    }


def post_event(deployment: Deployment, body: bytes, headers: Mapping[str, str | bytes]) -> httpx.Response:
    """Post to the events' endpoint as the upstream does, without an API key."""
    return httpx.post(f"{deployment.server.url}/webhooks/case", content=body, headers=dict(headers), timeout=60)  # type: ignore[arg-type]


def speak(deployment: Deployment, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send raw bytes on a connection, piece by piece until an answer comes; return the answer."""
    received = b""
    with connected(deployment) as connection:
        with contextlib.suppress(ConnectionError):  # a server that refuses a body closes before all of it was sent
            for piece in pieces:
                connection.sendall(piece)
                if select.select([connection], [], [], pause)[0]:
                    break
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    return received


def connected(deployment: Deployment) -> socket.socket:
    """Open a connection to the server."""
    return socket.create_connection(("127.0.0.1", deployment.server.port), timeout=60)


def head(path: str, *lines: str) -> bytes:
    """Return the head of a raw POST that ends its connection."""
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""]).encode()


def chunked(pieces: Sequence[bytes]) -> list[bytes]:
    """Return the body in chunked encoding, without the last chunk."""
    return [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
