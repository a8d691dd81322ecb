"""A server whose endpoint for events is registered by the product itself, and the operator who does it.

with registering.opened(site) as house:
    registering.operate(house, lambda desk: desk.register(registering.url(house)))
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from receiver import clock, registration, settings, vault
from receiver.upstream import client
from storage import webhooks
from storage.database import Database
from storage.tables import HOUSE
from tests import sandbox_server
from tests.journeys import story
from tests.receiver.cli import desk
from tests.server import Server, Site

T = TypeVar("T")

#: Events are the only road, and are sent again soon and for long.
SWITCHES = {"callback_states": [], "event_states": ["completed"], "event_retries": 1000, "retry_backoff": 0.02}
#: The server looks by itself at endpoint and secrets all the time, and at runs as good as never.
TIMING = {"sweep": story.NEVER, "alive": story.NEVER, "alive_most": story.NEVER, "check": 0.2, "secrets": 0.2}


@contextmanager
def opened(site: Site, **settings_: object) -> Iterator[story.House]:
    """A server that knows no secret, with its sandbox. Its runs go on until they are ended by hand."""
    with sandbox_server.running(run_seconds=story.NEVER) as sandbox, sandbox.client() as upstream:
        sandbox.faults(**SWITCHES)
        server = Server(site, sandbox.url, TIMING, dict(settings_))
        agent = sandbox_server.new_agent(upstream)
        try:
            server.start()
            with server.client() as api:
                yield story.House(server, sandbox, api, upstream, agent, "")
        except BaseException:
            print(server.log.read_text() if server.log.exists() else "")
            raise
        finally:
            server.kill()


def url(house: story.House) -> str:
    """Where the server takes events."""
    return f"{house.server.url}/webhooks/case"


def operate(
    house: story.House, work: Callable[[registration.Registrar], Awaitable[T]], *, keys: tuple[str, ...] = ()
) -> T:
    """Does what a command would do, beside the server; under other `keys` than its own where some are given."""

    async def done() -> T:
        async with Database(house.server.site.url) as store:
            upstream = client.Client(house.sandbox.url, sandbox_server.KEY)
            given = settings.load(env_file=None, **house.server.site.settings)
            box = vault.Vault(keys or settings.signing_keys(given))
            try:
                return await work(registration.Registrar(store, upstream.webhooks, box, "base64", clock.now))
            finally:
                await upstream.aclose()

    return asyncio.run(done())


@contextmanager
def command(house: story.House, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real command beside the server, under way; it is over after the block."""
    environment = {
        "CASEDEV_API_KEY": "sk_case_test",
        "CASEDEV_BASE_URL": house.sandbox.url,
        "RUNLEDGER_PUBLIC_URL": house.server.url,
        **house.server.site.environment,
    }
    with desk.started("webhooks", *words, folder=house.server.folder, **environment) as under_way:
        try:
            yield under_way
        finally:
            under_way.kill()


def lapse(house: story.House) -> None:
    """The lease of a command that died is over: as a minute later."""

    async def free(registrar: registration.Registrar) -> None:
        over = HOUSE.update().values(webhooks_until=clock.now() - timedelta(hours=1))
        await registrar.store.write(lambda connection: connection.execute(over))

    operate(house, free)


def register(house: story.House) -> registration.Registered:
    """What `runledger webhooks register` does."""
    return operate(house, lambda desk: desk.register(url(house)))


def standing(house: story.House) -> webhooks.Endpoint:
    """The endpoint as the database has it."""
    (row,) = house.server.rows("SELECT id FROM webhook_endpoints WHERE removed_at IS NULL")

    async def look(desk: registration.Registrar) -> webhooks.Endpoint:
        found = await desk.store.read(webhooks.find, row["id"])
        assert found is not None
        return found

    return operate(house, look)


def forget(house: story.House) -> None:
    """As if nothing had ever been registered, here and upstream."""
    for endpoint in house.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]:
        house.upstream.delete(f"/webhooks/v1/endpoints/{endpoint['id']}").raise_for_status()

    async def erase(desk: registration.Registrar) -> None:
        while (endpoint := await desk.store.read(webhooks.standing)) is not None:
            await desk.remove(endpoint)
        await desk.store.write(webhooks.erase_ended, clock.now().replace(year=9999))

    operate(house, erase)
