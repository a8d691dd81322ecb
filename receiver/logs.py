"""Where the log lines of a process go, and in which form."""

from __future__ import annotations

import io
import logging
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


def configure(log_format: str, level: str) -> None:
    """Send our log lines and those of libraries to stderr, in one form: `json` or `console`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if log_format == "console":
        # A plain traceback: a rich one prints local variables, and with them prompts and keys.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx2", "httpcore2", "uvicorn.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
