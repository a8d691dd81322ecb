"""From bytes to checked values. Whatever the bytes, the answer is a value or a RequestError."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

import pydantic_core
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from receiver import admission, errors, shapes

M = TypeVar("M", bound=BaseModel)
Q = TypeVar("Q", bound=shapes.Query)

#: How alike a name must be to one that is known to be taken for a slip.
LIKENESS = 0.7
#: Faults that are told, parameters and fields that are looked at: more of them are nobody's mistake.
FAULTS, PARAMETERS, FIELDS = 20, 100, 100

_ID = re.compile(shapes.ID)
# Blanks are taken for good (`*+`): where two stretches can meet, 64 KiB of them could be divided in as many ways.
_JSON = re.compile(r'application/json\s*+(;\s*+charset\s*+=\s*+"?utf-?8"?\s*+)?;?\s*+', re.IGNORECASE | re.ASCII)


def ids(parts: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a path, each an id. Raises NotFound for anything else."""
    for name, value in parts.items():
        if _ID.fullmatch(value) is None:
            raise errors.NotFound(f"what stands for {name} in the path is no id")
    return dict(parts)


def parameters(raw: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string, each once. Raises BadParameter."""
    try:
        found = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS)
    except ValueError:
        raise errors.BadParameter("query", "is not UTF-8, or has too many parameters") from None
    names = [name for name, _ in found]
    for name, value in found:
        if names.count(name) > 1:
            raise errors.BadParameter(name[:80], "stands there more than once")
        if "\x00" in value:
            raise errors.BadParameter(name[:80], "holds the character NUL")
    return found


def query(model: type[Q] | None, found: Sequence[tuple[str, str]]) -> Q | None:
    """The parameters as the operation takes them, None where it takes none.

    Raises BadParameter, with a known name that was likely meant.
    """
    if model is None:
        for name, _ in found:
            raise errors.BadParameter(name[:80], "is unknown; there are no parameters here")
        return None
    given: dict[str, Any] = {}
    known = [name for name in model.model_fields if name not in model.PREFIXES.values()]
    for name, value in found:
        prefix = next((prefix for prefix in model.PREFIXES if name.startswith(prefix)), None)
        if prefix is not None:
            given.setdefault(model.PREFIXES[prefix], {})[name.removeprefix(prefix)] = value
        elif name in known:
            given[name] = value
        else:
            raise _unknown(name, [*known, *model.PREFIXES])
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _bad_parameter(error, model) from None


def _unknown(name: str, known: Iterable[str]) -> errors.BadParameter:
    meant = _meant(name, known)
    hint = f"; did you mean {meant}?" if meant else ""
    return errors.BadParameter(name[:80], f"is unknown{hint}", meant)


def _meant(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name[:80].lower(), list(known), n=1, cutoff=LIKENESS)), None)


def _bad_parameter(error: ValidationError, model: type[shapes.Query]) -> errors.BadParameter:
    fault = error.errors(include_url=False, include_input=False)[0]
    name = str(fault["loc"][0])
    prefix = next((prefix for prefix, field in model.PREFIXES.items() if field == name), None)
    if prefix is not None:
        name = prefix + str(fault["loc"][1] if len(fault["loc"]) > 1 else "<key>")
    return errors.BadParameter(name[:80], _said(fault))


async def body(request: Request, model: type[M], limit: int, seconds: float, place: admission.Place) -> M:
    """The body as the operation takes it. Raises the RequestError that says what is wrong with it."""
    raw = await _read(request, limit, seconds, place)
    if not raw:
        raise errors.BadBody("the body is missing")
    _demand_json(request)
    try:
        return model.model_validate(_parsed(raw))
    except ValidationError as error:
        raise errors.InvalidBody(_faults(error, model)) from None


async def _read(request: Request, limit: int, seconds: float, place: admission.Place) -> bytes:
    """All of it, as long as it keeps to the limits; what is declared is not trusted, but saves the reading."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise errors.BodyTooLarge(limit)
    read = bytearray()
    try:
        async with place.reading(seconds):
            async for chunk in request.stream():
                place.take(len(chunk))
                read += chunk
                if len(read) > limit:
                    raise errors.BodyTooLarge(limit)
    except TimeoutError:
        raise errors.BodyTooSlow(f"the body took longer than {seconds:g} s") from None
    return bytes(read)


def _demand_json(request: Request) -> None:
    if _JSON.fullmatch(request.headers.get("content-type", "")) is None:
        raise errors.WrongMediaType("the body must be application/json in UTF-8, and the Content-Type say so")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise errors.WrongMediaType("the body must not be compressed")


def _parsed(raw: bytes) -> Any:
    """RFC 8259 to the letter: no NaN, no other encoding, no half surrogates, no deeper than the parser goes."""
    try:
        parsed = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        hint = "; \\ud800 to \\udfff are no characters but in pairs" if "hex escape" in str(error) else ""
        raise errors.BadBody(f"the body is not JSON: {error}{hint}") from None
    if isinstance(parsed, dict) and len(parsed) > FIELDS:
        raise errors.BadBody(f"the body has {len(parsed)} fields")
    return parsed


def _faults(error: ValidationError, model: type[BaseModel]) -> list[errors.Fault]:
    names = {name: str(field.validation_alias or name) for name, field in model.model_fields.items()}
    faults = error.errors(include_url=False, include_input=False)[:FAULTS]
    return [errors.Fault(_pointer(_place(each, names)), _detail(each, names.values())) for each in faults]


def _place(fault: pydantic_core.ErrorDetails, names: Mapping[str, str]) -> Sequence[str | int]:
    """Where it is, as the body spells it: a field that is not there goes by our own name."""
    if fault["type"] == "extra_forbidden" or not fault["loc"]:
        return fault["loc"]
    first, *rest = fault["loc"]
    return [names.get(str(first), first), *rest]


def _detail(fault: pydantic_core.ErrorDetails, known: Iterable[str]) -> str:
    if fault["type"] != "extra_forbidden":
        return _said(fault)
    meant = _meant(str(fault["loc"][-1]), known)
    return f"is unknown; did you mean {meant}?" if meant else "is unknown"


def _said(fault: pydantic_core.ErrorDetails) -> str:
    """What is wrong in plain words; what is rare stays in pydantic's."""
    limits = fault.get("ctx", {})
    match fault["type"]:
        case "too_short" | "string_too_short":
            least = limits["min_length"]
            return "is empty" if least == 1 else f"needs at least {least} {_unit(limits)}"
        case "too_long" | "string_too_long":
            return f"is longer than {limits['max_length']} {_unit(limits)}"
        case "model_type" | "dict_type":
            return "must be an object"
        case "string_pattern_mismatch" if limits["pattern"] == shapes.ID:
            return "may hold letters, digits, _ and - only, 1 to 128 of them"
    return fault["msg"].removeprefix("Value error, ")


def _unit(limits: Mapping[str, Any]) -> str:
    """What is counted: a text that a function of ours has looked at is a mere value to pydantic."""
    return "characters" if limits.get("field_type", "Value") == "Value" else "entries"


def _pointer(place: Sequence[str | int]) -> str:
    """RFC 6901, section 6: `#/tags/a~1b`. What pydantic adds for keys of objects is no part of the body."""
    parts = [str(part)[:80] for part in place if part != "[key]"]
    return "#" + "".join(
        "/" + quote(part.replace("~", "~0").replace("/", "~1"), errors="replace") for part in parts
    )
