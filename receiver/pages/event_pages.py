"""Streams of events for pages: unnamed messages with markup for the page, and named ones for its scripts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from receiver.pages import requests
from receiver.web import streaming
from storage import errors as storage_errors
from storage.repositories import api_keys


def message(markup: str) -> bytes:
    """Return an unnamed message with markup."""
    return b"".join(b"data: %s\n" % line.encode("utf-8", "replace") for line in markup.splitlines()) + b"\n"


def named(name: str) -> bytes:
    """Return an event without data, which scripts of the page hear."""
    return b"event: %s\ndata: \n\n" % name.encode()


class EventPage(Response):
    """An answer that sends messages until they end, the browser leaves, or its key is revoked."""

    media_type = streaming.TYPE

    def __init__(self, given: requests.PageRequest, messages: AsyncGenerator[bytes, None]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._given = given
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context, headers = self._given.context.api, dict(self.headers)
        with context.feed.slot():
            revoked = partial(until_revoked, self._given)
            seconds = context.timing.slow_listener
            stream = streaming.EventStream(self._messages, headers, seconds, context.stopping, revoked)
            await stream(scope, receive, send)


async def until_revoked(given: requests.PageRequest) -> None:
    """Return once the key of the session is revoked."""
    assert given.visitor is not None
    while True:
        await asyncio.sleep(given.context.api.timing.stream_key)
        with contextlib.suppress(storage_errors.Unavailable):
            key = await given.database.look_up(api_keys.find, given.visitor.session.key_id)
            if key is None or key.revoked_at is not None:
                return
