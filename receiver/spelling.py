"""How people spell settings: what is meant by what they paste, and what cannot be meant."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

_QUOTES = ('""', "''", "“”", "‘’")
#: What stands around a value and belongs to no value.
_AROUND = " \t\r\n\f\v\u00a0\u200b\u2060\ufeff"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: What pydantic says of a spelling, in words of our own.
SAID = {
    "int_parsing": "must be a whole number in digits, such as 8",
    "int_parsing_size": "is far too large",
    "int_from_float": "must be a whole number in digits, such as 8",
    "float_parsing": "must be a number of seconds, such as 60 or 0.5",
    "bool_parsing": "must be true or false",
}
#: Names that are taken for settings and are options of a command.
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


def plain(value: Any) -> Any:
    """A value without blanks around it, and without a pair of quotes around that.

    >>> [plain(value) for value in (' 8080 ', '"a b"', "'x", ' " y " ', 7)]
    ['8080', 'a b', "'x", 'y', 7]
    """
    if not isinstance(value, str):
        return value
    found = value.strip(_AROUND)
    if len(found) > 1 and found[0] + found[-1] in _QUOTES:
        found = found[1:-1].strip(_AROUND)
    return found


def number(value: str) -> str:
    """A number with separators of thousands as digits alone; one in another spelling as it is.

    >>> [number(value) for value in ('1_000', '1048576', '1e3', '1,000')]
    ['1000', '1048576', '1e3', '1,000']
    """
    return value.replace("_", "") if re.fullmatch(r"\d{1,3}(_\d{3})+", value) else value


def is_visible(value: str) -> bool:
    """Whether it is of the characters alone that a header can carry and a person can see."""
    return re.fullmatch(r"[!-~]*", value) is not None


def address(value: str) -> SplitResult | None:
    """The parts of an http address with a host, where it is one and holds no login; else None."""
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, an IPv6 address that does not end
        return None
    if not is_whole or "@" in parts.netloc or re.search(r"[\s\x00-\x1f\x7f\\]", value):
        return None
    return parts


def file_trouble(file: str | Path | None) -> str | None:
    """Why a file of settings cannot be read, in a sentence; None where it can, or is not there."""
    if file is None:
        return None
    path = Path(file)
    try:
        if path.is_dir():
            is_ours = not (
                path / "pyvenv.cfg"
            ).exists()  # else it is a virtual environment, and no concern of ours
            return f"{path} is a folder, and settings are read from a file of that name" if is_ours else None
        return _content_trouble(path, path.read_bytes()) if path.is_file() else None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}. Let it belong to the user that runs this"


def _content_trouble(path: Path, content: bytes) -> str | None:
    if content.startswith(_UTF16) or b"\x00" in content:
        return f"{path} is no text in UTF-8, but looks like UTF-16: save it as UTF-8"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"{path} is no text in UTF-8, from line {line} on: save it as UTF-8"
    return None


def is_service_link(name: str, value: str) -> bool:
    """Whether it is a variable that Kubernetes made, by its shape.

    >>> is_service_link("RUNLEDGER_PORT", "tcp://10.0.0.7:8080"), is_service_link("RUNLEDGER_PORT", "8080")
    (True, False)
    """
    is_linked = _LINKED.fullmatch(name) is not None and _LINKED_TO.fullmatch(value) is not None
    return is_linked or _LINK.fullmatch(name) is not None
