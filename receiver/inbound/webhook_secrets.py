"""The webhook secrets by which a running server verifies platform events, from the database and the settings.

They are held in memory. The table is read again only when a signature matches none of them, so every replica sees
a new secret at once, and verifying costs no query otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import errors, timeouts
from receiver.crypto import secret_box, signatures
from storage import errors as storage_errors
from storage.engine import database
from storage.repositories import deliveries, webhook_endpoints

#: How much later than a secret's end something that it signed may arrive.
_LATENESS = timedelta(seconds=signatures.TOLERANCE)


@dataclass(frozen=True, slots=True)
class KnownSecret:
    """A secret until `ends_at` (None: for good). One that cannot be used has a `problem` instead, a sentence.

    `others` are the same text read in the encodings that are not configured, by the name of the encoding.
    """

    secret: signatures.Secret | None
    ends_at: datetime | None = None
    problem: str = ""
    others: Mapping[str, signatures.Secret] = field(default_factory=dict, repr=False)


class WebhookSecrets:
    """The webhook secrets of a process. `configured` are those of the settings as spelled there, newest first.

    `report` is called once for each secret that cannot be used, with a sentence.
    """

    def __init__(
        self,
        store: database.Database,
        box: secret_box.SecretBox,
        configured: Sequence[str],
        encoding: str,
        timing: timeouts.Timing,
        report: Callable[[str], None],
    ) -> None:
        self._store = store
        self._box = box
        self._encoding = encoding
        self._bound = timedelta(seconds=timing.registering)
        self._report = report
        self._given = tuple(self._of_settings(place, text) for place, text in enumerate(configured, 1))
        self._known = webhook_endpoints.VerificationSet()
        self._secrets, self._are_lasting = self._given, True
        self._lock = asyncio.Lock()
        self._reads_begun = self._reads_done = 0
        self._failure: str | None = None
        self._report_unusable(self._given)

    def usable(self, now: datetime) -> list[signatures.Secret]:
        """Return the distinct secrets that may have signed what arrives now, newest first."""
        in_force = self._secrets if self._are_lasting else self.in_force(now)
        return list({each.secret.name: each.secret for each in in_force if each.secret is not None}.values())

    def signers(self, stored: deliveries.StoredDelivery) -> list[str]:
        """Return the names of the secrets in force that have signed a stored event, newest first."""
        claimed, names = signatures.signature_headers(stored.headers or {}), []
        for secret in self.usable(stored.received_at):
            with contextlib.suppress(errors.BadSignature):
                check = signatures.Check(claimed, [secret])
                check.update(stored.body or b"")
                check.verified(stored.received_at.timestamp())
                names.append(secret.name)
        return names

    def awaits_secret(self, now: datetime) -> bool:
        """Return whether a secret was requested so recently that the upstream's answer may still be on its way."""
        since = (each.awaiting_since for each in self._known.endpoints)
        return any(each is not None and now < each + self._bound for each in since)

    def has_unusable(self, now: datetime) -> bool:
        """Return whether a secret in force cannot be used, so that its signatures look like forgeries."""
        return any(each.secret is None for each in self.in_force(now))

    def in_force(self, now: datetime) -> list[KnownSecret]:
        """Return all secrets that may have signed what arrives now, including those that cannot be used."""
        return [each for each in self._secrets if each.ends_at is None or now - _LATENESS <= each.ends_at]

    async def refresh(self, now: datetime) -> None:
        """Read the table. Concurrent callers share one query that begins after their calls.

        Raises Unavailable.
        """
        begun_before = self._reads_begun
        async with self._lock:
            if self._reads_done <= begun_before:
                await self._read(now)
        if self._failure is not None:
            raise storage_errors.Unavailable(self._failure)

    async def run(self, seconds: float, clock: Callable[[], datetime]) -> None:
        """Read the table now and every `seconds`, so that a secret is dropped once it expires."""
        while True:
            with contextlib.suppress(storage_errors.Unavailable):
                await self.refresh(clock())
            await asyncio.sleep(seconds)

    async def _read(self, now: datetime) -> None:
        self._reads_begun += 1
        number = self._reads_begun
        try:
            known = await self._store.read(webhook_endpoints.verification_set, now - _LATENESS)
        except storage_errors.Unavailable as trouble:
            self._failure = str(trouble)
        else:
            self._failure = None
            self._replace(known)
        self._reads_done = number

    def _replace(self, known: webhook_endpoints.VerificationSet) -> None:
        if known.secrets != self._known.secrets:
            opened = tuple(self._opened(each) for each in known.secrets)
            self._secrets = opened + self._given
            self._are_lasting = all(each.ends_at is None for each in self._secrets)
            self._report_unusable(opened)
        self._known = known

    def _opened(self, row: webhook_endpoints.Secret) -> KnownSecret:
        what = f"the webhook secret {row.id} of the database"
        try:
            text = self._box.open(row.sealed)
        except errors.SecretNotDecrypted as sealed:
            trouble = f"{what} cannot be opened: {sealed}; list that key again, or run `runledger webhooks rotate`"
            return KnownSecret(None, row.expires_at, trouble)
        others = self._otherwise(text)
        try:
            return KnownSecret(signatures.decode(text, self._encoding), row.expires_at, others=others)
        except errors.ShortSecret as short:
            trouble = f"{what} has {short.size} bytes, which can be guessed: run `runledger webhooks rotate`"
        except errors.SettingsError:
            trouble = f"{what} is not {self._encoding}: change RUNLEDGER_WEBHOOK_KEY_ENCODING"
        return KnownSecret(None, row.expires_at, trouble, others)

    def _of_settings(self, place: int, text: str) -> KnownSecret:
        others = self._otherwise(text)
        try:
            return KnownSecret(signatures.decode(text, self._encoding), others=others)
        except errors.SettingsError as unusable:
            return KnownSecret(None, None, f"{unusable} (it is number {place})", others)

    def _otherwise(self, text: str) -> dict[str, signatures.Secret]:
        """Return what the text of a secret spells in the other encodings; one that does not fit is left out."""
        found: dict[str, signatures.Secret] = {}
        for encoding in signatures.ENCODINGS:
            if encoding != self._encoding:
                with contextlib.suppress(errors.SettingsError):
                    found[encoding] = signatures.decode(text, encoding)
        return found

    def _report_unusable(self, secrets: Sequence[KnownSecret]) -> None:
        """Report unusable secrets once per change, not per failure: senders could cause any number of failures."""
        for each in secrets:
            if each.secret is None:
                self._report(each.problem)

    async def warnings(self, now: datetime, seen: Sequence[webhook_endpoints.Endpoint] | None = None) -> list[str]:
        """Return a sentence for each thing that keeps platform events from arriving or verifying.

        `seen` are the endpoints as the upstream shows them now; without it the stored ones count. An unusable
        secret that expires is not mentioned: another one signs beside it, so nothing has to be done. Raises
        Unavailable.
        """
        await self.refresh(now)
        sentences = [each.problem for each in self.in_force(now) if each.secret is None and each.ends_at is None]
        for endpoint in self._known.endpoints if seen is None else seen:
            sentences += _warnings(endpoint, now - self._bound)
        return sentences


def _warnings(endpoint: webhook_endpoints.Endpoint, lost_before: datetime) -> Iterator[str]:
    named = f"the webhook endpoint {endpoint.upstream_id or endpoint.url}"
    if endpoint.awaiting_since is not None and endpoint.awaiting_since <= lost_before:
        yield f"{named} has a secret that never reached us: run `runledger webhooks register`"
    if endpoint.status == webhook_endpoints.GONE:
        yield f"{named} is gone upstream, so no events come: run `runledger webhooks register`"
    elif endpoint.status not in (None, webhook_endpoints.ACTIVE):
        yield f"{named} is {endpoint.status} upstream, so no events come: run `runledger webhooks resume`"
    if endpoint.check_error is not None:
        yield f"{named} could not be looked at: {endpoint.check_error}"
