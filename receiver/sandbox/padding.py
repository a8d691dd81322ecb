"""Further steps in a run's details, so that the answer is as large as a test wants it, and quickly made."""

from __future__ import annotations

import functools
import json

#: Bytes of one further step at most.
STEP = 4 << 20
_FLOATS = ",".join(f"{number / 7:.12f}" for number in range(1, 4000))
_WORDS = "the clause on liability, the annex and the term of notice of the lease; " * 800
_BEFORE_STEPS = b'"steps":['


def padded(details: bytes, size: int) -> bytes:
    """Encoded details with `size` bytes of further steps, whose tool outputs are half floats, half words."""
    if not size:
        return details
    head, mark, tail = details.partition(_BEFORE_STEPS)
    between = b"" if tail.startswith(b"]") else b","
    return b"".join((head, mark, _steps(size), between, tail))


@functools.lru_cache(maxsize=2)
def _steps(size: int) -> bytes:
    sizes = [STEP] * (size // STEP) + [size % STEP]
    return b",".join(_step(number, each) for number, each in enumerate(sizes) if each)


def _step(number: int, size: int) -> bytes:
    half = size // 2
    floats = (_FLOATS + ",") * (half // len(_FLOATS)) + _FLOATS
    words = (_WORDS * (half // len(_WORDS) + 1))[:half]
    head = {"id": f"step_padding_{number}", "type": "tool_result", "toolName": "vault_read"}
    output = f'{{"scores":[{floats}],"text":{json.dumps(words)}}}'
    return (json.dumps(head, separators=(",", ":"))[:-1] + f',"toolOutput":{output}}}').encode("ascii")
