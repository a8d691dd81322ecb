"""Our endpoint for platform events upstream: made, found again, given a new secret, woken up, removed.

What an operator's command does. The upstream shows a secret once; whoever loses the answer has it rotated. Each
request for a secret is committed before it is sent, so that meanwhile no genuine event is taken for a forgery.
One command at a time asks: two answers that cross would end here the secret that the upstream signs with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from receiver import errors, signatures, vault
from receiver.upstream import routes, webhooks
from storage import database, deliveries, house, ids, jobs, states, transitions
from storage import webhooks as stored

#: Seconds for which a former secret goes on signing where nobody says otherwise, and at most.
GRACE = 86_400
LONGEST_GRACE = 2_592_000
DESCRIPTION = "Runledger"
#: Seconds between two looks whether another command has ended.
LOOK = 0.2
#: What an endpoint has to hear of, at the least.
_ENDS = ("agent.run.completed", "agent.run.failed", "agent.run.cancelled")


class Outcome(StrEnum):
    """What had to be done."""

    CREATED = "created"
    RECOVERED = "recovered"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Registered:
    """The endpoint as it stands now. `mended` says what was wrong upstream, `others` name equal ones."""

    outcome: Outcome
    endpoint: stored.Endpoint
    mended: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registrar:
    """Brings upstream and database together. Methods raise UpstreamError and Unavailable."""

    store: database.Database
    upstream: webhooks.Webhooks
    box: vault.Vault
    encoding: str
    clock: Callable[[], datetime]
    #: Called once where another command has to end first.
    waits: Callable[[], None] = lambda: None

    async def register(self, url: str) -> Registered:
        """Sees to it that the upstream sends to `url` and that we hold its secret. As often as one likes.

        An endpoint that is there and whose secret we lack gets a new one; the one before goes on signing for a
        day, since another deployment may hold it. Raises Fenced.
        """
        async with self._alone() as fence:
            return await self._register(url, fence)

    async def _register(self, url: str, fence: int) -> Registered:
        ours = await self.store.read(stored.standing)
        listed = await self.upstream.list()
        same = [each for each in listed if each.url is not None and each.url.rstrip("/") == url]
        shown = await self._known_as(ours, same)
        others = tuple(each.id for each in same if shown is None or each.id != shown.id)
        if shown is None:
            return Registered(Outcome.CREATED, await self._create(self._pending(ours), url, fence), others=others)
        mended = await self._mend(shown, url)
        if ours is not None and ours.upstream_id == shown.id and await self._holds_secret(ours):
            return Registered(Outcome.KNOWN, await self._seen(ours, url), mended, others)
        row = await self._row(shown, ours)
        return Registered(Outcome.RECOVERED, await self._rotate(row, shown.id, url, GRACE, fence), mended, others)

    async def rotate(self, endpoint: stored.Endpoint, grace: int) -> stored.Endpoint:
        """A new secret; for `grace` seconds the upstream signs with the one before as well. Raises Fenced."""
        async with self._alone() as fence:
            now = await self._again(endpoint.id)
            assert now.upstream_id is not None
            return await self._rotate(now.id, now.upstream_id, now.url, grace, fence)

    async def look(self, endpoint: stored.Endpoint) -> webhooks.Endpoint | None:
        """What the upstream shows of the endpoint, which is kept; None where it knows none of that id."""
        assert endpoint.upstream_id is not None
        shown = await self.upstream.get(endpoint.upstream_id)
        found = transitions.Checked(*webhooks.state(shown))
        await self.store.write(transitions.check_endpoint, endpoint.id, found, self.clock())
        return shown

    async def resume(self, endpoint: stored.Endpoint) -> None:
        """Has events sent to the endpoint again. What it missed altogether a sweep finds out, now."""
        assert endpoint.upstream_id is not None
        await self.upstream.change(endpoint.upstream_id, status=stored.ACTIVE)
        await self.look(endpoint)
        await self.store.write(jobs.wish, [jobs.Wish(states.Kind.SWEEP, "", self.clock())])

    async def missed(self, endpoint: stored.Endpoint) -> list[webhooks.Delivery]:
        """The deliveries that the upstream gave up and whose event never came here, oldest first.

        Of the newest 100: it shows no more.
        """
        assert endpoint.upstream_id is not None
        failed = await self.upstream.failed(endpoint.upstream_id)
        newest = {each.event_id or each.id: each for each in reversed(failed)}
        unnamed = [each for each in newest.values() if each.event_id is None]
        return unnamed + await self.absent(list(newest.values()))

    async def absent(self, some: Sequence[webhooks.Delivery]) -> list[webhooks.Delivery]:
        """Those whose event is known not to be stored here."""
        keys = {each.id: deliveries.event_key(each.event_id) for each in some if each.event_id is not None}
        held = await self.store.read(deliveries.holders, sorted(keys.values()))
        return [each for each in some if each.id in keys and keys[each.id] not in held]

    async def replay(self, delivery: webhooks.Delivery) -> bool:
        """Has an event sent again; False where the upstream has forgotten it."""
        try:
            await self.upstream.replay(delivery.id)
        except errors.Answered as no:
            if no.status != 404:
                raise
            return False
        return True

    async def remove(self, endpoint: stored.Endpoint) -> None:
        """Has nothing sent any more."""
        async with self._alone():
            if endpoint.upstream_id is not None:
                await self.upstream.delete(endpoint.upstream_id)
            await self.store.write(transitions.remove_endpoint, endpoint.id, self.clock())

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[int]:
        """Hold the lease around requests and answers; its fence. Where the process dies, the lease lapses."""
        fence = await self._leased()
        try:
            yield fence
        finally:
            await self.store.write(house.free_webhooks, fence)

    async def _leased(self) -> int:
        """Wait until no other command has the lease, which lasts a minute at most after its last request."""
        looks = 0
        while (fence := await self.store.write(house.lease_webhooks, self.clock(), transitions.LEASE)) is None:
            if looks == 0:
                self.waits()
            looks += 1
            await asyncio.sleep(LOOK)
        return fence

    async def _known_as(
        self, ours: stored.Endpoint | None, same: list[webhooks.Endpoint]
    ) -> webhooks.Endpoint | None:
        """The endpoint upstream that is ours: by its id, whatever its address, else by our address."""
        if ours is not None and ours.upstream_id is not None:
            shown = await self.upstream.get(ours.upstream_id)
            if shown is not None:
                return shown
            await self.store.write(transitions.remove_endpoint, ours.id, self.clock())
        return same[0] if same else None

    async def _row(self, shown: webhooks.Endpoint, ours: stored.Endpoint | None) -> str:
        """The id of the row for an endpoint that was found: its own, one that waits for it, or a new one."""
        known = await self.store.read(stored.of_upstream, shown.id)
        return self._pending(ours) if known is None else known.id

    def _pending(self, ours: stored.Endpoint | None) -> str:
        """The id of the row that still waits for its endpoint, or a new one."""
        return ours.id if ours is not None and ours.upstream_id is None else ids.new(self.clock())

    async def _mend(self, shown: webhooks.Endpoint, url: str) -> tuple[str, ...]:
        """Corrects address and filters upstream; says what was wrong."""
        mended = []
        if shown.url is not None and shown.url.rstrip("/") != url:
            await self.upstream.change(shown.id, url=url)
            mended.append(f"it sent to {shown.url}")
        if not all(shown.hears(end) for end in _ENDS):
            await self.upstream.change(shown.id, filters=[*shown.filters, webhooks.EVENTS])
            mended.append(f"it was not sent {webhooks.EVENTS}")
        return tuple(mended)

    async def _holds_secret(self, ours: stored.Endpoint) -> bool:
        """Whether the secret in force is stored and can be opened."""
        if ours.awaiting_since is not None:
            return False
        kept = await self.store.read(stored.secrets, ours.id)
        return any(self._opens(each.sealed) for each in kept if each.expires_at is None)

    def _opens(self, sealed: bytes) -> bool:
        try:
            self.box.open(sealed)
        except errors.BadSeal:
            return False
        return True

    async def _seen(self, ours: stored.Endpoint, url: str) -> stored.Endpoint:
        await self.store.write(transitions.move_endpoint, ours.id, url)
        await self.look(ours)
        return await self._again(ours.id)

    async def _again(self, row: str) -> stored.Endpoint:
        found = await self.store.read(stored.find, row)
        assert found is not None, "endpoints are never deleted"
        return found

    async def _create(self, row: str, url: str, fence: int) -> stored.Endpoint:
        ask = lambda: self.upstream.create(url, [webhooks.EVENTS], DESCRIPTION)  # noqa: E731
        made = await self._asked(row, url, fence, ask)
        if made.secret is None:
            return await self._rotate(row, made.endpoint.id, url, GRACE, fence)
        return await self._learn(row, made.endpoint, made.secret, None, fence)

    async def _rotate(self, row: str, upstream_id: str, url: str, grace: int, fence: int) -> stored.Endpoint:
        made = await self._asked(row, url, fence, lambda: self.upstream.rotate(upstream_id, grace))
        if made.secret is None:
            raise errors.UpstreamError(
                routes.ROTATE_SECRET,
                "the answer shows no signing secret: copy it from Case.dev into RUNLEDGER_WEBHOOK_SECRETS",
            )
        others_end = self.clock() + timedelta(seconds=grace)
        if made.endpoint.previous_ends_at is not None:
            others_end = max(others_end, made.endpoint.previous_ends_at)
        return await self._learn(row, made.endpoint, made.secret, others_end, fence)

    async def _asked(
        self, row: str, url: str, fence: int, ask: Callable[[], Awaitable[webhooks.Made]]
    ) -> webhooks.Made:
        """Asks for a secret, after that is committed; where the upstream surely did nothing it is taken back."""
        before = await self.store.write(transitions.request_secret, row, url, self.clock(), fence)
        try:
            return await ask()
        except errors.UpstreamError as failure:
            if isinstance(failure, errors.NotSent) or _is_no(failure):
                await self.store.write(transitions.withdraw_request, row, before, self.clock(), fence)
            raise

    async def _learn(
        self, row: str, shown: webhooks.Endpoint, secret: str, others_end: datetime | None, fence: int
    ) -> stored.Endpoint:
        now = self.clock()
        kept = stored.Secret(ids.new(now), row, self.box.seal(secret, now), now, fence=fence)
        learned = transitions.Learned(kept, shown.id, self._name(secret), shown.status, others_end)
        await self.store.write(transitions.learn_secret, learned, now)
        return await self._again(row)

    def _name(self, secret: str) -> str | None:
        """What deliveries call the secret; None where it does not decode, which the keyring then tells."""
        try:
            return signatures.decode(secret, self.encoding).name
        except errors.SettingsError:
            return None


def _is_no(failure: errors.UpstreamError) -> bool:
    """Whether the request was turned away; a 408 may come after the work was done."""
    return isinstance(failure, errors.Answered) and 400 <= failure.status < 500 and failure.status != 408
