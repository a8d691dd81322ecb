"""Moving a whole store from an embedded database into one of a server, in one transaction: all of it or nothing.

What is copied follows from the tables alone, so a new one comes along by itself. Whether the two are equal is not
for this code to say: `equality` reads both by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, Row, Table, exc, func, inspect, select, text

from storage import dialect, equality, errors, house, migrations, rollups, search, transitions
from storage.columns import Bytes, Integer64
from storage.tables import RUNS, declare, metadata

#: Rows of one statement; fewer where they may hold documents or bodies.
ROWS, LARGE_ROWS = 500, 16
#: Rows that cannot be moved, and are named at most.
NAMED = 20
#: Columns of bytes that are always short.
SHORT = frozenset({"salt", "leaf_hash"})

#: Is told what is being done, of which table, and how many rows more of it are through.
Advance = Callable[[str, str, int], None]


def counted(url: str) -> int:
    """How many rows there are to move. Raises SchemaMismatch, Unavailable."""
    with _begun(url) as source:
        migrations.check(source)
        counts = (select(func.count()).select_from(table) for table in _tables())
        return sum(source.execute(count).scalar_one() for count in counts)


def move(url: str, to: str, now: datetime, advance: Advance) -> list[equality.Compared]:
    """Copies all of the store at `url`, a file, into the empty database at `to`, and compares both.

    What is made of other tables is made anew there: texts are found by their words once a server has indexed them.

    Nobody else writes to either meanwhile. From then on the file says where it was moved to. Raises Occupied where
    the database is not empty, Unstorable where it cannot hold some rows, which are named with their runs, Unequal
    where the two would not be the same, SchemaMismatch, Moved, Unavailable; then nothing has changed.
    """
    file = dialect.file_of(url)
    assert file is not None, "only an embedded database is moved"
    with _begun(url) as source:
        migrations.check(source)
        transitions.demand_own(source)
        with _begun(to) as target:
            _prepare(target)
            unfit = [each for table in _tables() for each in _copy(source, target, table, advance)]
            if unfit:
                raise errors.Unstorable(_told(unfit))
            search.rebuild(target, now)
            rollups.rebuild(target)
            found = _compared(file, target, advance)
        house.moved(source, dialect.shown(to))
    return found


def _tables() -> list[Table]:
    """What is copied, in an order in which it can be."""
    return [table for table in metadata.sorted_tables if not declare.is_derived(table)]


@contextmanager
def _begun(url: str) -> Iterator[Connection]:
    """A transaction, committed at the end of the block; what goes wrong in it is told in our words."""
    engine = dialect.engine(url, readonly=False, connections=1)
    try:
        with engine.begin() as connection:
            yield connection
    except exc.SQLAlchemyError as error:
        raise dialect.translate(error) from error
    except psycopg.Error as error:
        raise errors.Unavailable(dialect.said(error)) from error
    finally:
        engine.dispose()


def _prepare(target: Connection) -> None:
    """Brings an empty database to the schema, and keeps everybody else out of it. Raises Occupied."""
    ours = {table.name for table in metadata.sorted_tables} | dialect.MADE
    strange = sorted({*inspect(target).get_table_names()} - ours - {"alembic_version"})
    if strange:
        raise _occupied(strange[0])
    migrations.upgrade(target)
    for table in metadata.sorted_tables:
        target.execute(text(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE"))
    for table in metadata.sorted_tables:
        if target.execute(select(table).limit(1)).first() is not None:
            raise _occupied(table.name)


def _occupied(table: str) -> errors.Occupied:
    return errors.Occupied(
        f"the database is not empty: there is something in its table {table}. Move into one that is new, as "
        "`createdb` makes it"
    )


def _copy(source: Connection, target: Connection, table: Table, advance: Advance) -> list[str]:
    """Copies a table; a sentence for each row that the server cannot hold."""
    unfit: list[str] = []
    for batch in _batches(source, table):
        rows = [dict(row._mapping) for row in batch]
        if _refused(target, table, rows) is not None:
            alone = ((row, _refused(target, table, [row])) for row in rows)
            unfit += [f"{_named(source, table, row)}: {why}" for row, why in alone if why is not None]
        advance("copying", table.name, len(batch))
    for column in table.primary_key.columns:
        if column.type is Integer64:
            _go_on_behind(target, table, column.name)
    return unfit


def _refused(target: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> str | None:
    """Writes some rows; why the server cannot hold them, and then none of them is written."""
    try:
        with target.begin_nested():
            target.execute(table.insert(), rows)
    except exc.SQLAlchemyError as error:
        told = dialect.translate(error)
        if not isinstance(told, errors.Unstorable):
            raise
        return str(told)
    except (UnicodeError, OverflowError) as error:  # what the driver itself cannot spell
        return str(error)
    return None


def _named(source: Connection, table: Table, row: dict[str, Any]) -> str:
    """Where in the store a row is, and of which run."""
    key = ", ".join(f"{column.name} {str(row[column.name])[:80]}" for column in table.primary_key.columns)
    run_id = row["id"] if table is RUNS else row.get("run_id")
    if run_id is None and "run_seq" in row:
        run_id = source.execute(select(RUNS.c.id).where(RUNS.c.seq == row["run_seq"])).scalar()
    return f"{'' if run_id is None else f'run {run_id}: '}the row of {table.name} with {key}"


def _told(unfit: Sequence[str]) -> str:
    """Lines that name what stands in the way, the first of many."""
    more = [f"and {len(unfit) - NAMED} more"] if len(unfit) > NAMED else []
    remedy = "Nothing was moved. Mend or prune these runs in the file, then move it again"
    return "\n".join([f"the server cannot hold {len(unfit)} rows:", *unfit[:NAMED], *more, remedy])


def _batches(source: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    is_large = any(column.type is Bytes and column.name not in SHORT for column in table.columns)
    chosen = select(table).order_by(*table.primary_key.columns)
    streamed = source.execute(chosen, execution_options={"yield_per": LARGE_ROWS if is_large else ROWS})
    yield from streamed.partitions()


def _go_on_behind(target: Connection, table: Table, column: str) -> None:
    """Has the numbers that the database gives itself begin behind those that are taken."""
    sequence = target.execute(select(func.pg_get_serial_sequence(table.name, column))).scalar_one()
    last = target.execute(select(func.max(table.c[column]))).scalar_one()
    if sequence is not None and last is not None:
        target.execute(select(func.setval(sequence, last)))


def _compared(file: str, target: Connection, advance: Advance) -> list[equality.Compared]:
    driver: Any = target.connection.driver_connection
    found = list(equality.compare(file, driver, lambda table, rows: advance("comparing", table, rows)))
    for each in found:
        if not each.is_equal:
            raise errors.Unequal(
                f"{each.table} is not the same on both sides: {each.rows[0]} rows here, {each.rows[1]} there, and "
                f"the first that differs is {each.differs_at}"
            )
    return found
