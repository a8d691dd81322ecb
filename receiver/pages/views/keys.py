"""The API keys: create one, whose text is shown once, revoke one, and end its sessions."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.web import authentication
from receiver.web.authentication import Scope
from storage.repositories import api_keys
from storage.transitions import api_key_changes

router = requests.Router()
#: What each scope allows, in words.
SCOPES = {
    Scope.SUBMIT: "Submit, watch, cancel and fetch again",
    Scope.READ: "See runs, deliveries, jobs and statistics",
    Scope.ADMIN: "Everything, these keys and SQL included",
}


@router.page("GET", "/keys", Scope.ADMIN)
async def show(given: requests.PageRequest) -> Response:
    """List the keys, the live ones first."""
    return await _page(given)


async def _page(given: requests.PageRequest, status: int = 200, **made: Any) -> Response:
    found = await given.database.read(api_keys.list_all)
    found.sort(key=lambda key: (key.revoked_at is not None, -key.created_at.timestamp()))
    values = {"new_key": "", "name": "", "chosen": ["read"], "fault": "", **made}
    return given.page("keys.html", status, keys=found, scopes=SCOPES, **values)


@router.page("POST", "/keys", Scope.ADMIN)
async def make(given: requests.PageRequest) -> Response:
    """Make a key and show its text, this once."""
    name, chosen = given.field("name").strip(), given.fields("scope")
    try:
        key, text = authentication.mint(name, chosen, given.now)
    except errors.InvalidKeyRequest as fault:
        return await _page(given, 422, name=name, chosen=chosen, fault=str(fault))
    await given.database.write(api_key_changes.create_key, key, given.caller.actor)
    return await _page(given, 201, new_key=text, name="", chosen=list(key.scopes))


@router.page("GET", "/keys/{id}/revoke", Scope.ADMIN)
async def ask_to_revoke(given: requests.PageRequest) -> Response:
    """Ask whether the key is to be revoked."""
    key = await given.database.look_up(api_keys.find, given.ids["id"])
    if key is None:
        raise errors.NotFound("there is no key with that id")
    return given.page("keys_revoke.html", key=key, is_own=given.visitor and given.visitor.session.key_id == key.id)


@router.page("POST", "/keys/{id}/revoke", Scope.ADMIN)
async def revoke(given: requests.PageRequest) -> Response:
    """Revoke the key at once."""
    key = await given.database.write(api_key_changes.revoke_key, given.ids["id"], given.now, given.caller.actor)
    if key is None:
        raise errors.NotFound("there is no key with that id")
    return given.redirect(given.url("/keys"), f"The key {key.name} is revoked.")


@router.page("POST", "/keys/{id}/sign-out", Scope.ADMIN)
async def end_sessions(given: requests.PageRequest) -> Response:
    """End all sessions of a key, whose text signs in again."""
    key = await given.database.write(api_key_changes.end_sessions, given.ids["id"], given.now, given.caller.actor)
    if key is None:
        raise errors.NotFound("there is no live key with that id")
    return given.redirect(given.url("/keys"), f"All sessions of the key {key.name} have ended.")
