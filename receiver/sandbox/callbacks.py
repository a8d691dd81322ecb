"""Watcher callbacks: unsigned, and as thin or as rich as the switches have it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from receiver.sandbox import audit, chaos, couriers, world


class Callbacks:
    """Calls back whoever watches a run."""

    def __init__(self, house: world.World, mischief: chaos.Chaos, post: couriers.Couriers, seed: int) -> None:
        self._world = house
        self._chaos = mischief
        self._couriers = post
        self._ids = random.Random(f"{seed}:callbacks")

    def announce_end(self, run: world.Run) -> list[asyncio.Task[None]]:
        """A callback to each watcher, as tasks already under way."""
        told = run.watchers if run.status in self._chaos.faults.callback_states else []
        return [task for url in told for task in self._call_back(run, url)]

    def _call_back(self, run: world.Run, url: str) -> list[asyncio.Task[None]]:
        switches = self._chaos.faults
        named = self._another(run) if switches.callback_wrong_run_id else run.id
        parcel = couriers.Parcel(
            kind="callback",
            run=run,
            url=url,
            body=_body(run, named, switches.callback_body, self._world.clock()),
            delay=switches.callback_delay,
            retries=switches.callback_retries,
        )
        copies = [parcel] * (1 + switches.callback_duplicates)
        return self._couriers.send(self._couriers.sifted(copies, switches.callback_drop_rate))

    def _another(self, run: world.Run) -> str:
        """The newest other run, or the id of one that never was."""
        others = [other for other in self._world.runs if other != run.id]
        return others[-1] if others else "run_" + self._ids.randbytes(12).hex()


def _body(run: world.Run, named: str, form: str, now: float) -> Mapping[str, object]:
    """A callback's body in one of `faults.BODIES`; `named` is the run id that it gives."""
    if form == "rich":
        shown = audit.details(run, now)
        kept = {name: shown[name] for name in ("agentId", "status", "startedAt", "completedAt", "result", "usage")}
        return {"event": f"run.{run.status}", "runId": named, **kept}
    forms: dict[str, Mapping[str, object]] = {
        "id": {"id": named, "status": run.status},
        "run.id": {"run": {"id": named, "status": run.status}},
        "data.runId": {"type": f"run.{run.status}", "data": {"runId": named}},
        "run_id": {"run_id": named, "status": run.status},
    }
    return forms.get(form, {"runId": named})
