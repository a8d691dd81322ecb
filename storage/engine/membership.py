"""The condition that a column has one of the values of a list, as one parameter.

SQLAlchemy's own `IN` has a parameter for each value, so that its statement is put together for each execution.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Boolean, ColumnElement, Dialect, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class _List(TypeDecorator[Sequence[Any]]):
    """A list of texts or integers: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, of: type[Text | BigInteger]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(self.of) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        values = list(value or ())
        return values if dialect.name == "postgresql" else json.dumps(values)


class _IsAmong(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


@compiles(_IsAmong)
def _in_json(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(_IsAmong, "postgresql")
def _in_array(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({values})"


def is_among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column of texts or integers has a value of the list parameter `name`."""
    of = BigInteger if issubclass(column.type.python_type, int) else Text
    return _IsAmong(column, bindparam(name, type_=_List(of)))
