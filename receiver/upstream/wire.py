"""How a request goes to the upstream and an answer comes back: bounded, timed, mapped to our errors, never twice.

Requests go to the transport itself: nothing above it follows redirects, keeps cookies, reads proxies or .netrc
from the environment, or writes addresses to a log. Retrying is the business of the jobs, which know what may be
repeated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http
import importlib.metadata
import json
import re
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import anyio
import anyio.lowlevel
import httpx2 as httpx

from receiver import errors, headers, hints
from receiver.upstream import reasons

BODY_LIMIT = 64 * 1024 * 1024  # bytes of a decoded answer that may be large
OTHER_LIMIT = 16 * 1024 * 1024  # and of any other
TIMEOUT = 30.0  # seconds for a whole call
CONNECT_TIMEOUT = 10.0
CONNECTIONS = 32
_LONGEST_ERROR = 64 * 1024
_LONGEST_DATE = 64
_USABLE_KEY = re.compile(r"[\x21-\x7e]{1,1024}")

# The first row that fits an exception says what it becomes; in doubt the request may have been processed.
FAILURES: tuple[tuple[type[Exception], type[errors.UpstreamError]], ...] = (
    (httpx.DecodingError, errors.Unreadable),
    (httpx.ConnectError, errors.NotSent),
    (httpx.ConnectTimeout, errors.NotSent),
    (httpx.PoolTimeout, errors.NotSent),
    (httpx.SSEError, errors.Unreadable),
    (httpx.HTTPError, errors.NoAnswer),
    (httpx.StreamError, errors.NoAnswer),
    (httpx.InvalidURL, errors.NoAnswer),
    (httpx.CookieConflict, errors.NoAnswer),
    (TimeoutError, errors.NoAnswer),
    (OSError, errors.NoAnswer),
)
#: What carries a request; tests put a watched one in its place.
Transport = httpx.AsyncBaseTransport

_FOREIGN = tuple(foreign for foreign, _ in FAILURES)


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call as telemetry sees it; `status` is None where no whole answer came, `date` is the answer's own."""

    route: str
    status: int | None
    seconds: float
    date: str | None
    limits: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes
    whole: bool


def _stop() -> bool:
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class _Limits:
    """Bytes of a body: from `most` on `grow` is asked whether it may be read up to `in_all`."""

    most: int
    in_all: int
    grow: Callable[[], bool] = _stop


def transport(connections: int) -> httpx.AsyncHTTPTransport:
    """The real one, with at most that many connections and no retries of its own."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncHTTPTransport(limits=limits, retries=0, trust_env=False)


class Wire:
    """The way to `base_url`, an http or https origin with an optional path.

    `timeout` is for a whole call, in seconds, `body_limit` in bytes of the decoded answer. Raises SettingsError
    for an address or a key that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        transport: httpx.AsyncBaseTransport,
        observe: Callable[[Call], None] | None,
        *,
        timeout: float,
        connect_timeout: float,
        body_limit: int,
    ) -> None:
        self._origin = _checked(base_url)
        if _USABLE_KEY.fullmatch(api_key) is None:
            raise errors.SettingsError("CASEDEV_API_KEY must be printable ASCII without spaces, and not empty")
        self._key = api_key
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": f"runledger/{importlib.metadata.version('runledger')}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
        }
        self._transport = transport
        self._observe = observe
        self._timeout = timeout
        self._phases = httpx.Timeout(timeout, connect=min(timeout, connect_timeout)).as_dict()
        self._body_limit = body_limit

    async def call(
        self,
        route: str,
        run_id: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        most: int = OTHER_LIMIT,
        grow: Callable[[], bool] = _stop,
    ) -> bytes:
        """The body of a 2xx to `route`, a template of `routes`; every other end raises an UpstreamError.

        A body that is larger than `most` is read on where `grow` says so, else it is TooLarge.
        """
        limits = _Limits(min(most, self._body_limit), self._body_limit, grow)
        answer = await self._observed(route, self._request(route, run_id, query, body), limits)
        if not 200 <= answer.status < 300:
            raise self._refusal(route, answer, body)
        if not answer.whole:
            raise errors.TooLarge(route, f"the answer is larger than {len(answer.body)} bytes")
        return answer.body

    @contextlib.asynccontextmanager
    async def stream(
        self, route: str, run_id: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[httpx.Response]:
        """A 2xx to `route` whose body is still to come, never `idle` seconds without a byte, or it has broken.

        Raises UpstreamError as `call` does, within the block too.
        """
        request = self._request(route, run_id, query, None)
        request.headers.update({"Accept": "text/event-stream", "Accept-Encoding": "identity"})
        request.extensions["timeout"] = {**self._phases, "read": idle}
        started = time.monotonic()
        answer: _Answer | None = None
        try:
            with _translated(route):
                response = await self._transport.handle_async_request(request)
            answer = _Answer(response.status_code, response.headers, b"", whole=False)
        finally:
            self._tell(_call_seen(route, answer, time.monotonic() - started))
        response.request = request
        try:
            with _translated(route):
                if not response.is_success:
                    refused = dataclasses.replace(answer, body=await _read_refusal(response))
                    raise self._refusal(route, refused, None)
                yield response
        finally:
            await response.aclose()

    def _refusal(self, route: str, answer: _Answer, sent: Mapping[str, object] | None) -> errors.Answered:
        message = reasons.error_message(self._without_secrets(answer.body, sent)) or _phrase(answer.status)
        wait = headers.retry_after(answer.headers, now=time.time())
        return errors.Answered(route, answer.status, message, wait)

    def _request(
        self,
        route: str,
        run_id: str | None,
        query: Mapping[str, str] | None,
        body: Mapping[str, object] | None,
    ) -> httpx.Request:
        method, _, path = route.partition(" ")
        if run_id is not None:
            if hints.SAFE_ID.fullmatch(run_id) is None:
                raise errors.UpstreamError(route, "the id cannot stand in an address, so nothing was sent")
            path = path.replace("{id}", urllib.parse.quote(run_id, safe=""))
        # Escaped to ASCII, any prompt can be sent, one with a lone surrogate too.
        content = None if body is None else json.dumps(body).encode("ascii")
        return httpx.Request(
            method,
            self._origin + path,
            params=query,
            headers=self._headers if content is None else {**self._headers, "Content-Type": "application/json"},
            content=content,
            extensions={"timeout": self._phases},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _observed(self, route: str, request: httpx.Request, limits: _Limits) -> _Answer:
        started = time.monotonic()
        answer = None
        try:
            with _translated(route), anyio.fail_after(self._timeout):
                answer = await self._exchange(request, limits)
            return answer
        finally:
            self._tell(_call_seen(route, answer, time.monotonic() - started))

    def _tell(self, call: Call) -> None:
        if self._observe is not None:
            self._observe(call)

    async def _exchange(self, request: httpx.Request, limits: _Limits) -> _Answer:
        response = await self._transport.handle_async_request(request)
        try:
            if response.is_success:
                body, whole = await _read(response, limits)
            else:
                body, whole = await _read_refusal(response), True
        finally:
            await response.aclose()
        return _Answer(response.status_code, response.headers, body, whole)

    def _without_secrets(self, answer: bytes, sent: Mapping[str, object] | None) -> bytes:
        """An error's body, which may echo them, without our key and the signed part of a callback address."""
        secrets = [self._key]
        if sent is not None and "callbackUrl" in sent:
            secrets.append(str(sent["callbackUrl"]).rpartition("/")[2])
        for secret in secrets:
            if secret:
                answer = answer.replace(secret.encode(), b"[withheld]")
        return answer


@contextlib.contextmanager
def _translated(route: str) -> Iterator[None]:
    """Foreign errors as ours."""
    try:
        yield
    except _FOREIGN as error:
        became = next(ours for foreign, ours in FAILURES if isinstance(error, foreign))
        raise became(route, _described(error)) from error


def _checked(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL()
    usable = url.scheme in ("http", "https") and bool(url.host)
    if not usable or url.userinfo or url.query or url.fragment:
        raise errors.SettingsError("CASEDEV_BASE_URL must be an http(s) address without user, query and fragment")
    return str(url).rstrip("/")


async def _read(response: httpx.Response, limits: _Limits) -> tuple[bytes, bool]:
    """As much of the decoded body as the limits let, and whether that is all of it."""
    chunks, size, limit = list[bytes](), 0, limits.most
    if response.headers.get("content-encoding", "").count(","):
        # One layer of it may unpack to gigabytes of which the next one makes nothing: no limit would end that.
        raise httpx.DecodingError("the answer is compressed more than once")
    async with contextlib.aclosing(response.aiter_bytes()) as arriving:
        async for chunk in arriving:
            await anyio.lowlevel.checkpoint()  # a few bytes may unpack to all of the limit
            chunks.append(chunk)
            size += len(chunk)
            if size > limit and limit < limits.in_all and limits.grow():
                limit = limits.in_all
            if size > limit:
                return b"".join(chunks)[:limit], False
    return b"".join(chunks), True


async def _read_refusal(response: httpx.Response) -> bytes:
    """The body of a refusal, which is read for its message only: the status stands even where it is garbled."""
    try:
        body, _ = await _read(response, _Limits(_LONGEST_ERROR, _LONGEST_ERROR))
    except httpx.DecodingError:
        return b""
    return body


def _call_seen(route: str, answer: _Answer | None, seconds: float) -> Call:
    if answer is None:
        return Call(route, None, seconds, None, {})
    date = answer.headers.get("date", "")[:_LONGEST_DATE] or None
    return Call(route, answer.status, seconds, date, headers.rate_limits(answer.headers))


def _described(error: Exception) -> str:
    told = reasons.one_line(str(error))
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "no message"
