"""uvicorn with sockets that are bound first, errors of the start-up that are raised, and signals of our own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

import uvicorn
from starlette.types import Receive, Scope, Send

from receiver import errors
from receiver.server import connections

#: Seconds that requests under way have once the server stops.
DRAIN = 7
#: Seconds between SIGTERM and the end of accepting connections. `/readyz` reports the stop at once, so that a load
#: balancer sends requests elsewhere, and no connection is refused.
NOTICE = 2.0
#: Seconds after which a thread that computes lets another one run. A write takes a dozen round trips in its
#: thread, and at Python's 5 ms each of them waits as long while a large document is parsed, stored or indexed.
SWITCH_INTERVAL = 0.0005
#: Seconds between two checks whether uvicorn listens, for which it has no event.
INTERVAL = 0.01


class UnknownHost(errors.ReceiverError):
    """The host to listen on is no address of this machine."""


class ListenError(errors.ReceiverError):
    """The socket cannot be bound. `errno` is the system's error number."""

    def __init__(self, message: str, errno: int | None) -> None:
        super().__init__(message)
        self.errno = errno


class Application(Protocol):
    """An ASGI application that is served within its lifespan; `stop` reports that the server stops."""

    def lifespan(self) -> AbstractAsyncContextManager[None]: ...
    def stop(self) -> None: ...
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to its caller, so that two can run in one process."""

    def __init__(self, config: uvicorn.Config, pool: connections.Pool) -> None:
        super().__init__(config)
        self.pool = pool
        self.is_signalled = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to that address, on which nothing listens yet. Raise UnknownHost, ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UnknownHost(f"{host!r} is no address of this machine") from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ListenError(f"{host}:{port} cannot be listened on: {error.strerror}", error.errno) from None
    return bound


def url(bound: socket.socket) -> str:
    """Return the address of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: Any, limits: connections.Limits | None = None) -> Server:
    """Return a server for an application whose lifespan the caller runs."""
    pool = connections.Pool(connections.fitting(limits or connections.Limits()))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=cast(type[asyncio.Protocol], functools.partial(connections.Connection, pool)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # a setting of ours names the proxies whose X-Forwarded-For counts
        server_header=False,
        date_header=True,
        # Longer than that of proxies, so that they close a connection before the server does.
        timeout_keep_alive=int(pool.limits.idle),
        timeout_graceful_shutdown=DRAIN,
        backlog=connections.BACKLOG,
    )
    return Server(config, pool)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function on uvloop."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    with asyncio.Runner(loop_factory=_server(None).config.get_loop_factory()) as runner:
        runner.run(main())


async def serve(
    app: Application,
    bound: socket.socket,
    ready: Callable[[], None] = lambda: None,
    limits: connections.Limits | None = None,
    notice: float = 0.0,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain. Raise what the application's start-up raises.

    After SIGTERM, which supervisors send, the server stops `notice` seconds later; a further signal stops it at
    once. `ready` is called when connections are accepted.
    """
    server = _server(app, limits)

    def stop(received: signal.Signals) -> None:
        is_first = received is signal.SIGTERM and not server.is_signalled
        server.is_signalled = True
        app.stop()
        server.pool.is_stopping = True
        if is_first and notice:
            asyncio.get_running_loop().call_later(notice, _stop, server, app)
        else:
            _stop(server, app)

    with _on_signals(stop):
        async with app.lifespan(), _watched(server.pool):
            bound.listen(server.config.backlog)  # before `ready`: its reader may connect at once
            ready()
            await server.serve([bound])


@asynccontextmanager
async def running(
    app: Application, bound: socket.socket, limits: connections.Limits | None = None
) -> AsyncIterator[None]:
    """Serve for as long as the block."""
    server = _server(app, limits)
    async with app.lifespan(), _watched(server.pool):
        serving = asyncio.ensure_future(server.serve([bound]))
        try:
            while not (server.started or serving.done()):  # noqa: ASYNC110
                await asyncio.sleep(INTERVAL)
            yield
        finally:
            _stop(server, app)
            await serving


def _stop(server: Server, app: Application) -> None:
    """Drain the server at the first call, stop it at once at a further one."""
    app.stop()
    server.pool.stop()
    server.force_exit = server.should_exit
    server.should_exit = True


@asynccontextmanager
async def _watched(pool: connections.Pool) -> AsyncIterator[None]:
    """Enforce the time limits of connections for as long as the block."""
    watching = asyncio.ensure_future(pool.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def until_signalled() -> None:
    """Wait for SIGINT or SIGTERM."""
    signalled = asyncio.Event()
    with _on_signals(lambda _: signalled.set()):
        await signalled.wait()


@contextlib.contextmanager
def _on_signals(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `stop` at each SIGINT or SIGTERM within the block."""
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop, each)
    try:
        yield
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
