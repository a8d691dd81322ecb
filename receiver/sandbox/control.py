"""The handlers of /sandbox/*: what the real service does not have, for tests and for the curious. No key."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request

from receiver.sandbox import answers, checks, faults, house, rules, views, world


class Control:
    """Look at the sandbox from behind, and change how it behaves."""

    def __init__(self, parts: house.House) -> None:
        self._house = parts

    async def show_faults(self, request: Request) -> answers.Json:
        return answers.Json(faults.as_json(self._house.chaos.faults))

    async def change_faults(self, request: Request) -> answers.Json:
        """A partial object of switches; the counts of those that are named begin anew."""
        changes = checks.parsed(await request.body())
        if not isinstance(changes, dict):
            raise answers.Refusal(400, "send a JSON object of switches")
        try:
            switches = faults.merged(self._house.chaos.faults, changes)
        except faults.FaultError as error:
            raise answers.Refusal(400, str(error)) from error
        self._house.chaos.change(switches, changes)
        return answers.Json(faults.as_json(switches))

    async def journal(self, request: Request) -> answers.Json:
        """Requests and attempts to send whose seq is above `after`, and successful execs by run."""
        after = request.query_params.get("after", "0")
        if not re.fullmatch(r"[0-9]{1,15}", after):
            raise answers.Refusal(400, "after is the seq of an entry")
        execs = {run.id: run.exec_count for run in self._house.world.runs.values() if run.exec_count}
        return answers.Json({**self._house.journal.as_json(int(after)), "execs": execs})

    async def held(self, request: Request) -> answers.Json:
        """What waits to be released, the oldest first."""
        return answers.Json({"held": self._house.holds.as_json()})

    async def release(self, request: Request) -> answers.Json:
        """Let everything go on that is held now, or that of one route: `{"route": "exec"}`."""
        body = await request.body()
        known = rules.ROUTES[1:]
        route = checks.fields(body, {"route": known.__contains__}).get("route") if body else None
        return answers.Json({"released": self._house.holds.release(str(route) if route else None)})

    async def runs(self, request: Request) -> answers.Json:
        """All runs in order of creation, with full prompts."""
        return answers.Json({"runs": [views.run_in_sandbox(run) for run in self._house.world.runs.values()]})

    async def make_past(self, request: Request) -> answers.Json:
        """Runs that have ended before anyone looked, `count` of them, `ago` seconds ago; their ids."""
        checked = {"count": _to(10_000), "ago": _to(10**9), "agentId": checks.text, "prompt": checks.text}
        checked["status"] = world.ENDED.__contains__
        fields: dict[str, Any] = checks.fields(await request.body(), checked, required=("count",))
        past, named = self._house.world, fields.get("agentId")
        agent = past.agent(named) if named else past.add_agent({"name": "Past", "instructions": "Work."})
        prompt, status = fields.get("prompt", "Review the lease."), fields.get("status", "completed")
        made = [past.add_past(agent, prompt, status, fields.get("ago", 0)) for _ in range(fields["count"])]
        return answers.Json({"runs": [run.id for run in made]})

    async def finish(self, request: Request) -> answers.Json:
        """End a live run by hand: `{"status": "completed"}`, or as the switches have it where none is given."""
        run = self._house.world.run(request.path_params["id"])
        body = await request.body()
        status = checks.fields(body, {"status": world.ENDED.__contains__}).get("status") if body else None
        if run.ended:
            raise answers.Refusal(409, f"Run already {run.status}")
        self._house.life.finish(run, str(status) if status else None)
        return answers.Json(views.run_in_sandbox(run))


def _to(most: int) -> checks.Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
