"""Answers are parsed in a place that depends on their size, and large ones take turns."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import anyio
import httpx2 as httpx
import pytest

from receiver import errors
from receiver.upstream import client, large_answers, parser_process, payloads

pytestmark = pytest.mark.anyio

RUN = "run_1"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
WORDS = "the lease \N{GRINNING FACE} " * 100
STEP = {"id": "step_1", "type": "tool_result", "toolOutput": {"b": [1, 2.5, WORDS], "a": None}}


def answer(size: int, **fields: object) -> bytes:
    """Return details of that many bytes or a few more."""
    steps = [STEP] * (size // len(json.dumps(STEP)) + 1)
    return json.dumps({"id": RUN, "status": "completed", "steps": steps, **fields}).encode()


@pytest.mark.parametrize("size", [0, large_answers.INLINE_BYTES, large_answers.THREAD_BYTES])
async def test_an_answer_reads_the_same_wherever_it_is_parsed(size: int) -> None:
    body = answer(size, usage={"entries": [{"metadata": {"z": 1, "a": 2}}]})
    found, parsed = await large_answers.details(body, NOW), payloads.details(body, NOW)
    assert (found.id, found.status, found.parse_error) == (RUN, "completed", parsed.parse_error)
    assert len(found.steps) == len(parsed.steps)
    output = found.steps[-1].tool_output
    assert output == parsed.steps[-1].tool_output == f'{{"a":null,"b":[1,null,"{WORDS}"]}}'
    assert found.usage[0].metadata == '{"a":2,"z":1}'


async def test_a_large_answer_that_nobody_can_read_fails_as_a_small_one_does() -> None:
    with pytest.raises(errors.InvalidResponse, match="not JSON"):
        await large_answers.details(b"[" + b" " * large_answers.THREAD_BYTES, NOW)
    with pytest.raises(errors.ResponseTooDeep) as failure:
        await large_answers.details(b"[" * (large_answers.THREAD_BYTES + 1), NOW)
    assert len(failure.value.body) == large_answers.THREAD_BYTES + 1


@pytest.mark.parametrize("bounds", [large_answers.Bounds(memory=100_000_000), large_answers.Bounds(seconds=0)])
async def test_an_answer_that_takes_too_much_is_too_costly_and_keeps_its_bytes(
    bounds: large_answers.Bounds,
) -> None:
    body = b'{"id":"run_1","status":"completed","x":[' + b"{}," * 2_000_000 + b"{}]}"
    with pytest.raises(errors.ParserLimitExceeded) as failure:
        await large_answers.details(body, NOW, bounds)
    assert failure.value.body == body


async def test_a_parser_that_cannot_start_is_an_error_without_the_answer() -> None:
    with pytest.raises(errors.ParserNotStarted, match="/bin/true must be a Python"):
        await large_answers.details(
            answer(4 * large_answers.THREAD_BYTES), NOW, large_answers.Bounds(program="/bin/true")
        )


async def test_a_cancelled_read_leaves_no_process_behind() -> None:
    with anyio.move_on_after(0) as scope:
        await large_answers.details(answer(4 * large_answers.THREAD_BYTES), NOW)
    assert scope.cancelled_caught


async def test_large_answers_are_held_one_at_a_time_and_small_ones_pass_them_by() -> None:
    bodies = {
        "run_1": answer(2 * large_answers.THREAD_BYTES),
        "run_2": answer(2 * large_answers.THREAD_BYTES, id="run_2"),
    }
    small = answer(0, id="run_3")
    asked: list[str] = []

    def shown(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.split("/")[-2])
        return httpx.Response(200, content=bodies.get(asked[-1], small))

    case = client.Client("https://upstream.test", "sk_case_test", httpx.MockTransport(shown))

    async def second() -> None:
        async with case.details("run_2") as fetched:
            assert fetched.details.id == "run_2"

    async with case.details("run_1"):
        waiting = asyncio.create_task(second())
        while asked.count("run_2") < 1:
            await asyncio.sleep(0)
        async with case.details("run_3") as fetched:
            assert fetched.body == small
        assert not waiting.done()
        assert asked.count("run_2") == 1
    await waiting
    assert asked.count("run_2") == 2  # the connection was not held meanwhile


def test_rows_come_in_pieces_that_are_short_to_read() -> None:
    found = list(parser_process.pieces(answer(4 * parser_process.CHARACTERS), NOW))
    assert isinstance(found[0], payloads.Details)
    assert found[-1] is None
    assert all(len(piece) <= parser_process.ROWS for piece in found[1:-1] if isinstance(piece, list))
    assert len(found) > 3
