"""Deployments that the tests of the matrix share; after each test all proxies are transparent again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from tests import postgres
from tests.faults import deployments
from tests.journeys import harness
from tests.server import Site

Sites = Callable[[str], Site]
ProxiedDeployments = Callable[[str], deployments.ProxiedDeployment]


@pytest.fixture
def nonce() -> str:
    """Return a word that only the prompts of this test contain."""
    return f"nonce_{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def proxied_deployments(sites: Sites) -> Iterator[ProxiedDeployments]:
    with harness.shared(sites, deployments.proxied) as opened:
        yield opened


@pytest.fixture
def proxied(proxied_deployments: ProxiedDeployments, kind: str) -> Iterator[deployments.ProxiedDeployment]:
    """Return a deployment with a transparent proxy before the upstream and before a database server."""
    opened = proxied_deployments(kind)
    yield opened
    opened.clear_faults()


@pytest.fixture(scope="session")
def victim() -> Iterator[postgres.Cluster]:
    """Start a PostgreSQL server that tests may restart and limit, with room for a dozen connections."""
    with postgres.running() as started:
        with started.admin() as connection:
            for name, value in (("max_connections", 12), ("superuser_reserved_connections", 0)):
                connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        started.restart("fast")
        yield started
