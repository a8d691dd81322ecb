"""One ASGI application for each path, so that a wrong method is answered with the allowed ones."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver import client_address, errors
from receiver.web import authentication, openapi, request_parsing, streaming
from receiver.web.operations import Answer, Call, Context, Operation
from storage import errors as storage_errors


def routes(operations: Sequence[Operation], context: Context) -> list[Route]:
    """Return the routes of all operations, one for each path. Operations without a handler are only described."""

    @functools.cache
    def describe() -> bytes:
        return json.dumps(openapi.openapi(operations, context.version), indent=1).encode()

    served = sorted((each for each in operations if each.handler is not None), key=lambda each: each.path)
    return [
        Route(path, Endpoint(list(members), context, describe), name=path)
        for path, members in groupby(served, key=lambda each: each.path)
    ]


class Endpoint:
    """An ASGI application for one path. Raises errors that `problems` maps to answers.

    It stores itself as `scope["route"]`, so that access logs can read the path's template as
    `scope["route"].path`.
    """

    def __init__(self, operations: Sequence[Operation], context: Context, describe: Callable[[], bytes]) -> None:
        self.path = operations[0].path
        self._operations = {each.method: each for each in operations}
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]
        self._allowed = (*self._operations, "OPTIONS")
        self._context = context
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        request = Request(scope, receive)
        if request.method == "HEAD":
            send = _without_body(send)
        # A client that disconnects while it sends its body gets no answer.
        with contextlib.suppress(ClientDisconnect):
            response = await self._respond(request)
            await response(scope, receive, send)

    async def _respond(self, request: Request) -> ASGIApp:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": ", ".join(self._allowed)})
        operation = self._operations.get(request.method)
        if operation is None or operation.handler is None:
            raise errors.WrongMethod(request.method, self._allowed)
        call = await self._call(operation, request)
        return self._response(operation, call, await operation.handler(call))

    def _response(self, operation: Operation, call: Call[Any, Any], answer: Answer) -> ASGIApp:
        headers = {"cache-control": "no-store", **answer.headers}
        seconds, stopping = self._context.timing.slow_listener, self._context.stopping
        if answer.events is not None:
            revoked = None if operation.scope is None else functools.partial(self._until_revoked, call.request)
            return streaming.EventStream(answer.events, headers, seconds, stopping, revoked)
        if answer.pieces is not None:
            headers = {"content-type": answer.media_type, **headers}
            return streaming.ByteStream(answer.pieces, headers, seconds, stopping)
        body = answer.body
        if isinstance(body, BaseModel):
            with call.building(" ".join(call.ids.values()) or operation.path):
                body = body.model_dump_json(by_alias=True).encode()
        return Response(body, answer.status, headers, None if body is None else answer.media_type)

    async def _until_revoked(self, request: Request) -> None:
        """Return once the API key of a stream is revoked, since a stream may be open for long after that."""
        context, given = self._context, request.headers.getlist("authorization")
        with contextlib.suppress(errors.NotAuthenticated):
            while True:
                await asyncio.sleep(context.timing.stream_key)
                with contextlib.suppress(storage_errors.Unavailable):
                    await authentication.authenticate(context.database, given, context.clock())

    async def _call(self, operation: Operation, request: Request) -> Call[Any, Any]:
        """Check the request and return it as a Call.

        The key is checked first, so that unauthenticated requests learn nothing and cost little; the body is read
        last.
        """
        now = self._context.clock()
        caller = await self._caller(operation, request)
        parameters = request_parsing.parameters(request.scope["query_string"])
        return Call(
            context=self._context,
            request=request,
            now=now,
            caller=caller,
            ids=request_parsing.ids(request.path_params),
            query=request_parsing.query(operation.query, parameters),
            body=await self._body(operation, request),
            parameters=parameters,
            describe=self._describe,
        )

    async def _caller(self, operation: Operation, request: Request) -> authentication.Caller:
        given = request.headers.getlist("authorization")
        if operation.scope is None:
            return (
                await self._optional_caller(given)
                if operation.identifies_caller and given
                else authentication.ANONYMOUS
            )
        try:
            caller = await authentication.authenticate(self._context.database, given, self._context.clock())
        except errors.NotAuthenticated as failure:
            raise self._charged(request, failure) from None
        authentication.require_scope(caller, operation.scope)
        return caller

    def _charged(self, request: Request, failure: errors.NotAuthenticated) -> errors.RequestError:
        """Charge the client's address for a key that is not valid, and return the error to answer with."""
        if not failure.key_given:
            return failure
        limits = self._context.limits
        headers = {name: ",".join(request.headers.getlist(name)) for name in client_address.FORWARDING_HEADERS}
        address = client_address.of_request(request.scope, headers, limits.trusted_proxies)
        return limits.charge(address, failure, errors.TooManyFailures(str(failure)))

    async def _optional_caller(self, given: Sequence[str]) -> authentication.Caller:
        """Return the caller, or ANONYMOUS where a key that is not required cannot be checked."""
        try:
            async with asyncio.timeout(self._context.timing.readiness):
                return await authentication.authenticate(self._context.database, given, self._context.clock())
        except (errors.NotAuthenticated, storage_errors.Unavailable, TimeoutError):
            return authentication.ANONYMOUS

    async def _body(self, operation: Operation, request: Request) -> BaseModel | None:
        if operation.body is None:
            return None
        context = self._context
        with context.limits.budget.lease() as lease:
            return await request_parsing.body(
                request, operation.body, context.body_limit, context.timing.slow_body, lease
            )


def _without_body(send: Send) -> Send:
    """Return a `send` that drops the body: HEAD answers with the status and the headers of GET."""

    async def head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head
