"""The server as one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import client_address
from receiver.inbound import endpoints
from receiver.server import stop_signals

Life = Callable[[], AbstractAsyncContextManager[None]]


class Application:
    """The server as one ASGI application: the public endpoints first, everything else behind them.

    It may be mounted under a path of another application, which then has to run its `lifespan`.
    """

    def __init__(self, public: ASGIApp, private: ASGIApp, stop: asyncio.Event, life: Life) -> None:
        self._public = public
        self._private = private
        self._stopping = stop
        self._life = life
        self._has_begun = self._is_running = False
        #: Runs the lifespan, and refuses websockets.
        self._router = Router(lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, _host: object = None) -> AsyncIterator[None]:
        """Run all components of the server within the block. It can run once; a host passes it as its `lifespan=`.

        Starlette does not run the lifespans of mounted applications. The block has to be in the event loop of the
        requests; at its end the worker drains. Raises SettingsError, DatabaseInUse, SchemaMismatch, Unavailable.
        """
        if self._has_begun:
            raise RuntimeError("an application runs once: make another one with create_app")
        self._has_begun = True
        async with self._life():
            self._is_running = True
            try:
                with stop_signals.on_signal(self.stop):
                    yield
            finally:
                self._is_running = False
                self.stop()

    def stop(self) -> None:
        """Mark the server as stopping: requests that wait for a result are answered now."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
            return
        if not self._is_running:
            raise RuntimeError("Runledger's lifespan is not running: pass `lifespan=ledger.lifespan` to its host")
        below = client_address.path_below_mount(scope)
        whole = scope.get("root_path", "") + below
        if whole != scope["path"]:  # a proxy removed a prefix
            scope = {**scope, "path": whole}
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        await (self._public if endpoints.is_public(below) else self._private)(scope, receive, send)
