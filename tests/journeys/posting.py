"""What strangers and the upstream post to the public endpoints, well and badly formed."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import socket
import time
from collections.abc import Mapping, Sequence

import httpx2 as httpx

from receiver.sandbox import signing
from tests.journeys.story import House

ANY_KEY = b"not the key of any endpoint"


def event(upstream_id: str, event_id: str, status: str = "completed") -> bytes:
    """The body of a platform event."""
    body = {"id": event_id, "type": f"agent.run.{status}", "data": {"runId": upstream_id, "status": status}}
    return json.dumps(body).encode()


def signed(
    house: House, body: bytes, *, key: bytes | None = None, at: float | None = None, secret: str | None = None
) -> dict[str, str]:
    """The three headers over a body, by the house's secret, another one, or any key whatever."""
    delivery, moment = f"dlv_{secrets.token_hex(8)}", str(int(time.time() if at is None else at))
    used = signing.signing_key(secret or house.secret, "base64") if key is None else key
    return {
        "case-webhook-id": delivery,
        "case-webhook-timestamp": moment,
        "case-webhook-signature": signing.signature(used, delivery, moment, body),
    }


def post_event(house: House, body: bytes, headers: Mapping[str, str | bytes]) -> httpx.Response:
    """Posts to the events' endpoint as the upstream does, without a key of ours."""
    return httpx.post(f"{house.server.url}/webhooks/case", content=body, headers=dict(headers), timeout=60)  # type: ignore[arg-type]


def speak(house: House, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Says raw bytes on a connection, piece by piece until something is answered; all that was answered."""
    heard = b""
    with connected(house) as connection:
        with contextlib.suppress(ConnectionError):  # who turns a body away closes before all of it was said
            for piece in pieces:
                connection.sendall(piece)
                if select.select([connection], [], [], pause)[0]:
                    break
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                heard += chunk
    return heard


def connected(house: House) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", house.server.port), timeout=60)


def head(path: str, *lines: str) -> bytes:
    """The head of a raw POST that ends its connection."""
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""]).encode()


def chunked(pieces: Sequence[bytes]) -> list[bytes]:
    """Chunks as they stand on the wire, without the last one."""
    return [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
