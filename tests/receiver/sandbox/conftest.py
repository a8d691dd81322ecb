"""A fresh sandbox, a client of its API, and a receiver of what it sends, for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests import sandbox_server
from tests.receiver.sandbox import catcher


@pytest.fixture
def sandbox() -> Iterator[sandbox_server.Sandbox]:
    """Yield a sandbox without faults, whose runs take a tenth of a second."""
    with sandbox_server.running() as server:
        yield server


@pytest.fixture
def api(sandbox: sandbox_server.Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client() as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[catcher.Catcher]:
    with catcher.listening() as found:
        yield found
