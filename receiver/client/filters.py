"""The parameters of lists, by the names of the API.

Made from the OpenAPI description by `make docs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class RunsFilters(TypedDict, total=False):
    """Parameters; several values of one are alternatives."""

    status: str | Sequence[str]
    agent: str | Sequence[str]
    model: str | Sequence[str]
    origin: str | Sequence[str]
    settled_by: str | Sequence[str]
    review: str | Sequence[str]
    tags: Mapping[str, str]
    accepted: str
    created: str
    settled: str
    cost: str
    duration: str
    tokens: str
    tool: str | Sequence[str]
    has: str | Sequence[str]
    q: str
    sort: str
    limit: int
    count: bool


class DeliveriesFilters(TypedDict, total=False):
    """Parameters; several values of one are alternatives."""

    run: str
    verdict: str
    source: str
    limit: int


class JobsFilters(TypedDict, total=False):
    """Parameters; several values of one are alternatives."""

    kind: str
    run: str
    state: str
    limit: int


class ChangesFilters(TypedDict, total=False):
    """Parameters; several values of one are alternatives."""

    status: str | Sequence[str]
    agent: str | Sequence[str]
    model: str | Sequence[str]
    origin: str | Sequence[str]
    settled_by: str | Sequence[str]
    review: str | Sequence[str]
    tags: Mapping[str, str]
    accepted: str
    created: str
    settled: str
    cost: str
    duration: str
    tokens: str
    tool: str | Sequence[str]
    has: str | Sequence[str]
    q: str
    after: int
    limit: int
    kind: str | Sequence[str]


class StatsFilters(TypedDict, total=False):
    """Parameters; several values of one are alternatives."""

    status: str | Sequence[str]
    agent: str | Sequence[str]
    model: str | Sequence[str]
    origin: str | Sequence[str]
    settled_by: str | Sequence[str]
    review: str | Sequence[str]
    tags: Mapping[str, str]
    accepted: str
    created: str
    settled: str
    cost: str
    duration: str
    tokens: str
    tool: str | Sequence[str]
    has: str | Sequence[str]
    q: str
    by: str


class ExportFilters(TypedDict, total=False):
    """Parameters; several values of one are alternatives."""

    status: str | Sequence[str]
    agent: str | Sequence[str]
    model: str | Sequence[str]
    origin: str | Sequence[str]
    settled_by: str | Sequence[str]
    review: str | Sequence[str]
    tags: Mapping[str, str]
    accepted: str
    created: str
    settled: str
    cost: str
    duration: str
    tokens: str
    tool: str | Sequence[str]
    has: str | Sequence[str]
    q: str
    format: str
    documents: bool
    trailer: bool
    bom: bool
    after: str
