"""How the tools of a database server are told which database is meant."""

from __future__ import annotations

from psycopg import conninfo
from sqlalchemy.engine import URL

from storage import dialect
from storage.dialect import addresses


def address(url: str) -> tuple[str, str | None]:
    """The address as libpq's own tools take it. Apart from it the password: all users see what tools are told."""
    arguments = dialect.libpq(url)
    password = arguments.pop("password", None)
    return conninfo.make_conninfo(**arguments), password


def typed(url: str) -> str:
    """The address as somebody would type it for such a tool, without the password."""
    found = addresses.plain(addresses.parsed(url)).difference_update_query(addresses.SECRETS)
    plain = URL.create("postgresql", found.username, None, found.host, found.port, found.database, found.query)
    return plain.render_as_string()


def passfile(password: str) -> str:
    r"""The line of a file that gives libpq this password, wherever it is asked.

    >>> passfile(r"a:b\c")
    '*:*:*:*:a\\:b\\\\c\n'
    """
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def quoted(value: str) -> str:
    r"""A value inside an address.

    >>> quoted(r"it's a\b")
    "'it\\'s a\\\\b'"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
