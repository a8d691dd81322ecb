"""The database server ends under load, takes no more connections, or has a full disk."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx2 as httpx
import psycopg
import pytest

from receiver.sandbox import faults
from tests import postgres
from tests.faults import deployments
from tests.faults.conftest import Sites
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site

TIMING = {"sweep": 0.2, "lost_create": 60.0}
#: A callback that is larger than the free space, and cannot be compressed.
LARGE = 900_000
#: Bytes up to which a file may grow on PostgreSQL: as many as its write-ahead log needs.
FULL = 16 << 20


@pytest.fixture(scope="module")
def damaged(sites: Sites, request: pytest.FixtureRequest) -> Iterator[Callable[[str], harness.Deployment]]:
    """Start a deployment of each kind on a database that tests may damage."""

    def make(site: Site) -> AbstractContextManager[harness.Deployment]:
        if site.database_url:
            victim: postgres.Cluster = request.getfixturevalue("victim")
            site = Site(site.folder, victim.fresh())
        return harness.opened(site, timing=TIMING, switches=deployments.SWITCHES)

    with harness.shared(sites, make) as opened:
        yield opened


@pytest.fixture
def deployment(damaged: Callable[[str], harness.Deployment], kind: str) -> Iterator[harness.Deployment]:
    """Return one of the deployments, without faults."""
    opened = damaged(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(deployments.SWITCHES))


def until_ready(deployment: harness.Deployment) -> None:
    until(lambda: deployments.readiness(deployment) == 200, why="it did not become ready again by itself")


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_database_that_is_restarted_under_load_loses_nothing(
    deployment: harness.Deployment, victim: postgres.Cluster, nonce: str, mode: str
) -> None:
    with deployments.under_load(deployment, nonce) as load:
        for _ in range(2):
            victim.restart(mode)
            taken = load.submitted
            until(lambda taken=taken: load.submitted > taken + 2)  # type: ignore[misc]
    load.judge()
    until_ready(deployment)


@contextmanager
def without_connections(victim: postgres.Cluster, name: str) -> Iterator[None]:
    """End the connections to a database, and take all connections of the server before others can."""
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(victim.admin())
        taken = 1
        most: int
        (most,) = admin.execute("SELECT current_setting('max_connections')::int").fetchone() or (0,)

        def take() -> bool:
            nonlocal taken
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            with contextlib.suppress(psycopg.OperationalError):
                while taken < most:
                    stack.enter_context(victim.admin())
                    taken += 1
            return taken == most

        until(take, why="not all connections were taken")
        yield


@pytest.mark.parametrize("kind", ["postgresql"])
def test_while_the_database_takes_no_more_connections_nothing_is_acknowledged(
    deployment: harness.Deployment, victim: postgres.Cluster, nonce: str
) -> None:
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    until(lambda: deployment.deliveries(run))  # the sweep may have been first
    callback = deployment.callback(nonce)
    with without_connections(victim, deployments.name_of(deployment.server.site.url)):
        deployments.until_not_ready(deployment)
        refused = (
            httpx.post(callback, json={"runId": run["upstreamId"]}, timeout=60),
            deployment.api.post("/v1/runs", json={"agentId": deployment.agent, "prompt": nonce}),
        )
        assert [(each.status_code, "retry-after" in each.headers) for each in refused] == [(503, True)] * 2
        assert "too many clients" in deployment.server.log.read_text()
    until_ready(deployment)
    assert httpx.post(callback, json={"runId": run["upstreamId"]}, timeout=60).status_code == 200


@contextmanager
def full(deployment: harness.Deployment, request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no room on the disk of the database."""
    site = deployment.server.site
    if not site.database_url:
        file = site.folder / "full"
        file.touch()
        yield
        file.unlink()
        return
    victim: postgres.Cluster = request.getfixturevalue("victim")
    victim.bound_files(FULL)
    try:
        yield
    finally:
        victim.bound_files(None)


def test_on_a_full_disk_a_write_that_needs_space_is_not_acknowledged(
    deployment: harness.Deployment, request: pytest.FixtureRequest, nonce: str
) -> None:
    deployment.sandbox.faults(callback_states=[])
    run = deployment.submit(nonce)
    deployment.until_named(nonce, "completed")
    callback, large = deployment.callback(nonce), secrets.token_bytes(LARGE)
    for _ in range(FULL // LARGE + 1):  # until the files are as large as the limit
        assert httpx.post(callback, content=large, timeout=60).status_code == 200
    with full(deployment, request):
        kept = len(deployment.deliveries(run))
        refused = [httpx.post(callback, content=large, timeout=60) for _ in range(3)]
        assert {(each.status_code, "retry-after" in each.headers) for each in refused} == {(503, True)}
        assert len(deployment.deliveries(run)) == kept
        assert deployment.run(run)["id"] == run["id"]  # reads still work
        assert deployments.readiness(deployment) == 200  # and so do writes that need no space
    assert httpx.post(callback, content=large, timeout=60).status_code == 200
    judge(deployment, nonce)
    until_ready(deployment)
