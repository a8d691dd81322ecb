"""Rows of the database as JSON objects, by the fields of a schema.

The bytes are made once, by msgspec. The schema describes them for OpenAPI. All that is checked is that a row holds
values of the declared types, since another program may have written it: one that does not is left out of a list
and named, and is a problem where it is requested alone.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import structlog
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from receiver import errors
from storage.engine import column_types
from storage.query import run_chunks

#: The most combinations of types in a row that are remembered as right.
MAX_SEEN = 1000
#: The values of one object, in the order of the fields.
Values = Sequence[Any]
#: Whether all values of a column may be answered.
Check = Callable[[Values], bool]
JsonObject = dict[str, Any]
RowT = TypeVar("RowT")
MadeT = TypeVar("MadeT")

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
_JSON = bool | int | float | str | list[Any] | dict[str, Any] | None


class WrongTypes(ValueError):
    """Fields of a row have values of other types than declared."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__("; ".join(f"{name}: not of its type" for name in names))


class JsonRows:
    """The objects of one schema. `key` is the field that names a row which cannot be read."""

    def __init__(self, schema: type[BaseModel], key: str = "id") -> None:
        self._schema = schema
        self._names = list(schema.model_fields)
        self._key = self._names.index(key)
        self._seen = set[tuple[type, ...]]()

    @functools.cached_property
    def _object(self) -> Callable[..., Any]:
        fields = [(to_camel(name), Any) for name in self._names]
        return msgspec.defstruct(self._schema.__name__, fields, frozen=True, gc=False)

    @functools.cached_property
    def _checks(self) -> list[Check]:
        return [_check(_type(each.annotation)) for each in self._schema.model_fields.values()]

    @functools.cached_property
    def _places(self) -> list[int]:
        """Return the positions of all fields."""
        return list(range(len(self._names)))

    @functools.cached_property
    def _valued(self) -> list[int]:
        """Return the positions of the fields whose check takes more than the type of the value."""
        return [at for at, check in enumerate(self._checks) if not isinstance(check, _HasType)]

    def values(self, stored: object, **computed: Any) -> list[Any]:
        """Return the attributes of a value by the names of the fields, except for those that are computed."""
        return [computed[name] if name in computed else _plain(getattr(stored, name)) for name in self._names]

    def page(self, noun: str, rows: Sequence[Values], cursor: str | None, **more: Any) -> bytes:
        """Return a page: its rows under their noun, and the names of rows that are left out."""
        objects, unread = self.list_of(rows)
        head = {"hasMore": cursor is not None, "nextCursor": cursor, "unreadable": unread}
        return encode({**head, noun: objects, **more})

    def list_of(self, rows: Sequence[Values]) -> tuple[msgspec.Raw, list[str]]:
        """Return the rows as the bytes of an array, and the names of rows that cannot be read, which it lacks."""
        with contextlib.suppress(*run_chunks.UNREADABLE_ERRORS):
            columns = zip(*rows, strict=True)
            if all(check(column) for check, column in zip(self._checks, columns, strict=False)):
                return msgspec.Raw(encode([self._object(*row) for row in rows])), []
        objects, unread = readable(rows, self.one, lambda row: row[self._key])
        return msgspec.Raw(encode(objects)), unread

    def one(self, row: Values) -> msgspec.Raw:
        """Return a row as the bytes of an object. Raises WrongTypes, and the errors of the encoder."""
        types, checks = tuple(map(type, row)), self._checks
        places = self._valued if types in self._seen else self._places
        wrong = [self._names[at] for at in places if not checks[at]((row[at],))]
        if wrong:
            raise WrongTypes(wrong)
        if len(self._seen) < MAX_SEEN:
            self._seen.add(types)
        return msgspec.Raw(encode(self._object(*row)))


def readable(
    rows: Iterable[RowT], of: Callable[[RowT], MadeT], name: Callable[[RowT], object]
) -> tuple[list[MadeT], list[str]]:
    """Return what is made of the rows that can be read, and the names of the others."""
    objects: list[MadeT] = []
    unread: list[str] = []
    for row in rows:
        try:
            objects.append(of(row))
        except run_chunks.UNREADABLE_ERRORS:
            unread.append(str(name(row)))
            structlog.get_logger("runledger").warning("row_skipped", row=unread[-1])
    return objects, unread


@contextlib.contextmanager
def named(row: str, log: structlog.typing.FilteringBoundLogger) -> Iterator[None]:
    """Log why no answer can be built from a row within the block, and name the row. Raises UnreadableRow."""
    try:
        yield
    except WrongTypes as error:  # its traceback may show the values
        log.error("row_not_readable", row=row, faults=str(error))
        raise errors.UnreadableRow(row) from None
    except run_chunks.UNREADABLE_ERRORS as error:
        log.error("row_not_readable", row=row, exc_info=error)
        raise errors.UnreadableRow(row) from None


def _check(type_: Any) -> Check:
    """Return the function that tells whether all values of a column are of a type."""
    members = get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)
    if Any in members:
        return _HasType(None)
    if any(get_origin(each) in (list, dict) and each not in get_args(_JSON) for each in members):
        return functools.partial(_converts, list.__class_getitem__(type_))
    closed = [value for each in members if get_origin(each) is Literal for value in get_args(each)]
    if closed:
        return frozenset([*closed, *([None] if NoneType in members else [])]).issuperset
    return _HasType(frozenset(get_origin(each) or each for each in members))


@dataclass(frozen=True, slots=True)
class _HasType:
    """The check that all values of a column have one of these types; None allows any type."""

    allowed: frozenset[type] | None

    def __call__(self, column: Values) -> bool:
        return self.allowed is None or self.allowed.issuperset(map(type, column))


def _converts(type_: Any, column: Values) -> bool:
    try:
        msgspec.convert(column, type_)
    except msgspec.ValidationError:
        return False
    return True


def _plain(value: Any) -> Any:
    """Return an instant as text, a member of an enum as its value, and any other value unchanged."""
    if value is None or type(value) is str:  # as most are
        return value
    if isinstance(value, datetime):
        return column_types.instant_text(value)
    return value.value if isinstance(value, StrEnum) else value


def _type(declared: Any) -> Any:
    """Return the type of a field's values in a row: an instant is its text, a nested object is made elsewhere."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        members = [_type(each) for each in arguments]
        is_text = str in members  # then a closed list of texts adds nothing
        return Union.__getitem__(tuple(each for each in members if not (is_text and get_origin(each) is Literal)))
    if origin is list or declared in (str, int, float, bool, NoneType):
        return declared
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict.__class_getitem__(arguments)
    if isinstance(declared, type) and issubclass(declared, StrEnum):
        return Literal.__getitem__(tuple(each.value for each in declared))
    if declared is datetime:
        return str
    return _JSON if declared is Any else Any
