"""The settings: what the server was started with, and what is wrong with the deployment."""

from __future__ import annotations

from starlette.responses import Response

from receiver.pages import health, requests
from receiver.web.authentication import Scope

router = requests.Router()


@router.page("GET", "/settings", Scope.ADMIN)
async def show(given: requests.PageRequest) -> Response:
    """Show the findings and the settings; secrets only as fingerprints."""
    context = given.context
    checked = () if context.checks is None else await context.checks(given.database)
    found = health.Health([*checked, *given.health.lines])
    return given.page("settings.html", found=found, rows=context.configuration, version=context.api.version)
