"""A database server that hangs, goes away or breaks off in a commit: errors come in time, nothing is guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from storage import errors
from storage.engine.database import Database, Limits
from tests import postgres
from tests.faults import proxy
from tests.storage.engine.test_database import keep, kept

pytestmark = pytest.mark.anyio

IMPATIENT = Limits(response_seconds=0.2)


@pytest.fixture
def between(server_url: str) -> Iterator[proxy.Proxy]:
    """A proxy between the database object and its server."""
    with proxy.running(postgres.socket_of(server_url)) as made:
        yield made


@pytest.fixture
async def far(server_url: str, between: proxy.Proxy) -> AsyncIterator[Database]:
    """A database with short timeouts, with its connections open."""
    async with Database(postgres.through(server_url, between.port), limits=IMPATIENT) as opened:
        assert await opened.write(keep, "first") == "kept first"
        assert await opened.read(kept) == ["first"]
        yield opened


async def test_a_write_that_is_not_answered_is_unavailable(far: Database, between: proxy.Proxy) -> None:
    between.blackhole = True
    with pytest.raises(errors.Unavailable, match=r"did not answer within 0\.2 seconds"):
        await far.write(keep, "a")


async def test_a_read_that_is_not_answered_is_unavailable(far: Database, between: proxy.Proxy) -> None:
    between.blackhole = True
    with pytest.raises(errors.Unavailable):
        await far.read(kept)


async def test_a_timed_read_whose_connection_is_lost_is_unavailable(far: Database, between: proxy.Proxy) -> None:
    between.blackhole = True
    with pytest.raises(errors.Unavailable):
        await far.timed_read(kept)


async def test_once_the_server_answers_again_writes_are_answered(far: Database, between: proxy.Proxy) -> None:
    between.blackhole = True
    await asyncio.gather(far.write(keep, "a"), far.read(kept), far.read(kept), return_exceptions=True)
    between.clear_faults()
    assert await far.write(keep, "b") == "kept b"
    assert {"first", "b"} <= set(await far.read(kept))


async def test_a_slow_answer_within_bounds_is_an_answer(far: Database, between: proxy.Proxy) -> None:
    between.delay = 0.02
    assert await far.write(keep, "a") == "kept a"


@pytest.mark.parametrize("abruptly", [False, True])
async def test_connections_that_ended_meanwhile_are_made_again(
    far: Database, between: proxy.Proxy, abruptly: bool
) -> None:
    (between.reset if abruptly else between.cut)()
    assert await far.write(keep, "a") == "kept a"
    assert await far.read(kept) == ["a", "first"]


async def test_a_server_that_accepts_no_connection_is_unavailable(far: Database, between: proxy.Proxy) -> None:
    between.refusing = True
    between.reset()
    for call in (far.write(keep, "a"), far.read(kept)):
        with pytest.raises(errors.Unavailable):
            await call


@pytest.mark.parametrize("after", [False, True])
async def test_a_commit_whose_connection_is_lost_is_not_retried(
    far: Database, between: proxy.Proxy, after: bool
) -> None:
    trap = between.trap([b"note-a", b"COMMIT"], after=after)
    with pytest.raises(errors.Unavailable):
        await far.write(keep, "note-a")
    assert trap.sprung.is_set()
    assert await far.read(kept) == (["first", "note-a"] if after else ["first"])
