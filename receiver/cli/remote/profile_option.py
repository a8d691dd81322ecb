"""The value of the option `--profile`, which stands before the command."""

from __future__ import annotations

from contextvars import ContextVar

GIVEN: ContextVar[str | None] = ContextVar("profile", default=None)
