"""Where a database is: its address read, told, and kept to one server."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from storage import errors


def parsed(url: str) -> URL:
    """The address, with the one driver of PostgreSQL that we have, whatever it is called there."""
    parsed = make_url(url)
    is_server = parsed.drivername in ("postgres", "postgresql")
    return parsed.set(drivername="postgresql+psycopg") if is_server else parsed


def is_url(text: str) -> bool:
    """Whether it can be read as the address of a database that this release speaks to."""
    try:
        return make_url(text).get_backend_name() in ("sqlite", "postgres", "postgresql")
    except exc.ArgumentError:
        return False


def shown(url: str) -> str:
    """The address without its password."""
    return unquote(make_url(url).render_as_string(hide_password=True))


def file_of(url: str) -> str | None:
    """The path of an embedded database, None for a server's."""
    parsed: URL = make_url(url)
    return parsed.database if parsed.get_backend_name() == "sqlite" else None


@contextmanager
def sole_server(url: str) -> Iterator[None]:
    """Holds the lock file beside an embedded database for as long as a server runs on it. Raises InUse.

    A database server needs none: leases and locks of its own keep replicas apart.
    """
    file = file_of(url)
    if file is None:
        yield
        return
    path = Path(f"{file}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise errors.InUse(
                f"another Runledger server is running on {file} (it holds {path.name}): stop it, or give this "
                "one a data folder of its own. An embedded database takes one `runledger serve` or `runledger "
                "work`; several need PostgreSQL"
            ) from None
        yield
