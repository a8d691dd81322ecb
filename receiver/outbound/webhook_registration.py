"""Register our endpoint for platform events upstream: create, find, rotate the secret, resume, remove.

These are the actions of the operator's commands. The upstream shows a secret only once; where that answer is lost,
the secret is rotated. Each request for a secret is committed before it is sent, so that no genuine event is
rejected as a forgery before the secret arrives. Only one command at a time may ask: with two, the secret that the
upstream signs with could be marked as expired here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from receiver import errors
from receiver.crypto import secret_box, signatures
from receiver.upstream import routes, webhooks
from storage import ids, states
from storage.engine import database
from storage.repositories import deliveries, jobs, system_state, webhook_endpoints
from storage.transitions import webhook_changes

#: Seconds for which a former secret still signs, by default and at most.
GRACE = 86_400
MAX_GRACE = 2_592_000
DESCRIPTION = "Runledger"
#: Seconds between two checks whether another command has ended.
LEASE_POLL = 0.2
#: The event types that an endpoint needs at least.
_ENDS = ("agent.run.completed", "agent.run.failed", "agent.run.cancelled")


class Outcome(StrEnum):
    """The action that the registration took."""

    CREATED = "created"
    RECOVERED = "recovered"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Registration:
    """The present state of the endpoint; `corrections` were made upstream, `duplicates` are equal endpoints."""

    outcome: Outcome
    endpoint: webhook_endpoints.Endpoint
    corrections: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registrar:
    """Keeps the upstream's endpoint and our row consistent. Methods raise UpstreamError and Unavailable."""

    store: database.Database
    upstream: webhooks.Webhooks
    secret_box: secret_box.SecretBox
    encoding: str
    clock: Callable[[], datetime]
    #: A function that is called once where another command has to end first.
    on_wait: Callable[[], None] = lambda: None

    async def register(self, url: str) -> Registration:
        """Make the upstream send to `url` and store its secret. The call may be repeated.

        An existing endpoint whose secret we lack gets a new one. The former secret signs for a day more, since
        another deployment may hold it. Raises LeaseLost.
        """
        async with self._exclusively() as fence:
            ours = await self.store.read(webhook_endpoints.find_active)
            listed = await self.upstream.list()
            same = [each for each in listed if each.url is not None and each.url.rstrip("/") == url]
            shown = await self._find_upstream(ours, same)
            others = tuple(each.id for each in same if shown is None or each.id != shown.id)
            # The id of the row that has no endpoint upstream yet, or a new id.
            pending = ours.id if ours is not None and ours.upstream_id is None else ids.new(self.clock())
            if shown is None:
                created = await self._create(pending, url, fence)
                return Registration(Outcome.CREATED, created, duplicates=others)
            mended = await self._correct(shown, url)
            if ours is not None and ours.upstream_id == shown.id and await self._holds_secret(ours):
                await self.store.write(webhook_endpoints.update, ours.id, {"url": url})
                await self.refresh(ours)
                return Registration(Outcome.KNOWN, await self._reload(ours.id), mended, others)
            known = await self.store.read(webhook_endpoints.find_by_upstream_id, shown.id)
            row = pending if known is None else known.id
            rotated = await self._rotate(row, shown.id, url, GRACE, fence)
            return Registration(Outcome.RECOVERED, rotated, mended, others)

    async def rotate(self, endpoint: webhook_endpoints.Endpoint, grace: int) -> webhook_endpoints.Endpoint:
        """Request a new secret; for `grace` seconds the upstream also signs with the former one.

        Raises LeaseLost.
        """
        async with self._exclusively() as fence:
            now = await self._reload(endpoint.id)
            assert now.upstream_id is not None
            return await self._rotate(now.id, now.upstream_id, now.url, grace, fence)

    async def refresh(self, endpoint: webhook_endpoints.Endpoint) -> webhooks.Endpoint | None:
        """Fetch and store the upstream's view of the endpoint; None where it does not know the id."""
        assert endpoint.upstream_id is not None
        shown = await self.upstream.get(endpoint.upstream_id)
        found = webhook_changes.EndpointCheck(*webhooks.state(shown))
        await self.store.write(webhook_changes.store_check, endpoint.id, found, self.clock())
        return shown

    async def resume(self, endpoint: webhook_endpoints.Endpoint) -> None:
        """Have events sent to the endpoint again, and enqueue a sweep for those that it missed."""
        assert endpoint.upstream_id is not None
        await self.upstream.update(endpoint.upstream_id, status=webhook_endpoints.ACTIVE)
        await self.refresh(endpoint)
        await self.store.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", self.clock())])

    async def missed(self, endpoint: webhook_endpoints.Endpoint) -> list[webhooks.Delivery]:
        """Return the deliveries that the upstream gave up and whose event never came here, oldest first.

        Only the newest 100 are considered: the upstream shows no more.
        """
        assert endpoint.upstream_id is not None
        failed = await self.upstream.failed(endpoint.upstream_id)
        newest = {each.event_id or each.id: each for each in reversed(failed)}
        unnamed = [each for each in newest.values() if each.event_id is None]
        return unnamed + await self.not_stored(list(newest.values()))

    async def not_stored(self, some: Sequence[webhooks.Delivery]) -> list[webhooks.Delivery]:
        """Return the deliveries whose event is known not to be stored here."""
        keys = {each.id: deliveries.event_key(each.event_id) for each in some if each.event_id is not None}
        stored_keys = await self.store.read(deliveries.accepted_rows, sorted(keys.values()))
        return [each for each in some if each.id in keys and keys[each.id] not in stored_keys]

    async def replay(self, delivery: webhooks.Delivery) -> bool:
        """Have an event sent again; return False where the upstream no longer has it."""
        try:
            await self.upstream.replay(delivery.id)
        except errors.UpstreamStatusError as failure:
            if failure.status != 404:
                raise
            return False
        return True

    async def remove(self, endpoint: webhook_endpoints.Endpoint) -> None:
        """Delete the endpoint, so that nothing is sent any more."""
        async with self._exclusively():
            if endpoint.upstream_id is not None:
                await self.upstream.delete(endpoint.upstream_id)
            await self.store.write(webhook_changes.remove_endpoint, endpoint.id, self.clock())

    @asynccontextmanager
    async def _exclusively(self) -> AsyncIterator[int]:
        """Hold the lease around requests and answers, and yield its fence.

        If the process dies, the lease expires.
        """
        fence = await self._acquire_lease()
        try:
            yield fence
        finally:
            await self.store.write(system_state.free_webhooks, fence)

    async def _acquire_lease(self) -> int:
        """Wait for the lease of another command, which lasts at most a minute after its last request."""
        has_waited = False
        while True:
            fence = await self.store.write(system_state.lease_webhooks, self.clock(), webhook_changes.LEASE)
            if fence is not None:
                return fence
            if not has_waited:
                self.on_wait()
            has_waited = True
            await asyncio.sleep(LEASE_POLL)

    async def _find_upstream(
        self, ours: webhook_endpoints.Endpoint | None, same: list[webhooks.Endpoint]
    ) -> webhooks.Endpoint | None:
        """Return our endpoint as the upstream shows it: by its id, whatever its address, else by our address."""
        if ours is not None and ours.upstream_id is not None:
            shown = await self.upstream.get(ours.upstream_id)
            if shown is not None:
                return shown
            await self.store.write(webhook_changes.remove_endpoint, ours.id, self.clock())
        return same[0] if same else None

    async def _correct(self, shown: webhooks.Endpoint, url: str) -> tuple[str, ...]:
        """Correct address and filters upstream; return what was wrong."""
        mended = []
        if shown.url is not None and shown.url.rstrip("/") != url:
            await self.upstream.update(shown.id, url=url)
            mended.append(f"it sent to {shown.url}")
        if not all(shown.receives(end) for end in _ENDS):
            await self.upstream.update(shown.id, filters=[*shown.filters, webhooks.EVENTS])
            mended.append(f"it was not sent {webhooks.EVENTS}")
        return tuple(mended)

    async def _holds_secret(self, ours: webhook_endpoints.Endpoint) -> bool:
        """Return whether the present secret is stored and can be decrypted."""
        if ours.awaiting_since is not None:
            return False
        kept = await self.store.read(webhook_endpoints.secrets, ours.id)
        return any(self._opens(each.sealed) for each in kept if each.expires_at is None)

    def _opens(self, sealed: bytes) -> bool:
        try:
            self.secret_box.open(sealed)
        except errors.SecretNotDecrypted:
            return False
        return True

    async def _reload(self, row: str) -> webhook_endpoints.Endpoint:
        found = await self.store.read(webhook_endpoints.find, row)
        assert found is not None, "endpoints are never deleted"
        return found

    async def _create(self, row: str, url: str, fence: int) -> webhook_endpoints.Endpoint:
        ask = lambda: self.upstream.create(url, [webhooks.EVENTS], DESCRIPTION)  # noqa: E731
        answer = await self._request_secret(row, url, fence, ask)
        if answer.secret is None:
            return await self._rotate(row, answer.endpoint.id, url, GRACE, fence)
        return await self._store_secret(row, answer.endpoint, answer.secret, None, fence)

    async def _rotate(
        self, row: str, upstream_id: str, url: str, grace: int, fence: int
    ) -> webhook_endpoints.Endpoint:
        answer = await self._request_secret(row, url, fence, lambda: self.upstream.rotate(upstream_id, grace))
        if answer.secret is None:
            raise errors.UpstreamError(
                routes.ROTATE_SECRET,
                "the answer shows no signing secret: copy it from Case.dev into RUNLEDGER_WEBHOOK_SECRETS",
            )
        others_end = self.clock() + timedelta(seconds=grace)
        if answer.endpoint.previous_ends_at is not None:
            others_end = max(others_end, answer.endpoint.previous_ends_at)
        return await self._store_secret(row, answer.endpoint, answer.secret, others_end, fence)

    async def _request_secret(
        self, row: str, url: str, fence: int, ask: Callable[[], Awaitable[webhooks.EndpointWithSecret]]
    ) -> webhooks.EndpointWithSecret:
        """Commit a request for a secret, then send it; withdraw it where the upstream certainly did nothing."""
        before = await self.store.write(webhook_changes.request_secret, row, url, self.clock(), fence)
        try:
            return await ask()
        except errors.UpstreamError as failure:
            # A 408 may come after the work was done.
            is_rejected = failure.status in range(400, 500) and failure.status != 408
            if isinstance(failure, errors.RequestNotSent) or is_rejected:
                await self.store.write(webhook_changes.withdraw_request, row, before, self.clock(), fence)
            raise

    async def _store_secret(
        self, row: str, shown: webhooks.Endpoint, secret: str, others_end: datetime | None, fence: int
    ) -> webhook_endpoints.Endpoint:
        now = self.clock()
        kept = webhook_endpoints.Secret(ids.new(now), row, self.secret_box.seal(secret, now), now, fence=fence)
        learned = webhook_changes.NewSecret(kept, shown.id, self._name(secret), shown.status, others_end)
        await self.store.write(webhook_changes.store_secret, learned, now)
        return await self._reload(row)

    def _name(self, secret: str) -> str | None:
        """Return the name of the secret in deliveries; None where it does not decode, which is reported on use."""
        try:
            return signatures.decode(secret, self.encoding).name
        except errors.SettingsError:
            return None
