"""The signatures under the checkpoints of a store, as a policy trusts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from receiver.verifier import public_forms
from receiver.verifier.store.breaks import Code


@dataclass(frozen=True)
class Trusted:
    """The keys that are trusted, and the function that checks an Ed25519 signature."""

    policy: public_forms.Policy
    check: public_forms.Check


def faults(checkpoint: public_forms.Checkpoint, trusted: Trusted) -> Iterator[tuple[Code, str]]:
    """Yield what is wrong with the signatures of the log's own keys under a checkpoint."""
    text, keys = checkpoint.note.text.encode(), {(key.name, key.id): key for key in trusted.policy.logs}
    known = [each for each in checkpoint.note.signatures if (each.name, each.key_id) in keys]
    if not known:
        yield Code.KEY_UNKNOWN, "no key of the policy has signed it"
    for each in known:
        key = keys[each.name, each.key_id]
        if key.name != checkpoint.origin:
            yield Code.KEY_UNKNOWN, f"its origin is {checkpoint.origin}, and its key is that of {key.name}"
        elif not trusted.check(key.public, text, each.value):
            yield Code.SIGNATURE_WRONG, f"the signature of the key {key.name} is wrong"


def cosigner(text: str, line: str, trusted: Trusted) -> tuple[str, public_forms.Key]:
    """Return the title of the witness in the policy that has signed a checkpoint in a line, and its key.

    Raises LookupError where the policy has no such witness, Refused where the signature is not right.
    """
    try:
        (found,) = public_forms.parse_note(f"{text}\n{line}\n".encode()).signatures
    except ValueError:
        raise public_forms.Refused("it is no signature") from None
    titles = {(key.name, key.id): title for title, key in trusted.policy.witnesses.items()}
    title = titles[found.name, found.key_id]
    key = trusted.policy.witnesses[title]
    if not is_cosigned(text.encode(), key, found.value, trusted.check):
        raise public_forms.Refused(f"the signature of the witness {key.name} is wrong")
    return title, key


def is_cosigned(text: bytes, key: public_forms.Key, value: bytes, check: public_forms.Check) -> bool:
    """Return whether the signature of a witness under the text of a checkpoint is right."""
    message = b"cosignature/v1\ntime %d\n" % int.from_bytes(value[:8], "big") + text
    return len(value) == 72 and check(key.public, message, value[8:])
