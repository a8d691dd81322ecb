"""The signed POST to the backend, over real sockets and as the library of the scheme sees it."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.crypto import signatures
from receiver.outbound import notification_sender
from tests import backend, certificates
from tests.backend import Answer, Backend
from tests.server import free_port

pytestmark = pytest.mark.anyio

BODY = b'{"type":"run.completed","data":{"tags":{"name":"\\u00e9"}}}'
KEYS = [signatures.decode_notify_secret(secret) for secret in backend.SECRETS]
MEGABYTE = b"x" * 1_000_000


@pytest.fixture
def target() -> Iterator[Backend]:
    with backend.listening() as listening:
        yield listening


async def post(
    url: str, *, timeout: float = 30, allow_private: bool = True, **overrides: Any
) -> notification_sender.Accepted:
    """Send once."""
    notifier = notification_sender.Notifier(url, KEYS, allow_private=allow_private, timeout=timeout, **overrides)
    try:
        return await notifier.post("msg_1", BODY, datetime.now(UTC))
    finally:
        await notifier.aclose()


async def refused(url: str, **how: Any) -> errors.NotificationFailed:
    with pytest.raises(errors.NotificationFailed) as caught:
        await post(url, **how)
    assert "\n" not in caught.value.reason
    return caught.value


def leading(*addresses: str) -> Callable[[str, int], Any]:
    """Return a name service that resolves every name to that address."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


async def test_silent_name_servers_delay_no_other_look_up() -> None:
    """The loop has a few threads for look-ups; one for the upstream's address must be free at once."""
    gate = threading.Event()

    def silent(*_: object, **__: object) -> list[Any]:
        gate.wait()
        return []

    stuck = [asyncio.ensure_future(notification_sender.resolve("backend.test", 443, silent)) for _ in range(100)]
    await asyncio.sleep(0)
    assert await asyncio.to_thread(threading.active_count) > 100
    for each in stuck:
        each.cancel()  # nothing waits for them
    assert {type(each) for each in await asyncio.gather(*stuck, return_exceptions=True)} == {
        asyncio.CancelledError
    }
    gate.set()


async def test_each_secret_signs_what_is_sent(target: Backend) -> None:
    assert await post(target.url) == notification_sender.Accepted(204)
    (posted,) = target.received
    assert backend.verified(posted)["type"] == "run.completed"
    assert (posted.id, posted.body, posted.path) == ("msg_1", BODY, backend.PATH)


async def test_a_notification_names_its_content_type_and_its_sender(target: Backend) -> None:
    await post(target.url + "?tenant=7")
    (posted,) = target.received
    assert posted.path == backend.PATH + "?tenant=7"
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["user-agent"].startswith("runledger/")
    assert posted.headers["host"] == target.url.split("/")[2]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 503, 599])
async def test_every_status_but_2xx_is_named(target: Backend, status: int) -> None:
    target.answer(Answer(status, {"Retry-After": "7"}, b"no"))
    failure = await refused(target.url)
    assert (failure.status, failure.retry_after, failure.is_final) == (status, 7, False)
    assert failure.reason.startswith(f"the backend answered {status}")


async def test_410_is_final(target: Backend) -> None:
    target.answer(Answer(410))
    assert (await refused(target.url)).is_final


async def test_a_redirect_is_named_and_not_followed(target: Backend) -> None:
    target.answer(Answer(307, {"Location": target.url + "/elsewhere"}))
    failure = await refused(target.url)
    assert "a redirect, which is not followed: RUNLEDGER_NOTIFY_URL must be where it leads" in failure.reason
    assert [posted.path for posted in target.received] == [backend.PATH]


async def test_a_megabyte_is_named_and_not_read(target: Backend) -> None:
    target.answer(Answer(200, body=MEGABYTE))
    taken = await post(target.url)
    assert taken == notification_sender.Accepted(
        200, "the answer was longer than 4096 bytes and was not read to its end"
    )


async def test_a_backend_that_never_answers_is_left_in_time(target: Backend) -> None:
    target.answer(Answer(gate=target.gate()))
    assert (await refused(target.url, timeout=0.3)).reason == "the backend did not answer in time"


async def test_the_status_counts_where_the_rest_does_not_come(target: Backend) -> None:
    target.answer(Answer(200, body=b"o", length=9))
    assert await post(target.url) == notification_sender.Accepted(
        200, "the answer did not come to its end in time"
    )


async def test_what_is_no_answer_is_named(target: Backend) -> None:
    target.answer(Answer(raw=b"\x00 what?\r\n\r\n"))
    assert (await refused(target.url)).reason.startswith("the exchange with the backend broke off: ")


async def test_an_address_where_nobody_listens_is_named() -> None:
    failure = await refused(f"http://127.0.0.1:{free_port()}/")
    assert (failure.status, failure.reason[:33]) == (None, "the backend cannot be reached: Al")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nothing_is_sent_to_this_machine_unless_it_is_meant(target: Backend, host: str) -> None:
    failure = await refused(target.url.replace("127.0.0.1", host), allow_private=False)
    assert "which is not a public address: set RUNLEDGER_NOTIFY_ALLOW_PRIVATE" in failure.reason
    assert target.received == []


@pytest.mark.parametrize("private", ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%eth0"])
async def test_one_private_address_of_a_name_is_enough_to_turn_it_down(private: str) -> None:
    wire = Wire(200)
    resolve = leading("93.184.216.34", private)
    failure = await refused("https://backend.test/", allow_private=False, transport=wire, resolve=resolve)
    assert failure.reason.startswith(f"backend.test leads to {private}, ")
    assert wire.asked == []


async def test_a_name_without_an_address_is_named() -> None:
    assert (
        await refused("https://backend.test/", resolve=leading())
    ).reason == "the backend's name has no address"


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    wire = Wire(200)
    await post("https://backend.test:8443/a?b=1", allow_private=False, transport=wire, resolve=leading("8.8.8.8"))
    (asked,) = wire.asked
    assert (str(asked.url), asked.headers["host"]) == ("https://8.8.8.8:8443/a?b=1", "backend.test:8443")
    assert asked.extensions["sni_hostname"] == "backend.test"


async def test_another_address_of_the_name_is_tried_where_one_cannot_be_reached() -> None:
    wire = Wire(httpx.ConnectError("refused"), 200)
    await post("https://backend.test/", transport=wire, resolve=leading("2001:4860::1", "8.8.8.8"))
    assert [str(asked.url) for asked in wire.asked] == ["https://[2001:4860::1]/", "https://8.8.8.8/"]


@pytest.mark.parametrize(("name", "taken"), [("backend.test", True), ("other.test", False)])
async def test_the_certificate_is_that_of_the_name(tmp_path: Any, name: str, taken: bool) -> None:
    serving, trusting = certificates.made(tmp_path, "backend.test")
    with backend.listening(serving) as target:
        url = target.url.replace("127.0.0.1", name)
        overrides: dict[str, Any] = {
            "resolve": leading("127.0.0.1"),
            "transport": httpx.AsyncHTTPTransport(verify=trusting),
        }
        if taken:
            assert await post(url, **overrides) == notification_sender.Accepted(204)
        else:
            assert "certificate" in (await refused(url, **overrides)).reason
            assert target.received == []


class Wire(httpx.AsyncBaseTransport):
    """A transport that answers or raises in turn, and notes what it was asked."""

    def __init__(self, *ends: int | Exception) -> None:
        self._ends = list(ends)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        end = self._ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return httpx.Response(end, stream=httpx.ByteStream(b""))


def leaving() -> list[type[Exception]]:
    """Return every exception that the HTTP library exports."""
    exported = [getattr(httpx, name) for name in dir(httpx)]
    return [item for item in exported if inspect.isclass(item) and issubclass(item, Exception)]


@pytest.mark.parametrize("foreign", [*leaving(), TimeoutError, ConnectionResetError, OSError])
async def test_every_exception_of_the_library_becomes_the_one_of_ours(foreign: type[Exception]) -> None:
    error = foreign.__new__(foreign, "an error\nin lines")
    error.args = ("an error\nin lines",)
    failure = await refused("https://backend.test/", transport=Wire(error), resolve=leading("8.8.8.8"))
    assert failure.__cause__ is error
    assert failure.reason.startswith("the ")


async def test_a_name_that_cannot_be_resolved_is_named() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    failure = await refused("https://backend.test/", resolve=resolve)
    assert failure.reason == "the backend's name cannot be resolved: Name or service not known"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_ümlaut"])
def test_a_secret_that_cannot_sign_is_named_without_being_shown(secret: str) -> None:
    with pytest.raises(errors.SettingsError, match="RUNLEDGER_NOTIFY_SECRETS holds a") as caught:
        signatures.decode_notify_secret(secret)
    assert "openssl rand -base64 32" in str(caught.value)
    assert "base64!" not in str(caught.value)
