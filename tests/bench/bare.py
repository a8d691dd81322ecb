"""The peer: a bare Starlette handler that reads, verifies and parses, and stores nothing."""

from __future__ import annotations

import sys
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.crypto import signatures
from receiver.inbound import payload_hints


def app(secret: signatures.Secret) -> Starlette:
    """Return an application with one route."""

    async def receive(request: Request) -> Response:
        body = await request.body()
        check = signatures.Check(signatures.signature_headers(request.headers), [secret])
        check.update(body)
        check.verified(time.time())
        payload_hints.event(body)
        return Response(status_code=204)

    return Starlette(routes=[Route("/webhooks/case", receive, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        app(signatures.decode(sys.argv[2])), port=int(sys.argv[1]), log_config=None, access_log=False, ws="none"
    )
