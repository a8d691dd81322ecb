"""uvicorn, run by us: a socket that is bound first, a start-up whose errors come out, signals that end it well."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Message, Scope

from receiver.cli import connections, sentences

#: Seconds that requests under way have once the server stops.
DRAIN = 7
#: Seconds in which a server that is told to stop says so to who asks for its health, before it takes no more
#: connections: a balancer then goes on to another one, and nobody is refused.
NOTICE = 2.0
#: Between two looks at whether a server listens yet, which it does not say.
TICK = 0.01


class Server(uvicorn.Server):
    """A server that leaves signals to its owner: being told to stop is no failure, and two share one process."""

    def __init__(self, config: uvicorn.Config, crowd: connections.Crowd) -> None:
        super().__init__(config)
        self.crowd = crowd
        self.noticed = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to that address; nobody is let in before a server listens on it. Raises Complaint."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise sentences.Complaint(f"--host {host!r} is no address of this machine", sentences.USAGE) from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        hint = "; choose another --port" if error.errno in (98, 48, 13) else ""
        raise sentences.Complaint(f"{host}:{port} cannot be listened on: {error.strerror}{hint}") from None
    return bound


def url(bound: socket.socket) -> str:
    """The address of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(app: Any, limits: connections.Limits | None = None) -> Server:
    """A server for an application whose lifespan is run by `living`."""
    crowd = connections.Crowd(connections.fitting(limits or connections.Limits()))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=cast(type[asyncio.Protocol], crowd.protocol),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whose X-Forwarded-For is believed is a setting of ours
        server_header=False,
        date_header=True,
        # Longer than proxies keep theirs, so that it is theirs to close.
        timeout_keep_alive=int(crowd.limits.idle),
        timeout_graceful_shutdown=DRAIN,
        backlog=connections.BACKLOG,
    )
    return Server(config, crowd)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Runs `main` on the loop that servers are fastest on."""

    async def whole() -> None:
        await main()

    with asyncio.Runner(loop_factory=server(None).config.get_loop_factory()) as runner:
        runner.run(whole())


async def serve(
    app: Any,
    bound: socket.socket,
    ready: Callable[[], None] = lambda: None,
    limits: connections.Limits | None = None,
    notice: float = 0.0,
) -> None:
    """Serves until SIGINT or SIGTERM, then drains. What the application's start-up raises comes out.

    SIGTERM, by which supervisors end a server, gives `notice` seconds of warning; a further signal ends it.
    """
    made = server(app, limits)

    def stop(told: signal.Signals) -> None:
        is_first = told is signal.SIGTERM and not made.noticed
        made.noticed = True
        if hasattr(app, "stop"):
            app.stop()
        made.crowd.part()
        if is_first and notice:
            asyncio.get_running_loop().call_later(notice, _stop, made, app)
        else:
            _stop(made, app)

    with signalled(stop):
        async with living(app), _watched(made.crowd):
            bound.listen(made.config.backlog)  # who reads that it is ready may connect at once
            ready()
            await made.serve([bound])


@asynccontextmanager
async def running(app: Any, bound: socket.socket, limits: connections.Limits | None = None) -> AsyncIterator[None]:
    """Serves for as long as the block."""
    made = server(app, limits)
    async with living(app), _watched(made.crowd):
        serving = asyncio.ensure_future(made.serve([bound]))
        try:
            while not (made.started or serving.done()):  # noqa: ASYNC110
                await asyncio.sleep(TICK)
            yield
        finally:
            _stop(made, app)
            await serving


def _stop(made: Server, app: Any) -> None:
    """The first signal drains, a further one ends it at once."""
    if hasattr(app, "stop"):
        app.stop()
    made.crowd.stop()
    made.force_exit = made.should_exit
    made.should_exit = True


@asynccontextmanager
async def _watched(crowd: connections.Crowd) -> AsyncIterator[None]:
    """Connections are looked after for as long as the block."""
    watching = asyncio.ensure_future(crowd.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def until_signalled() -> None:
    """Waits for SIGINT or SIGTERM."""
    told = asyncio.Event()
    with signalled(lambda _: told.set()):
        await told.wait()


@contextlib.contextmanager
def signalled(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Calls `stop` at each SIGINT or SIGTERM within the block."""
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop, each)
    try:
        yield
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)


@asynccontextmanager
async def living(app: ASGIApp) -> AsyncIterator[None]:
    """An application's lifespan around the block, by ASGI's protocol. Its own errors come out of here."""
    said: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    life = asyncio.ensure_future(_lived(app, scope, said, heard))
    try:
        await _phase(life, said, heard, "startup")
        yield
        await _phase(life, said, heard, "shutdown")
    finally:
        life.cancel()
        await asyncio.wait([life])


async def _lived(app: ASGIApp, scope: Scope, said: asyncio.Queue[Message], heard: asyncio.Queue[Message]) -> None:
    await app(scope, said.get, heard.put)


async def _phase(
    life: asyncio.Future[None], said: asyncio.Queue[Message], heard: asyncio.Queue[Message], name: str
) -> None:
    """Says that a phase begins, and waits until it is over, or the application with it."""
    await said.put({"type": f"lifespan.{name}"})
    answer = asyncio.ensure_future(heard.get())
    either: set[asyncio.Future[Any]] = {life, answer}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if answer.done() and answer.result()["type"] == f"lifespan.{name}.complete":
        return
    answer.cancel()
    await life  # raises what went wrong
