"""The options of commands that listen, and the socket that they name."""

from __future__ import annotations

import errno
import socket
from typing import Annotated

import typer

from receiver.cli.errors import USAGE, CommandError
from receiver.server import uvicorn_server

Json = Annotated[
    bool, typer.Option("--json", help="For programs: where it listens, as one JSON object on standard output.")
]
Port = Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 for any that is free.")]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on; 0.0.0.0 for all.")]


def bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Raise CommandError where that cannot be."""
    try:
        return uvicorn_server.bind(host, port)
    except uvicorn_server.UnknownHost as error:
        raise CommandError(f"--host {error}", USAGE) from None
    except uvicorn_server.ListenError as error:
        hint = "; choose another --port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise CommandError(f"{error}{hint}") from None
