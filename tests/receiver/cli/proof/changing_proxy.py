"""A proxy before a server on this machine, which changes what is served at some paths."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx

#: Returns another answer: the status and the bytes.
Change = Callable[[bytes], tuple[int, bytes]]


class Proxy(ThreadingHTTPServer):
    """`changes` are made by path, below `/v1/ledger/`; `asked` has the paths that were fetched."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.changes: Mapping[str, Change] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        path = self.path.removeprefix("/v1/ledger/")
        self.server.asked.append(path)
        given = {"authorization": found} if (found := self.headers["authorization"]) else {}
        answer = httpx.get(self.server.behind + self.path, headers=given)
        change = self.server.changes.get(path)
        status, body = (answer.status_code, answer.content) if change is None else change(answer.content)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("location", self.server.behind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


@contextlib.contextmanager
def before(url: str) -> Iterator[Proxy]:
    """Run a proxy for the block."""
    with Proxy(url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def flipped(at: int) -> Change:
    """Return the change of one byte."""
    return lambda body: (200, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
