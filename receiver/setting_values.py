"""Interpret the values of settings as people write them, and detect values that cannot be meant."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from storage import states

_QUOTES = ('""', "''", "“”", "‘’")
#: Characters around a value that are never part of it.
_AROUND = " \t\r\n\f\v\u00a0\u200b\u2060\ufeff"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Our own messages for pydantic's error types.
MESSAGES = {
    "int_parsing": "must be a whole number in digits, such as 8",
    "int_parsing_size": "is far too large",
    "int_from_float": "must be a whole number in digits, such as 8",
    "float_parsing": "must be a number of seconds, such as 60 or 0.5",
    "bool_parsing": "must be true or false",
}
#: Names that look like settings and are options of a command.
OPTIONS = {
    "RUNLEDGER_PORT": "the option --port of `runledger serve`",
    "RUNLEDGER_HOST": "the option --host of `runledger serve`",
}
#: Variables that Kubernetes makes for a service, such as RUNLEDGER_SERVICE_HOST and RUNLEDGER_PORT_8080_TCP_ADDR.
_LINK = re.compile(
    r"RUNLEDGER(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_LINKED = re.compile(r"RUNLEDGER(_[A-Z0-9_]+)?_PORT")
_LINKED_TO = re.compile(r"(tcp|udp|sctp)://\S+")


def strip_value(value: Any) -> Any:
    """Return a value without blanks around it, and without one pair of quotes.

    >>> [strip_value(value) for value in (' 8080 ', '"a b"', "'x", ' " y " ', 7)]
    ['8080', 'a b', "'x", 'y', 7]
    """
    if not isinstance(value, str):
        return value
    found = value.strip(_AROUND)
    if len(found) > 1 and found[0] + found[-1] in _QUOTES:
        found = found[1:-1].strip(_AROUND)
    return found


def strip_separators(value: str) -> str:
    """Return a number without its thousands separators; any other spelling unchanged.

    >>> [strip_separators(value) for value in ('1_000', '1048576', '1e3', '1,000')]
    ['1000', '1048576', '1e3', '1,000']
    """
    return value.replace("_", "") if re.fullmatch(r"\d{1,3}(_\d{3})+", value) else value


def ages(value: str) -> tuple[tuple[str, int], ...]:
    """Return the days after which the content of ended runs is erased, by state. Raise ValueError.

    >>> ages("completed=365d, failed=90d")
    (('completed', 365), ('failed', 90))
    """
    found: dict[str, int] = {}
    for each in value.replace(",", " ").split():
        state, separator, age = each.partition("=")
        if not separator:
            raise ValueError(f"{each[:40]!r} is not a state and its days, as in completed=365d")
        if state not in states.TERMINAL or state in found:
            known = ", ".join(sorted(states.TERMINAL))
            raise ValueError(f"{each[:40]!r} names no final state ({known}), or one that was named before")
        if re.fullmatch(r"[1-9]\d{0,4}d", age, re.ASCII) is None:
            raise ValueError(f"{each[:40]!r} has no number of days from 1d to 99999d, as in completed=365d")
        found[state] = int(age[:-1])
    return tuple(found.items())


def is_visible(value: str) -> bool:
    """Return whether the value has only characters that a header can carry and a person can see."""
    return re.fullmatch(r"[!-~]*", value) is not None


def parse_http_url(value: str) -> SplitResult | None:
    """Return the parts of an http address that has a host and no login; None for anything else."""
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number, or an IPv6 address is not closed
        return None
    if not is_whole or "@" in parts.netloc or re.search(r"[\s\x00-\x1f\x7f\\]", value):
        return None
    return parts


def file_problem(file: str | Path | None) -> str | None:
    """Return why a settings file cannot be read, in a sentence; None where it can, or does not exist."""
    if file is None:
        return None
    path = Path(file)
    try:
        if path.is_dir():
            is_ours = not (path / "pyvenv.cfg").exists()  # a virtual environment may be called .env
            return f"{path} is a folder; settings are read from a file of that name" if is_ours else None
        return _content_trouble(path, path.read_bytes()) if path.is_file() else None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}. Make it readable for the user that runs this"


def _content_trouble(path: Path, content: bytes) -> str | None:
    if content.startswith(_UTF16) or b"\x00" in content:
        return f"{path} is not UTF-8 text but looks like UTF-16: save it as UTF-8"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"{path} is not UTF-8 text from line {line} on: save it as UTF-8"
    return None


def is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes made the variable, by its form.

    >>> is_service_link("RUNLEDGER_PORT", "tcp://10.0.0.7:8080"), is_service_link("RUNLEDGER_PORT", "8080")
    (True, False)
    """
    is_linked = _LINKED.fullmatch(name) is not None and _LINKED_TO.fullmatch(value) is not None
    return is_linked or _LINK.fullmatch(name) is not None
