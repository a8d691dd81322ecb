"""Addresses of databases as people, and other programs, spell them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from psycopg import conninfo
from sqlalchemy import Connection, text

from storage import errors
from storage.engine import connections, error_translation, urls
from storage.engine.database import Database
from storage.maintenance import server_tools
from tests import postgres
from tests.patience import PATIENT

pytestmark = pytest.mark.anyio

#: Arguments of libpq, by the address that means them.
MEANT = {
    "postgres://me:word@db.example/name": {"host": "db.example", "user": "me", "password": "word"},
    "postgresql+asyncpg://me@db.example/name?ssl=require": {"sslmode": "require"},
    "postgresql+psycopg2://me@db.example/name?sslmode=verify-full": {"sslmode": "verify-full"},
    "postgresql://me@db.example/name?ssl=true&schema=public": {"sslmode": "require"},
    "postgresql://me@db.example/name?ssl=false&pgbouncer=true&connection_limit=1": {"sslmode": "disable"},
    "postgresql://me@%2Fvar%2Frun%2Fpostgresql/name": {"host": "/var/run/postgresql"},
    "postgresql://me@/name?host=/var/run/postgresql&port=5433": {"host": "/var/run/postgresql", "port": "5433"},
    "postgresql://me@[2001:db8::7]:6432/name": {"host": "2001:db8::7", "port": "6432"},
    "postgresql://me:p%40ss%2Fw%23rd@db.example/name": {"password": "p@ss/w#rd"},
    "postgresql://me@db.example/name?sslmode=&application_name=a@b": {"application_name": "a@b"},
    "postgresql://me@db.example/name?client_encoding=latin1": {"client_encoding": "UTF8"},
    "postgresql:///name": {"dbname": "name"},
}


@pytest.mark.parametrize("spelled", MEANT)
def test_an_address_is_understood_as_it_is_spelled(spelled: str) -> None:
    assert urls.problem(spelled) is None
    arguments = connections.libpq_arguments(spelled)
    assert {name: str(arguments[name]) for name in MEANT[spelled]} == MEANT[spelled]
    assert not {"schema", "pgbouncer", "connection_limit", "ssl"} & arguments.keys()
    conninfo.make_conninfo(**arguments)  # the driver takes it
    assert urls.is_pooled(spelled) is ("pgbouncer=true" in spelled)


ENCODED = r"cannot be read: .* %40 %3A"
#: Addresses that are refused, and a part of the message.
REFUSED = {
    "": "must be a database's address",
    "runledger.db": "must be a database's address",
    "mysql://me@db/name": "must be a database's address",
    "jdbc:postgresql://db/name": "must be a database's address",
    "postgresql://me:p@PLANTED/w#rd@db/name": ENCODED,
    "postgresql://me:p@PLANTED@db/name": ENCODED,
    "postgresql://me:PLANTED/w@rd@db/name": ENCODED,
    "postgresql://db:PLANTED/name": ENCODED,
    "postgresql://me@::1/name": ENCODED,
    "postgresql://me@[::1/name": ENCODED,
    "postgresql://me@db:99999/name": "has the port 99999, and ports go from 1 to 65535",
    "postgresql://me@db:0/name": "has the port 0",
    "postgresql://me@db/name?sslmod=require": "option sslmod, .* did you mean sslmode?",
    "postgresql://me@db/name?PLANTED=1": "which PostgreSQL does not know",
    "postgresql://me@db/name?sslmode=no-verify": "sslmode that is none of disable",
    "postgresql://me@db/name?connect_timeout=soon": "connect_timeout that is no number",
    "postgresql://me@db/name?schema=a%22b": "schema that is no plain name",
    "postgresql://me@db/name?pgbouncer=PLANTED": "pgbouncer that is neither true nor false",
    "postgresql://me:PLAN\nTED@db/name": "holds a line break",
    "postgresql://me:PLAN%00TED@db/name": "holds a line break",
    "sqlite://": "names no file",
    "sqlite:///": "names no file",
    "sqlite:///:memory:": "names no file",
    "sqlite://runledger.db": "three slashes",
    "sqlite:////var/lib/": "names a folder",
    "sqlite:////": "names a folder",
    "sqlite:///~/runledger.db": "begins with ~",
    "sqlite:///runledger.db?mode=ro": "takes no options",
}


@pytest.mark.parametrize("spelled", REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_sentence_without_a_piece_of_it(spelled: str) -> None:
    said = urls.problem(spelled) or ""
    assert re.search(REFUSED[spelled], said), said
    assert "PLANTED" not in said.replace("option PLANTED", "")


def test_a_file_is_named_by_a_url_of_any_driver() -> None:
    for spelled in ("sqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db", "sqlite+pysqlite:////a/b.db"):
        assert (urls.problem(spelled), urls.file_path(spelled)) == (None, "/a/b.db")
        assert urls.parse(spelled).drivername == "sqlite"


@pytest.mark.parametrize("name", urls.SECRETS)
def test_no_secret_of_an_address_is_shown(name: str) -> None:
    spelled = f"postgresql://me:PLANTED@db.example/name?{name}=PLANTED"
    assert "PLANTED" not in urls.redacted(spelled)
    assert "db.example" in urls.redacted(spelled)


def test_tools_get_what_they_understand() -> None:
    spelled = "postgres://me:word@%2Frun%2Fpg/name?schema=public&pgbouncer=true"
    address, password = server_tools.connection_string(spelled)
    assert (conninfo.conninfo_to_dict(address)["host"], password) == ("/run/pg", "word")
    assert "schema" not in address + server_tools.display_url(spelled)


async def test_a_folder_of_a_socket_is_connected_to_as_it_is_spelled(server_url: str) -> None:
    folder = str(postgres.socket_of(server_url).parent).replace("/", "%2F")
    name = server_url.rpartition("?")[0].rpartition("/")[2]
    async with Database(f"postgres://postgres@{folder}/{name}?schema=public", limits=PATIENT) as database:
        assert await database.read(lambda asked: asked.execute(text("SELECT 1")).scalar_one()) == 1


def _violate(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TEMPORARY TABLE kept (x text CHECK (x <> 'PLANTED'))")
    connection.execute(text("INSERT INTO kept VALUES (:x)"), {"x": "PLANTED"})


async def test_no_error_of_the_server_shows_values(served: Database) -> None:
    with pytest.raises(Exception, match="violates check constraint") as caught:
        await served.write(_violate)
    assert "PLANTED" not in str(caught.value)
    assert "PLANTED" not in error_translation.message(caught.value.__cause__ or caught.value)


def _ask_for_what_is_gone(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT * FROM tables_of_another_program")


async def test_a_database_that_lacks_tables_is_unavailable_and_no_bug(database: Database) -> None:
    with pytest.raises(errors.Unavailable, match="tables_of_another_program"):
        await database.read(_ask_for_what_is_gone)


@pytest.mark.parametrize("place", ["notes.txt/runledger.db", "x" * 300])
def test_a_file_that_cannot_be_made_is_unavailable(tmp_path: Path, place: str) -> None:
    (tmp_path / "notes.txt").touch()
    url = f"sqlite:///{tmp_path / place}"
    with pytest.raises(errors.Unavailable, match="cannot be"):
        Database(url)
    with pytest.raises(errors.Unavailable, match="cannot be written"), urls.server_lock(url):
        pass
