"""The signed POST to the backend, by Standard Webhooks (https://www.standardwebhooks.com).

Only the status of the answer decides. As in the upstream client, requests go directly to the transport: no
redirect is followed, and nothing is read from the environment. The name is resolved here and the connection is
made to an address that was checked. If the name were resolved a second time, it could lead elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
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

from receiver import client_address, errors, http_headers
from receiver.crypto import signatures
from receiver.upstream import exchange, failure_reasons

#: Bytes of an answer that are read at most, and seconds for them after the status.
BODY_LIMIT = 4096
BODY_SECONDS = 2.0
#: Addresses of one name that are tried at most.
ADDRESSES = 4
_LONGEST_REASON = 200

#: The text for a failure, by the first row that fits. `{}` is the failure's own text.
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
class Accepted:
    """The backend accepted the notification; `remark` notes what was odd about its answer."""

    status: int
    remark: str | None = None


async def resolve(host: str, port: int, look_up: LookUp = socket.getaddrinfo) -> Sequence[str]:
    """Return the addresses of a name, in the system's order of preference. Raises OSError, UnicodeError.

    With silent name servers the system takes a minute and cannot be stopped. Each look-up therefore has a thread
    of its own, which nothing waits for: in the loop's few threads it would delay calls to the upstream and the end
    of the process.
    """
    answer: futures.Future[list[Any]] = futures.Future()
    answer.set_running_or_notify_cancel()  # from now on the result is set even if nothing waits for it
    threading.Thread(target=_look_up, args=(look_up, host, port, answer), daemon=True).start()
    found = await asyncio.wrap_future(answer)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _look_up(look_up: LookUp, host: str, port: int, answer: futures.Future[list[Any]]) -> None:
    try:
        answer.set_result(look_up(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        answer.set_exception(error)


class Notifier:
    """The sender of notifications to `url`. `timeout` is for a whole call up to its status, in seconds.

    Each of `secrets` signs, the newest first. Unless `allow_private`, only https and public addresses are used.
    `transport` and `resolve` can be replaced by tests.
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
        await self._transport.aclose()

    async def post(self, event_id: str, body: bytes, now: datetime) -> Accepted:
        """Send once. Raises NotificationFailed for anything but a 2xx."""
        headers = self._headers(event_id, body, str(int(now.timestamp())))
        try:
            with anyio.fail_after(self._timeout):
                response = await self._sent(headers, body)
        except _FOREIGN as error:
            text = next(text for foreign, text in FAILURES if isinstance(error, foreign))
            reason = text.format(failure_reasons.one_line(str(error)) or type(error).__name__)
            raise errors.NotificationFailed(reason[:_LONGEST_REASON]) from error
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
        """Return the answer of the first address that can be reached."""
        *others, last = await self._addresses()
        each = self._timeout / (len(others) + 1)
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent
                return await self._transport.handle_async_request(self._request(address, headers, body, each))
        return await self._transport.handle_async_request(self._request(last, headers, body, each))

    def _request(self, address: str, headers: dict[str, str], body: bytes, connect: float) -> httpx.Request:
        # The certificate is checked against the name, whatever its address.
        phases = httpx.Timeout(self._timeout, connect=connect).as_dict()
        extensions = {"timeout": phases, "sni_hostname": self._url.raw_host.decode("ascii")}
        url = self._url.copy_with(host=address)
        return httpx.Request("POST", url, headers=headers, content=body, extensions=extensions)

    async def _addresses(self) -> Sequence[str]:
        """Resolve the name. A single address that is not public is a reason to refuse."""
        port = self._url.port or {"https": 443, "http": 80}[self._url.scheme]
        found = (await self._resolve(self._url.raw_host.decode("ascii"), port))[:ADDRESSES]
        if not found:
            raise errors.NotificationFailed("the backend's name has no address")
        private = next((each for each in found if not client_address.is_public(each)), None)
        if private is not None and not self._allow_private:
            raise errors.NotificationFailed(
                f"{self._url.host} leads to {private}, which is not a public address: "
                "set RUNLEDGER_NOTIFY_ALLOW_PRIVATE=true if that is intended"
            )
        return found


def _transport() -> httpx.AsyncHTTPTransport:
    # No connection is kept, so that the address is checked each time.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=exchange.tls_context(), limits=limits, retries=0, trust_env=False)


async def _read(response: httpx.Response, seconds: float) -> str | None:
    """Read a little of the answer, so that the backend sees no reset; return what was odd about it."""
    size = 0
    try:
        with anyio.move_on_after(seconds) as scope:
            async with contextlib.aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > BODY_LIMIT:
                        return f"the answer was longer than {BODY_LIMIT} bytes and was not read to its end"
    except httpx.HTTPError:
        return "the answer broke off"
    return "the answer did not come to its end in time" if scope.cancelled_caught else None


def _judged(response: httpx.Response, remark: str | None) -> Accepted:
    status = response.status_code
    if response.is_success:
        return Accepted(status, remark)
    reason = f"the backend answered {status} {http_headers.phrase(status)}".rstrip()
    if response.is_redirect:
        reason += ", a redirect, which is not followed: RUNLEDGER_NOTIFY_URL must be where it leads"
    elif remark is not None:
        reason += f"; {remark}"
    raise errors.NotificationFailed(reason, status, http_headers.retry_after(response.headers, time.time()))
