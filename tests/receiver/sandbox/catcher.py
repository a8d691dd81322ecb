"""A receiver that keeps every request it gets and answers the statuses it is given."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Caught:
    """One request: its path with the query, its headers in lower case, its bytes."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Catcher:
    """`statuses` are answered in turn, the last one for ever."""

    url: str
    caught: list[Caught] = dataclasses.field(default_factory=list)
    statuses: list[int] = dataclasses.field(default_factory=lambda: [204])


class Server(http.server.ThreadingHTTPServer):
    # The default of five resets connections when many callbacks arrive at once.
    request_queue_size = 128


@contextlib.contextmanager
def listening() -> Iterator[Catcher]:
    catcher = Catcher("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = catcher.statuses[min(len(catcher.caught), len(catcher.statuses) - 1)]
            catcher.caught.append(Caught(self.path, headers, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        catcher.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield catcher
        finally:
            server.shutdown()
            thread.join()
