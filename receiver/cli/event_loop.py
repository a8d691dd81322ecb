"""How a module declares its commands, and how one of them runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import typer

from receiver.cli import errors

F = TypeVar("F", bound=Callable[..., Any])


class Commands(typer.Typer):
    """The commands of one module. A function may be asynchronous; see `executed`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rich_markup_mode=None, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Register a function as a command."""
        return self._registers(super().command(name, **options))

    def callback(self, **options: Any) -> Callable[[F], F]:
        """Register a function as what the group itself does."""
        return self._registers(super().callback(**options))

    @staticmethod
    def _registers(register: Callable[[Callable[..., None]], object]) -> Callable[[F], F]:
        def decorate(function: F) -> F:
            register(executed(function))
            return function

        return decorate


def executed(function: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that runs a command to its end, and exits where an expected error comes out.

    A coroutine runs on an event loop of its own.
    """

    @functools.wraps(function)
    def execute(*arguments: Any, **options: Any) -> None:
        try:
            result = function(*arguments, **options)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except BrokenPipeError:
            raise  # the reader of a pipe has enough; Typer ends quietly
        except errors.EXPECTED as error:
            raise typer.Exit(errors.report(error)) from None

    return execute


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
