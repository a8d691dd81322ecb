"""A witness of logs for tests: its key, and its cosignatures (C2SP `tlog-cosignature`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from receiver.crypto import log_keys
from storage.ledger import forms


@dataclass(frozen=True)
class Key:
    """The key of a witness."""

    name: str
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> log_keys.VerifierKey:
        """Return the public key."""
        return log_keys.VerifierKey(self.name, log_keys.COSIGNATURE + self.private.public_key().public_bytes_raw())

    @property
    def verifier_key(self) -> str:
        """Return the public key in its public form."""
        return self.public.text

    def line(self, text: str, seconds: int) -> str:
        """Return the line of a cosignature under the text of a checkpoint."""
        signature = self.private.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        return forms.signature_line(self.name, self.public.key_id, seconds.to_bytes(8, "big") + signature)
