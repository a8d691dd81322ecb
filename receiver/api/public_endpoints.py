"""The description of the public endpoints, which `receiver/inbound/endpoints.py` serves."""

from __future__ import annotations

from receiver.schemas import responses
from receiver.web import operations

OPERATIONS = (
    operations.Operation(
        "POST",
        "/callbacks/{token}",
        "A watcher's callback; the token in its address is the proof",
        None,
        {200: responses.Receipt},
        problems=(408, 413),
        tag="public",
        name="receive_callback",
    ),
    operations.Operation(
        "GET",
        "/callbacks/{token}",
        "Whether a callback address belongs to this deployment; nothing is changed",
        None,
        {204: None},
        problems=(405,),
        tag="public",
        name="check_callback",
    ),
    operations.Operation(
        "POST",
        "/webhooks/case",
        "A signed platform event",
        None,
        {200: responses.Receipt},
        problems=(401, 408, 413),
        tag="public",
        name="receive_event",
    ),
)
