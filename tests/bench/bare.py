"""The peer that stores nothing: bare Starlette handlers that read, verify and parse what the product stores."""

from __future__ import annotations

import json
import sys
import time
import uuid

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.crypto import signatures, tokens
from receiver.inbound import payload_hints


def app(secret: signatures.Secret, signer: tokens.Signer) -> Starlette:
    """Return an application with a route for each load."""

    async def receive_event(request: Request) -> Response:
        body = await request.body()
        check = signatures.Check(signatures.signature_headers(request.headers), [secret])
        check.update(body)
        check.verified(time.time())
        payload_hints.event(body)
        return Response(status_code=204)

    async def receive_callback(request: Request) -> Response:
        signer.run_id(request.path_params["token"])
        payload_hints.callback(await request.body())
        return Response(status_code=204)

    async def submit(request: Request) -> Response:
        run = {"id": str(uuid.uuid4()), "status": "accepted", **json.loads(await request.body())}
        return JSONResponse(run, status_code=202)

    return Starlette(
        routes=[
            Route("/webhooks/case", receive_event, methods=["POST"]),
            Route("/callbacks/{token}", receive_callback, methods=["POST"]),
            Route("/v1/runs", submit, methods=["POST"]),
        ]
    )


if __name__ == "__main__":
    port, given, key = sys.argv[1:]
    served = app(signatures.decode(given), tokens.Signer([key]))
    uvicorn.run(served, port=int(port), log_config=None, access_log=False, ws="none")
