"""The course of runs: started by exec, ended by a timer of the event loop, by cancel, or by hand."""

from __future__ import annotations

import asyncio

from receiver.sandbox import callbacks, chaos, events, world


class Life:
    """Begins and ends runs, and has watchers and endpoints told of it. Needs a running event loop."""

    def __init__(
        self,
        house: world.World,
        watchers: callbacks.Callbacks,
        endpoints: events.Events,
        mischief: chaos.Chaos,
    ) -> None:
        self._world = house
        self._callbacks = watchers
        self._events = endpoints
        self._chaos = mischief
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self, run: world.Run) -> None:
        """queued to running, with a timer for the end; a Refusal with status 404 or 409 where that cannot be."""
        self._world.begin(run)
        self._events.announce_start(run)
        self._timers[run.id] = asyncio.get_running_loop().call_later(run.seconds, self.finish, run)

    def finish(self, run: world.Run, status: str | None = None) -> list[asyncio.Task[None]]:
        """End a live run, as fate has it unless `status` says how; the tasks are its callbacks and events."""
        if run.ended:
            return []
        timer = self._timers.pop(run.id, None)
        if timer is not None:
            timer.cancel()
        self._world.end(run, status or self._fate(run))
        return self._callbacks.announce_end(run) + self._events.announce_end(run)

    async def finish_and_tell(self, run: world.Run) -> None:
        """End a run now and return only when its callbacks and events have been delivered or given up."""
        if tasks := self.finish(run):
            await asyncio.wait(tasks)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _fate(self, run: world.Run) -> str:
        switches = self._chaos.faults
        doomed = any(piece in run.prompt for piece in switches.fail_prompts)
        return "failed" if doomed or run.script.chance < switches.fail_rate else "completed"
