"""Make one call and keep the complete answer, for the doctor.

The client turns an answer into a value or an error. This module keeps status, headers and bytes as received.
"""

from __future__ import annotations

import dataclasses
import datetime
import email.utils
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import httpx2 as httpx

from receiver import errors
from receiver.upstream import exchange

BODY_LIMIT = 4 << 20  # bytes
JSON = "application/json"
STREAM = "text/event-stream"


@dataclasses.dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one call at `at`, the middle of its `seconds`. `status` is None where no answer came.

    `body` is the received body, not compressed; `is_complete` tells whether the upstream ended it. `error` is what
    the client would have raised.
    """

    route: str
    at: datetime.datetime
    seconds: float
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    is_complete: bool
    error: errors.UpstreamError | None

    @property
    def cause(self) -> str:
        """Return why no answer, or only a part of one, came."""
        return "" if self.error is None else cause(self.error)

    @property
    def skew(self) -> float | None:
        """Return the seconds by which the upstream's clock is ahead of ours; None without a Date header.

        The result is accurate to the second.
        """
        try:
            date = email.utils.parsedate_to_datetime(self.headers.get("date", "")[:64])
        except (ValueError, OverflowError):
            return None
        # A Date header is cut to its second, so on average it means half a second later.
        return None if date.tzinfo is None else date.timestamp() + 0.5 - self.at.timestamp()


class Probe:
    """Makes single calls to the upstream at `base_url`. `timeout` is for a whole call, in seconds.

    Raises SettingsError for an unusable address or key.
    """

    def __init__(
        self, base_url: str, api_key: str, clock: Callable[[], datetime.datetime], *, timeout: float
    ) -> None:
        self._recorder = _RecordingTransport(exchange.HttpTransport(1))
        self._clock = clock
        self._wire = exchange.Connection(
            base_url, api_key, self._recorder, timeout=timeout, connect_timeout=timeout, body_limit=BODY_LIMIT
        )

    async def ask(
        self, route: str, run_id: str | None = None, *, accept: str = JSON, query: Mapping[str, str] | None = None
    ) -> ProbeResult:
        """Make a call to `route`, a template of `routes`, which must be safe (RFC 9110, 9.2.1)."""
        self._recorder.begin(accept)
        started = time.monotonic()
        error = None
        try:
            await self._wire.call(route, run_id, query=query)
        except errors.UpstreamError as raised:
            error = raised
        seconds = time.monotonic() - started
        return ProbeResult(
            route,
            self._clock() - datetime.timedelta(seconds=seconds / 2),
            seconds,
            self._recorder.status,
            self._recorder.headers,
            bytes(self._recorder.body),
            self._recorder.is_whole,
            error,
        )

    async def aclose(self) -> None:
        await self._wire.aclose()


class _RecordingTransport(httpx.AsyncBaseTransport):
    """A transport that keeps a copy of the answer, as far as it comes."""

    def __init__(self, real: httpx.AsyncBaseTransport) -> None:
        self._real = real
        self.begin(JSON)

    def begin(self, accept: str) -> None:
        self._accept = accept
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.is_whole = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Accept"] = self._accept
        request.headers["Accept-Encoding"] = "identity"  # the copy has to be readable without decompression
        response = await self._real.handle_async_request(request)
        self.status, self.headers = response.status_code, response.headers
        return httpx.Response(response.status_code, headers=response.headers, stream=_CopiedBody(response, self))

    async def aclose(self) -> None:
        await self._real.aclose()


class _CopiedBody(httpx.AsyncByteStream):
    """The body of an answer; a copy is kept while it passes."""

    def __init__(self, response: httpx.Response, recorder: _RecordingTransport) -> None:
        self._response = response
        self._recorder = recorder

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_raw():
            if len(self._recorder.body) < BODY_LIMIT:
                self._recorder.body += chunk
            yield chunk
        self._recorder.is_whole = True

    async def aclose(self) -> None:
        await self._response.aclose()


def cause(error: BaseException) -> str:
    """Return in a few words why there was no answer, by the first row that fits anything in the chain."""
    chain = list(_chain(error))
    for foreign, message in _CAUSES:
        found = next((each for each in chain if isinstance(each, foreign)), None)
        if found is not None:
            return message.format(getattr(found, "verify_message", "") or getattr(found, "reason", "") or found)
    return str(error)


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "its name cannot be resolved"),
    (ssl.SSLCertVerificationError, "its certificate is not valid: {}"),
    (ssl.SSLError, "TLS cannot be established: {}"),
    (ConnectionRefusedError, "the connection is refused"),
    (httpx.ConnectTimeout, "no connection is established in time"),
    (httpx.ConnectError, "no connection is established: {}"),
    (httpx.TimeoutException, "it accepts the connection and does not answer in time"),
    (TimeoutError, "it does not answer in time"),
    (httpx.RemoteProtocolError, "it does not speak HTTP, or cuts the connection"),
    (httpx.ReadError, "it cuts the connection"),
    (ConnectionError, "it cuts the connection"),
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and everything that led to it, with each failed attempt of a group."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _chain(each)
        error = error.__cause__ or error.__context__
