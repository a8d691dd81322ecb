"""The service's checks of what it is sent; everything wrong is a Refusal with status 400."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

from receiver.sandbox import answers

_DEPTH = 64

Check = Callable[[object], bool]


def parsed(body: bytes) -> object:
    """The JSON value of a body: strict about NaN and infinities, at most 64 levels deep."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise answers.Refusal(400, "Invalid JSON body") from None
    if _too_deep(value):
        raise answers.Refusal(400, "JSON body is nested too deeply")
    return value


def fields(body: bytes, checks: Mapping[str, Check], required: Sequence[str] = ()) -> dict[str, object]:
    """The known fields of a JSON object, each of its right type; unknown fields are ignored."""
    value = parsed(body)
    if not isinstance(value, dict):
        raise answers.Refusal(400, "Request body must be a JSON object")
    missing = [name for name in required if value.get(name) in (None, "")]
    if missing:
        raise answers.Refusal(400, f"Missing required fields: {', '.join(missing)}")
    wrong = [name for name, check in checks.items() if name in value and not check(value[name])]
    if wrong:
        raise answers.Refusal(400, f"Invalid value for: {', '.join(wrong)}")
    return {name: value[name] for name in checks if name in value}


def limit(value: str | None, highest: int = 250) -> int:
    """The page size of a list call: 1 to `highest`, 50 where it is not given."""
    if value is None:
        return 50
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= highest:
        raise answers.Refusal(400, f"limit must be an integer between 1 and {highest}")
    return int(value)


def one_of(value: str | None, allowed: Sequence[str], name: str) -> str | None:
    """A query parameter that is one of a few words, or absent."""
    if value is not None and value not in allowed:
        raise answers.Refusal(400, f"{name} must be one of {', '.join(allowed)}")
    return value


def text(value: object) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def text_or_null(value: object) -> bool:
    """Whether it is text or null."""
    return value is None or isinstance(value, str)


def texts(value: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def texts_or_null(value: object) -> bool:
    """Whether it is a list of texts or null."""
    return value is None or texts(value)


def machine_or_null(value: object) -> bool:
    """The `sandbox` of an agent: cpu and memoryMiB, both positive integers."""
    if value is None:
        return True
    sizes = [value.get(name, 1) for name in ("cpu", "memoryMiB")] if isinstance(value, dict) else [None]
    return all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes)


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        level = [child for item in level if isinstance(item, (dict, list)) for child in _children(item)]
    return bool(level)


def _children(item: dict[str, object] | list[object]) -> Sequence[object]:
    return list(item.values()) if isinstance(item, dict) else item
