"""Handle stop signals beside the handlers of a host: a mounted application gets no other notice."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the running loop at SIGINT or SIGTERM within the block; earlier handlers are called too.

    Without an earlier handler the signal keeps its default effect. In any thread but the main one nothing is
    called, since Python delivers signals only to the main thread.
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

    def handle(received: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        before(received, frame)

    signal.signal(number, handle)
    try:
        yield
    finally:
        if signal.getsignal(number) is handle:  # otherwise a later handler has replaced ours
            signal.signal(number, before)
