"""Saved views: whose they are, who sees them, who may change them."""

from __future__ import annotations

from typing import Any

import pytest

from storage import bounds
from tests.receiver.api.app_fixture import Deployment, problem
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

VIEW = {"name": "Failed last night", "question": "q=status:failed&sort=-cost", "columns": ["status", "tag.matter"]}


async def save(deployment: Deployment, scope: str = "read", **changes: Any) -> dict[str, Any]:
    response = await deployment.post("/v1/views", scope, json={**VIEW, **changes})
    assert response.status_code == 201, response.text
    saved: dict[str, Any] = response.json()
    return saved


async def names(deployment: Deployment, scope: str = "read") -> list[str]:
    return [each["name"] for each in (await deployment.get("/v1/views", scope)).json()["views"]]


async def test_a_view_is_seen_by_its_owner_and_a_shared_one_by_all(deployment: Deployment) -> None:
    saved = await save(deployment)
    assert (saved["owner"], saved["isShared"], saved["columns"]) == ("backend-read", False, VIEW["columns"])
    await save(deployment, name="All failures", isShared=True)
    assert await names(deployment) == ["All failures", "Failed last night"]
    assert await names(deployment, "admin") == ["All failures"]


async def test_a_view_is_replaced_and_deleted_by_its_owner(deployment: Deployment) -> None:
    path = f"/v1/views/{(await save(deployment))['id']}"
    replaced = await deployment.ask("PUT", path, "read", json={"name": "Costly", "question": "q=cost:>5"})
    assert (replaced.status_code, replaced.json()["columns"]) == (200, None)
    assert (await deployment.ask("DELETE", path, "read")).status_code == 204
    assert await names(deployment) == []
    problem(await deployment.ask("DELETE", path, "read"), 404)
    kinds = [(each.kind, each.actor) for each in await ledgers.entries(deployment.database, None)]
    assert [kind for kind, actor in kinds if actor == "key:backend-read"] == [
        "view.saved", "view.saved", "view.deleted",
    ]  # fmt: skip


async def test_the_view_of_another_is_hidden_or_not_to_be_changed_but_by_an_admin(deployment: Deployment) -> None:
    other = {"authorization": f"Bearer {await deployment.new_key('other', 'read')}"}
    for is_shared, status in ((False, 404), (True, 403)):
        path = f"/v1/views/{(await save(deployment, name=f'shared {is_shared}', isShared=is_shared))['id']}"
        problem(await deployment.client.request("DELETE", path, headers=other), status)
        problem(await deployment.client.request("PUT", path, headers=other, json=VIEW), status)
        assert (await deployment.ask("PUT", path, "admin", json={**VIEW, "name": path})).json()["owner"] == (
            "backend-read"
        )


async def test_a_name_is_given_once_by_each_owner(deployment: Deployment) -> None:
    await save(deployment)
    problem(await deployment.post("/v1/views", "read", json=VIEW), 409)
    other = await save(deployment, name="Other")
    problem(await deployment.ask("PUT", f"/v1/views/{other['id']}", "read", json=VIEW), 409)
    await save(deployment, "admin")


async def test_what_can_be_no_view_is_refused(deployment: Deployment) -> None:
    wrong: list[dict[str, Any]] = [
        {"name": ""}, {"name": " x"}, {"name": "a\u0007"}, {"name": "x" * 101}, {"question": "x" * 8193},
        {"columns": ["x"] * 51}, {"columns": [""]}, {"isShared": 1},
    ]  # fmt: skip
    for each in wrong:
        problem(await deployment.post("/v1/views", "read", json={**VIEW, **each}), 422)


async def test_an_owner_has_a_bounded_number_of_views(deployment: Deployment) -> None:
    for number in range(bounds.VIEWS):
        await save(deployment, name=f"View {number}")
    refused = problem(await deployment.post("/v1/views", "read", json=VIEW), 409)
    assert refused["type"] == "urn:runledger:problem:too-many-views"
