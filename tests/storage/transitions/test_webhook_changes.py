"""An endpoint for platform events: requested, registered, rotated, checked, removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage import errors, ids, states
from storage.engine.database import Database
from storage.repositories import job_list, webhook_endpoints
from storage.transitions import webhook_changes
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

URL = "https://ledger.test/webhooks/case"
ROW = "row-1"


def learned(
    name: str = "aaaa", at: float = 1, others_end: float | None = None, *, fence: int = 1
) -> webhook_changes.NewSecret:
    """A secret that the upstream returned at that second."""
    secret = webhook_endpoints.Secret(
        ids.new(life.at(at)), ROW, b"sealed " + name.encode(), life.at(at), fence=fence
    )
    ends = None if others_end is None else life.at(others_end)
    return webhook_changes.NewSecret(secret, "whe_1", name, "active", ends)


async def registered(database: Database) -> webhook_changes.NewSecret:
    """An endpoint with its first secret."""
    first = learned()
    assert await requested(database, 0) == (None, first.secret.fence)
    await database.write(webhook_changes.store_secret, first, life.at(1))
    return first


async def row(database: Database) -> webhook_endpoints.Endpoint:
    found = await database.read(webhook_endpoints.find, ROW)
    assert found is not None
    return found


async def known(database: Database, at: float) -> list[bytes]:
    """Return the secrets that may have signed an event of that second."""
    return [each.sealed for each in (await database.read(webhook_endpoints.verification_set, life.at(at))).secrets]


async def test_a_requested_secret_is_visible_to_verification_before_it_exists(database: Database) -> None:
    await life.request_secret(database, ROW, URL)
    found = await database.read(webhook_endpoints.verification_set, life.NOW)
    assert [(each.upstream_id, each.awaiting_since) for each in found.endpoints] == [(None, life.NOW)]


async def test_a_registered_endpoint_waits_for_nothing(database: Database) -> None:
    await registered(database)
    found = await row(database)
    assert (found.upstream_id, found.awaiting_since, found.registered_at) == ("whe_1", None, life.at(1))
    assert (found.status, await known(database, 1)) == ("active", [b"sealed aaaa"])


async def test_the_ledger_records_a_registration_without_the_secret(database: Database) -> None:
    await registered(database)
    entry = await ledgers.last(database, None)
    facts = {"endpointId": "whe_1", "url": URL, "secret": "aaaa"}
    assert (entry.kind, entry.actor, entry.facts) == ("webhook.registered", "operator", facts)


async def test_a_job_checks_the_endpoint_from_then_on(database: Database) -> None:
    await registered(database)
    found, _ = await database.read(job_list.page, job_list.Query(kind=states.Kind.CHECK), life.at(1))
    assert [(each.run_id, each.due_at) for each in found] == [("", life.at(1))]


async def test_a_secret_that_is_learned_again_by_a_replay_is_one(database: Database) -> None:
    first = await registered(database)
    await database.write(webhook_changes.store_secret, first, life.at(1))
    assert len(await ledgers.entries(database, None)) == 1
    assert await known(database, 1) == [b"sealed aaaa"]


async def test_after_a_rotation_both_secrets_are_live_until_the_old_one_ends(database: Database) -> None:
    await registered(database)
    _, fence = await requested(database, 10)
    await database.write(
        webhook_changes.store_secret, learned("bbbb", 10, others_end=70, fence=fence), life.at(10)
    )
    assert await known(database, 70) == [b"sealed bbbb", b"sealed aaaa"]
    assert await known(database, 70.1) == [b"sealed bbbb"]
    entry = await ledgers.last(database, None)
    assert (entry.kind, entry.facts["secret"]) == ("webhook.rotated", "bbbb")
    assert entry.facts["othersEnd"] == "2026-11-23T12:01:10.000000Z"


async def test_a_secret_that_ends_earlier_is_not_prolonged_by_another_rotation(database: Database) -> None:
    await registered(database)
    await database.write(webhook_changes.store_secret, learned("bbbb", 10, others_end=20, fence=2), life.at(10))
    await database.write(webhook_changes.store_secret, learned("cccc", 15, others_end=90, fence=3), life.at(15))
    assert await known(database, 21) == [b"sealed cccc", b"sealed bbbb"]


async def test_secrets_that_ended_long_ago_are_forgotten(database: Database) -> None:
    await registered(database)
    await database.write(webhook_changes.store_secret, learned("bbbb", 10, others_end=20, fence=2), life.at(10))
    late = life.at(21) + timedelta(days=1)
    await database.write(webhook_changes.store_secret, learned("cccc", 30, others_end=90, fence=3), late)
    assert [each.sealed for each in await database.read(webhook_endpoints.secrets, ROW)] == [
        b"sealed cccc",
        b"sealed bbbb",
    ]


async def requested(database: Database, at: float) -> tuple[webhook_endpoints.Endpoint | None, int]:
    """A secret is asked for; the row as it was before, and the fence of the request."""
    return await life.request_secret(database, ROW, URL, life.at(at))


async def test_a_new_endpoint_that_was_refused_does_not_stand(database: Database) -> None:
    before, fence = await requested(database, 0)
    await database.write(webhook_changes.withdraw_request, ROW, before, life.at(1), fence)
    assert (
        await database.read(webhook_endpoints.verification_set, life.at(1)) == webhook_endpoints.VerificationSet()
    )


async def test_a_rotation_that_was_refused_leaves_everything_as_it_was(database: Database) -> None:
    await registered(database)
    was = await row(database)
    before, fence = await requested(database, 10)
    await database.write(webhook_changes.withdraw_request, ROW, before, life.at(11), fence)
    assert (before, await row(database)) == (was, replace(was, fence=fence))


async def test_a_lost_rotation_is_still_waited_for_after_a_refused_one(database: Database) -> None:
    await registered(database)
    await requested(database, 10)
    before, fence = await requested(database, 20)
    await database.write(webhook_changes.withdraw_request, ROW, before, life.at(21), fence)
    assert (await row(database)).awaiting_since == life.at(10)


async def test_a_late_answer_ends_no_secret_that_was_requested_after_it(database: Database) -> None:
    await registered(database)
    _, early = await requested(database, 10)
    _, later = await requested(database, 80)
    await database.write(
        webhook_changes.store_secret, learned("later", 81, others_end=82, fence=later), life.at(81)
    )
    await database.write(
        webhook_changes.store_secret, learned("early", 83, others_end=84, fence=early), life.at(83)
    )
    assert await known(database, 90) == [b"sealed early", b"sealed later"]
    assert (await row(database)).awaiting_since is None


async def test_an_early_answer_leaves_a_later_request_waiting_for_its_own(database: Database) -> None:
    """Until then what does not verify may be signed with the secret that is on its way."""
    await registered(database)
    before, early = await requested(database, 10)
    await requested(database, 80)
    await database.write(
        webhook_changes.store_secret, learned("early", 81, others_end=82, fence=early), life.at(81)
    )
    await database.write(webhook_changes.withdraw_request, ROW, before, life.at(83), early)
    assert (await row(database)).awaiting_since == life.at(80)


async def test_the_answer_for_an_endpoint_that_was_removed_meanwhile_opens_nothing(database: Database) -> None:
    await registered(database)
    _, fence = await requested(database, 10)
    await database.write(webhook_changes.remove_endpoint, ROW, life.at(20))
    await database.write(
        webhook_changes.store_secret, learned("late", 21, others_end=90, fence=fence), life.at(21)
    )
    assert (await database.read(webhook_endpoints.find_active), await known(database, 22)) == (None, [])


async def test_a_lost_lease_asks_the_upstream_for_nothing(database: Database) -> None:
    lost = await life.lease_and_free(database)
    await life.lease_and_free(database, life.at(61))
    with pytest.raises(errors.LeaseLost, match="run this command again"):
        await database.write(webhook_changes.request_secret, ROW, URL, life.at(62), lost)
    assert await database.read(webhook_endpoints.find_active) is None


async def test_what_the_upstream_shows_is_kept(database: Database) -> None:
    await registered(database)
    found = webhook_changes.EndpointCheck("auto_disabled", 7)
    before = await database.write(webhook_changes.store_check, ROW, found, life.at(5))
    now = await row(database)
    assert before is not None
    assert (before.status, now.status, now.failures, now.checked_at) == ("active", "auto_disabled", 7, life.at(5))


async def test_a_failed_check_keeps_what_was_seen_last(database: Database) -> None:
    await registered(database)
    await database.write(
        webhook_changes.store_check, ROW, webhook_changes.EndpointCheck(None, None, "403"), life.at(5)
    )
    found = await row(database)
    assert (found.status, found.check_error) == ("active", "403")


async def test_a_removed_endpoint_does_not_stand_and_its_secret_ends(database: Database) -> None:
    await registered(database)
    await database.write(webhook_changes.remove_endpoint, ROW, life.at(30))
    assert await database.read(webhook_endpoints.find_active) is None
    assert (await known(database, 30), await known(database, 31)) == ([b"sealed aaaa"], [])
