"""Random bytes of the operating system, drawn in advance.

Each draw releases Python's lock, and a busy thread makes it slow to get back. An event needs four draws.
"""

from __future__ import annotations

import os
import threading

#: Bytes of one draw.
SIZE = 4096


class _Buffer(threading.local):
    drawn = b""
    used = 0


_buffer = _Buffer()


def take(size: int) -> bytes:
    """Return random bytes, which are handed out once. `size` is at most SIZE."""
    end = _buffer.used + size
    if end > len(_buffer.drawn):
        _buffer.drawn, end = os.urandom(SIZE), size
    _buffer.used = end
    return _buffer.drawn[end - size : end]


def _forget() -> None:
    """Forget what is drawn: a forked process would hand out the same bytes as its parent."""
    _buffer.drawn, _buffer.used = b"", 0


os.register_at_fork(after_in_child=_forget)
