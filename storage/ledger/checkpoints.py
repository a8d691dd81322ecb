"""Checkpoints: the signed roots of the tree over the numbered entries.

One transaction signs at a time, and only what continues the checkpoint before it. A checkpoint is for the entries
that it was made of: once one of them is another, `sign_next` signs nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import BindParameter, Connection, bindparam, delete, select

from storage import errors, merkle
from storage.engine import dialect, prepared, writer
from storage.ledger import entries, forms, tree
from storage.tables.ledger import (
    LEDGER_CHECKPOINTS,
    LEDGER_COSIGNATURES,
    LEDGER_ENTRIES,
    LEDGER_NODES,
    LEDGER_REPORTS,
)

#: The most entries by which one checkpoint extends the tree, so that the writer is free again after a while.
BATCH = 20_000

#: Returns the lines of signatures under a text.
Sign = Callable[[str], Sequence[str]]
#: Raises HistoryChanged where nothing may be signed.
Require = Callable[[Connection], None]


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint as it is stored."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


def has_unsigned(connection: Connection) -> bool:
    """Return whether the newest checkpoint is not for the entries that have a number."""
    last = newest(connection)
    return entries.last_number(connection) + 1 != (last.size if last else 0)


def newest(connection: Connection) -> Checkpoint | None:
    """Return the checkpoint of the largest tree; None where nothing was signed yet."""
    row = _NEWEST.first(connection, {})
    return None if row is None else Checkpoint(*row)


def find(connection: Connection, size: int | None) -> Checkpoint | None:
    """Return the checkpoint of a size; None where there is none, or it is not kept."""
    row = _OF_SIZE.first(connection, {"size": size})
    return None if row is None else Checkpoint(*row)


def sign_next(
    connection: Connection,
    origin: str,
    sign: Sign,
    now: datetime,
    limit: int = BATCH,
    require: Require | None = None,
) -> Checkpoint | None:
    """Extend the tree by up to `limit` entries that were numbered since, sign its root, and return the checkpoint.

    Return None where there is nothing to sign, or another process is signing. Raises HistoryChanged where the
    entries below the last checkpoint are no longer those that it was signed for, as `require` may, which is called
    before something is signed.
    """
    if not dialect.try_acquire_lock(connection, "checkpoint"):
        return None
    last = newest(connection)
    old, size = last.size if last else 0, entries.last_number(connection) + 1
    if size < old:
        raise errors.HistoryChanged(f"the ledger has {size} entries, and a checkpoint of {old} was signed")
    if size == old:
        return None
    if require is not None:
        require(connection)
    size = min(size, old + limit)
    _extend(connection, old, size)
    grown = open_tree(connection, size)
    if last and grown.root(old) != last.root:
        raise errors.HistoryChanged(f"the first {old} entries are not those of the checkpoint that was signed")
    text = forms.checkpoint_text(origin, size, root := grown.root())
    made = Checkpoint(size, root, forms.signed(text, sign(text)), now)
    connection.execute(LEDGER_CHECKPOINTS.insert(), [msgspec.structs.asdict(made)])
    _remove_earlier(connection, made)
    writer.leave_no_work(connection)
    return made


def _remove_earlier(connection: Connection, made: Checkpoint) -> None:
    """Remove the earlier checkpoints of this hour, but for those that a witness has signed or is asked for."""
    began = made.signed_at.replace(minute=0, second=0, microsecond=0)
    earlier = LEDGER_CHECKPOINTS.c.size < made.size, LEDGER_CHECKPOINTS.c.signed_at >= began
    reported = select(LEDGER_REPORTS.c.size).where(LEDGER_REPORTS.c.size.is_not(None))
    kept = select(LEDGER_COSIGNATURES.c.size).union(reported)
    connection.execute(delete(LEDGER_CHECKPOINTS).where(*earlier, LEDGER_CHECKPOINTS.c.size.not_in(kept)))


def open_tree(connection: Connection, size: int) -> tree.Tree:
    """Return the tree over the first entries, which reads what it needs."""

    def read(row: int, first: int, count: int) -> Sequence[bytes]:
        return hashes(connection, row, first, count)

    return tree.Tree(size, read)


def hashes(connection: Connection, row: int, first: int, count: int) -> list[bytes]:
    """Return hashes of a row of the tree from a position on; fewer where some are missing."""
    statement, parameters = (_NODES, {"row": row}) if row else (_LEAVES, {})
    found = statement.all(connection, {**parameters, "first": first, "last": first + count - 1})
    return [bytes(value) for at, (place, value) in enumerate(found, first) if at == place]


def _extend(connection: Connection, old: int, size: int) -> None:
    """Store the hashes of the subtrees that became whole."""
    row = 0
    while tiles := tree.whole_tiles(row, old, size):
        above = []
        for tile in tiles:
            below = hashes(connection, row, tile * tree.WIDTH, tree.WIDTH)
            if len(below) < tree.WIDTH:
                raise errors.HistoryChanged(f"entries are missing from number {tile * tree.WIDTH << row * 8} on")
            above.append({"row": row + 1, "position": tile, "hash": merkle.root(below)})
        insert = dialect.insert(connection, LEDGER_NODES).on_conflict_do_nothing()
        connection.execute(insert, above)
        row += 1


_FIRST: BindParameter[int] = bindparam("first")
_LAST: BindParameter[int] = bindparam("last")
_LEAF, _NODE = LEDGER_ENTRIES.c, LEDGER_NODES.c
_LEAVES = prepared.Prepared(
    lambda _: (
        select(_LEAF.leaf_index, _LEAF.leaf_hash)
        .where(_LEAF.leaf_index.between(_FIRST, _LAST))
        .order_by(_LEAF.leaf_index)
    )
)
_NODES = prepared.Prepared(
    lambda _: (
        select(_NODE.position, _NODE.hash)
        .where(_NODE.row == bindparam("row"), _NODE.position.between(_FIRST, _LAST))
        .order_by(_NODE.position)
    )
)
_COLUMNS = [LEDGER_CHECKPOINTS.c[name] for name in ("size", "root", "note", "signed_at")]
_NEWEST = prepared.Prepared(lambda _: select(*_COLUMNS).order_by(LEDGER_CHECKPOINTS.c.size.desc()).limit(1))
_OF_SIZE = prepared.Prepared(lambda _: select(*_COLUMNS).where(LEDGER_CHECKPOINTS.c.size == bindparam("size")))
