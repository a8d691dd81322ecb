"""Requests as bytes, sent over a socket of their own, and their answers, without an HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

#: Seconds in which every request must be answered, and for which an endless stream is read.
PATIENCE = 30.0
LISTENED = 0.15
MOST = 64 << 20

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Request:
    """A request. `expects`: any, genuine (never 4xx), forged (never 2xx), submission (settles if accepted).

    `sound` tells that it is HTTP, so that it is to be answered.
    """

    method: str
    target: bytes
    headers: Headers = ()
    body: bytes = b""
    expects: str = "any"
    note: str = ""
    sound: bool = True
    framing: str = "length"

    def raw(self, host: str) -> bytes:
        """Return the bytes that are sent."""
        names = {name.lower() for name, _ in self.headers}
        headers = list(self.headers)
        if b"host" not in names:
            headers.insert(0, (b"host", host.encode()))
        if b"connection" not in names:
            headers.append((b"connection", b"close"))
        body = self.body
        if self.framing == "chunked":
            headers.append((b"transfer-encoding", b"chunked"))
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif b"content-length" not in names and (body or self.method not in ("GET", "HEAD")):
            headers.append((b"content-length", b"%d" % len(body)))
        lines = [b"%s: %s" % pair for pair in headers]
        head = b"%s %s HTTP/1.1\r\n" % (self.method.encode(), self.target)
        return head + b"\r\n".join([*lines, b"", b""]) + body

    def shown(self) -> dict[str, object]:
        """Return the request's line in a summary."""
        headers = {name.decode("latin-1"): value[:200].decode("latin-1") for name, value in self.headers}
        headers.pop("authorization", None)
        return {
            "request": f"{self.method} {self.target[:400].decode('latin-1')}",
            "headers": headers,
            "body": self.body[:400].decode("utf-8", "replace"),
            "bytes of the body": len(self.body),
            "note": self.note,
        }


@dataclass(frozen=True)
class Reply:
    """An answer: status 0 for none at all; `whole` is whether the body was complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    late: bool = False


async def send(port: int, request: Request, *, patience: float = PATIENCE) -> Reply:
    """Send a request and read the answer."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
            writing = asyncio.create_task(_write(writer, request.raw(f"127.0.0.1:{port}")))
            try:
                return await _reply(reader, request.method)
            finally:
                writing.cancel()
    except TimeoutError:
        return Reply(0, {}, b"", False, late=True)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return Reply(0, {}, b"", False)
    finally:
        if writer is not None:
            writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, raw: bytes) -> None:
    with contextlib.suppress(OSError):
        writer.write(raw)
        await writer.drain()


async def _reply(reader: asyncio.StreamReader, method: str) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ")[1])
    if status == 100:
        return await _reply(reader, method)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    if method == "HEAD" or status in (204, 304):
        return Reply(status, headers, b"", True)
    if "event-stream" in headers.get("content-type", ""):
        return Reply(status, headers, await _listened(reader), True)
    body, whole = await _body(reader, headers)
    return Reply(status, headers, body, whole)


async def _listened(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(1 << 16), LISTENED)
    except TimeoutError:
        return b""


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[bytes, bool]:
    """Return the body, and whether it was complete."""
    try:
        if headers.get("transfer-encoding") == "chunked":
            return await _chunks(reader), True
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"])), True
        return await reader.read(MOST), True
    except asyncio.IncompleteReadError as cut:
        return cut.partial, False


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return bytes(body)
