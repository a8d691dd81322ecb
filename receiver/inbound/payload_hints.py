"""Read what an unsigned callback or a platform event claims: a hint which run to fetch, never a fact.

The upstream documents no format of a callback's body, so each name that it might use is tried. A value
that is missing, or is not text of the right form, is not claimed. Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping

import msgspec

from receiver import upstream_values

_LABEL = re.compile(r"[\x21-\x7e]{1,256}")
_RUN_ID = re.compile(rb'"(?:runId|run_id)"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}"([A-Za-z0-9_-]{1,128})"')
_GZIP = b"\x1f\x8b"
#: The most bytes that are decompressed.
_UNZIPPED = 1 << 20
_decode = msgspec.json.Decoder().decode
#: Numbers are dropped, since none is used: parsing huge ones would raise or take long.
_decode_any = json.JSONDecoder(
    parse_int=lambda _: None, parse_float=lambda _: None, parse_constant=lambda _: None
).decode
_CALLBACK_PATHS = (("runId",), ("id",), ("run", "id"), ("data", "runId"), ("run_id",))
_EVENT_PATHS = (("data", "runId"), ("data", "run_id"), ("data", "run", "id"), ("runId",), ("run_id",))
_STATUS_PATHS = (("status",), ("run", "status"), ("data", "status"))


class Event(msgspec.Struct, frozen=True):
    """The envelope of a platform event; `id` is its dedupe key. A field is None where it is not usable."""

    id: str | None
    type: str | None
    run_id: str | None
    status: str | None


class Callback(msgspec.Struct, frozen=True):
    """The claims of a callback's body: distinct run ids, the likeliest first, and one of the known states."""

    run_ids: tuple[str, ...]
    status: str | None


def callback(body: bytes) -> Callback:
    """Return what the body of a watcher's callback claims, in any of the known forms."""
    claimed = _object(body)
    return Callback(tuple(dict.fromkeys(_run_ids(claimed, _CALLBACK_PATHS))), _status(claimed))


def event(body: bytes) -> Event:
    """Return the envelope `{id, type, data: {runId, status}}` of a platform event."""
    claimed = _object(body)
    return Event(
        id=_label(claimed.get("id")),
        type=_label(claimed.get("type")),
        run_id=next(_run_ids(claimed, _EVENT_PATHS), None),
        status=_status(claimed),
    )


def _object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object of a body, empty for any other bytes.

    Where the JSON is truncated or invalid, return the first run id that is labelled as such.
    """
    plain = _unzipped(body) if body.startswith(_GZIP) else body
    try:
        parsed = _decode(plain)
    except (ValueError, RecursionError):
        parsed = _decoded_leniently(plain)
    return parsed if isinstance(parsed, dict) else {}


def _decoded_leniently(plain: bytes) -> object:
    """Return the value of JSON with any numbers, with a byte order mark, or with text that is not UTF-8."""
    try:
        return _decode_any(plain.decode("utf-8", "replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        found = _RUN_ID.search(plain)
        return {"runId": found[1].decode()} if found else {}


def _unzipped(body: bytes) -> bytes:
    """Return the beginning of a gzip body, or nothing where it is not gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, _UNZIPPED)
    except zlib.error:
        return b""


def _at(claimed: object, path: tuple[str, ...]) -> object:
    for name in path:
        if not isinstance(claimed, dict):
            return None
        claimed = claimed.get(name)
    return claimed


def _run_ids(claimed: Mapping[str, object], paths: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    for path in paths:
        value = _at(claimed, path)
        if isinstance(value, str) and upstream_values.SAFE_ID.fullmatch(value):
            yield value


def _status(claimed: Mapping[str, object]) -> str | None:
    """Return the state by its own field, else from the end of the event type, as in `agent.run.completed`."""
    for path in _STATUS_PATHS:
        word = _at(claimed, path)
        if isinstance(word, str) and word in upstream_values.STATUSES:
            return word
    kinds = [
        kind.rpartition("run.")[2] for kind in (claimed.get("type"), claimed.get("event")) if isinstance(kind, str)
    ]
    return next((kind for kind in kinds if kind in upstream_values.STATUSES), None)


def _label(value: object) -> str | None:
    return value if isinstance(value, str) and _LABEL.fullmatch(value) else None
