"""What an unsigned callback or a platform event claims: a hint where to look, never a fact.

The service documents no form of a callback's body, so each name that it might use is looked for. What is not
there, or not text of the right form, is not claimed. Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Mapping

SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
STATUSES = frozenset({"queued", "running", "completed", "failed", "cancelled"})

_LABEL = re.compile(r"[\x21-\x7e]{1,256}")
_RUN_ID = re.compile(rb'"(?:runId|run_id)"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}"([A-Za-z0-9_-]{1,128})"')
_GZIP = b"\x1f\x8b"
#: Bytes that are read of what is compressed.
_UNZIPPED = 1 << 20
_CALLBACK_PATHS = (("runId",), ("id",), ("run", "id"), ("data", "runId"), ("run_id",))
_EVENT_PATHS = (("data", "runId"), ("data", "run_id"), ("data", "run", "id"), ("runId",), ("run_id",))
_STATUS_PATHS = (("status",), ("run", "status"), ("data", "status"))


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """The envelope of a platform event; `id` is its dedupe key. Each field is None where it is not usable."""

    id: str | None
    type: str | None
    run_id: str | None
    status: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Callback:
    """What a callback's body claims: run ids, each once, the likeliest first; and a state, one of `STATUSES`."""

    run_ids: tuple[str, ...]
    status: str | None


def callback(body: bytes) -> Callback:
    """The body of a watcher's callback, in whichever of the known forms."""
    claimed = _object(body)
    return Callback(_run_ids(claimed, _CALLBACK_PATHS), _status(claimed))


def event(body: bytes) -> Event:
    """The envelope `{id, type, data: {runId, status}}` of a platform event."""
    claimed = _object(body)
    run_ids = _run_ids(claimed, _EVENT_PATHS)
    return Event(
        id=_label(claimed.get("id")),
        type=_label(claimed.get("type")),
        run_id=run_ids[0] if run_ids else None,
        status=_status(claimed),
    )


def _object(body: bytes) -> Mapping[str, object]:
    """The JSON object of a body, empty for any other bytes; numbers are left out, since none is ever asked for.

    Of one that breaks off, or is no JSON at all, the first run id by its name.
    """
    plain = _unzipped(body) if body.startswith(_GZIP) else body
    try:
        text = plain.decode("utf-8", "replace").removeprefix("\ufeff")
        parsed = json.loads(text, parse_int=_no_number, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = _RUN_ID.search(plain)
        return {"runId": found[1].decode()} if found else {}
    return parsed if isinstance(parsed, dict) else {}


def _unzipped(body: bytes) -> bytes:
    """The beginning of what was compressed with gzip; nothing of what only looks so."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, _UNZIPPED)
    except zlib.error:
        return b""


def _no_number(_: str) -> None:
    """Huge numbers would raise or cost time."""


def _at(claimed: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = claimed
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _run_ids(claimed: Mapping[str, object], paths: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    named = (_at(claimed, path) for path in paths)
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str) and SAFE_ID.fullmatch(name)))


def _status(claimed: Mapping[str, object]) -> str | None:
    """The state by its own name, else as the last word of the event's, as in `agent.run.completed`."""
    words = [_at(claimed, path) for path in _STATUS_PATHS]
    kinds = [claimed.get("type"), claimed.get("event")]
    words += [kind.rpartition("run.")[2] for kind in kinds if isinstance(kind, str)]
    return next((word for word in words if isinstance(word, str) and word in STATUSES), None)


def _label(value: object) -> str | None:
    return value if isinstance(value, str) and _LABEL.fullmatch(value) else None
