"""A backend that receives notifications: a real server on loopback with scripted responses.

with backend.listening() as listener:
    listener.answer(Answer(500), Answer(204))         # the first request, then all others
    listener.answer(Answer(410), to="nonce_1")        # every request whose body has that word
    backend.verified(listener.of("nonce_1")[0])       # by the library of the scheme, under each of our secrets
"""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import standardwebhooks

#: The secrets that sign: the newest one, and the one that it replaces.
SECRETS = (
    "whsec_" + "dGhlIG5ld2VzdCBrZXkgb2YgdGhlIHR3bywgaW4gZnVsbA==",
    "whsec_" + "dGhlIGtleSBiZWZvcmUgdGhlIG5ld2VzdCwgaW4gZnVsbA==",
)
PATH = "/hooks/runs"


@dataclass(frozen=True)
class Posted:
    """A request as it was received."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Return the id by which the backend recognizes repeats."""
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        """Return the parsed body."""
        read: dict[str, Any] = json.loads(self.body)
        return read


@dataclass(frozen=True)
class Answer:
    """A response, sent once `gate` is open. `raw` replaces the whole response, `length` the true length."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    gate: threading.Event | None = None
    raw: bytes | None = None
    length: int | None = None


class Backend:
    """The requests that were received, oldest first, and the responses to them."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}{PATH}"
        self.received: list[Posted] = []
        self.gates: list[threading.Event] = []
        self._rules: dict[str, list[Answer]] = {"": [Answer()]}
        self._lock = threading.Lock()

    def answer(self, *answers: Answer, to: str = "") -> None:
        """Respond to requests that contain this word with these in turn; the last one repeats."""
        with self._lock:
            self._rules = {to: list(answers), **{word: rule for word, rule in self._rules.items() if word != to}}

    def gate(self) -> threading.Event:
        """Return a closed gate; it is opened at the end at the latest."""
        self.gates.append(threading.Event())
        return self.gates[-1]

    def of(self, word: str) -> list[Posted]:
        """Return the requests that contain this word."""
        return [each for each in list(self.received) if word in each.body.decode()]

    def take(self, posted: Posted) -> Answer:
        """Record a request; return the response to it."""
        with self._lock:
            self.received.append(posted)
            text = posted.body.decode()
            rule = next(self._rules[word] for word in sorted(self._rules, reverse=True) if word in text)
            return rule.pop(0) if len(rule) > 1 else rule[0]


def verified(posted: Posted) -> dict[str, Any]:
    """Verify the request under each of our secrets with the library of the scheme; return its body."""
    found = [standardwebhooks.Webhook(secret).verify(posted.body, dict(posted.headers)) for secret in SECRETS]
    assert found[0] == found[1] == posted.content
    return posted.content


def settings(listener: Backend) -> dict[str, Any]:
    """Return the settings of a server that notifies this backend."""
    return {"notify_url": listener.url, "notify_secrets": " ".join(SECRETS), "notify_allow_private": True}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        posted = Posted(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        answer = self.server.backend.take(posted)  # type: ignore[attr-defined]
        if answer.gate is not None:
            answer.gate.wait(120)
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.length is not None:
            self.wfile.flush()
            self.rfile.read(1)  # until the client closes the connection

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    block_on_close = False
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without the base class's lookup of the host name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """Ignore a client that closed its connection."""


@contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Backend]:
    """Run a backend for as long as the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        made = Backend(server.server_address[1], "http" if tls is None else "https")
        server.backend = made  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            for gate in made.gates:
                gate.set()
            server.shutdown()
            thread.join()
