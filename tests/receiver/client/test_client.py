"""The client against answers that a test makes: what it repeats, what it raises, what it keeps to itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx2 as httpx
import pytest

from receiver import client
from receiver.client import exchange

KEY = "rl_0123456789ab_secret"
UNAVAILABLE = httpx.Response(503, json={"type": "urn:runledger:problem:busy"}, headers={"retry-after": "7"})
ENDED = httpx.Response(200, json={"id": "1", "status": "completed"})
Answer = httpx.Response | type[Exception]


class Answering:
    """A server that gives these answers in turn, and keeps what it was asked."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers, self.requests, self.pauses = list(answers), list[httpx.Request](), list[float]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        found = self.answers.pop(0)
        if isinstance(found, httpx.Response):
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)
        raise found("cut")

    def client(self, **options: Any) -> client.Client:
        transport = httpx.MockTransport(self)
        return client.Client("https://ledger.test", KEY, transport=transport, sleep=self.pauses.append, **options)


def _asked(call: Callable[[client.Client], Any], *answers: Answer) -> Answering:
    server = Answering(answers)
    with server.client() as ledger:
        call(ledger)
    return server


def _problem(status: int, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json=fields, headers={"content-type": "application/problem+json"})


def test_a_submission_is_repeated_with_the_same_idempotency_key() -> None:
    server = _asked(lambda ledger: ledger.submit("agent_1", "Review."), httpx.ReadTimeout, UNAVAILABLE, ENDED)
    first, second, third = (each.headers["idempotency-key"] for each in server.requests)
    assert first == second == third
    assert server.pauses[1] == 7.0


def test_two_submissions_have_two_keys() -> None:
    server = Answering([ENDED, ENDED])
    with server.client() as ledger:
        ledger.submit("agent_1", "Review.")
        ledger.submit("agent_1", "Review.")
    assert len({each.headers["idempotency-key"] for each in server.requests}) == 2


@pytest.mark.parametrize("failure", [httpx.ReadTimeout, httpx.RemoteProtocolError, UNAVAILABLE])
def test_what_may_not_be_done_twice_is_not_repeated_in_doubt(failure: Answer) -> None:
    with pytest.raises(client.RunledgerError):
        _asked(lambda ledger: ledger.notify("1"), failure)


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.Response(429)])
def test_what_was_not_even_read_is_repeated(failure: Answer) -> None:
    assert len(_asked(lambda ledger: ledger.notify("1"), failure, ENDED).requests) == 2


def test_repeating_ends_after_some_attempts() -> None:
    server = Answering([httpx.ConnectError] * 9)
    with server.client(retries=client.Retries(attempts=3)) as ledger, pytest.raises(client.ServerUnreachable):
        ledger.run("1")
    assert len(server.requests) == 3


def test_a_pause_that_is_longer_than_the_time_is_not_waited_for() -> None:
    answer = httpx.Response(503, headers={"retry-after": "3600"})
    with pytest.raises(client.Unavailable) as raised:
        _asked(lambda ledger: ledger.run("1"), answer)
    assert raised.value.retry_after == 3600


def test_a_problem_is_an_error_with_its_type_and_what_was_meant() -> None:
    answer = _problem(400, type="urn:runledger:problem:bad-parameter", detail="x: is unknown", didYouMean="model")
    with pytest.raises(client.InvalidRequest) as raised:
        _asked(lambda ledger: list(ledger.runs()), answer)
    error = raised.value
    assert (error.status, error.name, error.did_you_mean) == (400, "bad-parameter", "model")
    assert str(error) == "400: x: is unknown"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, client.NotAuthenticated),
        (403, client.NotPermitted),
        (404, client.NotFound),
        (409, client.Conflict),
        (410, client.Gone),
        (422, client.InvalidRequest),
        (500, client.ServerFault),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[client.Problem]) -> None:
    with pytest.raises(kind):
        _asked(lambda ledger: ledger.run("1"), _problem(status))


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, content=b"<html>"), httpx.Response(302, headers={"location": "/elsewhere"})]
)
def test_what_is_no_answer_of_this_api_is_named_as_such(answer: httpx.Response) -> None:
    with pytest.raises(client.InvalidAnswer):
        _asked(lambda ledger: ledger.run("1"), answer)


def test_the_page_of_a_proxy_is_an_error_with_the_beginning_of_its_text() -> None:
    with pytest.raises(client.ServerFault, match="<h1>oh no"):
        _asked(lambda ledger: ledger.run("1"), httpx.Response(500, content=b"<h1>oh\nno" + b"x" * 9999))


def test_the_key_is_in_no_representation() -> None:
    with Answering([]).client() as ledger:
        shown = repr(ledger) + repr(vars(ledger)) + repr(exchange.Server("https://ledger.test", KEY))
    assert "secret" not in shown


@pytest.mark.parametrize("url", ["ledger.test", "ftp://ledger.test", "https://", "https://a:b@ledger.test"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be like https"):
        client.Client(url, KEY)


def test_an_id_stays_one_segment_of_the_path() -> None:
    server = _asked(lambda ledger: ledger.run("../jobs?x=1"), ENDED)
    assert server.requests[0].url.raw_path == b"/v1/runs/..%2Fjobs%3Fx%3D1"


def test_a_list_is_read_page_by_page() -> None:
    pages = [httpx.Response(200, json={"runs": [{"id": n}], "nextCursor": n}) for n in ("a", "b", None)]
    found: list[Any] = []
    server = _asked(lambda ledger: found.extend(ledger.runs(status=["failed", "lost"], limit=1)), *pages)
    assert [each["id"] for each in found] == ["a", "b", None]
    assert server.requests[2].url.query == b"status=failed%2Clost&limit=1&cursor=b"


def test_an_operation_without_a_method_is_called_by_its_path() -> None:
    server = _asked(lambda ledger: ledger.request("GET", "/v1/holds", state="all"), ENDED)
    assert str(server.requests[0].url) == "https://ledger.test/v1/holds?state=all"


def test_waiting_ends_when_the_time_is_over() -> None:
    running = httpx.Response(200, json={"status": "running"})
    with pytest.raises(client.StillRunning, match="run 1 has not ended within 0 s"):
        _asked(lambda ledger: ledger.wait("1", 0), running)


def test_a_stream_that_is_cut_continues_behind_its_last_event() -> None:
    kind = {"content-type": "text/event-stream"}
    first = httpx.Response(200, headers=kind, content=b'id: 3\nevent: change\ndata: {"number": 3}\n\nid: 5\n\n')
    last = httpx.Response(
        200, headers=kind, content=b'id: 6\nevent: change\ndata: {"number": 6}\n\nevent: close\n\n'
    )
    found: list[Any] = []
    server = _asked(lambda ledger: found.extend(ledger.follow(after=2)), first, httpx.ReadError, last)
    assert [each["number"] for each in found] == [3, 6]
    assert [each.headers.get("last-event-id") for each in server.requests] == [None, "5", "5"]


def test_the_client_for_an_event_loop_repeats_as_the_other_one_does() -> None:
    server = Answering([httpx.ReadTimeout, ENDED])

    async def submitted() -> Any:
        async def pause(seconds: float) -> None:
            server.pauses.append(seconds)

        transport = httpx.MockTransport(server)
        async with client.AsyncClient("https://ledger.test", KEY, transport=transport, sleep=pause) as ledger:
            return await ledger.submit("agent_1", "Review.")

    assert asyncio.run(submitted())["status"] == "completed"
    assert len({each.headers["idempotency-key"] for each in server.requests}) == 1
