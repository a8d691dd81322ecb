"""The corpus in both kinds of database, built once for each module: a module runs in one test process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from storage.engine import connections
from tests import postgres
from tests.storage.questions import corpus


@pytest.fixture(scope="module")
def records(request: pytest.FixtureRequest) -> list[corpus.Record]:
    """Every run of the corpus, of which a module may take fewer."""
    return corpus.records(getattr(request.module, "RUNS", corpus.COUNT))


@pytest.fixture(scope="module")
def asked(
    records: list[corpus.Record],
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: postgres.Cluster,
) -> Iterator[Mapping[str, Connection]]:
    """A connection to each kind of database with the corpus in it, that cannot write."""
    file = shutil.copy(template, tmp_path_factory.mktemp("questions") / "runledger.db")
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(_filled(url, records))
            for kind, url in (("sqlite", f"sqlite:///{file}"), ("postgresql", cluster.fresh()))
        }


@contextmanager
def _filled(url: str, records: list[corpus.Record]) -> Iterator[Connection]:
    writer = connections.engine(url, readonly=False, connections=1)
    with writer.begin() as connection:
        corpus.load(connection, records)
    with writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))
    writer.dispose()
    reader = connections.engine(url, readonly=True, connections=1)
    with reader.connect() as connection, connection.begin():
        yield connection
    reader.dispose()
