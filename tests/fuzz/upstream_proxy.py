"""The upstream as the server sees it: forward every call to the sandbox, and change answers as plans say.

A plan names a route, whose run it is for (a word of the prompt, empty for any), and how many answers it spoils.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from tests.fuzz import answers
from tests.sandbox_server import PLAIN

MARKER = re.compile(r"fuzz-[0-9a-f]{12}")
_ROUTES = (
    ("POST", re.compile(r"/agent/v1/run"), "create"),
    ("GET", re.compile(r"/agent/v1/run"), "list"),
    ("POST", re.compile(r"/agent/v1/execute"), "execute"),
    ("POST", re.compile(r"/agent/v1/run/[^/]+/exec"), "exec"),
    ("GET", re.compile(r"/agent/v1/run/[^/]+/status"), "status"),
    ("GET", re.compile(r"/agent/v1/run/[^/]+/details"), "details"),
    ("POST", re.compile(r"/agent/v1/run/[^/]+/cancel"), "cancel"),
    ("POST", re.compile(r"/agent/v1/run/[^/]+/watch"), "watch"),
    ("GET", re.compile(r"/agent/v1/run/[^/]+/events"), "events"),
    ("GET", re.compile(r"/agent/v1/agents(/[^/]+)?"), "agents"),
    ("*", re.compile(r"/webhooks/v1/.*"), "webhooks"),
)
ROUTES = tuple(name for _, _, name in _ROUTES)
_DROPPED = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}


@dataclass
class Plan:
    """Change this many answers of a route, for the run whose prompt has `marker`."""

    route: str
    seed: int
    changes: int = 1
    times: int = 1
    marker: str = ""
    before: bool = False
    done: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return the plan's line in a summary."""
        return {"route": self.route, "seed": self.seed, "answers": self.times, "what": self.done[:5]}


class UpstreamProxy:
    """The plans, and what is known of the runs that passed."""

    def __init__(self, upstream: str) -> None:
        self.port = 0
        self.plans: list[Plan] = []
        self.callbacks: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.changed_answers: Counter[str] = Counter()
        self._markers: dict[str, str] = {}
        self._upstream = upstream
        self._client = httpx.AsyncClient(**PLAIN)
        self._open: set[asyncio.Task[Any] | None] = set()

    @property
    def url(self) -> str:
        """Return the origin that the server is given."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the requests of one connection."""
        self._open.add(asyncio.current_task())
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, httpx.HTTPError):
            pass
        finally:
            writer.transport.abort()
            self._open.discard(asyncio.current_task())

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection may be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        route, marker = self._named(method, target, body)
        self.calls[route] += 1
        answer = await self._asked(method, target, headers, body, route, marker)
        plan = self._plan(route, marker)
        if plan is not None:
            answer = answers.changed(answer, route, plan.seed + plan.times, times=plan.changes)
            plan.done += answer.done
            self.changed_answers[route] += 1
        await asyncio.sleep(answer.seconds)
        return await _written(writer, answer)

    async def _asked(
        self, method: str, target: str, headers: dict[str, str], body: bytes, route: str, marker: str
    ) -> answers.Answer:
        kept = {name: value for name, value in headers.items() if name not in _DROPPED}
        found = await self._client.request(method, self._upstream + target, headers=kept, content=body)
        self._learn(route, marker, found.content)
        shown = tuple((name, value) for name, value in found.headers.items() if name not in _DROPPED)
        return answers.Answer(found.status_code, shown, found.content)

    def _named(self, method: str, target: str, body: bytes) -> tuple[str, str]:
        """Return the route, and the marker of the run that the call is about."""
        path = target.partition("?")[0]
        route = next((r for m, p, r in _ROUTES if m in (method, "*") and p.fullmatch(path)), "unknown")
        if route in ("create", "execute"):
            return route, self._submitted(body)
        parts = path.split("/")
        return route, self._markers.get(parts[4], "") if len(parts) > 4 else ""

    def _submitted(self, body: bytes) -> str:
        found = MARKER.search(body.decode("utf-8", "replace"))
        if found is None:
            return ""
        with suppress(ValueError, KeyError, TypeError):
            self.callbacks[found[0]] = json.loads(body)["callbackUrl"]
        return found[0]

    def _learn(self, route: str, marker: str, body: bytes) -> None:
        """Record which run of the upstream has a marker."""
        if route in ("create", "execute") and marker:
            with suppress(ValueError, TypeError):
                made = json.loads(body)
                self._markers[str(made.get("id") or made.get("runId"))] = marker

    def _plan(self, route: str, marker: str) -> Plan | None:
        for plan in self.plans:
            if plan.route == route and plan.times > 0 and plan.marker in ("", marker):
                plan.times -= 1
                return plan
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        for task in list(self._open):
            if task is not None:
                task.cancel()
        await self._client.aclose()


async def _written(writer: asyncio.StreamWriter, answer: answers.Answer) -> bool:
    """Send an answer with its framing; return whether the connection may be used again."""
    head = [f"HTTP/1.1 {answer.status} Answer", *(f"{name}: {value}" for name, value in answer.headers)]
    body, framing = answer.body, answer.framing
    lengths = {"length": len(body), "cut": len(body), "two at once": len(body), "too long": len(body) + 100}
    lengths["too short"] = max(0, len(body) // 2)
    if framing in lengths and answer.status not in (204, 304):
        head.append(f"content-length: {lengths[framing]}")
    if framing == "chunked":
        head.append("transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in _pieces(body)) + b"0\r\n\r\n"
    elif framing == "bad chunks":
        head.append("transfer-encoding: chunked")
        body = b"zz\r\n" + body
    elif framing == "cut":
        body = body[: len(body) // 2]
    raw = ("\r\n".join([*head, "", ""])).encode("utf-8", "replace") + body
    writer.write(raw * 2 if framing == "two at once" else raw)
    await writer.drain()
    return framing in ("length", "chunked") and not answer.done


def _pieces(body: bytes) -> list[bytes]:
    return [body[at : at + 7000] for at in range(0, len(body), 7000)]


@asynccontextmanager
async def opened(upstream: str) -> AsyncIterator[UpstreamProxy]:
    """Run a proxy on a loopback port for as long as the block."""
    proxy = UpstreamProxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=32 << 20)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        await proxy.aclose()
        server.close()
