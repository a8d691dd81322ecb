"""The line of each request."""

from __future__ import annotations

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from receiver import access_log

pytestmark = pytest.mark.anyio


async def _answer(request: Request) -> Response:
    return Response(status_code=int(request.query_params.get("status", "200")))


async def _logged(path: str) -> dict[str, object]:
    """Return the log entry of a request for that path."""
    routes = [Route("/healthz", _answer), Route("/v1/runs/{id}", _answer)]
    app = Starlette(routes=routes, middleware=[Middleware(access_log.AccessLog)])
    with capture_logs() as lines:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            await client.get(path)
    (line,) = lines
    return {key: line[key] for key in ("log_level", "route", "status")}


async def test_a_request_is_logged_by_its_route_and_not_by_its_path() -> None:
    assert await _logged("/v1/runs/run_secret") == {"log_level": "info", "route": "/v1/runs/{id}", "status": 200}


async def test_probes_that_are_answered_well_do_not_fill_the_log() -> None:
    assert await _logged("/healthz") == {"log_level": "debug", "route": "/healthz", "status": 200}


async def test_a_failed_probe_is_logged_as_info() -> None:
    assert await _logged("/healthz?status=503") == {"log_level": "info", "route": "/healthz", "status": 503}
