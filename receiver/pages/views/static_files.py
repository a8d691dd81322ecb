"""The static files of the pages."""

from __future__ import annotations

from starlette.responses import Response

from receiver.pages import assets, requests

router = requests.Router()


@router.page("GET", "/static/{name}", None, identifies=False)
async def static_file(given: requests.PageRequest) -> Response:
    """Answer with a file; browsers keep it for a year, since its name changes with its content."""
    return assets.respond(given.ids["name"], given.headers.get("accept-encoding", ""))
