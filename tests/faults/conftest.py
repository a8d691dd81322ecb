"""Deployments that the cells of the matrix share, brought back to a good day after each."""

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
    """A word that stands in the prompts of this cell alone."""
    return f"nonce_{secrets.token_hex(8)}"


@pytest.fixture(scope="session")
def proxied_deployments(sites: Sites) -> Iterator[ProxiedDeployments]:
    with harness.shared(sites, deployments.proxied) as opened:
        yield opened


@pytest.fixture
def proxied(proxied_deployments: ProxiedDeployments, kind: str) -> Iterator[deployments.ProxiedDeployment]:
    """A deployment with a proxy on each of its ways, on a good day."""
    opened = proxied_deployments(kind)
    yield opened
    opened.calm()


@pytest.fixture(scope="session")
def victim() -> Iterator[postgres.Cluster]:
    """A PostgreSQL for rough treatment, with room for a dozen connections."""
    with postgres.running() as started:
        with started.admin() as connection:
            for name, value in (("max_connections", 12), ("superuser_reserved_connections", 0)):
                connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        started.restart("fast")
        yield started
