"""Arguments for the PostgreSQL tools: connection strings and password files."""

from __future__ import annotations

from psycopg import conninfo
from sqlalchemy.engine import URL

from storage.engine import connections, urls


def connection_string(url: str) -> tuple[str, str | None]:
    """Return a libpq connection string, and the password apart, since other users can see a tool's arguments."""
    arguments = connections.libpq_arguments(url)
    password = arguments.pop("password", None)
    return conninfo.make_conninfo(**arguments), password


def display_url(url: str) -> str:
    """Return the URL as an operator types it for such a tool, without the password."""
    parsed = urls.without_foreign_options(urls.parse(url)).difference_update_query(urls.SECRETS)
    plain = URL.create(
        "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database, parsed.query
    )
    return plain.render_as_string()


def passfile_line(password: str) -> str:
    r"""Return the line of a password file that gives libpq this password for every connection.

    >>> passfile_line(r"a:b\c")
    '*:*:*:*:a\\:b\\\\c\n'
    """
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def with_passfile(address: str, file: str) -> str:
    """Return a connection string that names a password file as well."""
    return conninfo.make_conninfo(address, passfile=file)
