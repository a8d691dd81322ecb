"""The API keys: make, list and revoke them."""

from __future__ import annotations

from receiver import errors
from receiver.schemas import bodies, management
from receiver.web import authentication, operations
from storage.repositories import api_keys
from storage.transitions import api_key_changes

Plain = operations.Call[None, None]
Making = operations.Call[None, bodies.KeyRequest]

router = operations.Router("keys")


@router.operation("GET", "/v1/keys", "List API keys", {200: management.Keys}, authentication.Scope.ADMIN)
async def list_keys(call: Plain) -> operations.Answer:
    """Answer with every key, oldest first, without their secrets."""
    found = await call.database.read(api_keys.list_all)
    keys = [management.Key.model_validate(each) for each in found]
    return operations.Answer(200, management.Keys(has_more=False, next_cursor=None, keys=keys))


@router.operation(
    "GET", "/v1/caller", "Show whose API key this is", {200: management.Caller}, authentication.Scope.READ
)
async def get_caller(call: Plain) -> operations.Answer:
    """Answer with the name and the scopes of the key of this request."""
    return operations.Answer(200, management.Caller(name=call.caller.name, scopes=sorted(call.caller.scopes)))


@router.operation(
    "POST", "/v1/keys", "Create an API key", {201: management.NewKey}, authentication.Scope.ADMIN, problems=(422,)
)
async def create_key(call: Making) -> operations.Answer:
    """Make a key; its text is in this answer and nowhere else."""
    key, text = authentication.mint(call.body.name, call.body.scopes, call.now)
    await call.database.write(api_key_changes.create_key, key, call.caller.actor)
    shown = management.Key.model_validate(key).model_dump()
    return operations.Answer(201, management.NewKey(**shown, key=text))


@router.operation(
    "POST", "/v1/keys/{id}/revoke", "Revoke an API key", {200: management.Key}, authentication.Scope.ADMIN
)
async def revoke_key(call: Plain) -> operations.Answer:
    """Revoke a key at once; one that was revoked before stays as it is."""
    key = await call.database.write(api_key_changes.revoke_key, call.ids["id"], call.now, call.caller.actor)
    if key is None:
        raise errors.NotFound("there is no key with that id")
    return operations.Answer(200, management.Key.model_validate(key))
