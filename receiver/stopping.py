"""That the process is told to stop, heard beside whoever is in charge: an application that is mounted is not."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def heard(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` on the running loop at SIGINT or SIGTERM within the block; who listened before hears it too.

    Where nobody listened the signal keeps its default effect, and in any thread but the main one nothing is
    heard, since Python tells the main one alone.
    """
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.enter_context(_beside(number, stop))
        yield


@contextmanager
def _beside(number: signal.Signals, stop: Callable[[], None]) -> Iterator[None]:
    loop, before = asyncio.get_running_loop(), signal.getsignal(number)
    if not callable(before):
        yield
        return

    def hear(told: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        before(told, frame)

    signal.signal(number, hear)
    try:
        yield
    finally:
        if signal.getsignal(number) is hear:  # else somebody came after us and is in charge now
            signal.signal(number, before)
