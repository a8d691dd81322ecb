"""The line of each request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from receiver import access_log


async def _answer(_: Request) -> Response:
    return Response()


def _logged(path: str, route: str, status: int = 200) -> dict[str, object]:
    """Return the log entry of a request."""
    with capture_logs() as lines:
        access_log.AccessLog().record({"method": "GET", "path": path, "route": Route(route, _answer)}, status, 0.1)
    (line,) = lines
    return {key: line[key] for key in ("log_level", "route", "status")}


def test_a_request_is_logged_by_its_route_and_not_by_its_path() -> None:
    assert _logged("/v1/runs/run_secret", "/v1/runs/{id}") == {
        "log_level": "info",
        "route": "/v1/runs/{id}",
        "status": 200,
    }


def test_probes_that_are_answered_well_do_not_fill_the_log() -> None:
    assert _logged("/healthz", "/healthz") == {"log_level": "debug", "route": "/healthz", "status": 200}


def test_a_failed_probe_is_logged_as_info() -> None:
    assert _logged("/healthz", "/healthz", 503) == {"log_level": "info", "route": "/healthz", "status": 503}
