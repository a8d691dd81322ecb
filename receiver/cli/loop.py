"""The event loop of a verb, imported when it is needed: asking for help needs none."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs the asynchronous part of a verb to its end."""
    import asyncio

    asyncio.run(work)
