"""What every API call passes, in and out: the journal, the key, the faults, and connections that are cut.

A pure ASGI layer, outermost, because it must hold the server's own `send` to cut a connection, and must have
the whole answer in hand to spoil or lose it. Bodies are small here, so both directions are buffered, but for
streams that nothing is done to.
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

from receiver.sandbox import answers, checks, holds, house, journal, rules

_LARGEST_BODY = 16 * 1024 * 1024
_JOURNALED_BODY = 64 * 1024
#: Actions that let a stream flow; others need the whole answer in hand.
_FLOWING = ("pass", "delay", "hold")
_KEY = re.compile(rb"(?i:bearer) +sk_case_[!-~]*")


@dataclasses.dataclass
class Answer:
    """An answer of the app, held back: the start message without its length, and the body.

    A stream of events goes `through` at once, where there is a way; `is_whole` once it came to its end.
    """

    through: Send | None = None
    status: int = 500
    headers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    is_stream: bool = False
    is_whole: bool = False

    async def receive(self, message: Message) -> None:
        """The `send` that the app is given."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            self.is_stream = b"event-stream" in dict(self.headers).get(b"content-type", b"")
        if self.is_stream and self.through is not None:
            self.is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            await self.through(message)
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        length = [] if self.status == 204 else [(b"content-length", str(len(self.body)).encode())]
        headers = [*self.headers, *length]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Gate:
    """Wraps the whole app; paths under /sandbox/ pass untouched."""

    def __init__(self, app: ASGIApp, parts: house.House, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._house = parts
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._minute = (0, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self._app(scope, receive, send)
            return
        body = await _whole_body(receive)
        route, run = self._named(scope)
        subject = self._house.subject(route or "unknown", run, _lenient(body))
        rule = self._house.chaos.pick(subject)
        call = self._note(scope, route, run, body, rule)
        await asyncio.sleep(self._house.chaos.faults.latency)
        verb = rule.verb if rule is not None else "pass"
        held = holds.Held(verb, subject, call.body)
        answer = None
        if verb != "hold" or await self._house.holds.wait_with_client(held, receive):
            through = self._through(call, send) if verb in _FLOWING else None
            answer = await self._answer(scope, body, rule, receive, through)
            if answer is not None and answer.is_stream and through is not None:
                call.is_over = True
                if not answer.is_whole:
                    await cut(receive, send)
                return
        if verb == "hold_answer" and not await self._house.holds.wait_with_client(held, receive):
            answer = None
        if answer is None or verb == "lose_answer":
            await cut(receive, send)
            return
        if rule is not None and verb == "hang":
            await _hold(receive, float(rule.amount))
        call.status = answer.status
        await answer.send(send)

    async def _answer(
        self, scope: Scope, body: bytes | None, rule: rules.Rule | None, receive: Receive, through: Send | None
    ) -> Answer | None:
        """The answer to give, spoiled where the rule says so; None to cut the connection with no work done."""
        verb, amount = (rule.verb, rule.amount) if rule is not None else ("pass", "")
        if verb == "refuse_before":
            return None
        answer = Answer(through)
        if verb in ("status", "html", "empty"):
            await self._fail(verb, int(amount or {"html": 502, "empty": 500}[verb]))(
                scope, _nothing, answer.receive
            )
        else:
            await asyncio.sleep(float(amount) if verb == "delay" else 0)
            await self._work(scope, body, answer, receive)
        if verb == "malformed":
            answer.body = answer.body.replace(b'"', b"'") or b"{"
        if verb == "truncated":
            answer.body = answer.body[: len(answer.body) // 2]
        answer.headers += self._limits(answer.status)
        return answer

    async def _work(self, scope: Scope, body: bytes | None, answer: Answer, receive: Receive) -> None:
        """What the service does on a good day: ask for the key, then do what is asked."""
        if body is None:
            refusal = self._error(413, "Request body is too large")
            await refusal(scope, _nothing, answer.receive)
        elif not _KEY.fullmatch(dict(scope["headers"]).get(b"authorization", b"")):
            refusal = self._error(401, "Invalid API key")
            await refusal(scope, _nothing, answer.receive)
        else:
            await self._app(scope, _replayed(body, receive), answer.receive)

    def _through(self, call: journal.Call, send: Send) -> Send:
        """The way of a stream past the buffer."""

        async def through(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message = {**message, "headers": [*message["headers"], *self._limits(message["status"])]}
            await send(message)

        return through

    def _fail(self, verb: str, status: int) -> Response:
        if verb == "html":
            return answers.page(status, self._retry_after(status))
        if verb == "empty":
            return Response(status_code=status, headers=self._retry_after(status))
        return self._error(status, f"{answers.phrase(status)} (a fault of the sandbox)")

    def _error(self, status: int, message: str) -> Response:
        return answers.error(status, message, self._house.chaos.faults.error_shape, self._retry_after(status))

    def _retry_after(self, status: int) -> dict[str, str]:
        wanted = self._house.chaos.faults.retry_after
        if status not in (429, 503) or not wanted:
            return {}
        if wanted.startswith("date:"):
            at = self._house.world.clock() + int(wanted.removeprefix("date:"))
            return {"retry-after": email.utils.formatdate(at, usegmt=True)}
        return {"retry-after": wanted}

    def _limits(self, status: int) -> list[tuple[bytes, bytes]]:
        """The rate-limit headers: so many calls a minute as the switch says, counted but not enforced."""
        minute = int(self._house.world.clock() // 60)
        used = self._minute[1] + 1 if self._minute[0] == minute else 1
        self._minute = (minute, used)
        most = self._house.chaos.faults.calls_per_minute
        left = 0 if status == 429 else max(0, most - used)
        values = {"limit": most, "remaining": left, "reset": (minute + 1) * 60}
        return [(f"x-ratelimit-{name}".encode(), str(value).encode()) for name, value in values.items()]

    def _named(self, scope: Scope) -> tuple[str | None, str | None]:
        """The name of the route that a call is for, and the run that its path names."""
        for route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                run = child["path_params"].get("id") if route.name in rules.RUN_ROUTES else None
                return route.name, run
        return None, None

    def _note(
        self, scope: Scope, route: str | None, run: str | None, body: bytes | None, rule: rules.Rule | None
    ) -> journal.Call:
        query = scope["query_string"].decode("latin-1")
        call = self._house.journal.called(scope["method"], scope["path"], query, route, run, _shown(body))
        call.fault = rule.action if rule is not None else None
        return call


async def cut(receive: Receive, send: Send) -> None:
    """End the connection without a word. Under uvicorn the client sees a reset; elsewhere the error is raised."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox cuts this connection")
    transport.abort()
    # Returning before the server has seen the disconnect would have it send an answer of its own.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hold(receive: Receive, seconds: float) -> None:
    """Wait, but no longer than the client does."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(receive(), seconds)


async def _whole_body(receive: Receive) -> bytes | None:
    """The request's body, read to its end; None where it is larger than we take."""
    body, size, more = bytearray(), 0, True
    while more:
        message = await receive()
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        body += part if size <= _LARGEST_BODY else b""
    return bytes(body) if size <= _LARGEST_BODY else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more, and then what else comes."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replay() -> Message:
        nonlocal message
        given, message = message, None
        return given or await receive()

    return replay


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _lenient(body: bytes | None) -> object:
    """The JSON value of a body, None where it has none."""
    try:
        return checks.parsed(body) if body else None
    except answers.Refusal:
        return None


def _shown(body: bytes | None) -> object:
    """A body for the journal: its JSON where it is small and sound, else the beginning of its text."""
    if not body:
        return None
    value = _lenient(body) if len(body) <= _JOURNALED_BODY else None
    return value if value is not None else body[:2000].decode("utf-8", "replace")
