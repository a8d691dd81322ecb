"""The public endpoints as the description tells them. `receiver/callbacks.py` answers them."""

from __future__ import annotations

from receiver import endpoint, shapes

OPERATIONS = (
    endpoint.Operation(
        "POST",
        "/callbacks/{token}",
        "A watcher's callback; its address, made by us, is the proof",
        None,
        {200: shapes.Receipt},
        problems=(408, 413),
        tag="public",
        name="receive_callback",
    ),
    endpoint.Operation(
        "GET",
        "/callbacks/{token}",
        "Whether a callback address is one of this installation; nothing is changed",
        None,
        {204: None},
        problems=(405,),
        tag="public",
        name="check_callback",
    ),
    endpoint.Operation(
        "POST",
        "/webhooks/case",
        "A signed platform event",
        None,
        {200: shapes.Receipt},
        problems=(401, 408, 413),
        tag="public",
        name="receive_event",
    ),
)
