"""Apply the journal, the API key, the faults and cut connections to every API call.

A pure ASGI layer, outermost, because it needs the server's own `send` to cut a connection, and the whole answer to
spoil or lose it. Bodies are small here, so both directions are buffered, except for streams that flow.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import email.utils
import re
from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.sandbox import journal, messages, rules, state

_LARGEST_BODY = 16 * 1024 * 1024
_JOURNALED_BODY = 64 * 1024
#: Actions that let a stream flow; others need the whole answer in hand.
_FLOWING = ("pass", "delay", "hold")
_STATUSES = {"html": 502, "empty": 500}
_KEY = re.compile(rb"(?i:bearer) +sk_case_[!-~]*")


@dataclasses.dataclass(frozen=True)
class Middleware:
    """Wraps the whole app; paths under /sandbox/ pass untouched."""

    app: ASGIApp
    routes: Sequence[BaseRoute]
    world: state.World
    journal: journal.Journal
    holds: rules.Holds
    #: The number of calls by minute, for the rate-limit headers.
    counts: dict[int, int] = dataclasses.field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self.app(scope, receive, send)
        else:
            body, whole = await _read(receive)
            await _Exchange(self, scope, receive, send, body, whole).run()

    def error(self, status: int, message: str) -> Response:
        return messages.error(status, message, self.world.injector.faults.error_shape, self.retry_after(status))

    def retry_after(self, status: int) -> dict[str, str]:
        value = self.world.injector.faults.retry_after
        if status not in (429, 503) or not value:
            return {}
        if value.startswith("date:"):
            at = self.world.clock() + int(value.removeprefix("date:"))
            value = email.utils.formatdate(at, usegmt=True)
        return {"retry-after": value}

    def count(self) -> None:
        """Count a call that is worked on, answered or not."""
        minute = int(self.world.clock() // 60)
        used = self.counts.get(minute, 0) + 1
        self.counts.clear()
        self.counts[minute] = used

    def rate_limits(self, status: int) -> list[tuple[bytes, bytes]]:
        """Return the rate-limit headers: calls are counted by minute, and nothing is refused."""
        minute, most = int(self.world.clock() // 60), self.world.injector.faults.calls_per_minute
        left = 0 if status == 429 else max(0, most - self.counts.get(minute, 1))
        headers = {"limit": most, "remaining": left, "reset": (minute + 1) * 60}
        return [(f"x-ratelimit-{name}".encode(), str(value).encode()) for name, value in headers.items()]

    def match(self, scope: Scope) -> tuple[str | None, str | None]:
        """Return the name of the route that a call is for, and the run that its path names."""
        for route in self.routes:
            match, child = route.matches(scope)
            if match is Match.FULL and isinstance(route, Route):
                return route.name, child["path_params"].get("id") if route.name in rules.RUN_ROUTES else None
        return None, None


class _Exchange:
    """One call and its answer: buffered, except for a stream that flows."""

    def __init__(
        self, parts: Middleware, scope: Scope, receive: Receive, send: Send, body: bytes, whole: bool
    ) -> None:
        self.parts, self.scope, self.receive, self.body, self.whole = parts, scope, receive, body, whole
        self._server_send = send
        self.query = scope["query_string"].decode("latin-1")
        route, run = parts.match(scope)
        value = _parsed(body)
        self.subject = parts.world.subject(route or "unknown", run, value)
        rule = parts.world.injector.pick(self.subject)
        self.rule = rule or rules.NO_RULE
        shown = _shown(body, value)
        self.call = parts.journal.called(scope["method"], scope["path"], self.query, route, run, shown)
        self.call.fault = rule.action if rule else None
        self.status, self.answer = 500, b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.flows = self.is_over = self.is_read = False
        self.sent: list[Message] = []

    async def run(self) -> None:
        """Answer the call or cut its connection, then record the exchange."""
        try:
            await asyncio.sleep(self.parts.world.injector.faults.latency)
            if not await self._answered():
                await self._cut()
        finally:
            if self.parts.journal.records:
                self._record()

    async def _answered(self) -> bool:
        """Return whether the call was answered to the end; the connection is cut otherwise."""
        verb = self.rule.verb
        if verb == "refuse_before" or (verb == "hold" and not await self._held()):
            return False
        await self._work()
        if self.flows:
            self.call.is_over = True
            return self.is_over
        if verb == "lose_answer" or (verb == "hold_answer" and not await self._held()):
            return False
        if verb == "hang":
            # No longer than the client waits.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.receive(), float(self.rule.amount))
        if verb == "malformed":
            self.answer = self.answer.replace(b'"', b"'") or b"{"
        if verb == "truncated":
            self.answer = self.answer[: len(self.answer) // 2]
        length = [] if self.status == 204 else [(b"content-length", str(len(self.answer)).encode())]
        await self._start([*self.headers, *length])
        await self._send({"type": "http.response.body", "body": self.answer})
        return True

    async def _held(self) -> bool:
        held = rules.Held(self.rule.verb, self.subject, self.call.body)
        return await self.parts.holds.wait_with_client(held, self.receive)

    async def _work(self) -> None:
        """Collect the answer of the app, or that of the rule or the checks that come before the app."""
        self.parts.count()
        verb, amount = self.rule.verb, self.rule.amount
        if verb in ("status", *_STATUSES):
            failure = self._failure(verb, int(amount or _STATUSES[verb]))
            await failure(self.scope, self._body, self._collect)
            return
        if verb == "delay":
            await asyncio.sleep(float(amount))
        app: ASGIApp = self.parts.app
        if not self.whole:
            app = self.parts.error(413, "Request body is too large")
        elif not _KEY.fullmatch(dict(self.scope["headers"]).get(b"authorization", b"")):
            app = self.parts.error(401, "Invalid API key")
        await app(self.scope, self._body, self._collect)

    def _failure(self, verb: str, status: int) -> Response:
        headers = self.parts.retry_after(status)
        if verb == "html":
            return messages.page(status, headers)
        if verb == "empty":
            return Response(status_code=status, headers=headers)
        return self.parts.error(status, f"{messages.phrase(status)} (a fault of the sandbox)")

    async def _body(self) -> Message:
        """Give the body that was read to the app, then whatever else comes."""
        if self.is_read:
            return await self.receive()
        self.is_read = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def _collect(self, message: Message) -> None:
        """Keep the app's answer, or pass a stream on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            is_stream = b"event-stream" in dict(self.headers).get(b"content-type", b"")
            self.flows = is_stream and self.rule.verb in _FLOWING
            if self.flows:
                await self._start(self.headers)
        elif self.flows:
            self.is_over = not message.get("more_body", False)
            await self._send(message)
        else:
            self.answer += message.get("body", b"")

    async def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.call.status = self.status
        headers = [*headers, *self.parts.rate_limits(self.status)]
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})

    async def _send(self, message: Message) -> None:
        if self.parts.journal.records:
            self.sent.append(message)
        await self._server_send(message)

    async def _cut(self) -> None:
        """Abort the connection. Under uvicorn the client sees a reset; elsewhere the error is raised."""
        transport = getattr(getattr(self._server_send, "__self__", None), "transport", None)
        if transport is None:
            raise ConnectionResetError("the sandbox cuts this connection")
        transport.abort()
        # Returning before the server has seen the disconnect would have it send an answer of its own.
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def _record(self) -> None:
        url = self.scope["path"] + (f"?{self.query}" if self.query else "")
        request = {"method": self.scope["method"], "url": url, **_recorded(self.scope["headers"], self.body)}
        answer = None
        if self.sent:
            start, *parts = self.sent
            body = b"".join(part["body"] for part in parts)
            answer = {"status": start["status"], **_recorded(start["headers"], body)}
        self.parts.journal.record({"kind": "call"}, request, answer)


async def _read(receive: Receive) -> tuple[bytes, bool]:
    """Read the request's body to its end; return as much of it as is taken, and whether that is all."""
    body, size, more = bytearray(), 0, True
    while more:
        message = await receive()
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        body += part if size <= _LARGEST_BODY else b""
    return bytes(body), size <= _LARGEST_BODY


def _parsed(body: bytes) -> object:
    """Return the JSON value of a body, None where it has none."""
    try:
        return messages.parsed(body) if body else None
    except messages.ApiError:
        return None


def _shown(body: bytes, value: object) -> object:
    """Return a body for the journal: its JSON where it is small and valid, else the beginning of its text."""
    if value is not None and len(body) <= _JOURNALED_BODY:
        return value
    return body[:2000].decode("utf-8", "replace") or None


def _recorded(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> messages.Object:
    return journal.recorded([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers], body)
