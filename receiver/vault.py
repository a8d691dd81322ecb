"""Small secrets on their way into the database and back: sealed with keys that are derived from the signing keys.

The form is Fernet (https://github.com/fernet/spec), the derivation HKDF-SHA256 (RFC 5869) with a label of its
own, so that a sealed secret tells nothing of a callback token and the reverse. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from cryptography import fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf import hkdf

from receiver import errors

_SALT = b"runledger.vault"
_LABEL = b"runledger.webhook-secret"


class Vault:
    """Seals with the first of `keys`, opens with each: newest first, as they are listed for signing."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = fernet.MultiFernet([fernet.Fernet(_derived(key)) for key in keys])

    def seal(self, text: str, now: datetime) -> bytes:
        """`text` as bytes that only the keys open; they show when it was sealed."""
        return self._fernet.encrypt_at_time(text.encode(), int(now.timestamp()))

    def open(self, sealed: bytes) -> str:
        """What was sealed. Raises BadSeal for all other bytes, and where the key of then is not listed."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except (fernet.InvalidToken, UnicodeDecodeError):
            raise errors.BadSeal("it was sealed with a key that is not listed in RUNLEDGER_SECRET_KEYS") from None


def _derived(key: str) -> bytes:
    """A key of Fernet's: 32 bytes in base64url."""
    made = hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=_SALT, info=_LABEL).derive(key.encode())
    return base64.urlsafe_b64encode(made)
