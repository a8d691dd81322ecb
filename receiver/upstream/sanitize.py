"""Turn the upstream's JSON into values that both databases can hold.

NUL and lone surrogates become U+FFFD. Numbers that are not integers below 2^53 become null. Indexed names are cut.
Implausible instants and durations become null, and a field of a wrong type counts as missing. Every change is
noted; the document itself keeps its bytes elsewhere.
"""

from __future__ import annotations

import collections
import datetime
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from receiver import errors, upstream_values
from storage import bounds

MAX_DEPTH = 100  # levels of nesting that are kept in a free-form value
MAX_INTEGER = bounds.INTEGER
_TEXTS = "texts with NUL or lone surrogates"
_NUMBERS = "numbers that are not integers below 2^53"
_DEPTHS = "values nested too deeply"
_NAMES = f"names cut to {bounds.NAME} characters"
_MAX_NAMED_PATHS = 10
_MAX_PATHS = 10_000  # distinct paths; a list of ten million wrong entries has as many
_MAX_NOTE_LENGTH = 1000
_UNFIT: Final = object()  # stands for a number that cannot be stored
_UNFIT_TEXT = re.compile("[\x00\ud800-\udfff]")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,18}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Notes:
    """The changes and omissions made while one document is read."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._paths: dict[str, None] = {}  # an ordered set, in reading order

    def count(self, what: str, times: int = 1) -> None:
        """Count a change without its place."""
        self._counts[what] += times

    def unusable(self, path: str) -> None:
        """Record the path of a field that was present and could not be used."""
        if len(self._paths) < _MAX_PATHS:
            self._paths[path] = None

    def text(self) -> str | None:
        """Return the note for people, at most 1,000 characters; None where nothing was changed."""
        parts = [f"{what}: {times}" for what, times in sorted(self._counts.items())]
        if self._paths:
            more = len(self._paths) - _MAX_NAMED_PATHS
            least = "at least " if len(self._paths) == _MAX_PATHS else ""
            named = ", ".join(list(self._paths)[:_MAX_NAMED_PATHS])
            parts.append(f"unusable fields: {named}" + (f" and {least}{more} more" if more > 0 else ""))
        return "; ".join(parts)[:_MAX_NOTE_LENGTH] or None


class Fields:
    """One JSON object, read field by field. A missing or unusable value is None, and the latter is noted.

    `now` decides which instants are plausible.
    """

    def __init__(self, values: Mapping[str, object], notes: Notes, now: datetime.datetime, path: str = "") -> None:
        self._values = values
        self._notes = notes
        self._now = now
        self._path = path

    def text(self, name: str) -> str | None:
        """Return a string without NUL and lone surrogates."""
        value = self._values.get(name)
        if isinstance(value, str):
            return _text(value, self._notes)
        self._unfit(name, value)
        return None

    def name(self, name: str) -> str | None:
        """Return a text that is indexed, cut to 200 characters."""
        text = self.text(name)
        if text is not None and len(text) > bounds.NAME:
            self._notes.count(_NAMES)
            return text[: bounds.NAME]
        return text

    def safe_id(self, name: str) -> str | None:
        """Return an id that can be put into a path."""
        text = self.text(name)
        return text if text is not None and upstream_values.SAFE_ID.fullmatch(text) else None

    def texts(self, name: str) -> tuple[str, ...]:
        items = self._list(name)
        if not all(isinstance(item, str) for item in items):
            self.note(name)
        return tuple(_text(item, self._notes) for item in items if isinstance(item, str))

    def count(self, name: str) -> int | None:
        """Return an integer from 0 to 2^53 - 1."""
        value = self._values.get(name)
        if value is _UNFIT:
            self._notes.count(_NUMBERS)
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._unfit(name, value)
        return None

    def duration(self, name: str) -> int | None:
        """Return milliseconds, at most 30 days."""
        value = self.count(name)
        if value is not None and value > bounds.DURATION_MS:
            self.note(name)
            return None
        return value

    def flag(self, name: str) -> bool:
        """Return whether the field is literally true."""
        return self._values.get(name) is True

    def instant(self, name: str) -> datetime.datetime | None:
        """Return an RFC 3339 instant in UTC, to the microsecond; None where it is implausible."""
        value = self._values.get(name)
        instant = _instant(value) if isinstance(value, str) else None
        if instant is None or not bounds.is_plausible(instant, self._now):
            self._unfit(name, value)
            return None
        return instant

    def has(self, name: str) -> bool:
        return isinstance(self._values.get(name), dict)

    def has_list(self, name: str) -> bool:
        return isinstance(self._values.get(name), list)

    def within(self, name: str) -> Fields:
        """Return the object in a field, an empty one where there is none."""
        value = self._values.get(name)
        if not isinstance(value, dict):
            self._unfit(name, value)
            value = {}
        return Fields(value, self._notes, self._now, self._at(name))

    def each(self, name: str) -> Iterator[Fields]:
        """Yield the objects of a list, in order."""
        for place, item in enumerate(self._list(name)):
            path = f"{self._at(name)}[{place}]"
            if isinstance(item, dict):
                yield Fields(item, self._notes, self._now, path)
            else:
                self._notes.unusable(path)

    def anything(self, name: str) -> object:
        """Return a JSON value of any type, cleaned at every level."""
        return _cleaned(self._values.get(name), self._notes, MAX_DEPTH)

    def note(self, name: str) -> None:
        """Note that the field, though of the right type, could not be used."""
        self._notes.unusable(self._at(name))

    def _list(self, name: str) -> list[object]:
        value = self._values.get(name)
        if isinstance(value, list):
            return value
        self._unfit(name, value)
        return []

    def _unfit(self, name: str, value: object) -> None:
        if value is not None:
            self._notes.unusable(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def read(body: bytes, route: str, now: datetime.datetime) -> Fields:
    """Read the JSON object of an answer whose changes are not kept. Raises as `document` does."""
    return Fields(document(route, body), Notes(), now)


def document(route: str, body: bytes) -> dict[str, object]:
    """Parse the JSON object of an answer; numbers that cannot be stored are marked for `Fields`.

    The last of equal keys wins. Raises InvalidResponse for what is not UTF-8, not JSON, or not an object, and
    ResponseTooDeep where the parser gives up on the nesting.
    """
    try:
        parsed = json.loads(
            body.decode("utf-8-sig"), parse_int=_integer, parse_float=_no_integer, parse_constant=_no_integer
        )
    except RecursionError:
        raise errors.ResponseTooDeep(route, "the answer nests too deeply to be parsed", body) from None
    except ValueError as error:
        raise errors.InvalidResponse(route, f"the answer is not JSON ({type(error).__name__})", body) from None
    if not isinstance(parsed, dict):
        raise errors.InvalidResponse(route, "the answer is not a JSON object", body)
    return parsed


def _integer(digits: str) -> object:
    # int() refuses thousands of digits, so the length is checked first.
    if len(digits) > 17:
        return _UNFIT
    number = int(digits)
    return number if abs(number) < MAX_INTEGER else _UNFIT


def _no_integer(_: str) -> object:
    return _UNFIT


def _text(value: str, notes: Notes) -> str:
    if value.isascii() and "\x00" not in value:
        return value
    clean, times = _UNFIT_TEXT.subn("\ufffd", value)
    if times:
        notes.count(_TEXTS)
    return clean


def _cleaned(value: object, notes: Notes, levels: int) -> object:
    if isinstance(value, str):
        return _text(value, notes)
    if value is _UNFIT:
        notes.count(_NUMBERS)
        return None
    if isinstance(value, dict | list) and not levels:
        notes.count(_DEPTHS)
        return None
    if isinstance(value, dict):
        return {_text(key, notes): _cleaned(item, notes, levels - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, notes, levels - 1) for item in value]
    return value


def _instant(text: str) -> datetime.datetime | None:
    form = _INSTANT.fullmatch(text)
    if form is None:
        return None
    day, time, fraction, zone = form.groups()
    offset = "+00:00" if zone in "Zz" else zone
    try:
        moment = datetime.datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}{offset}")
        return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
