"""The JSON API, a file for each resource; `OPERATIONS` holds all operations."""

from __future__ import annotations

from receiver.api import (
    bulk_actions,
    changes,
    deliveries,
    export,
    health,
    jobs,
    keys,
    run_changes,
    run_events,
    runs,
    sql,
    stats,
    submissions,
    views,
)
from receiver.api.proof import erasures, evidence, holds, ledger, receipts, reviews
from receiver.schemas import responses
from receiver.web import operations

#: The public endpoints, which `receiver/inbound/endpoints.py` serves.
_PUBLIC = (
    operations.Operation(
        "POST",
        "/callbacks/{token}",
        "Receive a watcher's callback; the token in its address is the proof",
        None,
        {200: responses.Receipt},
        problems=(408, 413),
        tag="public",
        name="receive_callback",
    ),
    operations.Operation(
        "GET",
        "/callbacks/{token}",
        "Check whether a callback address belongs to this deployment; change nothing",
        None,
        {204: None},
        problems=(405,),
        tag="public",
        name="check_callback",
    ),
    operations.Operation(
        "POST",
        "/webhooks/case",
        "Receive a signed platform event",
        None,
        {200: responses.Receipt},
        problems=(401, 408, 413),
        tag="public",
        name="receive_event",
    ),
)
_RESOURCES = (
    submissions,
    runs,
    run_changes,
    reviews,
    run_events,
    export,
    bulk_actions,
    views,
    deliveries,
    jobs,
    stats,
    sql,
    changes,
    keys,
    ledger,
    receipts,
    evidence,
    holds,
    erasures,
    health,
)
OPERATIONS = (*(operation for resource in _RESOURCES for operation in resource.router.operations), *_PUBLIC)
