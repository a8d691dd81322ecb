"""Look for values of a file whose type is not that of their column: SQLite takes any type in any column."""

from __future__ import annotations

from collections.abc import Iterator

from receiver.verifier import coverage
from receiver.verifier.store import source
from receiver.verifier.store.breaks import Code, Report

#: The types of values, by a part of the declared type of the column. JSON may be a number.
_TYPES = {"INT": ("integer",), "BLOB": ("blob",), "JSON": ("text", "integer", "real"), "": ("text",)}
#: Columns of no entry that are compared all the same.
_OTHERS = {"seq", "upstream_id"}
_CODES = {"ledger_entries": Code.ENTRY_CHANGED, "ledger_nodes": Code.TILE_CHANGED}


def check(store: source.Source, report: Report) -> bool:
    """Report the values of another type; return whether there is none."""
    faults = [(table, *fault) for table in coverage.COVERED for fault in _faults(store, table)]
    for table, column, condition in faults:
        owner = "id" if table == "runs" else "run_id" if "run_id" in coverage.COVERED[table] else "NULL"
        sql = f"SELECT CAST({owner} AS TEXT) FROM {table} WHERE {condition} LIMIT ?"
        for (run,) in store.rows(sql, report.limit):
            sentence = f"a value of {table}.{column} is of another type than its column"
            report.add(_CODES.get(table, Code.ROW_CHANGED), sentence, run=run, table=table, column=column)
    return not faults


def _faults(store: source.Source, table: str) -> Iterator[tuple[str, str]]:
    """Yield the columns that have such values, each with the condition of these."""
    declared = {name: kind for _, name, kind, *_ in store.rows(f"PRAGMA table_info({table})")}
    compared = coverage.COVERED[table].keys() | _OTHERS
    conditions = {name: _condition(name, kind) for name, kind in declared.items() if name in compared}
    # All columns in one pass: most tables have no such value.
    for name, condition in conditions.items() if _has(store, table, " OR ".join(conditions.values())) else ():
        if _has(store, table, condition):
            yield name, condition


def _has(store: source.Source, table: str, condition: str) -> bool:
    ((found,),) = store.rows(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {condition})")
    return bool(found)


def _condition(column: str, declared: str) -> str:
    types = next(types for part, types in _TYPES.items() if part in declared.upper())
    # Comparisons one by one take half the time of a list.
    return " AND ".join(f"typeof(\"{column}\") <> '{each}'" for each in (*types, "null"))
