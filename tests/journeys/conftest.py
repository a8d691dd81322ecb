"""Houses that several journeys share: one of each kind per process, brought back to a good day after each."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from receiver.sandbox import faults
from tests.journeys import story
from tests.server import Site

Houses = Callable[[str], story.House]
Sites = Callable[[str], Site]


@pytest.fixture
def nonce() -> str:
    """A word that stands in the prompts of this journey alone."""
    return f"nonce_{secrets.token_hex(8)}"


#: A server that asks only when it is told to.
PATIENT = {"alive": story.NEVER, "alive_most": story.NEVER}


@pytest.fixture(scope="session")
def listening(sites: Sites) -> Iterator[Houses]:
    """A server that hears callbacks and events, and as good as never asks by itself."""
    with story.shared(sites, lambda site: story.opened(site, timing=PATIENT)) as opened:
        yield opened


@pytest.fixture
def house(listening: Houses, kind: str) -> Iterator[story.House]:
    """The listening server on a good day."""
    opened = listening(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(story.GOOD_DAY))


@pytest.fixture(scope="session")
def slow(sites: Sites) -> Iterator[Houses]:
    """A listening server whose runs go on until somebody ends them."""
    make = lambda site: story.opened(site, timing=PATIENT, run_seconds=story.NEVER)  # noqa: E731
    with story.shared(sites, make) as opened:
        yield opened


@pytest.fixture
def slow_house(slow: Houses, kind: str) -> Iterator[story.House]:
    """The server with long runs on a good day."""
    opened = slow(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(story.GOOD_DAY))


@pytest.fixture(scope="session")
def sweeping(sites: Sites) -> Iterator[Houses]:
    """A server that hears callbacks and sweeps all the time."""
    timing = {"sweep": 0.5, "stray": 60.0}
    with story.shared(sites, lambda site: story.opened(site, timing=timing)) as opened:
        yield opened


@pytest.fixture
def swept_house(sweeping: Houses, kind: str) -> Iterator[story.House]:
    """The sweeping server on a good day."""
    opened = sweeping(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(story.GOOD_DAY))
