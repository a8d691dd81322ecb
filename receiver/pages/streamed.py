"""Responses that are sent as they are made: a stream of changes, or a file.

htmx puts the markup of unnamed messages into the page; named ones are events of the page for its scripts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.pages import requests
from receiver.web import streaming
from storage import errors as storage_errors
from storage.repositories import api_keys


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


def message(markup: str) -> bytes:
    """Return an unnamed message with markup."""
    return b"".join(b"data: %s\n" % line.encode("utf-8", "replace") for line in markup.splitlines()) + b"\n"


def named(name: str) -> bytes:
    """Return an event without data."""
    return b"event: %s\ndata: \n\n" % name.encode()


def events(
    given: requests.PageRequest, source: streaming.Events | streaming.Pieces, *, is_counted: bool = False
) -> Streamed:
    """Return a stream of events, which ends when the session's key is revoked or the server stops.

    One that `is_counted` takes the place of a subscriber. Raises TooManyStreams before it begins.
    """
    api = given.context.api

    def make(headers: Mapping[str, str]) -> ASGIApp:
        seconds = api.timing.slow_listener
        stream = streaming.EventStream(source, headers, seconds, api.stopping, lambda: _until_revoked(given))

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            with api.feed.slot():
                await stream(scope, receive, send)

        return counted if is_counted else stream

    return Streamed(streaming.TYPE, make)


def file(given: requests.PageRequest, source: streaming.Pieces, media_type: str, name: str) -> Streamed:
    """Return a file of this name, which a browser saves."""
    api = given.context.api

    def make(headers: Mapping[str, str]) -> ASGIApp:
        return streaming.ByteStream(source, headers, api.timing.slow_listener, api.stopping)

    return Streamed(media_type, make, {"content-disposition": f'attachment; filename="{name}"'})


async def _until_revoked(given: requests.PageRequest) -> None:
    """Return once the key of the session is revoked."""
    assert given.visitor is not None, "only a page with a scope has a stream"
    while True:
        await asyncio.sleep(given.context.api.timing.stream_key)
        with contextlib.suppress(storage_errors.Unavailable):
            key = await given.database.look_up(api_keys.find, given.visitor.session.key_id)
            if key is None or key.revoked_at is not None:
                return
