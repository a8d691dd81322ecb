"""Fixtures and hooks for every test: one event loop, no network besides loopback, a fresh database."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import create_engine

from storage.engine.database import Database
from storage.migrations import schema_version
from tests import compiled, memory, postgres
from tests.patience import PATIENT
from tests.server import Site

#: Examples of a property. More of them: HYPOTHESIS_EXAMPLES=1000.
EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "30"))

hypothesis.settings.register_profile(
    "runledger",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("runledger")


def _allow_only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection that leaves this machine. AF_UNIX addresses are no tuples."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        _demand_loopback(arguments[1][0])
    elif event == "socket.getaddrinfo":
        _demand_loopback(arguments[0])


def _demand_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost", "0.0.0.0", "::") and not _is_loopback(name):
        raise RuntimeError(f"a test connects to {name}: only loopback is allowed")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


sys.addaudithook(_allow_only_loopback)
compiled.share()
memory.use()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty SQLite database at the newest schema, once; tests open copies of it."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        schema_version.upgrade(connection)
    engine.dispose()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=WAL")
    return path


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """Start the PostgreSQL server of this test process."""
    with postgres.running() as started:
        yield started


BOTH = ["sqlite", "postgresql"]
_KIND = re.compile(r"[\[-](sqlite|postgresql)[\]-]")
#: Fixtures that belong to one kind alone.
_ALONE = {"file_url": "sqlite", "cluster": "postgresql", "victim": "postgresql"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Record on which kind of database a test runs, also for `-k postgresql`."""
    found = _KIND.search(item.nodeid)
    asked = [_ALONE[name] for name in getattr(item, "fixturenames", ()) if name in _ALONE]
    kind = found[1] if found else next(iter(asked), "neither")
    item.user_properties.append(("database", kind))
    item.extra_keyword_matches.add(kind)


#: Modules of minutes and those that start servers, the longest first, so that both processes end with short ones.
LONG = (
    "tests/browser/test_every_page.py",
    "tests/faults/test_kill_points.py",
    "tests/receiver/api/test_operations.py",
    "tests/fuzz/",
    "tests/bench/",
    "tests/faults/",
    "tests/journeys/",
    "tests/browser/",
    "tests/storage/questions/",
    "tests/storage/stats/",
    "tests/storage/user_sql/",
    "tests/laws/test_readme.py",
    "tests/receiver/cli/",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long modules first; otherwise keep the random order."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    return next((at for at, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG))


def pytest_collection_finish() -> None:
    """Exclude the tests and modules from garbage collection: they stay until the process ends."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the tests of each kind of database, so that a kind that was left out is noticed."""
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            counts[outcome, dict(getattr(report, "user_properties", ())).get("database", "neither")] += 1
    kinds = sorted({kind for _, kind in counts})
    for kind in kinds:
        summary = ", ".join(f"{counts[each]} {each[0]}" for each in counts if each[1] == kind)
        terminalreporter.write_line(f"tests on {kind}: {summary}")


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the address of a fresh database at the newest schema, once per kind of database."""
    url: str = request.getfixturevalue("file_url" if request.param == "sqlite" else "server_url")
    return url


@pytest.fixture
def file_url(tmp_path: Path, template: Path) -> str:
    """Return the address of a fresh SQLite database, for what concerns SQLite alone."""
    return f"sqlite:///{shutil.copy(template, tmp_path / 'runledger.db')}"


@pytest.fixture
def server_url(cluster: postgres.Cluster) -> str:
    """Return the address of a fresh PostgreSQL database, for what concerns PostgreSQL alone."""
    return cluster.emptied()


@pytest.fixture(scope="session", params=["LATIN1", "SQL_ASCII"])
def narrow_url(cluster: postgres.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of a database whose encoding cannot represent every text."""
    name = f"narrow_{request.param.lower()}"
    with cluster.admin() as connection:
        made = f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0"
        connection.execute(made.encode())
    yield cluster.url(name)
    with cluster.admin() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database without tables, once per kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    cluster: postgres.Cluster = request.getfixturevalue("cluster")
    return cluster.fresh("template0")


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of database that a server uses."""
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def sites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Site]:
    """Return a function that makes a site with a fresh database of a given kind."""

    def made(kind: str) -> Site:
        folder = tmp_path_factory.mktemp(kind)
        return Site(folder) if kind == "sqlite" else Site(folder, request.getfixturevalue("cluster").fresh())

    return made


@pytest.fixture
def site(kind: str, sites: Callable[[str], Site]) -> Site:
    """Return a site for a server of one's own, once per kind of database."""
    return sites(kind)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a `Database` on a fresh database."""
    async with Database(database_url, limits=PATIENT) as opened:
        yield opened


@pytest.fixture
async def spoiled(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Open a `Database` on a database of its own, once per kind; tests may change its schema."""
    fresh = request.getfixturevalue("file_url") if kind == "sqlite" else request.getfixturevalue("cluster").fresh()
    async with Database(fresh, limits=PATIENT) as opened:
        yield opened


@pytest.fixture
async def embedded(file_url: str) -> AsyncIterator[Database]:
    """Open a `Database` on a fresh SQLite database."""
    async with Database(file_url, limits=PATIENT) as opened:
        yield opened


@pytest.fixture
async def served(server_url: str) -> AsyncIterator[Database]:
    """Open a `Database` on a fresh PostgreSQL database."""
    async with Database(server_url, limits=PATIENT) as opened:
        yield opened
