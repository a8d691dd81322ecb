"""Share compiled statements between all engines of one kind.

Each test and each server has engines of its own, whose first use of a statement compiles it: that took longer than
what the tests are about.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event


class _Statements(dict[Any, Any]):
    """Compiled statements by SQLAlchemy's key, without the engine's dialect, which comes first in it."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)


_SHARED = {"sqlite": _Statements(), "postgresql": _Statements()}


def share() -> None:
    """Let every engine of this process, and of those forked from it, use the shared statements."""
    event.listen(Engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    connection.engine._compiled_cache = _SHARED[connection.dialect.name]
