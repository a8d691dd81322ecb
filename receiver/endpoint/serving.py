"""The operations of one path as one ASGI application, so that a wrong method is told the right ones."""

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

from receiver import access, addresses, errors, shapes
from receiver.endpoint import description, reading, streaming
from receiver.endpoint.operations import Answer, Call, Context, Operation
from storage import errors as storage_errors


def routes(operations: Sequence[Operation], context: Context) -> list[Route]:
    """The routes of all operations, one for each path. Those without a handler are described only."""

    @functools.cache
    def describe() -> bytes:
        return json.dumps(description.openapi(operations, context.version), indent=1).encode()

    served = sorted((each for each in operations if each.handler is not None), key=lambda each: each.path)
    return [
        Route(path, Endpoint(list(members), context, describe), name=path)
        for path, members in groupby(served, key=lambda each: each.path)
    ]


class Endpoint:
    """Answers for one path. Raises what `problems` knows; who logs finds the template as `scope["route"].path`."""

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
        # Nobody is left to be answered where the client went away in the middle of its body.
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
        with shapes.named(" ".join(call.ids.values())) if call.ids else contextlib.nullcontext():
            return self._response(operation, request, await operation.handler(call))

    def _response(self, operation: Operation, request: Request, answer: Answer) -> ASGIApp:
        headers = {"cache-control": "no-store", **answer.headers}
        patience, stopping = self._context.timing.slow_reader, self._context.stopping
        if answer.events is not None:
            lapses = None if operation.scope is None else functools.partial(self._lapses, request)
            return streaming.EventStream(answer.events, headers, patience, stopping, lapses)
        if answer.pieces is not None:
            headers = {"content-type": answer.media_type, **headers}
            return streaming.ByteStream(answer.pieces, headers, patience, stopping)
        body = answer.body
        if isinstance(body, BaseModel):
            body = body.model_dump_json(by_alias=True).encode()
        return Response(body, answer.status, headers, None if body is None else answer.media_type)

    async def _lapses(self, request: Request) -> None:
        """Until the key of a stream is revoked: a stream may outlast it by far."""
        context, given = self._context, request.headers.getlist("authorization")
        with contextlib.suppress(errors.NotAuthenticated):
            while True:
                await asyncio.sleep(context.timing.stream_key)
                with contextlib.suppress(storage_errors.Unavailable):
                    await access.authenticate(context.database, given, context.clock())

    async def _call(self, operation: Operation, request: Request) -> Call[Any, Any]:
        """Who asks comes first, so that strangers learn nothing and cost little; the body comes last."""
        now = self._context.clock()
        caller = await self._caller(operation, request)
        found = reading.parameters(request.scope["query_string"])
        return Call(
            context=self._context,
            request=request,
            now=now,
            caller=caller,
            ids=reading.ids(request.path_params),
            query=reading.query(operation.query, found),
            body=await self._body(operation, request),
            parameters=found,
            describe=self._describe,
        )

    async def _caller(self, operation: Operation, request: Request) -> access.Caller:
        given = request.headers.getlist("authorization")
        if operation.scope is None:
            return await self._guest(given) if operation.asks_who and given else access.NOBODY
        try:
            caller = await access.authenticate(self._context.database, given, self._context.clock())
        except errors.NotAuthenticated as failure:
            raise self._charged(request, failure) from None
        access.demand(caller, operation.scope)
        return caller

    def _charged(self, request: Request, failure: errors.NotAuthenticated) -> errors.RequestError:
        """What a key that is not valid is answered, at the expense of where it came from."""
        peer = request.client.host if request.client else None
        said = {name: ",".join(request.headers.getlist(name)) for name in addresses.FORWARDING}
        forwarded = addresses.forwarding(said)
        address = addresses.client_address(peer, forwarded, self._context.admission.trusted)
        if not failure.was_given or self._context.admission.charge(address):
            return failure
        return errors.TooManyFailures(str(failure))

    async def _guest(self, given: Sequence[str]) -> access.Caller:
        """Where a key is not needed, one that cannot be checked is as good as none."""
        try:
            async with asyncio.timeout(self._context.timing.readiness):
                return await access.authenticate(self._context.database, given, self._context.clock())
        except (errors.NotAuthenticated, storage_errors.Unavailable, TimeoutError):
            return access.NOBODY

    async def _body(self, operation: Operation, request: Request) -> BaseModel | None:
        if operation.body is None:
            return None
        context = self._context
        with context.admission.room.place() as place:
            return await reading.body(request, operation.body, context.body_limit, context.timing.slow_body, place)


def _without_body(send: Send) -> Send:
    """HEAD is GET without its body: same status, same headers."""

    async def head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head
