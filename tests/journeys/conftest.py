"""Deployments that the journeys of a module share: one per kind, without faults before each journey.

They end with the module, since a server with compressed waits keeps a core busy for a good tenth.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator

import pytest

from receiver.sandbox import faults
from tests.journeys import harness, verifying
from tests.server import Site

Deployments = Callable[[str], harness.Deployment]
Sites = Callable[[str], Site]


@pytest.fixture
def nonce() -> str:
    """Return a word that only the prompts of this journey have."""
    return f"nonce_{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def sites(sites: Sites) -> Iterator[Sites]:
    """Make sites whose stores are verified after the module."""
    made = list[Site]()

    def noted(kind: str) -> Site:
        made.append(sites(kind))
        return made[-1]

    yield noted
    for site in made:
        asyncio.run(verifying.demand_unbroken(site))


#: A server that asks the upstream only after a callback, an event or a request.
PATIENT = {"alive": harness.NEVER, "alive_most": harness.NEVER}


@pytest.fixture(scope="module")
def listening(sites: Sites) -> Iterator[Deployments]:
    """Start servers that receive callbacks and events, and practically never sweep."""
    with harness.shared(sites, lambda site: harness.opened(site, timing=PATIENT)) as opened:
        yield opened


@pytest.fixture
def deployment(listening: Deployments, kind: str) -> Iterator[harness.Deployment]:
    """Return a server that receives callbacks and events, without faults."""
    opened = listening(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(harness.NO_FAULTS))


@pytest.fixture(scope="module")
def slow(sites: Sites) -> Iterator[Deployments]:
    """Start servers that receive callbacks, whose runs go on until the test ends them."""
    make = lambda site: harness.opened(site, timing=PATIENT, run_seconds=harness.NEVER)  # noqa: E731
    with harness.shared(sites, make) as opened:
        yield opened


@pytest.fixture
def slow_deployment(slow: Deployments, kind: str) -> Iterator[harness.Deployment]:
    """Return a server with long runs, without faults."""
    opened = slow(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(harness.NO_FAULTS))


@pytest.fixture(scope="module")
def sweeping(sites: Sites) -> Iterator[Deployments]:
    """Start servers that receive callbacks and sweep all the time."""
    timing = {"sweep": 0.5, "lost_create": 60.0}
    with harness.shared(sites, lambda site: harness.opened(site, timing=timing)) as opened:
        yield opened


@pytest.fixture
def swept_deployment(sweeping: Deployments, kind: str) -> Iterator[harness.Deployment]:
    """Return a sweeping server, without faults."""
    opened = sweeping(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(harness.NO_FAULTS))
