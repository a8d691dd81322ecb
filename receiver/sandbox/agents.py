"""The handlers of /agent/v1/agents."""

from __future__ import annotations

from starlette.requests import Request

from receiver.sandbox import answers, checks, house, views, world

FIELDS: dict[str, checks.Check] = {
    "name": checks.text,
    "description": checks.text_or_null,
    "instructions": checks.text,
    "model": checks.text,
    "vaultIds": checks.texts_or_null,
    "vaultGroups": checks.texts_or_null,
    "enabledTools": checks.texts_or_null,
    "disabledTools": checks.texts_or_null,
    "sandbox": checks.machine_or_null,
}


class Agents:
    """Create, list, get, update and soft-delete agents."""

    def __init__(self, parts: house.House) -> None:
        self._world = parts.world

    async def create(self, request: Request) -> answers.Json:
        fields = checks.fields(await request.body(), FIELDS, required=("name", "instructions"))
        _refuse_both_tool_lists(fields)
        return answers.Json(views.agent(self._world.add_agent(fields)))

    async def list(self, request: Request) -> answers.Json:
        limit = checks.limit(request.query_params.get("limit"))
        standing = [agent for agent in self._world.agents.values() if not agent.ephemeral]
        shown, cursor = world.page(standing, limit, request.query_params.get("cursor"), lambda agent: agent.active)
        agents = [views.agent_in_list(agent) for agent in shown]
        return answers.Json({"agents": agents, "hasMore": cursor is not None, "nextCursor": cursor})

    async def get(self, request: Request) -> answers.Json:
        return answers.Json(views.agent(self._world.agent(request.path_params["id"])))

    async def update(self, request: Request) -> answers.Json:
        agent = self._world.agent(request.path_params["id"])
        fields = checks.fields(await request.body(), FIELDS)
        if not fields:
            raise answers.Refusal(400, "No fields to update")
        _refuse_both_tool_lists({**agent.fields, **fields})
        return answers.Json(views.agent(self._world.update_agent(agent.id, fields)))

    async def delete(self, request: Request) -> answers.Json:
        self._world.agent(request.path_params["id"]).active = False
        return answers.Json({"ok": True})


def _refuse_both_tool_lists(fields: dict[str, object]) -> None:
    if fields.get("enabledTools") is not None and fields.get("disabledTools") is not None:
        raise answers.Refusal(400, "enabledTools and disabledTools are mutually exclusive")
