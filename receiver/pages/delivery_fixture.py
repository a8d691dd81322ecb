"""A delivery as a file to keep and to send again: JSON for tests, and a shell script that calls curl. Pure."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from receiver.inbound import endpoints
from storage import states
from storage.repositories import deliveries

#: Headers that belong to the connection: whatever sends the request again sets its own.
_OF_CONNECTION = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade"}
)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TOKEN = "TOKEN"
_SCRIPT = """\
#!/bin/sh
# Delivery {id}, received {at} from {source}, {verdict}{reason}.
# Sends the same headers and body again, to the address of a server: sh {name} http://127.0.0.1:8080
base64 -d <<'BODY' | curl -sS -i -X POST "${{1:?give the address of a server, as http://127.0.0.1:8080}}"{path} \\
{headers}  --data-binary @-
{body}
BODY
"""


def as_json(stored: deliveries.StoredDelivery) -> bytes:
    """Return the request and its verdict as JSON; a body that is not UTF-8 is in base64."""
    body = stored.body or b""
    try:
        content: dict[str, Any] = {"body": body.decode()}
    except UnicodeDecodeError:
        content = {"bodyBase64": base64.b64encode(body).decode()}
    found = {
        "id": stored.id,
        "source": stored.source,
        "receivedAt": stored.received_at.isoformat(),
        "verdict": stored.verdict,
        "reason": stored.reason,
        "method": "POST",
        "path": _path(stored),
        "headers": dict(stored.headers or {}),
        "isWhole": is_whole(stored),
        **content,
    }
    return json.dumps(found, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def as_script(stored: deliveries.StoredDelivery) -> bytes:
    """Return a shell script that sends the request again. Nothing in a header or the body is read by the shell."""
    text = _SCRIPT.format(
        id=stored.id,
        at=stored.received_at.isoformat(),
        source=_line(stored.source),
        verdict=_line(stored.verdict),
        reason=f": {_line(stored.reason)}" if stored.reason else "",
        name=f"delivery-{stored.id}.sh",
        path=shlex.quote(_path(stored)),
        headers="".join(f"  -H {shlex.quote(each)} \\\n" for each in _header_lines(stored)),
        body=base64.encodebytes(stored.body or b"").decode().rstrip("\n"),
    )
    return text.encode("utf-8", "replace")


def is_whole(stored: deliveries.StoredDelivery) -> bool:
    """Return whether the whole body is stored: a large rejected one is cut, an old one is removed."""
    return len(stored.body or b"") == stored.size


def _header_lines(stored: deliveries.StoredDelivery) -> Iterator[str]:
    for name, value in (stored.headers or {}).items():
        if _NAME.fullmatch(name) and name.lower() not in _OF_CONNECTION:
            yield f"{name}: {_line(value)}" if value else f"{name};"  # curl sends an empty header for a semicolon


def _path(stored: deliveries.StoredDelivery) -> str:
    """Return the path that the request was sent to; the token of a callback address is not stored."""
    return endpoints.EVENTS if stored.source is states.Source.PLATFORM else f"{endpoints.CALLBACKS}{_TOKEN}"


def _line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
