"""Reading one switch's value: JSON or command-line text in, the typed value or a FaultError out."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class FaultError(ValueError):
    """A switch or a rule that cannot be set so; the message is a sentence for the person who set it."""


@dataclasses.dataclass(frozen=True)
class Reader(Generic[T_co]):
    """Reads a value or raises FaultError; `takes` says in words what it can read."""

    read: Callable[[object], T_co]
    takes: str

    def __call__(self, value: object) -> T_co:
        return self.read(value)


def _boolean(value: object) -> bool:
    word = str(value).strip().lower()
    if word in ("true", "on", "yes", "1"):
        return True
    if word in ("false", "off", "no", "0"):
        return False
    raise FaultError(f"{value!r} is neither true nor false")


#: true or false; as text also on/off, yes/no, 1/0.
boolean = Reader(_boolean, "true or false")


def number(low: float, high: float) -> Reader[float]:
    """A finite number from `low` to `high`."""

    def read(value: object) -> float:
        found = math.nan
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(ValueError, OverflowError):
                found = float(value)
        if not low <= found <= high:
            raise FaultError(f"{value!r} is not a number from {low:g} to {high:g}")
        return found

    return Reader(read, f"a number from {low:g} to {high:g}")


def integer(low: int, high: int) -> Reader[int]:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        whole = isinstance(value, (int, str)) and not isinstance(value, bool)
        if not whole or not re.fullmatch(r"[0-9]{1,9}", str(value).strip()) or not low <= int(str(value)) <= high:
            raise FaultError(f"{value!r} is not a whole number from {low} to {high}")
        return int(str(value))

    return Reader(read, f"a whole number from {low} to {high}")


def one_of_integers(allowed: Sequence[int]) -> Reader[int]:
    """One of a few numbers."""

    def read(value: object) -> int:
        found = integer(0, 999)(value)
        if found not in allowed:
            raise FaultError(f"{value!r} is none of {', '.join(map(str, allowed))}")
        return found

    return Reader(read, f"one of {', '.join(map(str, allowed))}")


def choice(allowed: Sequence[str]) -> Reader[str]:
    """One of a few words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            near = difflib.get_close_matches(str(value), allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise FaultError(f"{value!r} is none of {', '.join(allowed)}{hint}")
        return value

    return Reader(read, f"one of {', '.join(allowed)}")


def _texts(value: object) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise FaultError(f"{value!r} is not a list of texts")
    return tuple(part for part in parts if part)


#: A list of non-empty texts; as text separated by commas.
texts = Reader(_texts, "texts, separated by commas")


def choices(allowed: Sequence[str]) -> Reader[tuple[str, ...]]:
    """A list of some of a few words; as text separated by commas."""
    word = choice(allowed)
    return Reader(lambda value: tuple(word(part) for part in texts(value)), f"some of {', '.join(allowed)}")


def mapping(read: Reader[float], keys: Sequence[str]) -> Reader[Mapping[str, float]]:
    """An object from some of `keys` to what `read` reads; as text in JSON."""
    key = choice(keys)

    def read_all(value: object) -> Mapping[str, float]:
        found = from_text(value)
        if not isinstance(found, Mapping):
            raise FaultError(f'{value!r} is not an object by route, such as {{"exec": 1}}')
        return {key(name): read(amount) for name, amount in found.items()}

    return Reader(read_all, f"by route, as in NAME.exec=VALUE: {read.takes}")


def _retry_after(value: object) -> str:
    found = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else "?"
    if not re.fullmatch(r"((date:)?[0-9]{1,6})?", found):
        raise FaultError(f"{value!r} is neither empty, nor seconds, nor date:SECONDS")
    return found


#: Nothing, seconds, or `date:` and seconds.
retry_after = Reader(_retry_after, "nothing, SECONDS, or date:SECONDS")


def from_text(value: object) -> object:
    """`value`, parsed as JSON where it is a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise FaultError(f"{value[:80]!r} is not JSON") from None
