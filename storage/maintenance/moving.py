"""Move a whole store from an embedded database to a server, in one transaction: everything or nothing.

The list of tables comes from the metadata, so a new table is included automatically. Whether both sides are equal
is checked by `comparison`, which shares no code with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, Row, Table, exc, func, inspect, select, text

from storage import errors
from storage.engine import connections, error_translation, urls, writer
from storage.engine.column_types import Bytes, Integer64
from storage.maintenance import comparison
from storage.migrations import schema_version
from storage.repositories import system_state
from storage.search import fulltext, index
from storage.stats import rollups
from storage.tables import declare
from storage.tables.runs import RUNS
from storage.tables.schema import metadata

#: The rows of one statement; fewer for tables with documents or bodies.
ROWS, LARGE_ROWS = 500, 16
#: How many of the rows that cannot be moved are named.
NAMED = 20
#: Binary columns that are always short.
SHORT = frozenset({"salt", "leaf_hash"})

#: A function that reports progress: the step, the table, and how many further rows are done.
Advance = Callable[[str, str, int], None]


def count_rows(url: str) -> int:
    """Return the number of rows to move. Raises SchemaMismatch, Unavailable."""
    with _transaction(url) as source:
        schema_version.check(source)
        counts = (select(func.count()).select_from(table) for table in _tables())
        return sum(source.execute(count).scalar_one() for count in counts)


def move(url: str, to: str, now: datetime, advance: Advance) -> list[comparison.TableComparison]:
    """Copy the store in the file at `url` into the empty database at `to`, and compare both.

    Derived tables are not copied but rebuilt: search finds the texts once a server has indexed them.

    No other program may write to either side meanwhile. Afterwards the file records where it was moved to. Raises
    TargetNotEmpty; UnstorableValue where the server cannot store some rows, which the message names with their
    runs; StoresDiffer; SchemaMismatch; DatabaseMoved; Unavailable. After an error nothing has changed.
    """
    file = urls.file_path(url)
    assert file is not None, "only an embedded database is moved"
    with _transaction(url) as source:
        schema_version.check(source)
        system_state.require_original(source)
        with _transaction(to) as target:
            _prepare_target(target)
            unfit = [each for table in _tables() for each in _copy(source, target, table, advance)]
            if unfit:
                raise errors.UnstorableValue(_message(unfit))
            index.rebuild(target, now)
            rollups.rebuild(target)
            found = _verify(file, target, advance)
        system_state.mark_moved(source, urls.redacted(to))
    return found


def _tables() -> list[Table]:
    """Return the tables to copy, in the order of their foreign keys."""
    return [table for table in metadata.sorted_tables if not declare.is_derived(table)]


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    """Begin a transaction that is committed at the end of the block, and translate its errors."""
    engine = connections.engine(url, readonly=False, connections=1)
    try:
        with writer.translated_errors(), engine.begin() as connection:
            yield connection
    except psycopg.Error as error:
        raise errors.Unavailable(error_translation.message(error)) from error
    finally:
        engine.dispose()


def _prepare_target(target: Connection) -> None:
    """Create the schema in an empty database and lock all tables. Raises TargetNotEmpty."""
    ours = {table.name for table in metadata.sorted_tables} | fulltext.UNMANAGED_TABLES
    foreign = sorted({*inspect(target).get_table_names()} - ours - {"alembic_version"})
    if foreign:
        raise _not_empty(foreign[0])
    schema_version.upgrade(target)
    for table in metadata.sorted_tables:
        target.execute(text(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE"))
    for table in metadata.sorted_tables:
        if target.execute(select(table).limit(1)).first() is not None:
            raise _not_empty(table.name)


def _not_empty(table: str) -> errors.TargetNotEmpty:
    return errors.TargetNotEmpty(
        f"the database is not empty, see its table {table}: move into a new one, as `createdb` makes it"
    )


def _copy(source: Connection, target: Connection, table: Table, advance: Advance) -> list[str]:
    """Copy a table; return a sentence for each row that the server cannot store."""
    unfit: list[str] = []
    for batch in _batches(source, table):
        rows = [dict(row._mapping) for row in batch]
        if _insert(target, table, rows) is not None:
            alone = ((row, _insert(target, table, [row])) for row in rows)
            unfit += [f"{_row_name(source, table, row)}: {why}" for row, why in alone if why is not None]
        advance("copying", table.name, len(batch))
    for column in table.primary_key.columns:
        if column.type is Integer64:
            advance_sequence(target, table, column.name)
    return unfit


def _insert(target: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> str | None:
    """Insert rows. Return None, or the reason why the server cannot store them; then none of them is inserted."""
    try:
        with target.begin_nested():
            target.execute(table.insert(), rows)
    except exc.SQLAlchemyError as error:
        translated = error_translation.translate(error)
        if not isinstance(translated, errors.UnstorableValue):
            raise
        return str(translated)
    except (UnicodeError, OverflowError) as error:  # the driver itself cannot encode the value
        return str(error)
    return None


def _row_name(source: Connection, table: Table, row: dict[str, Any]) -> str:
    """Return a text that names a row by its table, key and run."""
    key = ", ".join(f"{column.name} {str(row[column.name])[:80]}" for column in table.primary_key.columns)
    run_id = row["id"] if table is RUNS else row.get("run_id")
    if run_id is None and "run_seq" in row:
        run_id = source.execute(select(RUNS.c.id).where(RUNS.c.seq == row["run_seq"])).scalar()
    return f"{'' if run_id is None else f'run {run_id}: '}the row of {table.name} with {key}"


def _message(unfit: Sequence[str]) -> str:
    """Return the lines of a message that names the rows, up to NAMED of them."""
    more = [f"and {len(unfit) - NAMED} more"] if len(unfit) > NAMED else []
    remedy = "Nothing was moved. Repair or prune these runs in the file, then move it again"
    return "\n".join([f"the server cannot hold {len(unfit)} rows:", *unfit[:NAMED], *more, remedy])


def _batches(source: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    is_large = any(column.type is Bytes and column.name not in SHORT for column in table.columns)
    chosen = select(table).order_by(*table.primary_key.columns)
    streamed = source.execute(chosen, execution_options={"yield_per": LARGE_ROWS if is_large else ROWS})
    yield from streamed.partitions()


def advance_sequence(target: Connection, table: Table, column: str) -> None:
    """Set the sequence of a key column to its highest value, so that new rows get higher ones."""
    sequence = target.execute(select(func.pg_get_serial_sequence(table.name, column))).scalar_one()
    last = target.execute(select(func.max(table.c[column]))).scalar_one()
    if sequence is not None and last is not None:
        target.execute(select(func.setval(sequence, last)))


def _verify(file: str, target: Connection, advance: Advance) -> list[comparison.TableComparison]:
    driver: Any = target.connection.driver_connection
    found = list(comparison.compare(file, driver, lambda table, rows: advance("comparing", table, rows)))
    for each in found:
        if not each.is_equal:
            raise errors.StoresDiffer(
                f"{each.table} is not the same on both sides: {each.rows[0]} rows in the file, {each.rows[1]} on "
                f"the server, and the first that differs is {each.first_difference}"
            )
    return found
