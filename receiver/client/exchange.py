"""What both clients share: how a request is made, what an answer means, and when a call is repeated."""

from __future__ import annotations

import dataclasses
import email.utils
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote

import httpx2 as httpx

from receiver.client import errors

T = TypeVar("T")
#: The header of each answer that names the release of the server.
RELEASE = "runledger-release"
#: The states in which a run has ended.
ENDED = frozenset({"completed", "failed", "cancelled", "refused"})
#: The event behind the last one of a stream.
CLOSE = "close"
#: Seconds without a byte, after which a stream counts as cut: the server sends something more often.
_QUIET = 60.0
#: The media type of problem answers.
_PROBLEM = "application/problem+json"
#: Methods that do the same when they are repeated.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One call of an operation, whose answer is a `T`.

    `repeats` means that a second call does no more than the first. `accepts` are the statuses that are no error.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeats: bool = False
    seconds: float = 0.0
    accepts: frozenset[int] = frozenset()

    @property
    def is_repeatable(self) -> bool:
        """Return whether it may be sent again where nobody knows what came of it."""
        return self.repeats or self.method in _REPEATABLE or "idempotency-key" in self.headers


@dataclass(frozen=True, slots=True)
class Retries:
    """When a call is repeated: at most `attempts` in all, and none that would begin after `seconds`."""

    attempts: int = 5
    seconds: float = 60.0
    first_pause: float = 0.5


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a server, and the key, which no representation shows. `timeout` is in seconds."""

    url: str
    key: str = field(repr=False)
    timeout: float = 30.0
    retries: Retries = Retries()

    def __post_init__(self) -> None:
        parts = httpx.URL(self.url)
        if parts.scheme not in ("http", "https") or not parts.host or parts.userinfo or parts.query:
            raise ValueError("the address of the server must be like https://runledger.example.com")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of the HTTP client. A redirect is not followed: it would carry the key elsewhere."""
        return {"headers": {"authorization": f"Bearer {self.key}"}, "timeout": self.timeout}

    def request(self, ask: Ask[Any]) -> dict[str, Any]:
        """Return the arguments of a request; one that waits has the time for it."""
        return {
            "method": ask.method,
            "url": self.url + ask.path,
            "params": dict(ask.query),
            "json": ask.body,
            "headers": dict(ask.headers),
            "timeout": self.timeout + ask.seconds,
        }

    def stream(self, ask: Ask[Any]) -> dict[str, Any]:
        """Return the arguments of a request for a stream, in which a minute without a byte is a cut."""
        return self.request(ask) | {"timeout": httpx.Timeout(self.timeout, read=_QUIET)}


class Attempts:
    """The attempts of one call: decides after each failure whether there is another, and when."""

    def __init__(self, ask: Ask[Any], retries: Retries) -> None:
        self._ask, self._retries = ask, retries
        self._count, self._deadline = 0, time.monotonic() + retries.seconds

    def pause(self, failure: errors.RunledgerError) -> float:
        """Return the seconds until the next attempt. Raises the failure where there is none."""
        self._count += 1
        pause: float = self._retries.first_pause * 2 ** (self._count - 1) * random.uniform(0.5, 1.0)
        if isinstance(failure, errors.Problem) and failure.retry_after is not None:
            pause = max(pause, failure.retry_after)
        is_late = self._count >= self._retries.attempts or time.monotonic() + pause > self._deadline
        if is_late or not self._may_repeat(failure):
            raise failure
        return pause

    def _may_repeat(self, failure: errors.RunledgerError) -> bool:
        """Return whether another attempt can help, and does nothing twice."""
        match failure:
            case errors.TooManyRequests():  # it was not even read
                return True
            case errors.Unavailable():
                return self._ask.is_repeatable
            case errors.ServerUnreachable():
                return failure.is_unsent or self._ask.is_repeatable
        return False


class Looks:
    """The looks at a run that is waited for: each pause is longer than the one before, up to 5 seconds."""

    def __init__(self, run: str, timeout: float | None) -> None:
        self._run, self._timeout = run, timeout
        self._began, self._pause = time.monotonic(), 0.25

    def pause(self) -> float:
        """Return the seconds until the next look. Raises StillRunning."""
        self._pause = min(self._pause * 1.5, 5.0)
        if self._timeout is None:
            return self._pause
        left = self._timeout - (time.monotonic() - self._began)
        if left <= 0:
            raise errors.StillRunning(self._run, self._timeout)
        return min(self._pause, left)


def unreachable(failure: httpx.TransportError, server: Server) -> errors.ServerUnreachable:
    """Return the error for a call without a whole answer."""
    is_unsent = isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    what = "cannot be reached" if is_unsent else "gave no whole answer"
    reason = str(failure) or type(failure).__name__
    return errors.ServerUnreachable(f"{server.url} {what}: {reason}", is_unsent=is_unsent)


def demand_success(response: httpx.Response, accepts: frozenset[int] = frozenset()) -> None:
    """Raise the Problem that an answer is, but for statuses that are accepted. The body was read before."""
    if response.is_success or response.status_code in accepts:
        return
    if response.is_redirect:
        place = response.headers.get("location", "nowhere")
        raise errors.InvalidAnswer(f"{response.url} redirects to {place}: give the address that it ends at")
    found: Any = None
    if response.headers.get("content-type", "").startswith(_PROBLEM):
        found = _json(response)
    fields = found if isinstance(found, dict) else errors.unlike_problem(response.text)
    raise errors.problem(response.status_code, fields, _retry_after(response.headers.get("retry-after")))


def value(response: httpx.Response) -> Any:
    """Return the JSON of an answer; None for an empty one. Raises InvalidAnswer."""
    return _json(response) if response.content else None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise errors.InvalidAnswer(f"{response.url} answered {response.status_code} with no JSON") from None


def _retry_after(given: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may name a date (RFC 9110, 10.2.3)."""
    if given is None:
        return None
    if given.isascii() and given.isdecimal():
        return float(given[:9])
    try:
        at = email.utils.parsedate_to_datetime(given)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())  # noqa: TID251 - the date is one of this moment


def path(template: str, *parts: str) -> str:
    """Return a path with its parts, each of which is one segment."""
    return template.format(*(quote(part, safe="") for part in parts))


def parameters(given: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as the query string spells them.

    >>> parameters({"status": ["failed", "refused"], "tags": {"matter": "0042"}, "count": True, "agent": None})
    {'status': 'failed,refused', 'tag.matter': '0042', 'count': 'true'}
    """
    spelled: dict[str, str] = {}
    for name, each in given.items():
        if name == "tags":
            spelled |= {f"tag.{key}": text for key, text in (each or {}).items()}
        elif each is not None:
            spelled[name] = _parameter(each)
    return spelled


def _parameter(given: Any) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    return str(given) if isinstance(given, str | int | float) else ",".join(map(str, given))


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields of a body that have a value."""
    return {name: each for name, each in fields.items() if each is not None}


def new_key() -> str:
    """Return an idempotency key that no other call has."""
    return str(uuid.uuid4())


def next_page(ask: Ask[T], page: Any) -> Ask[T] | None:
    """Return the call for the page behind one; None behind the last."""
    cursor = cast(Mapping[str, Any], page).get("nextCursor")
    if not cursor:
        return None
    return Ask(ask.method, ask.path, {**ask.query, "cursor": str(cursor)})


def after(ask: Ask[T], event: httpx.ServerSentEvent) -> Ask[T]:
    """Return the call that continues a stream behind an event."""
    return dataclasses.replace(ask, headers={**ask.headers, "last-event-id": event.id}) if event.id else ask
