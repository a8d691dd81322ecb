"""Database URLs: parsed, checked, shown without secrets; and the lock that keeps a file to one server."""

from __future__ import annotations

import difflib
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from storage import errors

EXAMPLES = (
    "must be a database's address such as sqlite:////var/lib/runledger/runledger.db "
    "or postgresql://user:password@host/runledger"
)
_ENCODED = (
    "cannot be read: in a user's name or a password the characters @ : / ? # % and blanks are written as %40 %3A "
    "%2F %3F %23 %25 and %20, and a port is a number"
)
_SERVER, _FILE = ("postgres", "postgresql"), ("sqlite",)
#: Options in the URLs of other programs that have no meaning here, and are ignored.
_FOREIGN = frozenset(
    ("connection_limit", "pool_timeout", "socket_timeout", "statement_cache_size", "schema", "pgbouncer")
)
_SSL = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
#: Options that hold secrets, in addition to the password before the host.
SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
#: The user and password before the host, as SQLAlchemy reads them.
_LOGIN = re.compile(r"\A[^:/]*(?::[^@]*)?@")


def parse(url: str) -> URL:
    """Parse a URL and set our driver, for any spelling of the scheme. Raises Unavailable."""
    try:
        found = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise errors.Unavailable(f"the address of the database {_ENCODED}") from None
    name = found.drivername.partition("+")[0]
    if name in _FILE:
        return found.set(drivername="sqlite")
    if name not in _SERVER:
        return found
    host = unquote(found.host) if found.host else found.host  # the folder of a socket, as in %2Fvar%2Frun
    return found.set(drivername="postgresql+psycopg", host=host)


def without_foreign_options(address: URL) -> URL:
    """Return the URL of a server without the options that only other programs' drivers understand."""
    query = {name: value for name, value in address.query.items() if name not in _FOREIGN | {"ssl"}}
    if "ssl" in address.query and "sslmode" not in query:
        query["sslmode"] = _ssl_mode(address)
    return address.set(query=query)


def _ssl_mode(address: URL) -> str:
    value = str(address.query["ssl"]).lower()
    return _SSL.get(value, value)


def search_path(address: URL) -> str | None:
    """Return the search path of the option `schema`, which Prisma writes, or None."""
    name = address.query.get("schema")
    return None if name is None else f'"{name}"'


def is_pooled(address: URL | str) -> bool:
    """Return whether the URL names a pooler in transaction mode, by the option `pgbouncer` that Prisma writes."""
    found = make_url(address)
    return str(found.query.get("pgbouncer", "")).lower() in _YES


def problem(text: str) -> str | None:
    """Return why the text cannot be used as a database URL, without a piece of it that may be secret, or None."""
    name = text.partition("://")[0].partition("+")[0]
    if "://" not in text or name not in (*_SERVER, *_FILE):
        return EXAMPLES
    if re.search(r"[\x00-\x1f\x7f]|%00", text):
        return "holds a line break or another character that no address has"
    try:
        return _file_fault(make_url(text)) if name in _FILE else _server_fault(text)
    except (exc.ArgumentError, ValueError):  # its message may contain pieces of a password
        return _ENCODED if name in _SERVER else EXAMPLES


def _file_fault(address: URL) -> str | None:
    file = address.database
    if address.host or address.username or address.port:
        return "names a file with three slashes (sqlite:///data/runledger.db), from the root with four"
    if not file or file.startswith((":", "file:")):
        return "names no file, as sqlite:////var/lib/runledger/runledger.db does"
    if file.startswith("~"):
        return "begins with ~, which only a shell expands: write the full path"
    if address.query:
        return "names a file, and takes no options behind ?"
    is_folder = file.endswith("/") or os.path.isdir(file)
    return "names a folder: add the name of the file in it" if is_folder else None


def _server_fault(text: str) -> str | None:
    rest = text.partition("://")[2]
    place = _LOGIN.sub("", rest, count=1)
    if "@" in place.partition("?")[0]:
        return _ENCODED
    address = make_url(text)  # ValueError where the port is no number
    if address.port is not None and not 0 < address.port < 65536:
        return f"has the port {address.port}, and ports go from 1 to 65535"
    if address.host and re.search(r"[\s#@\\]", unquote(address.host)):
        return _ENCODED
    return _options_fault(address)


def _options_fault(address: URL) -> str | None:
    from psycopg import pq  # slow to import, and not needed for an embedded database

    known = {each.keyword.decode() for each in pq.Conninfo.get_defaults()}
    for name in address.query:
        if name not in known | _FOREIGN | {"ssl"}:
            near = next(iter(difflib.get_close_matches(name[:40], sorted(known), 1)), None)
            hint = f"; did you mean {near}?" if near else ": take it out"
            shown = name if re.fullmatch(r"\w{1,40}", name) else "one"
            return f"has the option {shown}, which PostgreSQL does not know{hint}"
    query = {name: value if isinstance(value, str) else value[-1] for name, value in address.query.items()}
    if not query.get("connect_timeout", "5").isdecimal():
        return "has an option connect_timeout that is no number"
    modes = [query.get("sslmode", "prefer"), *([_ssl_mode(address)] if "ssl" in query else ())]
    if not set(modes) <= set(_SSL_MODES):
        return f"has a value of sslmode that is none of {', '.join(_SSL_MODES)}"
    if not re.fullmatch(r"[\w $-]{1,63}", query.get("schema", "public")):
        return "has an option schema that is no plain name"
    if query.get("pgbouncer", "true").lower() not in _YES + _NO:
        return "has an option pgbouncer that is neither true nor false"
    return None


def redacted(url: str) -> str:
    """Return the URL without its secrets."""
    found = make_url(url)
    hidden = {name: "***" for name in SECRETS if name in found.query}
    return unquote(found.update_query_dict(hidden).render_as_string(hide_password=True))


def file_path(url: str) -> str | None:
    """Return the path of an embedded database, None for a server."""
    parsed: URL = make_url(url)
    return parsed.database if parsed.get_backend_name() == "sqlite" else None


def size_of(file: str) -> int:
    """Return the size in bytes of an embedded database, with its `-wal` file."""
    paths = (Path(file), Path(f"{file}-wal"))
    return sum(path.stat().st_size for path in paths if path.exists())


@contextmanager
def server_lock(url: str) -> Iterator[None]:
    """Hold the lock file beside an embedded database while a server runs on it. Raises DatabaseInUse.

    A database server needs no such file: leases and its own locks coordinate replicas.
    """
    file = file_path(url)
    if file is None:
        yield
        return
    with _lock_file(Path(f"{file}.lock")) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.DatabaseInUse(
                f"another Runledger server is running on {file} (it holds {file}.lock): stop it, or give this "
                "one a data folder of its own. SQLite allows one `runledger serve` or `runledger "
                "work`; several need PostgreSQL"
            ) from None
        except OSError as error:
            raise errors.Unavailable(
                f"{file}.lock cannot be locked: {error.strerror}. A network file system may take no locks: let "
                "the data folder be on a disk of this machine"
            ) from None
        yield


def _lock_file(path: Path) -> IO[str]:
    """Open the lock file; create it if it does not exist. Raises Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise errors.Unavailable(f"{path} cannot be written: {error.strerror}") from error
