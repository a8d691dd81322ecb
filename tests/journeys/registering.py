"""A server whose webhook endpoint is registered by its own commands.

with registering.opened(site) as deployment:
    registering.operate(deployment, lambda registrar: registrar.register(registering.url(deployment)))
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from receiver import clock, settings, signing_keys
from receiver.crypto import secret_box
from receiver.outbound import webhook_registration
from receiver.upstream import client
from storage.engine.database import Database
from storage.repositories import webhook_endpoints
from storage.tables.jobs import SYSTEM_STATE
from tests import sandbox_server
from tests.journeys import harness
from tests.receiver.cli import terminal
from tests.server import Server, Site

T = TypeVar("T")

#: Events are the only source, and are sent again soon and for long.
SWITCHES = {"callback_states": [], "event_states": ["completed"], "event_retries": 1000, "retry_backoff": 0.02}
#: The server looks by itself at endpoint and secrets all the time, and at runs as good as never.
TIMING = {
    "sweep": harness.NEVER,
    "alive": harness.NEVER,
    "alive_most": harness.NEVER,
    "check": 0.2,
    "secrets": 0.2,
}


@contextmanager
def opened(site: Site, **settings_: object) -> Iterator[harness.Deployment]:
    """Start a server without a secret, with its sandbox. Its runs go on until a test ends them."""
    with sandbox_server.running(run_seconds=harness.NEVER) as sandbox, sandbox.client() as upstream:
        sandbox.faults(**SWITCHES)
        server = Server(site, sandbox.url, TIMING, dict(settings_))
        agent = sandbox_server.new_agent(upstream)
        try:
            server.start()
            with server.client() as api:
                yield harness.Deployment(server, sandbox, api, upstream, agent, "")
        except BaseException:
            print(server.log.read_text() if server.log.exists() else "")
            raise
        finally:
            server.kill()


def url(deployment: harness.Deployment) -> str:
    """Return the address at which the server receives events."""
    return f"{deployment.server.url}/webhooks/case"


def operate(
    deployment: harness.Deployment,
    work: Callable[[webhook_registration.Registrar], Awaitable[T]],
    *,
    keys: tuple[str, ...] = (),
) -> T:
    """Call the registrar as a command does, beside the server; with other `keys` where some are given."""

    async def done() -> T:
        async with Database(deployment.server.site.url) as store:
            upstream = client.Client(deployment.sandbox.url, sandbox_server.KEY)
            given = settings.load(env_file=None, **deployment.server.site.settings)
            box = secret_box.SecretBox(keys or signing_keys.of_addresses(given))
            try:
                return await work(
                    webhook_registration.Registrar(store, upstream.webhooks, box, "base64", clock.now)
                )
            finally:
                await upstream.aclose()

    return asyncio.run(done())


@contextmanager
def command(deployment: harness.Deployment, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real command beside the server; it has ended after the block."""
    environment = {
        "CASEDEV_API_KEY": "sk_case_test",
        "CASEDEV_BASE_URL": deployment.sandbox.url,
        "RUNLEDGER_PUBLIC_URL": deployment.server.url,
        **deployment.server.site.environment,
    }
    with terminal.started("webhooks", *words, folder=deployment.server.folder, **environment) as under_way:
        try:
            yield under_way
        finally:
            under_way.kill()


def lapse(deployment: harness.Deployment) -> None:
    """Expire the lease of a command that died."""

    async def free(registrar: webhook_registration.Registrar) -> None:
        over = SYSTEM_STATE.update().values(webhooks_until=clock.now() - timedelta(hours=1))
        await registrar.store.write(lambda connection: connection.execute(over))

    operate(deployment, free)


def register(deployment: harness.Deployment) -> webhook_registration.Registration:
    """Register as `runledger webhooks register` does."""
    return operate(deployment, lambda registrar: registrar.register(url(deployment)))


def standing(deployment: harness.Deployment) -> webhook_endpoints.Endpoint:
    """Return the endpoint as it is stored."""
    (row,) = deployment.server.rows("SELECT id FROM webhook_endpoints WHERE removed_at IS NULL")

    async def look(registrar: webhook_registration.Registrar) -> webhook_endpoints.Endpoint:
        found = await registrar.store.read(webhook_endpoints.find, row["id"])
        assert found is not None
        return found

    return operate(deployment, look)


def forget(deployment: harness.Deployment) -> None:
    """Remove all that was registered, here and upstream."""
    for endpoint in deployment.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]:
        deployment.upstream.delete(f"/webhooks/v1/endpoints/{endpoint['id']}").raise_for_status()

    async def erase(registrar: webhook_registration.Registrar) -> None:
        while (endpoint := await registrar.store.read(webhook_endpoints.find_active)) is not None:
            await registrar.remove(endpoint)
        await registrar.store.write(webhook_endpoints.delete_expired_secrets, clock.now().replace(year=9999))

    operate(deployment, erase)
