"""API keys in the API."""

from __future__ import annotations

import pytest

from storage.ledger import entries
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def test_a_key_is_made_used_and_revoked(deployment: Deployment) -> None:
    made = await deployment.post("/v1/keys", "admin", json={"name": "ci", "scopes": ["read"]})
    assert made.status_code == 201
    bearer = {"authorization": f"Bearer {made.json()['key']}"}
    assert (await deployment.client.get("/v1/runs", headers=bearer)).status_code == 200
    listed = (await deployment.get("/v1/keys", "admin")).json()["keys"]
    assert "ci" in {each["name"] for each in listed}
    assert not any("key" in each for each in listed)
    revoked = (await deployment.post(f"/v1/keys/{made.json()['id']}/revoke", "admin")).json()
    assert revoked["revokedAt"] is not None
    assert (await deployment.client.get("/v1/runs", headers=bearer)).status_code == 401


async def test_the_ledger_names_the_creator_of_a_key(deployment: Deployment) -> None:
    await deployment.post("/v1/keys", "admin", json={"name": "ci", "scopes": ["read"]})
    await deployment.database.write(entries.number, 100)
    entry = (await deployment.get("/v1/changes?kind=key.created")).json()["changes"][-1]
    assert (entry["actor"], entry["facts"]["name"]) == ("key:backend-admin", "ci")


async def test_a_key_without_a_known_scope_is_refused(deployment: Deployment) -> None:
    answer = await deployment.post("/v1/keys", "admin", json={"name": "ci", "scopes": ["all"]})
    assert problem(answer, 422)["errors"][0]["pointer"] == "#/scopes/0"
    problem(await deployment.post("/v1/keys/nothing/revoke", "admin"), 404)
