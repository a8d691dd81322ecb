"""What a witness may answer: nothing of it is followed, expanded or waited for without a limit."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from receiver.outbound import witness_client

pytestmark = pytest.mark.anyio
NOTE = "runledger.test/ledger\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u2014 one AAAA\n"
Peer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(peer: Peer) -> AsyncIterator[str]:
    """Let a peer write what it wants after the head of a request; yield its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await peer(writer)
        except ConnectionError:
            pass  # the client has left
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def sending(head: str, body: bytes = b"") -> Peer:
    """Return a peer that sends one answer."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        await writer.drain()

    return send


async def without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"\xe2\x80\x94 one AAAA\n" * 1000)
        await writer.drain()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (sending("HTTP/1.1 307 Temporary Redirect\nlocation: http://127.0.0.1:9/"), "it answered 307"),
        (without_end, "more than 65536 bytes"),
        (drop_by_drop, "did not answer in time"),
        (sending("HTTP/1.1 200 OK\ncontent-encoding: gzip", gzip.compress(b"x" * 10_000_000)), "is not UTF-8"),
        (sending("HTTP/1.1 200 OK\ncontent-length: 100", b"cut"), "the exchange failed"),
        (sending("SSH-2.0-OpenSSH"), "the exchange failed"),
        (sending("HTTP/1.1 409 Conflict\ncontent-type: text/x.tlog.size", b"1" * 30 + b"\n"), "it answered 409"),
        (sending("HTTP/1.1 409 Conflict\ncontent-type: text/x.tlog.size", b"-1\n"), "it answered 409"),
        (sending("HTTP/1.1 409 Conflict\ncontent-type: text/html", b"5\n"), "it answered 409"),
        (sending("HTTP/1.1 500 \xe9", "\x1b[31m é".encode() * 2000), "it answered 500"),
    ],
    ids=range(10),
)
async def test_an_answer_that_cannot_be_used_is_named_in_a_short_sentence(peer: Peer, why: str) -> None:
    client = witness_client.Client(timeout=1.0)
    async with answering(peer) as url:
        with pytest.raises(witness_client.WitnessFailed, match=why) as failed:
            await client.add_checkpoint(url, 0, [], NOTE)
    assert len(str(failed.value)) < 300
    assert str(failed.value).isprintable()
    await client.aclose()
