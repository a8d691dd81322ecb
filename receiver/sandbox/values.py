"""Readers of switch values: JSON or command-line text in, the typed value or a FaultError out."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class FaultError(ValueError):
    """A switch or a rule that cannot be read; the message is a sentence for the person who wrote it."""


@dataclasses.dataclass(frozen=True)
class Reader(Generic[T_co]):
    """A function that returns the value or raises FaultError; `takes` describes what it accepts."""

    read: Callable[[object], T_co]
    takes: str

    def __call__(self, value: object) -> T_co:
        return self.read(value)


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """Return the end of a message that names the nearest allowed word, empty where none is near."""
    near = difflib.get_close_matches(str(value), allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def from_text(value: object) -> object:
    """Return `value`, parsed as JSON where it is a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise FaultError(f"{value[:80]!r} is not JSON") from None


def number(low: float, high: float) -> Reader[float]:
    """Return a reader of finite numbers from `low` to `high`."""

    def read(value: object) -> float:
        result = math.nan
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(ValueError, OverflowError):
                result = float(value)
        if not low <= result <= high:
            raise FaultError(f"{value!r} is not a number from {low:g} to {high:g}")
        return result

    return Reader(read, f"a number from {low:g} to {high:g}")


def integer(low: int, high: int) -> Reader[int]:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(value: object) -> int:
        whole = isinstance(value, (int, str)) and not isinstance(value, bool)
        if not whole or not re.fullmatch(r"[0-9]{1,9}", str(value).strip()) or not low <= int(str(value)) <= high:
            raise FaultError(f"{value!r} is not a whole number from {low} to {high}")
        return int(str(value))

    return Reader(read, f"a whole number from {low} to {high}")


def choice(allowed: Sequence[str]) -> Reader[str]:
    """Return a reader of one of the allowed words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise FaultError(f"{value!r} is none of {', '.join(allowed)}{did_you_mean(value, allowed)}")
        return value

    return Reader(read, f"one of {', '.join(allowed)}")


def choices(allowed: Sequence[str]) -> Reader[tuple[str, ...]]:
    """Return a reader of lists of allowed words; as text, separated by commas."""
    word = choice(allowed)
    return Reader(lambda value: tuple(word(part) for part in texts(value)), f"some of {', '.join(allowed)}")


def mapping(read: Reader[float], keys: Sequence[str]) -> Reader[Mapping[str, float]]:
    """Return a reader of objects from some of `keys` to what `read` reads; as text, JSON."""
    key = choice(keys)

    def read_all(value: object) -> Mapping[str, float]:
        parsed = from_text(value)
        if not isinstance(parsed, Mapping):
            raise FaultError(f'{value!r} is not an object by route, such as {{"exec": 1}}')
        return {key(name): read(amount) for name, amount in parsed.items()}

    return Reader(read_all, f"by route, as in NAME.exec=VALUE: {read.takes}")


def _boolean(value: object) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "on", "yes", "1", "false", "off", "no", "0"):
        raise FaultError(f"{value!r} is neither true nor false")
    return word in ("true", "on", "yes", "1")


def _texts(value: object) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise FaultError(f"{value!r} is not a list of texts")
    return tuple(part for part in parts if part)


def _retry_after(value: object) -> str:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else "?"
    if not re.fullmatch(r"((date:)?[0-9]{1,6})?", text):
        raise FaultError(f"{value!r} is neither empty, nor seconds, nor date:SECONDS")
    return text


#: As text also on/off, yes/no, 1/0.
boolean = Reader(_boolean, "true or false")
#: Empty texts are left out.
texts = Reader(_texts, "texts, separated by commas")
retry_after = Reader(_retry_after, "nothing, SECONDS, or date:SECONDS")
