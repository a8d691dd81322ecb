"""Keys of the log: Ed25519 in the forms of C2SP `signed-note` 1.0.0 and of Go's `sumdb/note`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.ledger import forms

if TYPE_CHECKING:  # slow to import, and every command reads the settings, which may hold a key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PREFIX = "PRIVATE+KEY+"
_ED25519 = b"\x01"
_NAME = re.compile(r"[!-*,-~]{1,128}", re.ASCII)


class BadLogKey(ValueError):
    """A text that is no private key of a log."""


@dataclass(frozen=True)
class Signer:
    """A private key. Its `name` is the origin of the log."""

    name: str
    key: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """Return the kind of the key and its public key, 33 bytes."""
        return _ED25519 + self.key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which signatures name the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.public).digest()[:4]

    @property
    def verifier_key(self) -> str:
        """Return the public form: name, id in hex, and base64 of kind and key, with pluses between."""
        return f"{self.name}+{self.key_id.hex()}+{forms.encoded(self.public)}"

    @property
    def private_text(self) -> str:
        """Return the private form, which `parse` reads."""
        secret = _ED25519 + self.key.private_bytes_raw()
        return f"{_PREFIX}{self.name}+{self.key_id.hex()}+{forms.encoded(secret)}"

    def line(self, text: str) -> str:
        """Return the line of a signature over a text."""
        return forms.signature_line(self.name, self.key_id, self.key.sign(text.encode()))


def require_name(name: str) -> None:
    """Raise BadLogKey where a name has other characters than an address has."""
    if _NAME.fullmatch(name) is None:
        raise BadLogKey("the name of a ledger has up to 128 ASCII characters, and neither blank nor plus")


def require_one_origin(signers: Sequence[Signer]) -> None:
    """Raise BadLogKey where keys have different names: a ledger has one origin."""
    names = sorted({each.name for each in signers})
    if len(names) > 1:
        raise BadLogKey(f"all keys of a ledger have one name, and these have {len(names)}: {', '.join(names)}")


def new(name: str) -> Signer:
    """Return a new key. Raises BadLogKey for a name that notes cannot have."""
    require_name(name)
    return Signer(name, _private_key(secrets.token_bytes(32)))


def is_key(text: str) -> bool:
    """Return whether a text is a whole private key."""
    try:
        parse(text)
    except BadLogKey:
        return False
    return True


def parse(text: str) -> Signer:
    """Return the key `PRIVATE+KEY+<name>+<id>+<base64>`. Raises BadLogKey, which never has the key in it."""
    if not text.startswith(_PREFIX) or text.count("+") < 4:
        raise BadLogKey(
            "a key of the log has the form PRIVATE+KEY+name+id+key: `runledger ledger key --new` makes one"
        )
    name, key_id, secret = text.removeprefix(_PREFIX).split("+", 2)
    try:
        found = base64.b64decode(secret, validate=True)
    except binascii.Error:
        raise BadLogKey("the last part of a key of the log is base64") from None
    if _NAME.fullmatch(name) is None or found[:1] != _ED25519 or len(found) != 33:
        raise BadLogKey("a key of the log has a name without blanks, and is an Ed25519 key of 32 bytes")
    signer = Signer(name, _private_key(found[1:]))
    if signer.key_id.hex() != key_id:
        raise BadLogKey(f"the id in the key of the log {name} is not that of its bytes: it was copied in part")
    return signer


def _private_key(seed: bytes) -> Ed25519PrivateKey:
    # Slow to import: only a program that has a key needs it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)
