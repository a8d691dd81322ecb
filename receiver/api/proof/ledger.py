"""The tree of the ledger in the forms that programs of others read: C2SP `tlog-checkpoint` and `tlog-tiles`."""

from __future__ import annotations

from receiver import errors
from receiver.web import authentication, operations
from receiver.web.authentication import Scope
from storage.engine import column_types
from storage.ledger import proofs, tiles

Plain = operations.Call[None, None]
TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
#: Seconds for which a checkpoint may be kept, and a tile that never changes.
_BRIEFLY, _LONG = 5, 31_536_000

router = operations.Router("ledger")
#: The header that says when a checkpoint was signed; the note has no place for it.
SIGNED_AT = "runledger-signed-at"


@router.operation(
    "GET",
    "/v1/ledger/checkpoint",
    "The newest signed checkpoint",
    {200: "text/plain"},
    identifies_caller=True,
    problems=(401, 403, 404),
)
async def get_checkpoint(call: Plain) -> operations.Answer:
    """Answer with the note alone: origin, number of entries, root, and the lines of the signatures."""
    _demand_access(call)
    found = await call.database.read(proofs.newest_checkpoint)
    if found is None:
        raise errors.NotFound("no checkpoint was signed yet: a running server signs one a second after an entry")
    signed_at = {SIGNED_AT: column_types.instant_text(found.signed_at)}
    return operations.Answer(200, found.note.encode(), _kept(call, _BRIEFLY) | signed_at, TEXT)


@router.operation(
    "GET",
    "/v1/ledger/key",
    "The public keys of the ledger",
    {200: "text/plain"},
    identifies_caller=True,
    problems=(401, 403),
)
async def get_ledger_key(call: Plain) -> operations.Answer:
    """Answer with the verifier keys, newest first, a line each."""
    _demand_access(call)
    text = "".join(f"{key}\n" for key in call.context.ledger.keys)
    return operations.Answer(200, text.encode(), _kept(call, _BRIEFLY), TEXT)


@router.operation(
    "GET",
    "/v1/ledger/policy",
    "The policy by which proofs are checked",
    {200: "text/plain"},
    identifies_caller=True,
    problems=(401, 403),
)
async def get_ledger_policy(call: Plain) -> operations.Answer:
    """Answer with the keys, the witnesses and the quorum of this ledger (C2SP `tlog-policy`).

    An auditor takes it once, and elsewhere, and does not ask the server that is checked each time.
    """
    _demand_access(call)
    return operations.Answer(200, call.context.ledger.policy.text.encode(), _kept(call, _BRIEFLY), TEXT)


@router.operation(
    "GET",
    "/v1/ledger/tile/{tile}",
    "A tile of the tree, or a bundle of entries",
    {200: "application/octet-stream"},
    identifies_caller=True,
    problems=(401, 403, 404),
    rest="tile",
)
async def get_tile(call: Plain) -> operations.Answer:
    """Answer with 256 hashes, or with so many entries; the path is `0/x001/067`, `1/000.p/12` or `entries/000`."""
    _demand_access(call)
    wanted = tiles.parse(call.ids["tile"])
    found = None if wanted is None else await call.database.read(tiles.read, wanted)
    if wanted is None or found is None:
        raise errors.NotFound("the newest checkpoint has no such tile")
    return operations.Answer(200, found, _kept(call, _LONG if wanted.is_whole else _BRIEFLY), BYTES)


def _demand_access(call: Plain) -> None:
    if not call.context.ledger.is_open:
        authentication.require_scope(call.caller, Scope.READ)


def _kept(call: Plain, seconds: int) -> dict[str, str]:
    """Return the header that says how long an answer may be kept, by others too where the ledger is open."""
    who, how = "public" if call.context.ledger.is_open else "private", ", immutable" if seconds == _LONG else ""
    return {"cache-control": f"{who}, max-age={seconds}{how}"}
