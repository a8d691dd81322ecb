"""The options of commands that listen, and the socket that they name."""

from __future__ import annotations

import errno
import socket
from typing import Annotated

from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.server import uvicorn_server

Json = Annotated[bool, flag("--json", "For programs: the address as one JSON object on standard output.")]
Port = Annotated[int, option("PORT", "0 for any free port.", min=0, max=65535)]
Host = Annotated[str, option("ADDRESS", "The address to listen on; 0.0.0.0 for all.")]


def bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Raise CommandError where that cannot be."""
    try:
        return uvicorn_server.bind(host, port)
    except uvicorn_server.UnknownHost as error:
        raise CommandError(f"--host {error}", USAGE) from None
    except uvicorn_server.ListenError as error:
        hint = "; choose another --port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise CommandError(f"{error}{hint}") from None
