"""The signing secrets of platform events that a running server goes by: those of the database and of its settings.

They are held in memory. Only what was signed with none of them has the table read again, so that a secret which
was registered a moment ago is seen at once in every replica, and verifying costs no query otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver import backoff, errors, signatures, vault
from storage import database, deliveries, webhooks
from storage import errors as storage_errors

#: What was signed while a secret was in force may come so much later.
_ON_ITS_WAY = timedelta(seconds=signatures.TOLERANCE)


@dataclass(frozen=True, slots=True)
class Held:
    """A secret until `ends` (None: for good). One that is of no use has a `trouble` instead, a sentence."""

    secret: signatures.Secret | None
    ends: datetime | None = None
    trouble: str = ""


class Keyring:
    """One per process. `given` are the secrets of the settings as they are spelled there, newest first.

    `tell` hears once of each secret that cannot be used, in a sentence.
    """

    def __init__(
        self,
        store: database.Database,
        box: vault.Vault,
        given: Sequence[str],
        encoding: str,
        timing: backoff.Timing,
        tell: Callable[[str], None],
    ) -> None:
        self._store = store
        self._box = box
        self._encoding = encoding
        self._bound = timedelta(seconds=timing.registering)
        self._tell = tell
        self._given = tuple(self._of_settings(place, text) for place, text in enumerate(given, 1))
        self._known = webhooks.Known()
        self._held = self._given
        self._turn = asyncio.Lock()
        self._begun = self._done = 0
        self._away: str | None = None
        self._tell_of(self._given)

    def live(self, now: datetime) -> list[signatures.Secret]:
        """The secrets that may have signed what comes in now, newest first; each once."""
        found = {each.secret.name: each.secret for each in self.in_force(now) if each.secret is not None}
        return list(found.values())

    def signers(self, stored: deliveries.Stored) -> list[str]:
        """The names of the secrets in force that have signed a stored event, newest first."""
        claimed, found = signatures.claimed(stored.headers or {}), []
        for secret in self.live(stored.received_at):
            with contextlib.suppress(errors.BadSignature):
                check = signatures.Check(claimed, [secret])
                check.update(stored.body or b"")
                check.verified(stored.received_at.timestamp())
                found.append(secret.name)
        return found

    def is_waiting(self, now: datetime) -> bool:
        """Whether a secret was asked for so lately that its answer may be on its way to us."""
        since = (each.awaiting_since for each in self._known.endpoints)
        return any(each is not None and now < each + self._bound for each in since)

    def lacks_any(self, now: datetime) -> bool:
        """Whether a secret in force cannot be used, so that what it signed cannot be told from a forgery."""
        return any(each.secret is None for each in self.in_force(now))

    def in_force(self, now: datetime) -> list[Held]:
        """All secrets that may have signed what comes in now, those that cannot be used as well."""
        return [each for each in self._held if each.ends is None or now - _ON_ITS_WAY <= each.ends]

    async def refresh(self, now: datetime) -> None:
        """Reads the table, by a look that begins after this call; who asks meanwhile shares one.

        Raises Unavailable.
        """
        asked = self._begun
        async with self._turn:
            if self._done <= asked:
                await self._read(now)
        if self._away is not None:
            raise storage_errors.Unavailable(self._away)

    async def run(self, seconds: float, clock: Callable[[], datetime]) -> None:
        """Reads the table now and every so many seconds, so that a secret which was made to end does end."""
        while True:
            with contextlib.suppress(storage_errors.Unavailable):
                await self.refresh(clock())
            await asyncio.sleep(seconds)

    async def _read(self, now: datetime) -> None:
        self._begun += 1
        this = self._begun
        try:
            known = await self._store.read(webhooks.known, now - _ON_ITS_WAY)
        except storage_errors.Unavailable as trouble:
            self._away = str(trouble)
        else:
            self._away = None
            self._take(known)
        self._done = this

    def _take(self, known: webhooks.Known) -> None:
        if known.secrets != self._known.secrets:
            opened = tuple(self._opened(each) for each in known.secrets)
            self._held = opened + self._given
            self._tell_of(opened)
        self._known = known

    def _opened(self, row: webhooks.Secret) -> Held:
        what = f"the webhook secret {row.id} of the database"
        try:
            return Held(signatures.decode(self._box.open(row.sealed), self._encoding), row.expires_at)
        except errors.BadSeal as sealed:
            trouble = f"{what} cannot be opened: {sealed}; list that key again, or run `runledger webhooks rotate`"
        except errors.ShortSecret as short:
            trouble = f"{what} has {short.size} bytes, which can be guessed: run `runledger webhooks rotate`"
        except errors.SettingsError:
            trouble = f"{what} is not {self._encoding}: change RUNLEDGER_WEBHOOK_KEY_ENCODING"
        return Held(None, row.expires_at, trouble)

    def _of_settings(self, place: int, text: str) -> Held:
        try:
            return Held(signatures.decode(text, self._encoding))
        except errors.SettingsError as unusable:
            return Held(None, None, f"{unusable} (it is number {place})")

    def _tell_of(self, held: Sequence[Held]) -> None:
        """Once for each change: strangers decide how often something does not verify."""
        for each in held:
            if each.secret is None:
                self._tell(each.trouble)

    async def warnings(self, now: datetime, seen: Sequence[webhooks.Endpoint] | None = None) -> list[str]:
        """What keeps platform events from coming or from verifying, a sentence each. Raises Unavailable.

        `seen` are the endpoints as the upstream shows them now, where it was asked; else the table is believed.
        A secret that cannot be used and has an end is nobody's task any more: another one signs beside it.
        """
        await self.refresh(now)
        found = [each.trouble for each in self.in_force(now) if each.secret is None and each.ends is None]
        for endpoint in self._known.endpoints if seen is None else seen:
            found += _warnings(endpoint, now - self._bound)
        return found


def _warnings(endpoint: webhooks.Endpoint, lost_before: datetime) -> Iterator[str]:
    named = f"the webhook endpoint {endpoint.upstream_id or endpoint.url}"
    if endpoint.awaiting_since is not None and endpoint.awaiting_since <= lost_before:
        yield f"{named} has a secret that never reached us: run `runledger webhooks register`"
    if endpoint.status == webhooks.GONE:
        yield f"{named} is gone upstream, so no events come: run `runledger webhooks register`"
    elif endpoint.status not in (None, webhooks.ACTIVE):
        yield f"{named} is {endpoint.status} upstream, so no events come: run `runledger webhooks resume`"
    if endpoint.check_error is not None:
        yield f"{named} could not be looked at: {endpoint.check_error}"
