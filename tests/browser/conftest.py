"""One browser for all tests of this folder, and one server with data for each module."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser

from receiver import clock
from receiver.web import authentication
from storage.engine.database import Database
from storage.transitions import api_key_changes
from tests.browser import chromium, nights
from tests.journeys import harness
from tests.server import Site

Open = Callable[..., AbstractContextManager[chromium.Window]]


@pytest.fixture(scope="module")
def browser(deployment: harness.Deployment) -> Iterator[Browser]:
    """Start the browser, last: its driver keeps an event loop running in this thread until the module ends."""
    with chromium.running() as started:
        yield started


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Deployment]:
    """Start a server and a sandbox on a fresh SQLite database."""
    chromium.program()
    site = Site(tmp_path_factory.mktemp("site"))
    with harness.opened(site, sql="on") as opened:
        yield opened


@pytest.fixture(scope="module")
def night(deployment: harness.Deployment) -> nights.Night:
    """Store the runs of a night."""
    deployment.server.stop()  # its worker would take the jobs that settle them
    made: nights.Night = stored(deployment, nights.plant)
    deployment.restart()
    return made


@pytest.fixture
def window(browser: Browser, deployment: harness.Deployment) -> Open:
    """Return a function that opens a window, signed in with a key of these scopes unless there are none."""

    def open_window(*scopes: str, **options: Any) -> AbstractContextManager[chromium.Window]:
        return signed_in(browser, deployment, scopes, **options)

    return open_window


@contextmanager
def signed_in(
    browser: Browser, deployment: harness.Deployment, scopes: tuple[str, ...], **options: Any
) -> Iterator[chromium.Window]:
    """Yield a window that is signed in."""
    with chromium.window(browser, deployment.server.url, **options) as made:
        if scopes:
            made.sign_in(stored(deployment, new_key, *scopes))
        yield made


def stored(deployment: harness.Deployment, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run an asynchronous function with the database of a deployment, in a thread that has no event loop."""

    async def run() -> Any:
        async with Database(deployment.server.site.url) as store:
            return await function(store, *arguments)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


async def new_key(store: Database, *scopes: str) -> str:
    """Create a key and return its text."""
    key, text = authentication.mint("night-ops", scopes, clock.now())
    await store.write(api_key_changes.create_key, key)
    return text


async def new_link(store: Database, address: str, *scopes: str) -> str:
    """Create a key and return a link that signs in as it."""
    key, _ = authentication.mint("night-ops", scopes, clock.now())
    link, token = authentication.mint_link(key.id, clock.now(), timedelta(minutes=1))
    await store.write(api_key_changes.create_key, key)
    await store.write(api_key_changes.create_link, key, link)
    return f"{address}/sign-in/{token}"
