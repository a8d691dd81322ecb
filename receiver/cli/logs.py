"""Where the log lines of a command go. A server configures its log in `telemetry`."""

from __future__ import annotations

import io
import sys
from typing import TextIO, cast

import structlog


class _Stderr(io.TextIOBase):
    """What `sys.stderr` is at the moment of each line."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)


def log_to_stderr() -> None:
    """Send our log lines to stderr where they would go to stdout: a command's stdout is its result."""
    if isinstance(structlog.get_config()["logger_factory"], structlog.PrintLoggerFactory):
        stderr = cast(TextIO, _Stderr())
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(stderr))
