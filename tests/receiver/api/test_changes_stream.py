"""The feed as a stream: its beginning, its events, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import timeouts
from receiver.api import route_table
from receiver.schemas import query_parameters
from receiver.server import uvicorn_server
from receiver.streams import subscribers
from receiver.web import openapi
from storage import errors
from storage.engine.database import Database, Limits
from storage.ledger import entries
from storage.query.change_feed import ChangeSelection
from storage.transitions import api_key_changes
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio

STREAM = {"accept": "text/event-stream"}
QUICK = timeouts.Timing(poll=0.05)


class Reader:
    """A reader of a stream, block by block, as it was sent."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> dict[str, str]:
        """Return the next block's fields; a comment has no name."""
        found: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name] = value.strip()
        raise EOFError

    async def rest(self) -> None:
        """Read until the connection ends, which raises."""
        while True:
            await self.block()

    async def change(self) -> dict[str, Any]:
        """Return the next change, past the blocks that are none."""
        while "data" not in (block := await self.block()):
            pass
        entry: dict[str, Any] = json.loads(block["data"])
        assert (block["id"], block["event"]) == (str(entry["number"]), "change")
        return entry


@asynccontextmanager
async def served(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the deployment behind a real socket."""
    bound = uvicorn_server.bind("127.0.0.1", 0)
    host, port = bound.getsockname()
    async with (
        uvicorn_server.running(deployment.app, bound),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=60) as client,
    ):
        yield client


@pytest.fixture
async def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def deployment(database: Database, stopping: asyncio.Event) -> AsyncIterator[Deployment]:
    """Yield a deployment with waits of its own."""
    async for made in app_fixture.opened(database, timing=QUICK, stopping=stopping):
        await numbered(made)
        yield made


@pytest.fixture
async def client(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with served(deployment) as made:
        yield made


async def numbered(deployment: Deployment) -> int:
    """Number all entries and return the last number."""
    while await deployment.database.write(entries.number, 1000):
        pass
    return await deployment.database.read(entries.last_number)


@asynccontextmanager
async def followed(
    deployment: Deployment, client: httpx.AsyncClient, query: str = "", after: int | None = None
) -> AsyncIterator[Reader]:
    headers = {**STREAM, **deployment.bearer("read")} | ({} if after is None else {"Last-Event-ID": str(after)})
    async with client.stream("GET", f"/v1/changes{query}", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Reader(response)


async def test_a_stream_sends_the_entries_of_the_pages(deployment: Deployment, client: httpx.AsyncClient) -> None:
    await life.running(deployment.database)
    last = await numbered(deployment)
    page = (await deployment.get("/v1/changes?limit=250")).json()["changes"]
    async with followed(deployment, client, "?after=-1") as reader:
        assert reader.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.response.headers["vary"] == "accept"
        assert [await reader.change() for _ in range(last + 1)] == page


async def test_without_a_place_it_begins_with_what_is_new(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    before = await life.accepted(deployment.database)
    last = await numbered(deployment)
    async with followed(deployment, client) as reader:
        assert await reader.block() == {"id": str(last)}
        run = await life.accepted(deployment.database)
        await numbered(deployment)
        entry = await reader.change()
    assert (entry["run"], entry["number"]) == (run.id, last + 1)
    assert run.id != before.id


async def test_a_client_that_was_cut_off_continues_behind_the_last_event(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    await life.running(deployment.database)
    last = await numbered(deployment)
    async with followed(deployment, client, "?after=-1") as reader:
        numbers = [(await reader.change())["number"] for _ in range(2)]
    async with followed(deployment, client, "?after=-1", after=numbers[-1]) as reader:
        numbers += [(await reader.change())["number"] for _ in range(last + 1 - len(numbers))]
    assert numbers == list(range(last + 1))


async def test_more_than_a_page_comes_whole_and_in_order(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    entry = entries.Entry(entries.Kind.REJECTIONS_COUNTED, life.NOW, None, "worker")
    await deployment.database.write(entries.append, [entry] * (2 * subscribers.PAGE + 7))
    last = await numbered(deployment)
    async with followed(deployment, client, after=-1) as reader:
        assert [(await reader.change())["number"] for _ in range(last + 1)] == list(range(last + 1))


async def test_a_filter_leaves_out_other_runs_and_the_deployment(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    await life.accepted(deployment.database)
    run = await life.settled_run(deployment.database, tags={"matter": "7"})
    await numbered(deployment)
    chosen = "?after=-1&tag.matter=7&q=status:completed&kind=run.accepted,run.completed"
    async with followed(deployment, client, chosen) as reader:
        entries = [await reader.change() for _ in range(2)]
    assert [(each["run"], each["kind"]) for each in entries] == [
        (run.id, "run.accepted"),
        (run.id, "run.completed"),
    ]
    page = (await deployment.get(f"/v1/changes{chosen}")).json()
    assert page["changes"] == entries
    assert page["hasMore"] is False


async def test_a_stream_of_a_word_query_sends_a_run_once_it_is_indexed(
    deployment: Deployment, client: httpx.AsyncClient
) -> None:
    async with followed(deployment, client, "?q=lease") as reader:
        begun = await reader.block()
        silent = await life.accepted(deployment.database, prompt="Nothing of it.")
        run = await life.accepted(deployment.database, prompt="A lease.")
        last = await numbered(deployment)
        assert (await deployment.get(f"/v1/changes?q=lease&after={begun['id']}")).json()["changes"] == []
        await life.indexed(deployment.database)
        entry = await reader.change()
    assert (entry["run"], entry["number"]) == (run.id, last)
    assert silent.id != run.id


async def test_the_position_is_sent_where_no_change_matches(database: Database) -> None:
    async for deployment in app_fixture.opened(database, timing=replace(QUICK, stream_heartbeat=0.0)):
        async with served(deployment) as client, followed(deployment, client, "?after=-1&agent=nobody") as reader:
            assert await reader.block() == {"id": "-1"}
            last = await numbered(deployment)
            while (block := await reader.block()) == {"": "heartbeat"}:
                pass
            assert block == {"id": str(last)}
            assert await reader.block() == {"": "heartbeat"}


async def test_a_stop_ends_every_stream_with_a_word(
    deployment: Deployment, client: httpx.AsyncClient, stopping: asyncio.Event
) -> None:
    async with followed(deployment, client) as first, followed(deployment, client, "?q=lease") as second:
        for reader in (first, second):
            await reader.block()
        stopping.set()
        for reader in (first, second):
            assert await reader.block() == {"": "the server stops: connect again"}
            with pytest.raises(EOFError):
                await reader.rest()


async def slow_read(store: Database) -> None:
    """Occupy the only reader for half a second, as soon as it is free."""
    while True:
        with contextlib.suppress(errors.Busy):
            return await store.timed_read(lambda _: time.sleep(0.5))


async def test_slow_questions_of_others_end_no_stream(database_url: str) -> None:
    async with Database(database_url, timed_readers=1, limits=Limits(queue_seconds=0.05)) as store:
        async for deployment in app_fixture.opened(store, timing=QUICK):
            last = await numbered(deployment)
            async with (
                served(deployment) as client,
                followed(deployment, client, "?status=accepted", last) as reader,
            ):
                await reader.block()
                slow = asyncio.create_task(slow_read(store))
                run = await life.accepted(store)
                await numbered(deployment)
                assert (await reader.change())["run"] == run.id
                await slow


async def test_only_so_many_follow_at_once_and_a_place_comes_free(database: Database) -> None:
    feed = subscribers.Feed(1)
    async for deployment in app_fixture.opened(database, timing=QUICK, feed=feed):
        async with served(deployment) as client:
            async with followed(deployment, client) as reader:
                await reader.block()
                answer = problem(await deployment.get("/v1/changes", headers=STREAM), 503)
                assert answer["type"] == "urn:runledger:problem:too-many-streams"
                assert (await deployment.get("/v1/changes")).status_code == 200
            async with asyncio.timeout(60):
                while feed.subscribers:
                    await asyncio.sleep(0.005)
            async with followed(deployment, client) as reader:
                assert "id" in await reader.block()


async def test_a_place_that_the_feed_has_not_reached_is_a_conflict_and_no_stream(deployment: Deployment) -> None:
    last = await numbered(deployment)
    for query, headers in ((f"?after={last + 1}", {}), ("", {"Last-Event-ID": f"{last + 1}"})):
        answer = problem(await deployment.get(f"/v1/changes{query}", headers={**STREAM, **headers}), 409)
        assert answer["type"] == "urn:runledger:problem:beyond-the-end"


async def test_a_last_event_id_that_is_none_is_named(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for sent in ["", "x", "-2", "1.5", "1" * 16, "٣", " 1 2"]:
        with subtests.test(f"{sent!r:.60}"):
            response = await deployment.get("/v1/changes", headers={**STREAM, "last-event-id": sent.encode()})
            assert problem(response, 400)["header"] == "Last-Event-ID"


async def test_what_is_accepted_decides_the_form(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for accept, is_stream in [
        ("text/event-stream", True),
        ("TEXT/Event-Stream ; q=0.9, */*", True),
        ("application/json;q=0.5, text/event-stream", True),
        ("application/json, text/event-stream;q=0.5", False),
        ("text/event-stream;q=0", False),
        ("*/*", False),
        ("text/html", False),
        ("text/event-streams", False),
        ("", False),
    ]:
        with subtests.test(f"{accept!r:.60}"):
            response = await deployment.ask("HEAD", "/v1/changes", "read", headers={"accept": accept})
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(
                "text/event-stream" if is_stream else "application/json"
            )
            assert response.headers["vary"] == "accept"


async def test_the_stream_of_a_revoked_key_ends(database: Database) -> None:
    async for deployment in app_fixture.opened(
        database, timing=replace(QUICK, stream_key=0.05, stream_heartbeat=0.05)
    ):
        async with served(deployment) as client, followed(deployment, client) as reader:
            await reader.block()
            await deployment.database.write(
                api_key_changes.revoke_key, deployment.keys["read"].split("_")[1], life.NOW
            )
            with pytest.raises((EOFError, httpx.TransportError)):
                await reader.rest()
        problem(await deployment.get("/v1/changes", headers=STREAM), 401)


async def test_a_key_without_the_scope_follows_nothing(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/changes", "submit", headers=STREAM), 403)


ANY = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.fixture(scope="module")
async def any_deployment(template: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    path = tmp_path_factory.mktemp("any") / "any.db"
    path.write_bytes(template.read_bytes())
    async with app_fixture.inhabited(f"sqlite:///{path}") as made:
        yield made


@given(
    st.none() | st.integers(-3, 2**70).map(str) | ANY,
    st.none() | st.integers(-3, 2**70).map(str) | ANY,
    st.none() | ANY | st.sampled_from(["lease", "-lease", "status:failed", "tag.a:b OR has:output", '"a b"*']),
    st.none() | ANY | st.sampled_from([*entries.Kind]),
    st.sampled_from(["text/event-stream", "application/json", "text/event-stream;q=x,,;"]),
)
async def test_any_request_is_answered_or_refused(
    any_deployment: Deployment, last: str | None, after: str | None, q: str | None, kind: str | None, accept: str
) -> None:
    asked = {"after": after, "q": q, "kind": kind}
    query = {name: value for name, value in asked.items() if value is not None}
    headers = {"accept": accept} if last is None else {"accept": accept, "last-event-id": last.encode()}
    response = await any_deployment.ask("HEAD", "/v1/changes", "read", params=query, headers=headers)
    assert response.status_code in (200, 400, 409), response.text


def test_the_description_names_both_forms_of_the_feed() -> None:
    described = openapi.openapi(route_table.OPERATIONS, "1")["paths"]["/v1/changes"]["get"]
    assert set(described["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"Last-Event-ID", "after", "q", "kind", "status"} <= {each["name"] for each in described["parameters"]}


async def test_many_at_one_place_look_once(database: Database) -> None:
    feed, question = subscribers.Feed(), subscribers.Subscription("all", ChangeSelection)
    pages = await asyncio.gather(*(feed.query(database, -1, question) for _ in range(9)))
    assert all(each is pages[0] for each in pages)
    assert await feed.query(database, -1, question) is not pages[0]


async def test_a_subscriber_that_leaves_cancels_no_query_of_the_others(database: Database) -> None:
    feed, question = subscribers.Feed(), subscribers.Subscription("all", ChangeSelection)
    gone, other = (asyncio.ensure_future(feed.query(database, -1, question)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await other).look.last == -1


def test_subscribers_with_equal_filters_share_a_query() -> None:
    first = query_parameters.ChangeQuery(after=1, limit=3, q="lease", tags={"a": "b"})
    assert first.filter_key == query_parameters.ChangeQuery(after=2, q="lease", tags={"a": "b"}).filter_key
    assert first.filter_key != query_parameters.ChangeQuery(q="lease").filter_key
