"""Houses that several journeys share: one of each kind per process, brought back to a good day after each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from receiver.sandbox import faults
from tests.journeys import story


@pytest.fixture
def nonce() -> str:
    """A word that stands in the prompts of this journey alone."""
    return f"nonce_{secrets.token_hex(8)}"


#: A server that asks only when it is told to.
PATIENT = {"alive": story.NEVER, "alive_most": story.NEVER}


@pytest.fixture(scope="session")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[story.House]:
    """A server that hears callbacks and events, and as good as never asks by itself."""
    with story.opened(tmp_path_factory.mktemp("listening"), timing=PATIENT) as opened:
        yield opened


@pytest.fixture
def house(listening: story.House) -> Iterator[story.House]:
    """The listening server on a good day."""
    yield listening
    listening.sandbox.faults(**faults.as_json(story.GOOD_DAY))


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[story.House]:
    """A listening server whose runs go on until somebody ends them."""
    folder = tmp_path_factory.mktemp("slow")
    with story.opened(folder, timing=PATIENT, run_seconds=story.NEVER) as opened:
        yield opened


@pytest.fixture
def slow_house(slow: story.House) -> Iterator[story.House]:
    """The server with long runs on a good day."""
    yield slow
    slow.sandbox.faults(**faults.as_json(story.GOOD_DAY))


@pytest.fixture(scope="session")
def sweeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[story.House]:
    """A server that hears callbacks and sweeps all the time."""
    with story.opened(tmp_path_factory.mktemp("sweeping"), timing={"sweep": 0.2, "stray": 60.0}) as opened:
        yield opened


@pytest.fixture
def swept_house(sweeping: story.House) -> Iterator[story.House]:
    """The sweeping server on a good day."""
    yield sweeping
    sweeping.sandbox.faults(**faults.as_json(story.GOOD_DAY))
