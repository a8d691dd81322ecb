"""Responses that are sent as they are made: a stream of changes, or a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.pages import event_pages, requests
from receiver.web import streaming


class Streamed(Response):
    """A response whose body is sent by an application, which is made once all headers are known."""

    def __init__(
        self,
        media_type: str,
        make: Callable[[Mapping[str, str]], ASGIApp],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._make(dict(self.headers.items()))(scope, receive, send)


def events(given: requests.PageRequest, source: streaming.Events) -> Streamed:
    """Return a stream of events, which ends when the session's key is revoked or the server stops."""
    api = given.context.api

    def make(headers: Mapping[str, str]) -> ASGIApp:
        seconds = api.timing.slow_listener
        return streaming.EventStream(
            source, headers, seconds, api.stopping, lambda: event_pages.until_revoked(given)
        )

    return Streamed(streaming.TYPE, make)


def file(given: requests.PageRequest, source: streaming.Pieces, media_type: str, name: str) -> Streamed:
    """Return a file of this name, which a browser saves."""
    api = given.context.api

    def make(headers: Mapping[str, str]) -> ASGIApp:
        return streaming.ByteStream(source, headers, api.timing.slow_listener, api.stopping)

    return Streamed(media_type, make, {"content-disposition": f'attachment; filename="{name}"'})
