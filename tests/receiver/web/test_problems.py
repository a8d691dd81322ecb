"""The problem that each error becomes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx2 as httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from receiver import errors
from receiver.web import problems
from storage import errors as storage_errors


def _classes(module: ModuleType) -> Iterator[type[Exception]]:
    for _, member in inspect.getmembers(module, inspect.isclass):
        if issubclass(member, Exception) and member.__module__ == module.__name__:
            yield member


ROOTS = {errors.ReceiverError, storage_errors.StorageError}
KNOWN = [each for module in (errors, storage_errors) for each in _classes(module) if each not in ROOTS]


def _answered(error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    response = problems.answer(error)
    body: dict[str, Any] = json.loads(bytes(response.body))
    assert response.media_type == problems.MEDIA_TYPE
    assert body["status"] == response.status_code
    return body, dict(response.headers)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.__name__)
def test_every_error_has_an_entry_in_the_table(known: type[Exception]) -> None:
    assert known in problems.KINDS


def test_the_table_has_no_entry_without_its_error() -> None:
    assert set(problems.KINDS) <= set(KNOWN)


@pytest.mark.parametrize(
    ("error", "status", "expected", "headers"),
    [
        (storage_errors.Unavailable("disk I/O error"), 503, {}, {"retry-after": "5"}),
        (storage_errors.Busy("full"), 503, {}, {"retry-after": "1"}),
        (storage_errors.BadCursor("not ours"), 400, {"parameter": "cursor", "detail": "not ours"}, {}),
        (storage_errors.BadFilter("cost", "no"), 400, {"parameter": "cost", "detail": "cost: no"}, {}),
        (errors.BadParameter("stauts", "is unknown", "status"), 400, {"didYouMean": "status"}, {}),
        (errors.BadHeader("Prefer", "no"), 400, {"header": "Prefer"}, {}),
        (errors.NotAuthenticated("no"), 401, {}, {"www-authenticate": 'Bearer realm="runledger"'}),
        (errors.NotPermitted("read"), 403, {"scope": "read"}, {}),
        (errors.WrongMethod("PUT", ["GET", "HEAD"]), 405, {}, {"allow": "GET, HEAD"}),
        (errors.IdempotencyKeyReused("r1"), 409, {"runId": "r1"}, {}),
        (errors.TooManyFailures("no"), 429, {}, {"retry-after": "10", "ratelimit": '"failures";r=0;t=10'}),
        (errors.TooManyFailures("no"), 429, {}, {"ratelimit-policy": '"failures";q=100;w=100'}),
        (errors.BodyTooLarge(10), 413, {}, {"connection": "close"}),
        (
            errors.InvalidBody([errors.Fault("#/a", "no")]),
            422,
            {"errors": [{"pointer": "#/a", "detail": "no"}]},
            {},
        ),
        (HTTPException(404), 404, {"type": "about:blank", "title": "Not Found"}, {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_problem_carries_the_evidence_of_its_error(
    error: Exception, status: int, expected: dict[str, Any], headers: dict[str, str]
) -> None:
    body, given = _answered(error)
    assert body["status"] == status
    assert {**body, **expected} == body
    assert {**given, **headers} == given


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), storage_errors.Unavailable("secret"), KeyError("secret")]
)
def test_an_internal_error_is_answered_without_its_cause(error: Exception) -> None:
    body, _ = _answered(error)
    assert "secret" not in json.dumps(body)


def test_an_error_below_one_in_the_table_is_answered_as_that_one() -> None:
    class Newer(errors.NotFound):
        pass

    assert problems.kind(Newer("x")) == problems.KINDS[errors.NotFound]


def test_a_problem_can_carry_any_text() -> None:
    body, _ = _answered(errors.BadParameter("\ud800\x00", "\udfff" * 10_000))
    assert len(body["detail"]) == 500


async def _ask(error: Exception, *, after_start: bool = False) -> httpx.Response:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    transport = httpx.ASGITransport(problems.LastResort(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://runledger.test") as client:
        return await client.get("/v1/runs?secret=1")


@pytest.mark.anyio
async def test_an_unexpected_error_is_answered_and_logged(capfd: pytest.CaptureFixture[str]) -> None:
    response = await _ask(ZeroDivisionError("secret of ours"))
    assert response.json() == {"type": "about:blank", "title": "Internal Server Error", "status": 500}
    assert "request_failed" in "".join(capfd.readouterr())


@pytest.mark.anyio
async def test_what_is_expected_is_answered_wherever_it_is_raised() -> None:
    assert (await _ask(storage_errors.Busy("full"))).status_code == 503


@pytest.mark.anyio
async def test_an_answer_that_has_begun_is_cut_off() -> None:
    with pytest.raises(ZeroDivisionError):
        await _ask(ZeroDivisionError(), after_start=True)
