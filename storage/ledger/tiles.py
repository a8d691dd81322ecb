"""The tiles of the log as `tlog-tiles` 0.1.0 of C2SP serves them, up to the size of the newest checkpoint."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from sqlalchemy import Connection, select

from storage.ledger import checkpoints, tree
from storage.tables.ledger import LEDGER_ENTRIES

#: The row that stands for the entries themselves.
ENTRIES = -1
_PATH = re.compile(
    r"(?P<row>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<high>(?:x[0-9]{3}/)*)(?P<low>[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)
#: The most parts of a number: 2^63 has seven.
_PARTS = 7


class Tile(NamedTuple):
    """A tile: its row, its number in the row, and how many of its hashes or entries are asked for."""

    row: int
    number: int
    width: int

    @property
    def is_whole(self) -> bool:
        """Return whether the tile will never change."""
        return self.width == tree.WIDTH


def parse(path: str) -> Tile | None:
    """Return the tile of a path such as `0/x001/067` or `entries/000.p/12`; None for any other spelling."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    high = found["high"].removesuffix("/").split("/") if found["high"] else []
    if len(high) >= _PARTS or (high and high[0] == "x000"):
        return None
    number = int("".join(part[1:] for part in high) + found["low"])
    width = int(found["width"] or tree.WIDTH)
    if width > tree.WIDTH or found["width"] == str(tree.WIDTH):
        return None
    return Tile(ENTRIES if found["row"] == "entries" else int(found["row"]), number, width)


def read(connection: Connection, tile: Tile) -> bytes | None:
    """Return the bytes of a tile; None where the newest checkpoint does not have all of it."""
    newest = checkpoints.newest(connection)
    row, first = max(tile.row, 0), tile.number * tree.WIDTH
    if newest is None or first + tile.width > newest.size >> row * tree.HEIGHT:
        return None
    if tile.row != ENTRIES:
        return b"".join(checkpoints.hashes(connection, row, first, tile.width))
    index = LEDGER_ENTRIES.c.leaf_index
    wanted = select(LEDGER_ENTRIES.c.body).where(index.between(first, first + tile.width - 1)).order_by(index)
    return b"".join(_with_length(body.encode()) for body in connection.execute(wanted).scalars())


def _with_length(entry: bytes) -> bytes:
    return struct.pack(">H", len(entry)) + entry
