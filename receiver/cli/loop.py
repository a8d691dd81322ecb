"""The event loop of a verb, imported when it is needed: asking for help needs none."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


def run(work: Coroutine[Any, Any, R]) -> R:
    """What the asynchronous part of a verb comes to."""
    import asyncio

    return asyncio.run(work)
