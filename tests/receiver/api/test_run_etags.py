"""The ETag of a run: a client's copy counts as long as nothing changed, and no longer."""

from __future__ import annotations

import hashlib

import pytest

from storage.engine.database import Database
from storage.repositories import notifications
from storage.transitions import submitting
from tests import life
from tests.receiver.api.app_fixture import Deployment
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def etag(deployment: Deployment, run_id: str) -> str | None:
    """Return the tag of a run; check that a copy with that tag counts."""
    answer = await deployment.get(f"/v1/runs/{run_id}")
    found = answer.headers.get("etag")
    if found is not None:
        again = await deployment.get(f"/v1/runs/{run_id}", headers={"if-none-match": f"W/{found}"})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", found)
    return found


async def test_the_tag_of_a_settled_run_is_the_leaf_hash_of_its_terminal_entry(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    assert await etag(deployment, run.id) == f'"{await leaf_hash(deployment.database, run.id)}"'


async def leaf_hash(database: Database, run_id: str) -> str:
    """Return the leaf hash of a run's last entry, in hexadecimal."""
    assert (await ledgers.last(database, run_id)).kind == "run.completed"
    body = (await life.entries(database, run_id))[-1].body.encode()
    return hashlib.sha256(b"\x00" + body).hexdigest()


async def test_a_run_that_has_not_ended_has_no_tag(deployment: Deployment) -> None:
    run = await life.running(deployment.database)
    assert await etag(deployment, run.id) is None


async def test_each_change_of_a_settled_run_changes_its_tag(deployment: Deployment) -> None:
    store = deployment.database
    run = await life.settled_run(store)
    seen = [await etag(deployment, run.id)]
    await store.write(submitting.change_tags, run.id, {"client": "acme"}, "key:backend", life.at(70))
    seen.append(await etag(deployment, run.id))
    await life.settle(store, await life.get_run(store, run.id), life.result(body=b'{"version":2}'), life.at(80))
    seen.append(await etag(deployment, run.id))
    await store.write(submitting.request_refresh, run.id, life.at(90))
    seen.append(await etag(deployment, run.id))
    assert None not in seen
    assert len(set(seen)) == len(seen)


async def test_the_tag_changes_with_the_notification_of_the_backend(deployment: Deployment) -> None:
    store = deployment.database
    run = await life.settled_run(store)
    seen = [await etag(deployment, run.id)]
    await store.write(notifications.insert, notifications.Notification(run.id, "evt_1", b"{}", life.at(64)))
    seen.append(await etag(deployment, run.id))
    await store.write(notifications.record_attempt, run.id, notifications.Attempt(life.at(70), 503, "busy"))
    seen.append(await etag(deployment, run.id))
    assert len(set(seen)) == 3
