"""Parse secrets as people paste them: with quotes, blanks, the `v1,` of a dashboard, as a JSON list. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

#: Least bytes of a key, as in Standard Webhooks; a shorter key can be guessed.
MIN_BYTES = 24

#: Quotes and characters without width: neither is ever part of a key.
_AROUND = "\"'`\u2018\u2019\u201c\u201d\u200b\u2060\ufeff"
_BETWEEN = re.compile(r"[\s,]+")
#: The prefix of a signature, and of a secret in a dashboard, that names its scheme.
VERSION = re.compile(r"v[0-9]+[a-z]?", re.ASCII | re.IGNORECASE)
_BEARER = re.compile(r"bearer\s+", re.IGNORECASE)


def clean_secret(text: str) -> str:
    """Return `text` without the blanks, quotes and `Bearer` around it.

    >>> clean_secret(' "Bearer sk_case_1" ')
    'sk_case_1'
    """
    return _BEARER.sub("", _bare(text), count=1)


def split_secrets(text: str) -> tuple[str, ...]:
    """Return the secrets of a list, which commas or blanks separate, or of a JSON list.

    >>> split_secrets('v1,whsec_one, "whsec_two",,')
    ('whsec_one', 'whsec_two')
    >>> split_secrets('["whsec_one", "whsec_two"]')
    ('whsec_one', 'whsec_two')
    """
    parts = [_bare(part) for part in _BETWEEN.split(_listed(text))]
    found = [part for part in parts if part]
    # A dashboard shows `v1,` in front of a secret. Where nothing else is left, it is kept and reported as a short
    # secret.
    return tuple(part for part in found if not VERSION.fullmatch(part)) or tuple(found)


def is_long(key: str) -> bool:
    """Return whether a key has enough bytes to be hard to guess."""
    return _size(key) >= MIN_BYTES


def require_long(keys: Sequence[str]) -> None:
    """Raise ValueError for the first key that is too short; the message never shows it."""
    for place, key in enumerate(keys, 1):
        if not is_long(key):
            raise ValueError(
                f"key number {place} has {_size(key)} bytes, and the least is {MIN_BYTES}: replace it by one that "
                "`openssl rand -hex 32` makes"
            )


def _size(key: str) -> int:
    return len(key.encode("utf-8", "surrogateescape"))


def _listed(text: str) -> str:
    """Return the texts of a JSON list, a line each; any other text as it is."""
    try:
        found = json.loads(_bare(text)) if "[" in text[:8] else None
    except (ValueError, RecursionError):
        return text
    is_list = isinstance(found, list) and all(isinstance(each, str) for each in found)
    return "\n".join(found) if is_list and found is not None else text


def _bare(text: str) -> str:
    """Return `text` without blanks and quotes at its ends, in whatever order they occur."""
    while (stripped := text.strip().strip(_AROUND)) != text:
        text = stripped
    return text
