"""The server as an application that others mount."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from receiver import clock, settings
from receiver.app import create_app
from receiver.server.application import Application
from receiver.web import authentication
from storage.engine import database
from storage.transitions import api_key_changes

pytestmark = pytest.mark.anyio


def made(folder: Path) -> Application:
    return create_app(
        settings.load(None, data_dir=folder, casedev_base_url="http://127.0.0.1:9"), with_worker=False
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Application:
    return made(tmp_path)


async def _get(host: Starlette, path: str, root: str = "") -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=host, root_path=root), base_url="http://host"
    ) as client:
        return await client.get(path)


async def test_an_app_without_its_lifespan_reports_that_it_is_missing(ledger: Application) -> None:
    with pytest.raises(RuntimeError, match=r"lifespan=ledger\.lifespan"):
        await _get(Starlette(routes=[Mount("/runledger", ledger)]), "/runledger/healthz")


async def test_a_second_lifespan_needs_a_second_application(ledger: Application) -> None:
    async with ledger.lifespan():
        pass
    with pytest.raises(RuntimeError, match="create_app"):
        async with ledger.lifespan():
            pass


async def test_a_host_that_breaks_leaves_the_folder_free_for_the_next(ledger: Application, tmp_path: Path) -> None:
    before = set(threading.enumerate()), asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        async with ledger.lifespan():
            raise ZeroDivisionError
    assert (set(threading.enumerate()), asyncio.all_tasks()) == before
    async with made(tmp_path).lifespan():
        pass


async def test_it_is_found_two_mounts_deep(ledger: Application) -> None:
    host = Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", ledger)]))])
    async with ledger.lifespan():
        assert (await _get(host, "/a/b/openapi.json")).json()["servers"] == [{"url": "/a/b"}]
        assert (await _get(host, "/a/healthz")).status_code == 404


async def test_it_is_found_behind_a_proxy_that_takes_a_part_of_the_path_off(ledger: Application) -> None:
    host = Starlette(routes=[Mount("/runledger", ledger)])
    async with ledger.lifespan():
        answer = await _get(host, "/runledger/openapi.json", "/api")
        assert answer.json()["servers"] == [{"url": "/api/runledger"}]
        assert (await _get(host, "/runledger/callbacks/forged", "/api")).status_code == 405


@pytest.mark.parametrize(("switch", "status"), [("on", 200), ("off", 403)])
async def test_statements_are_executed_where_they_are_turned_on(tmp_path: Path, switch: str, status: int) -> None:
    given = settings.load(None, data_dir=tmp_path, casedev_base_url="http://127.0.0.1:9", sql=switch)
    ledger = create_app(given, with_worker=False)
    async with ledger.lifespan(), database.Database(given.url) as store:
        key, text = authentication.mint("analyst", ["admin"], clock.now())
        await store.write(api_key_changes.create_key, key)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=ledger), base_url="http://host") as client:
            sent = {"sql": "SELECT count(*) AS n FROM runs"}
            answer = await client.post("/v1/sql", json=sent, headers={"authorization": f"Bearer {text}"})
    assert answer.status_code == status
    assert status != 200 or answer.json()["rows"] == [[0]]
