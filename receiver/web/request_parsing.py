"""Parsing of requests: any bytes become either checked values or a RequestError."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

import pydantic_core
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from receiver import errors
from receiver.schemas import query_parameters, text_types
from receiver.web import request_limits

M = TypeVar("M", bound=BaseModel)
Q = TypeVar("Q", bound=query_parameters.Query)

#: The least similarity (0 to 1) of an unknown name to a known one at which the known one is suggested.
SIMILARITY = 0.7
#: The most faults that are reported, and the most parameters and fields that a request may have.
FAULTS, PARAMETERS, FIELDS = 20, 100, 100

_ID = re.compile(text_types.ID)
# Possessive quantifiers (`*+`) match blanks without backtracking, which on 64 KiB of blanks would be quadratic.
_JSON = re.compile(r'application/json\s*+(;\s*+charset\s*+=\s*+"?utf-?8"?\s*+)?;?\s*+', re.IGNORECASE | re.ASCII)


def ids(parts: Mapping[str, Any], rest: str = "") -> dict[str, str]:
    """Return the path parameters, each an id but for the one named `rest`. Raises NotFound for anything else."""
    for name, value in parts.items():
        if name != rest and _ID.fullmatch(value) is None:
            raise errors.NotFound(f"the {name} in the path is not an id")
    return dict(parts)


def parameters(raw: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a query string, each of which may occur once. Raises BadParameter."""
    found = pairs(raw)
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise errors.BadParameter(name[:80], "is given more than once")
    return found


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a query string. Raises BadParameter."""
    if not raw:
        return []
    try:
        found = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS)
    except ValueError:
        raise errors.BadParameter("query", "is not UTF-8, or has too many parameters") from None
    for name, value in found:
        if "\x00" in value:
            raise errors.BadParameter(name[:80], "contains the character NUL")
    return found


def query(model: type[Q] | None, pairs: Sequence[tuple[str, str]]) -> Q | None:
    """Return the parameters as `model`, or None for an operation without parameters.

    Raises BadParameter, which names the known parameter that was likely similar.
    """
    if model is None:
        for name, _ in pairs:
            raise errors.BadParameter(name[:80], "is unknown: this operation takes no parameters")
        return None
    given: dict[str, Any] = {}
    known = [name for name in model.model_fields if name not in model.PREFIXES.values()]
    for name, value in pairs:
        prefix = next((prefix for prefix in model.PREFIXES if name.startswith(prefix)), None)
        if prefix is not None:
            given.setdefault(model.PREFIXES[prefix], {})[name.removeprefix(prefix)] = value
        elif name in known:
            given[name] = value
        else:
            similar = _similar(name, [*known, *model.PREFIXES])
            hint = f"; did you mean {similar}?" if similar else ""
            raise errors.BadParameter(name[:80], f"is unknown{hint}", similar)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _bad_parameter(error, model) from None


def _similar(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name[:80].lower(), list(known), n=1, cutoff=SIMILARITY)), None)


def _bad_parameter(error: ValidationError, model: type[query_parameters.Query]) -> errors.BadParameter:
    fault = error.errors(include_url=False, include_input=False)[0]
    name = str(fault["loc"][0])
    prefix = next((prefix for prefix, field in model.PREFIXES.items() if field == name), None)
    if prefix is not None:
        name = prefix + str(fault["loc"][1] if len(fault["loc"]) > 1 else "<key>")
    return errors.BadParameter(name[:80], _message(fault))


async def body(request: Request, model: type[M], limit: int, seconds: float, lease: request_limits.BodyLease) -> M:
    """Return the body as `model`. Raises the RequestError that says what is wrong, and ClientDisconnect."""
    raw = await raw_body(request, limit, seconds, lease)
    if not raw:
        raise errors.BadBody("the body is missing")
    _demand_json(request)
    return checked(raw, model)


async def raw_body(request: Request, limit: int, seconds: float, lease: request_limits.BodyLease) -> bytes:
    """Return the bytes of a body. Raises BodyTooLarge, BodyTooSlow, TooManyBodies, ClientDisconnect."""
    incoming = request_limits.Body(request.receive, request.headers.get("content-length", ""))
    with lease.reading(seconds):
        raw = await incoming.read(limit, lease)
    if incoming.exceeds(limit):
        raise errors.BodyTooLarge(limit)
    return raw


def checked(raw: bytes, model: type[M]) -> M:
    """Return the bytes of a body as `model`. Raises BadBody, InvalidBody."""
    try:
        return model.model_validate(_parsed(raw))
    except ValidationError as error:
        raise errors.InvalidBody(_faults(error, model)) from None


def _demand_json(request: Request) -> None:
    if _JSON.fullmatch(request.headers.get("content-type", "")) is None:
        raise errors.WrongMediaType("the body must be JSON in UTF-8, with the Content-Type application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise errors.WrongMediaType("the body must not be compressed")


def _parsed(raw: bytes) -> object:
    """Parse JSON strictly by RFC 8259: UTF-8 only, no NaN, no lone surrogates, no excessive nesting."""
    try:
        parsed = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        hint = "; \\ud800 to \\udfff are valid only as surrogate pairs" if "hex escape" in str(error) else ""
        raise errors.BadBody(f"the body is not JSON: {error}{hint}") from None
    if isinstance(parsed, dict) and len(parsed) > FIELDS:
        raise errors.BadBody(f"the body has {len(parsed)} fields, more than {FIELDS}")
    return parsed


def _faults(error: ValidationError, model: type[BaseModel]) -> list[errors.Fault]:
    names = {name: str(field.validation_alias or name) for name, field in model.model_fields.items()}
    faults = error.errors(include_url=False, include_input=False)[:FAULTS]
    return [errors.Fault(_pointer(_location(each, names)), _detail(each, names.values())) for each in faults]


def _location(fault: pydantic_core.ErrorDetails, names: Mapping[str, str]) -> Sequence[str | int]:
    """Return the location of a fault as the body spells it: a missing field has its JSON name."""
    if fault["type"] == "extra_forbidden" or not fault["loc"]:
        return fault["loc"]
    first, *rest = fault["loc"]
    return [names.get(str(first), first), *rest]


def _detail(fault: pydantic_core.ErrorDetails, known: Iterable[str]) -> str:
    if fault["type"] != "extra_forbidden":
        return _message(fault)
    similar = _similar(str(fault["loc"][-1]), known)
    return f"is unknown; did you mean {similar}?" if similar else "is unknown"


def _message(fault: pydantic_core.ErrorDetails) -> str:
    """Return the message of a fault in plain words. Rare faults keep pydantic's message."""
    limits = fault.get("ctx", {})
    match fault["type"]:
        case "too_short" | "string_too_short":
            least = limits["min_length"]
            return "is empty" if least == 1 else f"needs at least {least} {_unit(limits)}"
        case "too_long" | "string_too_long":
            return f"is longer than {limits['max_length']} {_unit(limits)}"
        case "model_type" | "dict_type":
            return "must be an object"
        case "string_pattern_mismatch" if limits["pattern"] == text_types.ID:
            return "may hold letters, digits, _ and - only, 1 to 128 of them"
    return fault["msg"].removeprefix("Value error, ")


def _unit(limits: Mapping[str, object]) -> str:
    """Return what a length limit counts. A text that our own validator has checked has the type `Value`."""
    return "characters" if limits.get("field_type", "Value") == "Value" else "entries"


def _pointer(place: Sequence[str | int]) -> str:
    """Return a location as a JSON pointer in a URI fragment (RFC 6901, section 6): `#/tags/a~1b`.

    The part `[key]`, which pydantic adds for the keys of objects, is no part of the body.
    """
    parts = [str(part)[:80] for part in place if part != "[key]"]
    return "#" + "".join(
        "/" + quote(part.replace("~", "~0").replace("/", "~1"), errors="replace") for part in parts
    )
