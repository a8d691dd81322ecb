"""Bodies of every bad kind: a clear problem with the right status, nothing lost, nothing changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.receiver.api.app_fixture import SUBMISSION, Deployment, problem

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


async def _refused(
    deployment: Deployment, body: bytes, status: int, headers: dict[str, str] = JSON
) -> dict[str, Any]:
    answer = problem(await deployment.post("/v1/runs", content=body, headers=headers), status)
    assert (await deployment.get("/v1/runs")).json()["runs"] == []
    return answer


async def test_bytes_that_are_no_json_are_refused(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for body in [
        b"",
        b"{",
        b"'x'",
        b"agentId=a&prompt=b",
        b'{"agentId":"a","prompt":"b"} x',
        b'{"agentId":"a","prompt":"b",}',
        b'\xef\xbb\xbf{"agentId":"a","prompt":"b"}',
        b'{"agentId":"a","prompt":"\xff"}',
        b'{"agentId":"a","prompt":"\xed\xa0\x80"}',
        '{"agentId":"a","prompt":"b"}'.encode("utf-16"),
        b'{"agentId":"a","prompt":"\\ud800"}',
        b'{"agentId":"a","prompt":"\\udc00\\ud800"}',
        b'{"agentId":"a","prompt":NaN}',
        b'{"agentId":"a","prompt":"b","x":-Infinity}',
        b'{"agentId":"a","prompt":"b","x":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"agentId":"a","prompt":"b","x":' + b"[" * 250 + b"]" * 250 + b"}",
        b"{" + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}",
    ]:
        with subtests.test(f"{body!r:.60}"):
            answer = await _refused(deployment, body, 400)
            assert answer["type"] == "urn:runledger:problem:bad-body"


#: Changes of a good body, and the place that is then named.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"agentId": None}, "#/agentId"),
    ({"agentId": 7}, "#/agentId"),
    ({"agentId": ""}, "#/agentId"),
    ({"agentId": "../etc"}, "#/agentId"),
    ({"agentId": "a\n"}, "#/agentId"),
    ({"agentId": "a" * 129}, "#/agentId"),
    ({"prompt": ""}, "#/prompt"),
    ({"prompt": ["x"]}, "#/prompt"),
    ({"prompt": "x" * 1_000_001}, "#/prompt"),
    ({"prompt": "a\0b"}, "#/prompt"),
    ({"guidance": 1.5}, "#/guidance"),
    ({"guidance": "\0"}, "#/guidance"),
    ({"model": ""}, "#/model"),
    ({"model": "m" * 201}, "#/model"),
    ({"objectIds": "o1"}, "#/objectIds"),
    ({"objectIds": {"0": "o1"}}, "#/objectIds"),
    ({"objectIds": ["o1", 2]}, "#/objectIds/1"),
    ({"objectIds": ["o" * 257]}, "#/objectIds/0"),
    ({"objectIds": ["o"] * 1001}, "#/objectIds"),
    ({"objectIds": [1] * 100_000}, "#/objectIds/0"),
    ({"tags": ["a"]}, "#/tags"),
    ({"tags": {"a": 1}}, "#/tags/a"),
    ({"tags": {"a": None}}, "#/tags/a"),
    ({"tags": {"a/b~c": "x"}}, "#/tags/a~1b~0c"),
    ({"tags": {"": "x"}}, "#/tags/"),
    ({"tags": {"é": "x"}}, "#/tags/%C3%A9"),
    ({"tags": {"a": "x" * 257}}, "#/tags/a"),
    ({"tags": {"a": "\0"}}, "#/tags/a"),
    ({"tags": {f"k{n}": "x" for n in range(51)}}, "#/tags"),
    ({"callbackUrl": "https://x.example"}, "#/callbackUrl"),
    ({"agent_id": "a"}, "#/agent_id"),
]


async def test_a_body_of_the_wrong_shape_is_answered_with_the_place(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for changes, pointer in WRONG:
        with subtests.test(f"{changes!r:.60}"):
            answer = await _refused(deployment, json.dumps({**SUBMISSION, **changes}).encode(), 422)
            assert [fault["pointer"] for fault in answer["errors"]] == [pointer]


async def test_a_body_that_is_no_object_is_refused(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for body in [b"[]", b"null", b"7", b'"x"', b"true"]:
        with subtests.test(f"{body!r:.60}"):
            assert [fault["pointer"] for fault in (await _refused(deployment, body, 422))["errors"]] == ["#"]


async def test_what_is_wrong_with_a_body_is_reported_in_plain_words(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for body, detail in [
        ([], "must be an object"),
        ({**SUBMISSION, "tags": []}, "must be an object"),
        ({**SUBMISSION, "prompt": ""}, "is empty"),
        ({**SUBMISSION, "agentId": "a b"}, "may hold letters, digits, _ and - only, 1 to 128 of them"),
        ({**SUBMISSION, "model": "m" * 201}, "is longer than 200 characters"),
        ({**SUBMISSION, "objectIds": ["o"] * 1001}, "is longer than 1000 entries"),
    ]:
        with subtests.test(f"{body!r:.60}"):
            answer = await _refused(deployment, json.dumps(body).encode(), 422)
            assert [fault["detail"] for fault in answer["errors"]] == [detail]


async def test_every_missing_field_is_named(deployment: Deployment) -> None:
    answer = await _refused(deployment, b"{}", 422)
    assert [fault["pointer"] for fault in answer["errors"]] == ["#/agentId", "#/prompt"]


async def test_an_unknown_field_is_answered_with_the_likely_one(deployment: Deployment) -> None:
    answer = await _refused(deployment, json.dumps({**SUBMISSION, "objectIDs": ["o"]}).encode(), 422)
    assert answer["errors"] == [{"pointer": "#/objectIDs", "detail": "is unknown; did you mean objectIds?"}]


async def test_what_was_sent_is_never_repeated_in_a_problem(deployment: Deployment) -> None:
    secret = "a secret \0 prompt"
    answer = await _refused(deployment, json.dumps({"agentId": secret, "prompt": secret}).encode(), 422)
    assert "secret" not in json.dumps(answer)


async def test_of_many_faults_a_few_are_reported(deployment: Deployment) -> None:
    body = {**SUBMISSION, **{f"k{n}": 1 for n in range(90)}}
    assert len((await _refused(deployment, json.dumps(body).encode(), 422))["errors"]) == 20


async def test_a_body_that_is_not_declared_as_json_is_refused(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for media_type in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonx",
        "application/json" + " " * 60_000 + "x",
        "application/json;charset=utf-8" + " " * 60_000 + "x",
        "é",
    ]:
        with subtests.test(f"{media_type!r:.60}"):
            content = json.dumps(SUBMISSION).encode()
            headers = [*deployment.bearer("submit").items(), ("content-type", media_type.encode())]
            problem(await deployment.client.post("/v1/runs", content=content, headers=headers), 415)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"']
)
async def test_json_may_be_declared_in_any_spelling(deployment: Deployment, media_type: str) -> None:
    content = json.dumps(SUBMISSION).encode()
    response = await deployment.post("/v1/runs", content=content, headers={"content-type": media_type})
    assert response.status_code == 202


async def test_a_compressed_body_is_refused(deployment: Deployment) -> None:
    await _refused(deployment, b"\x1f\x8b", 415, {**JSON, "content-encoding": "gzip"})


@pytest.mark.parametrize("length", ["99999999", "9" * 5000, "9" * 18])
async def test_a_body_that_is_declared_too_large_is_not_read(deployment: Deployment, length: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    response = await deployment.post("/v1/runs", content=body(), headers={**JSON, "content-length": length})
    assert problem(response, 413)["type"] == "urn:runledger:problem:body-too-large"
    assert response.headers["connection"] == "close"


async def test_a_body_in_chunks_is_read_up_to_the_limit_and_no_further(deployment: Deployment) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 20
            yield b" " * (1 << 20)

    problem(await deployment.post("/v1/runs", content=body(), headers=JSON), 413)
    assert sent == 5 << 20


async def test_the_largest_prompt_is_accepted(deployment: Deployment) -> None:
    response = await deployment.submit(prompt="€" * 1_000_000)
    assert response.status_code == 202


async def test_a_body_that_does_not_arrive_is_not_waited_for(deployment: Deployment) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    answer = problem(await deployment.post("/v1/runs", content=body(), headers=JSON), 408)
    assert answer["type"] == "urn:runledger:problem:body-too-slow"


async def test_a_run_to_watch_is_named_by_an_id(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for run_id in ["../x", "", "a b", "a" * 129, "a\n", 7, None]:
        with subtests.test(f"{run_id!r:.60}"):
            answer = problem(await deployment.post("/v1/watch", json={"runId": run_id}), 422)
            assert [fault["pointer"] for fault in answer["errors"]] == ["#/runId"]
