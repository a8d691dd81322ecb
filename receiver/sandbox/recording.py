"""A record of every exchange: one JSON object a line, with whole bodies, in the order in which they ended.

    {"at": …, "kind": "call", "request": {…}, "answer": {…}}
    {"at": …, "kind": "callback", "run": "run_…", "attempt": 1, "error": null, "request": {…}, "answer": {…}}

A request has method, url, headers and body; an answer has status, headers and body, and is null where none was
given. `kind` is call, callback, event or test. Bodies are texts, or `{"base64": …}` where they are not UTF-8. What
stands in an Authorization header is left out; the calls to /sandbox/ too, since the service does not have them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.sandbox import journal, views, world

Headers = Iterable[tuple[str, str]]

_REDACTED = "[redacted]"


class Recorder:
    """Writes to a file line by line, or nowhere where there is none."""

    def __init__(self, file: TextIO | None, clock: world.Clock) -> None:
        self._file = file
        self._clock = clock

    def watching(self, app: ASGIApp) -> ASGIApp:
        """`app` with every call to it recorded."""
        return app if self._file is None else _Watched(app, self)

    def sent(self, sent: journal.Sent, request: views.Json, answer: views.Json | None) -> None:
        """Record an attempt to deliver a callback or event."""
        about = {"kind": sent.kind, "run": sent.run, "attempt": sent.attempt, "error": sent.error}
        self.write({**about, "request": request, "answer": answer})

    def write(self, exchange: views.Json) -> None:
        """Add an exchange that is just over."""
        if self._file is not None:
            self._file.write(json.dumps({"at": views.instant(self._clock()), **exchange}) + "\n")
            self._file.flush()


def request(method: str, url: str, headers: Headers, body: bytes) -> views.Json:
    """A request as it is recorded."""
    return {"method": method, "url": url, "headers": _headers(headers), "body": _body(body)}


def answer(status: int, headers: Headers, body: bytes) -> views.Json:
    """An answer as it is recorded, as far as it came."""
    return {"status": status, "headers": _headers(headers), "body": _body(body)}


class _Watched:
    """An ASGI app whose calls are written down when they are over, cut or not."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._recorder.write({"kind": "call", **exchange.as_json(scope)})


class _Exchange:
    """What a client and the app say. Its `send` is bound to what has the transport, as the server's is."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._asked = bytearray()
        self._told = bytearray()
        self._start: Message | None = None
        self.transport = getattr(getattr(send, "__self__", None), "transport", None)

    async def receive(self) -> Message:
        message = await self._receive()
        self._asked += message.get("body", b"")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        self._told += message.get("body", b"")
        await self._send(message)

    def as_json(self, scope: Scope) -> views.Json:
        query = scope["query_string"].decode("latin-1")
        url = scope["path"] + (f"?{query}" if query else "")
        asked = request(scope["method"], url, _texts(scope["headers"]), bytes(self._asked))
        if self._start is None:
            return {"request": asked, "answer": None}
        told = answer(self._start["status"], _texts(self._start["headers"]), bytes(self._told))
        return {"request": asked, "answer": told}


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _headers(pairs: Headers) -> list[list[str]]:
    return [[name.lower(), _REDACTED if name.lower() == "authorization" else value] for name, value in pairs]


def _body(body: bytes) -> object:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
