"""The handlers of /agent/v1/run and /agent/v1/execute."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox import addresses, agents, answers, audit, checks, house, padding, views, world

_CREATED: dict[str, checks.Check] = {
    "agentId": checks.text,
    "prompt": checks.text,
    "guidance": checks.text_or_null,
    "model": checks.text_or_null,
    "objectIds": checks.texts_or_null,
    "callbackUrl": checks.text_or_null,
}
_EXECUTED: dict[str, checks.Check] = {
    **{name: check for name, check in agents.FIELDS.items() if name not in ("name", "description")},
    "prompt": checks.text,
    "guidance": checks.text_or_null,
    "objectIds": checks.texts_or_null,
}


class Runs:
    """Create, list, execute, look at, cancel and watch runs."""

    def __init__(self, parts: house.House) -> None:
        self._house = parts
        self._world = parts.world

    async def create(self, request: Request) -> answers.Json:
        fields: dict[str, Any] = checks.fields(await request.body(), _CREATED, required=("agentId", "prompt"))
        callback = fields.get("callbackUrl")
        if callback is not None:
            addresses.checked(callback, public_only=self._house.public_only)
        run = self._added(self._world.agent(fields["agentId"]), fields)
        run.watchers += [callback] if callback is not None else []
        return answers.Json(views.run_created(run))

    async def list(self, request: Request) -> answers.Json:
        params = request.query_params
        limit = checks.limit(params.get("limit"))
        agent, status = params.get("agentId"), checks.one_of(params.get("status"), world.STATES, "status")

        def wanted(run: world.Run) -> bool:
            return agent in (None, run.agent_id) and status in (None, run.status)

        shown, cursor = world.page(list(self._world.runs.values()), limit, params.get("cursor"), wanted)
        page = [views.run_in_list(run) for run in shown]
        return answers.Json({"runs": page, "hasMore": cursor is not None, "nextCursor": cursor})

    async def exec(self, request: Request) -> answers.Json:
        run = self._named(request)
        self._house.life.start(run)
        if self._house.chaos.faults.callback_before_exec_answer:
            await self._house.life.finish_and_tell(run)
        told = "Run started. Poll /run/:id/status or register a watcher."
        shown = {"id": run.id, "status": "running", "workflowId": run.workflow_id, "message": told}
        return answers.Json(shown)

    async def status(self, request: Request) -> answers.Json:
        return answers.Json(views.status(self._named(request), self._world.clock()))

    async def details(self, request: Request) -> Response:
        run, now = self._named(request), self._world.clock()
        complete = self._is_complete(run, now)
        run.fetches_after_end += run.ended
        shown = answers.encoded(audit.details(run, now, complete=complete))
        wanted = self._house.chaos.faults.details_padding if run.ended else 0
        return Response(padding.padded(shown, wanted), media_type=answers.Json.media_type)

    async def cancel(self, request: Request) -> answers.Json:
        run = self._named(request)
        if run.ended:
            return answers.Json({"id": run.id, "status": run.status, "message": f"Run already {run.status}"})
        self._house.life.finish(run, "cancelled")
        return answers.Json({"id": run.id, "status": run.status, "message": "Run cancelled"})

    async def watch(self, request: Request) -> answers.Json:
        run = self._named(request)
        fields = checks.fields(await request.body(), {"callbackUrl": checks.text}, required=("callbackUrl",))
        url = addresses.checked(fields["callbackUrl"], public_only=self._house.public_only)
        run.watchers.append(url)
        return answers.Json({"ok": True, "callbackUrl": url})

    async def execute(self, request: Request) -> answers.Json:
        """An ephemeral agent and a run of it, started at once."""
        fields: dict[str, Any] = checks.fields(await request.body(), _EXECUTED, required=("prompt",))
        about = {"name": "Ephemeral agent", "instructions": "You are a legal assistant."}
        known = {name: value for name, value in fields.items() if name in agents.FIELDS}
        run = self._added(self._world.add_agent({**about, **known}, ephemeral=True), fields)
        self._house.life.start(run)
        told = "Run started. Poll /agent/v1/run/:id/status."
        return answers.Json({"runId": run.id, "agentId": run.agent_id, "status": "running", "message": told})

    def _named(self, request: Request) -> world.Run:
        return self._world.run(request.path_params["id"])

    def _added(self, agent: world.Agent, fields: dict[str, Any]) -> world.Run:
        chosen = (fields.get(name) for name in ("guidance", "model", "objectIds"))
        return self._world.add_run(agent, fields["prompt"], *chosen)

    def _is_complete(self, run: world.Run, now: float) -> bool:
        switches = self._house.chaos.faults
        since_end = now - (run.completed_at or now)
        return since_end >= switches.incomplete_seconds and run.fetches_after_end >= switches.incomplete_fetches
