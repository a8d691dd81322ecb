"""One call at a time, for who wants to see just what the upstream answers: the doctor.

Where the client turns an answer into a value or an error, this keeps what came: status, headers, bytes.
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
from receiver.upstream import wire

BODY_LIMIT = 4 << 20  # bytes
JSON = "application/json"
STREAM = "text/event-stream"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What came of one call at `at`, the middle of its `seconds`. `status` is None where nothing was answered.

    `body` is what came of it, plain; `is_whole` tells whether the upstream ended it. `error` is what the client
    would have raised.
    """

    route: str
    at: datetime.datetime
    seconds: float
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool
    error: errors.UpstreamError | None

    @property
    def cause(self) -> str:
        """Why nothing was answered, or only a part."""
        return "" if self.error is None else cause(self.error)

    @property
    def skew(self) -> float | None:
        """Seconds by which the upstream's clock is ahead of ours, to the second; None where no Date was told."""
        try:
            date = email.utils.parsedate_to_datetime(self.headers.get("date", "")[:64])
        except (ValueError, OverflowError):
            return None
        # A date is cut to its second, and means half a second later on the average.
        return None if date.tzinfo is None else date.timestamp() + 0.5 - self.at.timestamp()


class Probe:
    """Asks the upstream at `base_url`. `timeout` is for a whole call, in seconds.

    Raises SettingsError for an address or a key that cannot be used.
    """

    def __init__(
        self, base_url: str, api_key: str, clock: Callable[[], datetime.datetime], *, timeout: float
    ) -> None:
        self._kept = _Kept(wire.transport(1))
        self._clock = clock
        self._wire = wire.Wire(
            base_url,
            api_key,
            self._kept,
            None,
            timeout=timeout,
            connect_timeout=timeout,
            body_limit=BODY_LIMIT,
        )

    async def ask(
        self, route: str, run_id: str | None = None, *, accept: str = JSON, query: Mapping[str, str] | None = None
    ) -> Seen:
        """What comes of a call to `route`, a template of `routes`. It has to be safe: nothing here is a wish."""
        self._kept.begin(accept)
        started = time.monotonic()
        error = None
        try:
            await self._wire.call(route, run_id, query=query)
        except errors.UpstreamError as raised:
            error = raised
        seconds = time.monotonic() - started
        return Seen(
            route,
            self._clock() - datetime.timedelta(seconds=seconds / 2),
            seconds,
            self._kept.status,
            self._kept.headers,
            bytes(self._kept.body),
            self._kept.is_whole,
            error,
        )

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.aclose()


class _Kept(httpx.AsyncBaseTransport):
    """Carries a request and keeps a copy of what is answered, as far as it comes."""

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
        request.headers["Accept-Encoding"] = "identity"  # what is kept is to be read as it came
        response = await self._real.handle_async_request(request)
        self.status, self.headers = response.status_code, response.headers
        return httpx.Response(response.status_code, headers=response.headers, stream=_Copied(response, self))

    async def aclose(self) -> None:
        await self._real.aclose()


class _Copied(httpx.AsyncByteStream):
    """A body on its way, of which a copy is kept."""

    def __init__(self, response: httpx.Response, kept: _Kept) -> None:
        self._response = response
        self._kept = kept

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_raw():
            if len(self._kept.body) < BODY_LIMIT:
                self._kept.body += chunk
            yield chunk
        self._kept.is_whole = True

    async def aclose(self) -> None:
        await self._response.aclose()


def cause(error: BaseException) -> str:
    """Why there was no answer, in a few words; the first row that fits anything in the chain of causes."""
    chain = list(_chain(error))
    for foreign, said in _CAUSES:
        found = next((each for each in chain if isinstance(each, foreign)), None)
        if found is not None:
            return said.format(getattr(found, "verify_message", "") or getattr(found, "reason", "") or found)
    return str(error)


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "its name cannot be resolved"),
    (ssl.SSLCertVerificationError, "its certificate does not hold: {}"),
    (ssl.SSLError, "no TLS comes about: {}"),
    (ConnectionRefusedError, "the connection is refused"),
    (httpx.ConnectTimeout, "no connection comes about in time"),
    (httpx.ConnectError, "no connection comes about: {}"),
    (httpx.TimeoutException, "it takes the connection and does not answer in time"),
    (TimeoutError, "it does not answer in time"),
    (httpx.RemoteProtocolError, "what answers does not speak HTTP, or cuts the connection"),
    (httpx.ReadError, "it cuts the connection"),
    (ConnectionError, "it cuts the connection"),
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that led to it, with each failed attempt of a group."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _chain(each)
        error = error.__cause__ or error.__context__
