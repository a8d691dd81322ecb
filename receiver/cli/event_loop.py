"""Declare the commands of a module, and run one of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import typer

from receiver.cli import errors
from receiver.cli.remote import reach

T = TypeVar("T")


def commands(**options: Any) -> typer.Typer:
    """Return a collection of the commands of one module. A function may be asynchronous; see `executed`."""
    return typer.Typer(rich_markup_mode=None, **options)


def executed(function: Callable[..., Any], name: str = "") -> Callable[..., None]:
    """Return a function that runs a command, and exits with its code on an expected error.

    A coroutine runs on an event loop of its own. A command that needs the machine of the server, by its full
    `name`, is refused where a server is chosen.
    """

    @functools.wraps(function)
    def execute(*arguments: Any, **options: Any) -> None:
        try:
            reach.demand_here(name)
            result = function(*arguments, **options)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except BrokenPipeError:
            raise  # the reader has closed the pipe; Typer ends quietly
        except errors.EXPECTED as error:
            raise typer.Exit(errors.report(error)) from None

    return execute


async def until(
    accepted: Callable[[T], object], read: Callable[[], Awaitable[T]], seconds: float, interval: float = 0.25
) -> T:
    """Read until `accepted` holds for the value, and return it; after `seconds` return the last value.

    A server commits in another process, which notifies nobody here.
    """
    found = await read()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not accepted(found):
                await asyncio.sleep(interval)
                found = await read()
    return found


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """End the block quietly at Ctrl-C, by which the event loop cancels its main task."""
    with contextlib.suppress(asyncio.CancelledError):
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a blocking read within the block, which the event loop could not cancel."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
