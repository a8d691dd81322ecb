"""The signed POST to the backend, in the scheme of Standard Webhooks (https://www.standardwebhooks.com).

The status of the answer alone decides. Requests go to the transport itself, as in `upstream.wire`: no redirect is
followed, nothing is read from the environment. The name is resolved here and the connection made to an address
that was checked, by that address: were the name resolved once more, it could lead elsewhere in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http
import importlib.metadata
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures
from datetime import datetime
from typing import Any

import anyio
import httpx2 as httpx

from receiver import addresses, errors, headers, signatures

#: Bytes of an answer that are read at most, and seconds for them once the status is there.
BODY_LIMIT = 4096
BODY_SECONDS = 2.0
#: Addresses of one name that are tried at most.
ADDRESSES = 4
_LONGEST_REASON = 200

#: What is said of a failure; the first row that fits. `{}` is the failure's own text.
FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectError, "the backend cannot be reached: {}"),
    (httpx.ConnectTimeout, "the backend cannot be reached in time"),
    (httpx.TimeoutException, "the backend did not answer in time"),
    (TimeoutError, "the backend did not answer in time"),
    (httpx.InvalidURL, "the backend's address cannot be used: {}"),
    (httpx.HTTPError, "the exchange with the backend broke off: {}"),
    (httpx.StreamError, "the exchange with the backend broke off: {}"),
    (httpx.CookieConflict, "the exchange with the backend broke off: {}"),
    (OSError, "the backend's name cannot be resolved: {}"),
    (UnicodeError, "the backend's name cannot be resolved: {}"),
)
_FOREIGN = tuple(foreign for foreign, _ in FAILURES)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
LookUp = Callable[..., list[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """The backend took it; `remark` says what was odd about its answer."""

    status: int
    remark: str | None = None


async def resolve(host: str, port: int, look_up: LookUp = socket.getaddrinfo) -> Sequence[str]:
    """The addresses of a name, in the order in which the system prefers them. Raises OSError, UnicodeError.

    Where name servers are silent the system takes a minute and cannot be told to stop. Each look-up has a thread
    of its own, for which nobody waits: in the loop's few it would hold up the upstream's, and the process's end.
    """
    answer: futures.Future[list[Any]] = futures.Future()
    answer.set_running_or_notify_cancel()  # from now on it may be given up, and answered all the same
    threading.Thread(target=_look_up, args=(look_up, host, port, answer), daemon=True).start()
    found = await asyncio.wrap_future(answer)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _look_up(look_up: LookUp, host: str, port: int, answer: futures.Future[list[Any]]) -> None:
    try:
        answer.set_result(look_up(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        answer.set_exception(error)


class Notifier:
    """The way to the backend at `url`. `timeout` is for a whole call up to its status, in seconds.

    Each of `secrets` signs, the newest first. Unless `allow_private`, only https and addresses of the open
    internet are used. `transport` and `resolve` are seams for tests.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[signatures.Secret],
        *,
        allow_private: bool,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._url = httpx.URL(url)
        self._secrets = tuple(secrets)
        self._allow_private = allow_private
        self._timeout = timeout
        self._transport = transport or _transport()
        self._resolve = resolve

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    async def post(self, event_id: str, body: bytes, now: datetime) -> Taken:
        """Sends once. Whatever is no 2xx raises NotDelivered."""
        headers = self._headers(event_id, body, str(int(now.timestamp())))
        try:
            with anyio.fail_after(self._timeout):
                response = await self._sent(headers, body)
        except _FOREIGN as error:
            raise errors.NotDelivered(_described(error)) from error
        try:
            remark = await _read(response, min(BODY_SECONDS, self._timeout))
        finally:
            await response.aclose()
        return _judged(response, remark)

    def _headers(self, event_id: str, body: bytes, timestamp: str) -> dict[str, str]:
        signed = (signatures.sign(secret.key, event_id, timestamp, body) for secret in self._secrets)
        return {
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": f"runledger/{importlib.metadata.version('runledger')}",
            "webhook-id": event_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(signed),
        }

    async def _sent(self, headers: dict[str, str], body: bytes) -> httpx.Response:
        """The answer of the first address that can be reached."""
        *others, last = await self._addresses()
        each = self._timeout / (len(others) + 1)
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent
                return await self._transport.handle_async_request(self._request(address, headers, body, each))
        return await self._transport.handle_async_request(self._request(last, headers, body, each))

    def _request(self, address: str, headers: dict[str, str], body: bytes, connect: float) -> httpx.Request:
        # The certificate is checked against the name, whatever address it leads to.
        phases = httpx.Timeout(self._timeout, connect=connect).as_dict()
        extensions = {"timeout": phases, "sni_hostname": self._url.raw_host.decode("ascii")}
        url = self._url.copy_with(host=address)
        return httpx.Request("POST", url, headers=headers, content=body, extensions=extensions)

    async def _addresses(self) -> Sequence[str]:
        """Where the name leads. One address that is not public is enough to turn it down."""
        port = self._url.port or {"https": 443, "http": 80}[self._url.scheme]
        found = (await self._resolve(self._url.raw_host.decode("ascii"), port))[:ADDRESSES]
        if not found:
            raise errors.NotDelivered("the backend's name has no address")
        private = next((each for each in found if not addresses.is_public(each)), None)
        if private is not None and not self._allow_private:
            raise errors.NotDelivered(
                f"{self._url.host} leads to {private}, which is no address of the open internet: "
                "set RUNLEDGER_NOTIFY_ALLOW_PRIVATE=true if that is meant"
            )
        return found


def _transport() -> httpx.AsyncHTTPTransport:
    # No connection is kept: the address is checked anew each time.
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0), retries=0, trust_env=False)


async def _read(response: httpx.Response, seconds: float) -> str | None:
    """Reads a little of the answer, so that the backend is not cut off; what was odd about it."""
    size = 0
    try:
        with anyio.move_on_after(seconds) as patience:
            async with contextlib.aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > BODY_LIMIT:
                        return f"the answer was longer than {BODY_LIMIT} bytes and was not read to its end"
    except httpx.HTTPError:
        return "the answer broke off"
    return "the answer did not come to its end in time" if patience.cancelled_caught else None


def _judged(response: httpx.Response, remark: str | None) -> Taken:
    status = response.status_code
    if response.is_success:
        return Taken(status, remark)
    reason = f"the backend answered {status} {_phrase(status)}".rstrip()
    if response.is_redirect:
        reason += ", a redirect, which is not followed: RUNLEDGER_NOTIFY_URL must be where it leads"
    elif remark is not None:
        reason += f"; {remark}"
    raise errors.NotDelivered(reason, status, headers.retry_after(response.headers, time.time()))


def _described(error: Exception) -> str:
    said = next(said for foreign, said in FAILURES if isinstance(error, foreign))
    return said.format(" ".join(str(error).split()) or type(error).__name__)[:_LONGEST_REASON]


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""
