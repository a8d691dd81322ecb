"""The handlers of /webhooks/v1/endpoints: where platform events go."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from receiver.sandbox import addresses, answers, checks, house, views, world

_FIELDS: dict[str, checks.Check] = {
    "url": checks.text,
    "description": checks.text_or_null,
    "eventTypeFilters": checks.texts,
    "resourceScopes": lambda value: value is None or isinstance(value, dict),
}


class Endpoints:
    """Create and list webhook endpoints."""

    def __init__(self, parts: house.House) -> None:
        self._house = parts

    async def create(self, request: Request) -> answers.Json:
        """Answers 201; the only answer that shows the signing secret."""
        required = ("url", "eventTypeFilters")
        fields: dict[str, Any] = checks.fields(await request.body(), _FIELDS, required=required)
        url = addresses.checked(fields["url"], public_only=self._house.public_only, field="url")
        if not fields["eventTypeFilters"]:
            raise answers.Refusal(400, "eventTypeFilters must not be empty")
        endpoint = self._house.world.add_endpoint(
            url,
            fields.get("description"),
            fields["eventTypeFilters"],
            fields.get("resourceScopes"),
            self._house.chaos.faults.event_key_encoding,
        )
        return answers.Json({**views.endpoint(endpoint), "signingSecret": endpoint.secret}, status_code=201)

    async def list(self, request: Request) -> answers.Json:
        limit = checks.limit(request.query_params.get("limit"), highest=100)
        status = request.query_params.get("status", "active")
        if status not in ("active", "disabled", "auto_disabled"):
            raise answers.Refusal(400, "status must be one of active, disabled, auto_disabled")
        standing = list(self._house.world.endpoints.values()) if status == "active" else []
        shown, _ = world.page(standing, limit, None)
        return answers.Json({"endpoints": [views.endpoint(endpoint) for endpoint in shown]})
