"""Find out why a stored event did not verify: check what its signature depends on, and what would make it match.

The signature that was expected is never part of a finding: it would let a reader sign what an attacker sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from receiver import errors
from receiver.crypto import signatures
from receiver.inbound import webhook_secrets
from storage.repositories import deliveries

#: The most secrets that are tried in every way: each way costs a hash of the body.
SECRETS = 8
#: The largest body, in bytes, whose other spellings as JSON are tried.
RESPELLED = 64 << 10
#: The characters of a header's value that a finding shows.
_SHOWN = 60


class Mark(StrEnum):
    """The outcome of a check."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: a sentence, and why."""

    mark: Mark
    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, what to do, and whether the event would be accepted now. `skew` is in seconds."""

    findings: Sequence[Finding]
    remedy: str
    verifies: bool
    skew: float | None


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines stored events with the secrets that are known now."""

    secrets: webhook_secrets.WebhookSecrets

    async def __call__(self, stored: deliveries.StoredDelivery, now: datetime) -> Diagnosis:
        """Return what is right and wrong with the signature of a stored event. Raises Unavailable."""
        await self.secrets.refresh(now)
        known = self.secrets.in_force(stored.received_at)
        return await asyncio.to_thread(examine, stored, known)


def examine(stored: deliveries.StoredDelivery, known: Sequence[webhook_secrets.KnownSecret]) -> Diagnosis:
    """Return what is right and wrong with the signature of a stored event."""
    claimed, skew = signatures.signature_headers(stored.headers or {}), skew_of(stored)
    findings = [*_headers(claimed), _time(claimed, skew)]
    body = stored.body or b""
    if claimed.signature is None:
        remedy = "The request is unsigned. Whatever sent it is not Case.dev, or a proxy removed its headers."
        return Diagnosis(findings, remedy, False, skew)
    if stored.size != len(body):
        findings.append(
            Finding(
                Mark.UNKNOWN, "The signature cannot be checked", f"{len(body)} of {stored.size} bytes are stored"
            )
        )
        return Diagnosis(findings, "Have the event sent again; the whole of it is needed.", False, skew)
    return _with_secrets(findings, claimed, body, known, skew)


def _with_secrets(
    findings: list[Finding],
    claimed: signatures.SignatureHeaders,
    body: bytes,
    known: Sequence[webhook_secrets.KnownSecret],
    skew: float | None,
) -> Diagnosis:
    if not known:
        findings.append(Finding(Mark.BAD, "No secret is known here"))
        remedy = "Run `runledger webhooks register`, or set `RUNLEDGER_WEBHOOK_SECRETS`."
        return Diagnosis(findings, remedy, False, skew)
    matching = [each.secret for each in known if each.secret and _signed(claimed, body, each.secret)]
    findings += [_secret(each, each.secret in matching) for each in known]
    if matching:
        is_late = skew is None or abs(skew) > signatures.TOLERANCE
        remedy = _LATE if is_late else "It verifies now: the secret was added after it arrived. Process it again."
        return Diagnosis(findings, remedy, True, skew)
    found = next(_otherwise(claimed, body, known[:SECRETS]), None)
    if found is None:
        findings.append(Finding(Mark.BAD, "No other reading of a secret or of the body matches", _TRIED))
        return Diagnosis(findings, _FOREIGN, False, skew)
    return Diagnosis([*findings, found[0]], found[1], False, skew)


def _headers(claimed: signatures.SignatureHeaders) -> Iterator[Finding]:
    named = {
        signatures.ID_HEADER: claimed.delivery_id,
        signatures.TIMESTAMP_HEADER: claimed.timestamp,
        signatures.SIGNATURE_HEADER: claimed.signature,
    }
    missing = [name for name, value in named.items() if not value]
    if missing:
        text = "A header is missing" if len(missing) == 1 else "Headers are missing"
        yield Finding(Mark.BAD, text, ", ".join(missing))
    else:
        yield Finding(Mark.GOOD, "The three headers are there", ", ".join(named))
    if claimed.signature and not signatures.is_usable(claimed.signature):
        why = f"v1,<base64 of 32 bytes> is expected; sent was {claimed.signature[:_SHOWN]}"
        yield Finding(Mark.BAD, "The signature has an unknown form", why)


def _time(claimed: signatures.SignatureHeaders, skew: float | None) -> Finding:
    if not claimed.timestamp:
        return Finding(Mark.UNKNOWN, "The signed time is unknown")
    if skew is None:
        return Finding(Mark.BAD, "The signed time cannot be read", claimed.timestamp[:_SHOWN])
    is_near, when = abs(skew) <= signatures.TOLERANCE, "before" if skew >= 0 else "after"
    why = f"signed {abs(skew):,.0f} s {when} it came; up to {signatures.TOLERANCE} s are allowed"
    return (
        Finding(Mark.GOOD, "The time is right", why)
        if is_near
        else Finding(Mark.BAD, "The time is too far off", why)
    )


def skew_of(stored: deliveries.StoredDelivery) -> float | None:
    """Return how many seconds after its signed time an event arrived; None where that is unknown."""
    timestamp = signatures.signature_headers(stored.headers or {}).timestamp
    at = timestamp and signatures.seconds(timestamp)
    return stored.received_at.timestamp() - at if isinstance(at, float) else None


def _secret(known: webhook_secrets.KnownSecret, matches: bool) -> Finding:
    until = "in force"
    if known.ends_at is not None:
        until = f"from before a rotation, in force until {known.ends_at:%-d %B %H:%M %Z}"
    if known.secret is None:
        return Finding(Mark.UNKNOWN, "A secret cannot be used", known.problem)
    verb = "matches" if matches else "does not match"
    return Finding(Mark.GOOD if matches else Mark.BAD, f"The secret `{known.secret.name}` {verb}", until)


def _otherwise(
    claimed: signatures.SignatureHeaders, body: bytes, known: Sequence[webhook_secrets.KnownSecret]
) -> Iterator[tuple[Finding, str]]:
    """Yield what would match, with its remedy: another encoding of a secret, then another body."""
    for each in known:
        for encoding, secret in each.others.items():
            if _signed(claimed, body, secret):
                text = f"The secret `{(each.secret or secret).name}` matches when it is read as {encoding}"
                yield Finding(Mark.GOOD, text, "the body is unchanged"), _ENCODED.format(encoding=encoding)
    for how, altered in _alterations(body).items():
        for each in known:
            if each.secret and _signed(claimed, altered, each.secret):
                text = f"The secret `{each.secret.name}` matches the body {how}"
                yield Finding(Mark.GOOD, text, "so the body was altered on its way"), _ALTERED


def _alterations(body: bytes) -> Mapping[str, bytes]:
    """Return bodies of which a proxy may have made this one, by how they differ from it."""
    made = {
        "without the blanks around it": body.strip(),
        "with a line break at its end": body + b"\n",
        "with line breaks of Unix": body.replace(b"\r\n", b"\n"),
    }
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(body if len(body) <= RESPELLED else b"")
        made["as compact JSON"] = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        made["as compact JSON in ASCII"] = json.dumps(value, separators=(",", ":")).encode()
        made["as JSON with blanks"] = json.dumps(value, ensure_ascii=False).encode()
        made["as indented JSON"] = json.dumps(value, indent=2, ensure_ascii=False).encode()
    return {how: each for how, each in made.items() if each != body}


def _signed(claimed: signatures.SignatureHeaders, body: bytes, secret: signatures.Secret) -> bool:
    """Return whether a secret has signed these bytes, whenever that was."""
    check = signatures.Check(claimed, [secret])
    check.update(body)
    try:
        check.verified(0.0)
    except errors.OutsideTolerance:
        return True
    except errors.BadSignature:
        return False
    return True


_ENCODED = "Set `RUNLEDGER_WEBHOOK_KEY_ENCODING={encoding}`, restart the server, then process this delivery again."
_ALTERED = "A proxy changes bodies on their way to this server. Let it pass them on byte for byte."
_LATE = (
    "The signature holds, but the clock of the sender or of this server is wrong, or the event was held back. "
    "Compare this server's clock with `timedatectl`, then process the delivery again."
)
_TRIED = "each encoding of the secrets; the body with other blanks, line breaks and spellings of JSON"
_FOREIGN = (
    "The sender uses another secret. If it is Case.dev, compare the names of the secrets with "
    "`runledger webhooks status`, and rotate; otherwise somebody sends forgeries, and nothing needs to be done."
)
