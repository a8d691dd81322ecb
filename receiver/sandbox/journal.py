"""The journal of calls and sent messages, in one order, and a record of every exchange in a file.

The record has one JSON object a line, in the order in which the exchanges ended:

    {"at": …, "kind": "call", "request": {…}, "answer": {…}}
    {"at": …, "kind": "callback", "run": "run_…", "attempt": 1, "error": null, "request": {…}, "answer": {…}}

A request has method, url, headers and body; an answer has status, headers and body, and is null where none was
given. `kind` is call, callback, event or test. Bodies are texts, or `{"base64": …}` where they are not UTF-8. The
value of an Authorization header is left out; so are the calls to /sandbox/, which the service does not have.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import itertools
import json
import time
from collections.abc import Iterable
from typing import TextIO

from receiver.sandbox import messages

_KEPT = 20_000


@dataclasses.dataclass
class Call:
    """A request to the API; `status` stays null where the connection was cut or no answer was given yet.

    `is_over` is set for streams, once nothing more comes.
    """

    seq: int
    at: float
    method: str
    path: str
    query: str
    route: str | None
    run: str | None
    body: object
    status: int | None = None
    fault: str | None = None
    is_over: bool = False


@dataclasses.dataclass
class Sent:
    """One attempt at a callback, event or test event; `error` says why there is no status, `dropped` included."""

    seq: int
    at: float
    kind: str
    run: str | None
    url: str
    attempt: int
    body: object
    event: str | None = None
    delivery: str | None = None
    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Journal:
    """The newest 20,000 calls and as many attempts to send; `at` is seconds since 1970.

    Exchanges go to `file`, or nowhere where there is none.
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._seq = itertools.count(1)
        self._calls: collections.deque[Call] = collections.deque(maxlen=_KEPT)
        self._sent: collections.deque[Sent] = collections.deque(maxlen=_KEPT)

    @property
    def records(self) -> bool:
        return self._file is not None

    def called(self, method: str, path: str, query: str, route: str | None, run: str | None, body: object) -> Call:
        call = Call(next(self._seq), time.time(), method, path, query, route, run, body)
        self._calls.append(call)
        return call

    def sent(self, kind: str, run: str | None, url: str, attempt: int, body: object) -> Sent:
        sent = Sent(next(self._seq), time.time(), kind, run, url, attempt, body)
        self._sent.append(sent)
        return sent

    def record(self, about: messages.Object, request: messages.Object, answer: messages.Object | None) -> None:
        """Write an exchange that has just ended; `about` has its kind."""
        if self._file is not None:
            at = messages.instant(time.time())
            self._file.write(json.dumps({"at": at, **about, "request": request, "answer": answer}) + "\n")
            self._file.flush()

    def as_json(self, after: int = 0) -> dict[str, object]:
        return {
            "requests": [dataclasses.asdict(call) for call in self._calls if call.seq > after],
            "sent": [dataclasses.asdict(sent) for sent in self._sent if sent.seq > after],
        }


def recorded(headers: Iterable[tuple[str, str]], body: bytes) -> messages.Object:
    """Return headers and body of a request or an answer as they are recorded."""
    shown = [(name.lower(), value) for name, value in headers]
    shown = [(name, "[redacted]" if name == "authorization" else value) for name, value in shown]
    try:
        return {"headers": shown, "body": body.decode()}
    except UnicodeDecodeError:
        return {"headers": shown, "body": {"base64": base64.b64encode(body).decode()}}
