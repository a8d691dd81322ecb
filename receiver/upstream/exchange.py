"""Send requests to the upstream and read answers: bounded, timed, errors mapped to ours, never twice.

Requests go directly to the transport. So no layer above it follows redirects, keeps cookies, reads proxies or
.netrc from the environment, or writes addresses to a log. Retrying is left to the jobs, which know what may be
repeated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import anyio
import anyio.lowlevel
import httpx2 as httpx

from receiver import errors, http_headers, upstream_values
from receiver.upstream import failure_reasons

BODY_LIMIT = 64 * 1024 * 1024  # bytes of a decoded answer on a route whose answers may be large
OTHER_LIMIT = 16 * 1024 * 1024  # and on any other route
TIMEOUT = 30.0  # seconds for a whole call
CONNECT_TIMEOUT = 10.0
CONNECTIONS = 32
_MAX_ERROR_BYTES = 64 * 1024
_USABLE_KEY = re.compile(r"[\x21-\x7e]{1,1024}")

_UNREACHABLE = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict, TimeoutError, OSError)
# The first row that fits an exception names the error that replaces it. In doubt the request may have been
# processed.
FAILURES: tuple[tuple[tuple[type[Exception], ...], type[errors.UpstreamError]], ...] = (
    ((httpx.DecodingError, httpx.SSEError), errors.InvalidResponse),
    ((httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout), errors.RequestNotSent),
    (_UNREACHABLE, errors.UpstreamUnreachable),
)
#: The type that carries a request; a test may pass its own.
Transport = httpx.AsyncBaseTransport

_FOREIGN = tuple(each for foreign, _ in FAILURES for each in foreign)


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call as telemetry records it; `status` is None where no complete answer came."""

    route: str
    status: int | None
    seconds: float
    limits: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes
    is_complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Limits:
    """The limits of a body in bytes: beyond `most`, `grow` decides whether it may be read up to `in_all`."""

    most: int
    in_all: int
    grow: Callable[[], bool] = lambda: False


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS context of all clients of this process: reading the authorities takes 30 ms."""
    return httpx.create_ssl_context(trust_env=False)


class HttpTransport(httpx.AsyncBaseTransport):
    """A real transport with at most that many connections and no retries of its own.

    It is made for the first request, in a thread: its libraries and the authorities take 100 ms to load, for which
    the start of a server need not wait.
    """

    def __init__(self, connections: int) -> None:
        self._limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._lock = anyio.Lock()
        self._made: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._lock:
            if self._made is None:
                self._made = await anyio.to_thread.run_sync(self._make)
        return await self._made.handle_async_request(request)

    async def aclose(self) -> None:
        if self._made is not None:
            await self._made.aclose()

    def _make(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=tls_context(), limits=self._limits, retries=0, trust_env=False)


class Connection:
    """A connection to `base_url`, an http or https origin with an optional path.

    `timeout` is for a whole call, in seconds, `body_limit` in bytes of the decoded answer. Raises SettingsError
    for an unusable address or key.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        transport: httpx.AsyncBaseTransport,
        observe: Callable[[Call], None] | None = None,
        *,
        timeout: float,
        connect_timeout: float = CONNECT_TIMEOUT,
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
        limit: int = OTHER_LIMIT,
        grow: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """Return the body of a 2xx to `route`, a template of `routes`; any other outcome raises an UpstreamError.

        A body larger than `limit` is read on where `grow` returns true, else ResponseTooLarge is raised.
        """
        limits = _Limits(min(limit, self._body_limit), self._body_limit, grow)
        request = self._request(route, run_id, query, body)
        started = time.monotonic()
        answer = None
        try:
            with _translated(route), anyio.fail_after(self._timeout):
                answer = await self._exchange(request, limits)
        finally:
            self._report(route, answer, time.monotonic() - started)
        if not 200 <= answer.status < 300:
            raise self._refusal(route, answer, body)
        if not answer.is_complete:
            raise errors.ResponseTooLarge(route, f"the answer is larger than {len(answer.body)} bytes")
        return answer.body

    @contextlib.asynccontextmanager
    async def stream(
        self, route: str, run_id: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[httpx.Response]:
        """Open a 2xx to `route` and yield it before its body is read.

        The stream counts as broken after `idle` seconds without a byte. Raises UpstreamError as `call` does,
        within the block too.
        """
        request = self._request(route, run_id, query, None)
        request.headers.update({"Accept": "text/event-stream", "Accept-Encoding": "identity"})
        request.extensions["timeout"] = {**self._phases, "read": idle}
        started = time.monotonic()
        answer: _Answer | None = None
        try:
            with _translated(route):
                response = await self._transport.handle_async_request(request)
            answer = _Answer(response.status_code, response.headers, b"", is_complete=False)
        finally:
            self._report(route, answer, time.monotonic() - started)
        response.request = request
        try:
            with _translated(route):
                if not response.is_success:
                    refusal = dataclasses.replace(answer, body=await _read_refusal(response))
                    raise self._refusal(route, refusal, None)
                yield response
        finally:
            await response.aclose()

    def _refusal(
        self, route: str, answer: _Answer, sent: Mapping[str, object] | None
    ) -> errors.UpstreamStatusError:
        given = failure_reasons.error_message(self._without_secrets(answer.body, sent))
        message = given or http_headers.phrase(answer.status) or "no message"
        wait = http_headers.retry_after(answer.headers, now=time.time())
        return errors.UpstreamStatusError(route, answer.status, message, wait)

    def _request(
        self, route: str, run_id: str | None, query: Mapping[str, str] | None, body: Mapping[str, object] | None
    ) -> httpx.Request:
        method, _, path = route.partition(" ")
        if run_id is not None:
            if upstream_values.SAFE_ID.fullmatch(run_id) is None:
                raise errors.UpstreamError(route, "the id cannot be part of an address, so nothing was sent")
            path = path.replace("{id}", urllib.parse.quote(run_id, safe=""))
        # Escaped to ASCII, any prompt can be sent, even one with a lone surrogate.
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
        await self._transport.aclose()

    def _report(self, route: str, answer: _Answer | None, seconds: float) -> None:
        if self._observe is not None:
            status = None if answer is None else answer.status
            limits = {} if answer is None else http_headers.rate_limits(answer.headers)
            self._observe(Call(route, status, seconds, limits))

    async def _exchange(self, request: httpx.Request, limits: _Limits) -> _Answer:
        response = await self._transport.handle_async_request(request)
        try:
            if response.is_success:
                body, is_complete = await _read(response, limits)
            else:
                body, is_complete = await _read_refusal(response), True
        finally:
            await response.aclose()
        return _Answer(response.status_code, response.headers, body, is_complete)

    def _without_secrets(self, answer: bytes, sent: Mapping[str, object] | None) -> bytes:
        """Remove our key and the signed part of a callback address from an error body, which may echo them."""
        secrets = [self._key]
        if sent is not None and "callbackUrl" in sent:
            secrets.append(str(sent["callbackUrl"]).rpartition("/")[2])
        for secret in secrets:
            if secret:
                answer = answer.replace(secret.encode(), b"[withheld]")
        return answer


@contextlib.contextmanager
def _translated(route: str) -> Iterator[None]:
    """Raise foreign errors as ours."""
    try:
        yield
    except _FOREIGN as error:
        error_type = next(ours for foreign, ours in FAILURES if isinstance(error, foreign))
        raise error_type(route, _described(error)) from error


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
    """Read as much of the decoded body as the limits allow; return it and whether it is complete."""
    chunks, size, limit = list[bytes](), 0, limits.most
    if response.headers.get("content-encoding", "").count(","):
        # One layer may unpack to gigabytes that the next layer reduces to nothing, which no limit would detect.
        raise httpx.DecodingError("the answer is compressed more than once")
    async with contextlib.aclosing(response.aiter_bytes()) as arriving:
        async for chunk in arriving:
            await anyio.lowlevel.checkpoint()  # a few bytes may unpack to the whole limit
            chunks.append(chunk)
            size += len(chunk)
            if size > limit and limit < limits.in_all and limits.grow():
                limit = limits.in_all
            if size > limit:
                return b"".join(chunks)[:limit], False
    return b"".join(chunks), True


async def _read_refusal(response: httpx.Response) -> bytes:
    """Read the body of a refusal for its message; the status counts even where the body is garbled."""
    try:
        body, _ = await _read(response, _Limits(_MAX_ERROR_BYTES, _MAX_ERROR_BYTES))
    except httpx.DecodingError:
        return b""
    return body


def _described(error: Exception) -> str:
    text = failure_reasons.one_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
