"""What was asked and what was sent, in one order, for tests and for the curious."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable

_KEPT = 20_000


@dataclasses.dataclass
class Call:
    """A request to the API; `status` stays null where the connection was cut or the answer is still to come.

    `is_over` is said of streams, once nothing more comes.
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
        """Whether it was answered with a 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Journal:
    """The newest 20,000 requests and as many attempts to send; `at` is seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seq = itertools.count(1)
        self._calls: collections.deque[Call] = collections.deque(maxlen=_KEPT)
        self._sent: collections.deque[Sent] = collections.deque(maxlen=_KEPT)

    def called(self, method: str, path: str, query: str, route: str | None, run: str | None, body: object) -> Call:
        call = Call(next(self._seq), self._clock(), method, path, query, route, run, body)
        self._calls.append(call)
        return call

    def sent(self, kind: str, run: str | None, url: str, attempt: int, body: object) -> Sent:
        sent = Sent(next(self._seq), self._clock(), kind, run, url, attempt, body)
        self._sent.append(sent)
        return sent

    def as_json(self, after: int = 0) -> dict[str, object]:
        """Everything whose `seq` is above `after`."""
        return {
            "requests": [dataclasses.asdict(call) for call in self._calls if call.seq > after],
            "sent": [dataclasses.asdict(sent) for sent in self._sent if sent.seq > after],
        }
