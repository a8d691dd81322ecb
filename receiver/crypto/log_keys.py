"""Keys of the log and of its witnesses: Ed25519 in the forms of C2SP `signed-note` 1.0.0 and Go's `sumdb/note`."""

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

PREFIX = "PRIVATE+KEY+"
#: The kinds of keys: of a log, and of a witness, whose signature has a time (`tlog-cosignature` 1.0.1).
ED25519, COSIGNATURE = b"\x01", b"\x04"
_NAME = re.compile(r"[!-*,-~]{1,128}", re.ASCII)


class BadLogKey(ValueError):
    """A text that is no key of a log or witness."""


@dataclass(frozen=True)
class VerifierKey:
    """A public key: its name, and its kind with the 32 bytes of the key."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which signatures name the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.public).digest()[:4]

    @property
    def title(self) -> str:
        """Return the name and the id, which no other key has."""
        return f"{self.name}+{self.key_id.hex()}"

    @property
    def text(self) -> str:
        """Return the public form: name, id in hex, and base64 of kind and key, with pluses between."""
        return f"{self.title}+{forms.encoded(self.public)}"

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether this key made a signature of a message."""
        # Slow to import, and few commands check a signature.
        from cryptography.exceptions import InvalidSignature

        # As slow.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public[1:]).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A private key. Its `name` is the origin of the log."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """Return the public key."""
        return VerifierKey(self.name, ED25519 + self.key.public_key().public_bytes_raw())

    @property
    def verifier_key(self) -> str:
        """Return the public key in its public form."""
        return self.verifier.text

    @property
    def private_text(self) -> str:
        """Return the private form, which `parse` reads."""
        secret = ED25519 + self.key.private_bytes_raw()
        return f"{PREFIX}{self.verifier.title}+{forms.encoded(secret)}"

    def line(self, text: str) -> str:
        """Return the line of a signature over a text."""
        return forms.signature_line(self.name, self.verifier.key_id, self.key.sign(text.encode()))


def require_name(name: str) -> None:
    """Raise BadLogKey where a name has other characters than an address has."""
    if _NAME.fullmatch(name) is None:
        raise BadLogKey("the name of a ledger has up to 128 ASCII characters, and neither blank nor plus")


def require_one_log(texts: Sequence[str]) -> None:
    """Raise BadLogKey where keys are not of one log: one origin of those that sign, each key once.

    A public key may have another name: that of an earlier ledger, whose checkpoints are in the same store.
    """
    keys = [parse_either(text) for text in texts]
    names = sorted({parse(text).name for text in texts if is_private(text)})
    if len(names) > 1:
        raise BadLogKey(
            f"all keys that sign a ledger have one name, and these have {len(names)}: {', '.join(names)}. "
            "Of an earlier ledger list the public key"
        )
    if len({each.public for each in keys}) < len(keys):
        raise BadLogKey("a key is listed twice: leave out its public form while the private one signs")
    if keys and not any(is_private(text) for text in texts):
        raise BadLogKey("there are public keys alone, and a private one has to sign")


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


def is_private(text: str) -> bool:
    """Return whether a text claims to be a private key."""
    return text.startswith(PREFIX)


def parse_either(text: str) -> VerifierKey:
    """Return the public key of a private or public key of a log. Raises BadLogKey."""
    return parse(text).verifier if is_private(text) else parse_public(text, ED25519)


def parse_public(text: str, kind: bytes) -> VerifierKey:
    """Return the public key `<name>+<id>+<base64>` of a kind. Raises BadLogKey."""
    name, _, rest = text.partition("+")
    key_id, _, public = rest.partition("+")
    try:
        found = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if _NAME.fullmatch(name) is None or found[:1] != kind or len(found) != 33 or forms.encoded(found) != public:
        wanted = "a log" if kind == ED25519 else "a witness"
        raise BadLogKey(f"a public key of {wanted} has the form name+id+key, of the kind {kind[0]} (Ed25519)")
    key = VerifierKey(name, found)
    if key.key_id.hex() != key_id:
        raise BadLogKey(f"the id in the public key {name} is not that of its bytes: it was copied in part")
    return key


def parse(text: str) -> Signer:
    """Return the key `PRIVATE+KEY+<name>+<id>+<base64>`. Raises BadLogKey, which never has the key in it."""
    if not text.startswith(PREFIX) or text.count("+") < 4:
        raise BadLogKey(
            "a key of the log has the form PRIVATE+KEY+name+id+key: `runledger ledger key --new` makes one"
        )
    name, key_id, secret = text.removeprefix(PREFIX).split("+", 2)
    try:
        found = base64.b64decode(secret, validate=True)
    except binascii.Error:
        raise BadLogKey("the last part of a key of the log is base64") from None
    if _NAME.fullmatch(name) is None or found[:1] != ED25519 or len(found) != 33:
        raise BadLogKey("a key of the log has a name without blanks, and is an Ed25519 key of 32 bytes")
    signer = Signer(name, _private_key(found[1:]))
    if signer.verifier.key_id.hex() != key_id:
        raise BadLogKey(f"the id in the key of the log {name} is not that of its bytes: it was copied in part")
    return signer


def _private_key(seed: bytes) -> Ed25519PrivateKey:
    # Slow to import: only a program that has a key needs it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)
