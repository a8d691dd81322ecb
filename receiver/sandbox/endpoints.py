"""The handlers of /webhooks/v1/endpoints and /webhooks/v1/event_types: where platform events go, which exist."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox import addresses, answers, checks, events, house, subscriptions, views

_GRACE = 86_400
_LONGEST_GRACE = 2_592_000


def _filters(value: object) -> bool:
    return isinstance(value, list) and checks.texts(value) and bool(value) and all(value)


def _scopes(value: object) -> bool:
    named = [value.get(name) for name in ("vaultIds", "matterIds")] if isinstance(value, dict) else []
    return value is None or (isinstance(value, dict) and all(checks.texts_or_null(ids) for ids in named))


def _grace(value: object) -> bool:
    """Whole seconds; 60.0 is as whole as 60."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value % 1 == 0 and 0 <= value <= _LONGEST_GRACE


_FIELDS: dict[str, checks.Check] = {
    "url": checks.text,
    "description": checks.text_or_null,
    "eventTypeFilters": _filters,
    "resourceScopes": _scopes,
}
_CHANGES: dict[str, checks.Check] = {**_FIELDS, "status": ("active", "disabled").__contains__}
_TEST: dict[str, checks.Check] = {"eventType": checks.text, "payload": lambda value: isinstance(value, dict)}
_NAMES = {"eventTypeFilters": "filters", "resourceScopes": "scopes"}


class Endpoints:
    """Create, list, show, change, delete, rotate and test webhook endpoints."""

    def __init__(self, parts: house.House) -> None:
        self._house = parts
        self._register = parts.register

    async def create(self, request: Request) -> answers.Json:
        """Answers 201; only this answer, and that of a rotation, shows a signing secret."""
        required = ("url", "eventTypeFilters")
        fields: dict[str, Any] = checks.fields(await request.body(), _FIELDS, required=required)
        endpoint = self._register.add(
            self._checked(fields["url"]),
            fields.get("description"),
            fields["eventTypeFilters"],
            fields.get("resourceScopes"),
            self._house.chaos.faults.event_key_encoding,
        )
        return answers.Json(self._with_secret(endpoint), status_code=201)

    async def list(self, request: Request) -> answers.Json:
        limit = checks.limit(request.query_params.get("limit"), highest=100)
        status = checks.one_of(request.query_params.get("status"), subscriptions.ENDPOINT_STATES, "status")
        found = [each for each in reversed(self._register.standing()) if status in (None, each.status)]
        return answers.Json({"endpoints": [self._shown(endpoint) for endpoint in found[:limit]]})

    async def get(self, request: Request) -> answers.Json:
        return answers.Json(self._shown(self._named(request)))

    async def update(self, request: Request) -> answers.Json:
        endpoint = self._named(request)
        fields = checks.fields(await request.body(), _CHANGES)
        if "url" in fields:
            self._checked(fields["url"])
        self._register.update(endpoint, {_NAMES.get(name, name): value for name, value in fields.items()})
        return answers.Json(self._shown(endpoint))

    async def delete(self, request: Request) -> Response:
        self._register.delete(self._named(request))
        return Response(status_code=204)

    async def rotate_secret(self, request: Request) -> answers.Json:
        endpoint = self._named(request)
        fields: dict[str, Any] = checks.fields(
            await request.body() or b"{}", {"previousSecretExpiresInSec": _grace}
        )
        grace = fields.get("previousSecretExpiresInSec", _GRACE)
        self._register.rotate(endpoint, grace, self._house.chaos.faults.event_key_encoding)
        return answers.Json(self._with_secret(endpoint))

    async def test(self, request: Request) -> answers.Json:
        """Answers when the endpoint has, or has failed to; also for one that is disabled."""
        endpoint = self._named(request)
        fields: dict[str, Any] = checks.fields(await request.body() or b"{}", _TEST)
        data = fields.get("payload", {"message": "This is a test event."})
        sent, seconds = await self._house.events.test(endpoint, fields.get("eventType", "webhook.test"), data)
        return answers.Json(views.test_result(sent, seconds))

    async def event_types(self, request: Request) -> answers.Json:
        return answers.Json({"eventTypes": [views.event_type(*each) for each in events.CATALOGUE]})

    def _named(self, request: Request) -> subscriptions.Endpoint:
        return self._register.endpoint(request.path_params["id"])

    def _checked(self, url: object) -> str:
        return addresses.checked(url, public_only=self._house.public_only, field="url")

    def _shown(self, endpoint: subscriptions.Endpoint) -> views.Json:
        return views.endpoint(endpoint, self._house.world.clock())

    def _with_secret(self, endpoint: subscriptions.Endpoint) -> views.Json:
        return {**self._shown(endpoint), "signingSecret": endpoint.secret.text}
