"""The settings of the server as rows for a page: secrets as fingerprints, addresses without their secrets."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, SecretStr

#: Characters of a fingerprint: enough to tell two secrets apart, too few to search for one.
SHOWN = 8
NONE = "not set"
#: The beginning of the names of variables, and of those fields that are named as the upstream names them.
PREFIX, UPSTREAM = "RUNLEDGER_", "casedev"


def rows(given: BaseModel) -> list[tuple[str, str, str]]:
    """Return the variable, the value and the explanation of each setting."""
    fields = type(given).model_fields.items()
    return [(_variable(name), _shown(getattr(given, name)), field.description or "") for name, field in fields]


def _variable(name: str) -> str:
    return name.upper() if name.startswith(UPSTREAM) else PREFIX + name.upper()


def _shown(value: Any) -> str:
    match value:
        case None | "" | ():
            return NONE
        case bool():
            return "on" if value else "off"
        case SecretStr():
            return fingerprint(value.get_secret_value())
        case tuple():
            return ", ".join(map(_shown, value))
    return _without_credentials(str(value))


def fingerprint(secret: str) -> str:
    """Return the beginning of the SHA-256 digest of a secret.

    >>> fingerprint("a secret")
    'sha256:984ca516'
    """
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:SHOWN]}" if secret else NONE


def _without_credentials(text: str) -> str:
    """Return a text without what may be secret in an address: a password may have any characters.

    The path of an https address may be one, as that of a chat's webhook is.

    >>> _without_credentials("postgresql+psycopg://me:a?w@rd@db:5432/runs?sslpassword=x")
    'postgresql+psycopg://…@db:5432/runs?…'
    >>> _without_credentials("https://backend.test/hooks/T0/secret")
    'https://backend.test/…'
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    _, at, place = rest.rpartition("@")
    shown, asked, _ = place.partition("#")[0].partition("?")
    host, slash, path = shown.partition("/")
    if slash and path and scheme in {"http", "https"}:
        shown = f"{host}/…"
    return f"{scheme}://{'…@' if at else ''}{shown}{'?…' if asked else ''}"
