"""Encryption of small secrets for the database, with keys that are derived from the signing keys.

The format is Fernet (https://github.com/fernet/spec). The derivation is HKDF-SHA256 (RFC 5869) with a label of its
own, so that an encrypted secret reveals nothing about callback tokens, and the reverse. Pure.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from receiver import errors

# Renaming these two would make every stored secret unreadable.
_SALT = b"runledger.vault"
_LABEL = b"runledger.webhook-secret"


class SecretBox:
    """A box that seals with the first of `keys` and opens with any of them. Keys are listed newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)

    @functools.cached_property
    def _fernet(self) -> Any:
        # The library takes 7 MB, and only a server with a registered endpoint needs it.
        from cryptography import fernet

        return fernet.MultiFernet([fernet.Fernet(_derived(key)) for key in self._keys])

    def seal(self, text: str, now: datetime) -> bytes:
        """Return `text` encrypted; the bytes reveal when it was sealed."""
        sealed: bytes = self._fernet.encrypt_at_time(text.encode(), int(now.timestamp()))
        return sealed

    def open(self, sealed: bytes) -> str:
        """Return what was sealed.

        Raises SecretNotDecrypted for other bytes, and where the key of that time is not listed.
        """
        # As above.
        from cryptography import fernet

        try:
            opened: bytes = self._fernet.decrypt(sealed)
            return opened.decode()
        except (fernet.InvalidToken, UnicodeDecodeError):
            raise errors.SecretNotDecrypted(
                "it was sealed with a key that is not listed in RUNLEDGER_SECRET_KEYS"
            ) from None


def _derived(key: str) -> bytes:
    """Return a Fernet key: 32 bytes in base64url."""
    from cryptography.hazmat.primitives import hashes  # as above
    from cryptography.hazmat.primitives.kdf import hkdf  # as above

    derived = hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=_SALT, info=_LABEL).derive(key.encode())
    return base64.urlsafe_b64encode(derived)
