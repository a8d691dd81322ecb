"""The event loop of commands, at Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from receiver.cli import event_loop


def _press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_a_blocking_read_of_an_asynchronous_command() -> None:
    reader, _ = os.pipe()

    async def command() -> None:
        with event_loop.interruptible():
            _press_ctrl_c()
            os.read(reader, 1)  # would block for good

    with pytest.raises(KeyboardInterrupt):
        event_loop.executed(command)()


def test_a_command_that_runs_until_ctrl_c_ends_quietly() -> None:
    steps: list[str] = []

    async def command() -> None:
        with event_loop.until_interrupted():
            _press_ctrl_c()
            await asyncio.sleep(60)
        steps.append("after")

    event_loop.executed(command)()
    assert steps == ["after"]
