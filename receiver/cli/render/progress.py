"""Progress bars, which appear only on a terminal. A module of its own, since its imports are slow."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from rich.progress import Progress, ProgressColumn

from receiver.cli.render import terminal


@contextlib.contextmanager
def bar(description: str, total: float | None, *columns: ProgressColumn) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error for the block, where that is a terminal.

    Yields a function that takes `completed`, `advance`, `total` and `description`.
    """
    out = terminal.console(to_stderr=True)
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as progress:
        yield functools.partial(progress.update, progress.add_task(description, total=total))
