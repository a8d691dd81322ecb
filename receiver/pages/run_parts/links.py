"""Addresses of a run and its steps, which keep the list that led there; and a run as a command."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Any

from receiver.pages import requests
from storage.query import query_text

#: The parameters that name the list: its question and its order.
_LIST = ("list", "sort")


def functions(given: requests.PageRequest, run_id: str) -> dict[str, Any]:
    """Return the functions by which templates make addresses."""
    return {
        "link": partial(run, given, run_id),
        "run_link": partial(run, given),
        "step_link": partial(step, given, run_id),
        "link_below": partial(below, given, run_id),
        "filter_link": partial(filtered, given),
        "list_link": runs(given),
        "list_name": given.parameter("list"),
    }


def run(given: requests.PageRequest, run_id: str, /, **parameters: Any) -> str:
    """Return the address of a run."""
    return given.url(f"/runs/{run_id}", {**parameters, **_list(given)})


def step(given: requests.PageRequest, run_id: str, position: int, /, rest: str = "", **parameters: Any) -> str:
    """Return the address of a step, or of something below it."""
    return given.url(f"/runs/{run_id}/steps/{position}{rest}", {**parameters, **({} if rest else _list(given))})


def runs(given: requests.PageRequest) -> str:
    """Return the address of the list."""
    return given.url("/runs", {"q": given.parameter("list"), "sort": given.parameter("sort")})


def below(given: requests.PageRequest, run_id: str, name: str, /, **parameters: Any) -> str:
    """Return the address of what belongs to a run: a file, an act, its live changes."""
    return given.url(f"/runs/{run_id}/{name}", parameters)


def filtered(given: requests.PageRequest, name: str, value: str) -> str:
    """Return the address of the runs with a value."""
    return given.url("/runs", {"q": query_text.equals(name, value)})


def _list(given: requests.PageRequest) -> dict[str, str]:
    return {name: given.parameter(name) for name in _LIST}


def copies(given: requests.PageRequest, run_id: str) -> list[tuple[str, str, str]]:
    """Return a run as a link, as a call of the API, and as a command: name, text, and what it needs."""
    scheme = "https" if given.is_encrypted else given.request.url.scheme
    base = f"{scheme}://{given.request.url.netloc}"
    address = shlex.quote(f"{base}{given.url(f'/v1/runs/{run_id}')}")
    return [
        ("Link", f"{base}{given.url(f'/runs/{run_id}')}", "for people who may sign in here"),
        ("curl", f'curl -sS -H "Authorization: Bearer $KEY" {address}', "KEY is the text of an API key"),
        ("Command", f"runledger show {run_id}", "on the server’s machine"),
    ]
