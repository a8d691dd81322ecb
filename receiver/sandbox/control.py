"""The handlers of /sandbox/*, which the real service does not have: what tests look at and change. No key."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from starlette.requests import Request

from receiver.sandbox import details, faults, holds, journal, messages, rules, state

_PAST: dict[str, messages.Check] = {
    "count": messages.whole(0, 10_000),
    "ago": messages.whole(0, 10**9),
    "agentId": messages.text,
    "prompt": messages.text,
    "status": faults.ENDED.__contains__,
}


@dataclasses.dataclass(frozen=True)
class Control:
    """Show the state of the sandbox, and change how it behaves."""

    world: state.World
    injector: faults.Injector
    lifecycle: state.Lifecycle
    journal: journal.Journal
    holds: holds.Holds

    async def show_faults(self, request: Request) -> messages.Json:
        return messages.Json(faults.as_json(self.injector.faults))

    async def change_faults(self, request: Request) -> messages.Json:
        """Take a partial object of switches; the counts of those that are named start again."""
        changes = messages.parsed(await request.body())
        if not isinstance(changes, dict):
            raise messages.ApiError(400, "send a JSON object of switches")
        try:
            switches = faults.merged(self.injector.faults, changes)
        except faults.FaultError as error:
            raise messages.ApiError(400, str(error)) from error
        self.injector.change(switches, changes)
        return messages.Json(faults.as_json(switches))

    async def show_journal(self, request: Request) -> messages.Json:
        """Answer calls and attempts to send whose seq is above `after`, and successful execs by run."""
        after = request.query_params.get("after", "0")
        if not re.fullmatch(r"[0-9]{1,15}", after):
            raise messages.ApiError(400, "after is the seq of an entry")
        execs = {run.id: run.exec_count for run in self.world.runs.values() if run.exec_count}
        return messages.Json({**self.journal.as_json(int(after)), "execs": execs})

    async def show_held(self, request: Request) -> messages.Json:
        return messages.Json({"held": self.holds.as_json()})

    async def release(self, request: Request) -> messages.Json:
        """Release everything that is held now, or that of one route: `{"route": "exec"}`."""
        body = await request.body() or b"{}"
        route = messages.fields(body, {"route": rules.ROUTES[1:].__contains__}).get("route")
        return messages.Json({"released": self.holds.release(str(route) if route else None)})

    async def show_runs(self, request: Request) -> messages.Json:
        """Answer all runs in order of creation, with full prompts."""
        return messages.Json({"runs": [_run(run) for run in self.world.runs.values()]})

    async def add_past(self, request: Request) -> messages.Json:
        """Add `count` runs that ended `ago` seconds ago; answer their ids."""
        fields: dict[str, Any] = messages.fields(await request.body(), _PAST, required=("count",))
        given, world = fields.get("agentId"), self.world
        agent = world.agent(given) if given else world.add_agent({"name": "Past", "instructions": "Work."})
        prompt, status = fields.get("prompt", "Review the lease."), fields.get("status", "completed")
        added = [world.add_past(agent, prompt, status, fields.get("ago", 0)) for _ in range(fields["count"])]
        return messages.Json({"runs": [run.id for run in added]})

    async def finish(self, request: Request) -> messages.Json:
        """End a live run: `{"status": "completed"}`, or as the switches decide where no status is given."""
        run = self.world.run(request.path_params["id"])
        status = messages.fields(await request.body() or b"{}", {"status": faults.ENDED.__contains__}).get(
            "status"
        )
        if run.ended:
            raise messages.ApiError(409, f"Run already {run.status}")
        self.lifecycle.finish(run, str(status) if status else None)
        return messages.Json(_run(run))


def _run(run: state.Run) -> messages.Object:
    names = ("id", "agent_id", "status", "prompt", "model", "guidance", "object_ids", "exec_count", "watchers")
    return messages.shown(run, *names, *details.TIMES)
