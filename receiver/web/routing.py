"""The ASGI application of the API: it finds the operation of a request, checks the request, and answers it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, cast

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver import access_log, client_address, errors
from receiver.schemas import query_parameters
from receiver.web import authentication, openapi, problems, request_limits, request_parsing, streaming
from receiver.web.operations import Answer, Call, Context, Handler, Operation, ReadHandler
from storage import errors as storage_errors
from storage.engine import database
from storage.repositories import api_keys

#: The header of each answer that names the release of the server.
RELEASE = "runledger-release"
_PARAMETER = re.compile(r"\{(\w+)\}")


class Api:
    """The operations as one ASGI application. Every error becomes a problem answer, and each request is logged."""

    def __init__(self, operations: Sequence[Operation], context: Context) -> None:
        @functools.cache
        def describe() -> bytes:
            return json.dumps(openapi.openapi(operations, context.version), indent=1).encode()

        served = sorted((each for each in operations if each.handler is not None), key=lambda each: each.path)
        paths = groupby(served, key=lambda each: each.path)
        endpoints = [Endpoint(list(members), context, describe) for _, members in paths]
        self._log = access_log.AccessLog()
        self._release = (RELEASE.encode(), context.version.encode())
        self._exact = {each.path: each for each in endpoints}
        self._patterns = [
            (re.compile(_PARAMETER.sub(each.parameter, each.path)), each) for each in endpoints if "{" in each.path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, answering = time.perf_counter(), problems.Answering(self._with_release(send))
        try:
            await answering.run(self._answer, scope, receive)
        finally:
            self._log.record(scope, answering.status, time.perf_counter() - started)

    def _with_release(self, send: Send) -> Send:
        """Return a `send` that names this release in each answer, so that clients of another one notice."""

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._release]
            await send(message)

        return named

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope)(scope, receive, send)

    def _endpoint(self, scope: Scope) -> ASGIApp:
        path = client_address.path_below_mount(scope)
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        for pattern, endpoint in self._patterns:
            if found := pattern.fullmatch(path):
                scope["path_params"] = found.groupdict()
                return endpoint
        raise HTTPException(404)


class Endpoint:
    """An ASGI application for one path. Raises errors that `problems` maps to answers.

    It stores itself as `scope["route"]`, so that access logs can read the path's template as
    `scope["route"].path`.
    """

    def __init__(self, operations: Sequence[Operation], context: Context, describe: Callable[[], bytes]) -> None:
        self.path = operations[0].path
        self._rest = operations[0].rest
        self._operations = {each.method: each for each in operations}
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]
        self._allowed = (*self._operations, "OPTIONS")
        self._context = context
        self._describe = describe

    def parameter(self, found: re.Match[str]) -> str:
        """Return the pattern of a parameter of the path."""
        return f"(?P<{found[1]}>{'.+' if found[1] == self._rest else '[^/]+'})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        request = Request(scope, receive)
        if request.method == "HEAD":
            send = without_body(send)
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
        if operation.only_reads:
            return await self._read(operation, request)
        call = await self._call(operation, request)
        return self._response(operation, call, await cast(Handler, operation.handler)(call))

    async def _read(self, operation: Operation, request: Request) -> ASGIApp:
        """Answer from the database; where that is quick, in the same transaction as the look at the API key."""
        store, now = self._context.database, self._context.clock()
        answered = cast(ReadHandler, operation.handler)
        with charging(self._context.limits, request):
            key_id, secret = authentication.parse(request.headers.getlist("authorization"))
        try:
            new_call = self._checked(operation, request, now)
            query: query_parameters.Query | None = new_call.keywords["query"]
            is_quick = query is not None and query.is_quick(now)
        except (errors.RequestError, storage_errors.StorageError):
            await self._caller(operation, request)  # without a key no other fault is reported
            raise
        if not (is_quick or operation.reader is database.Reader.QUICK):
            call = new_call(caller=await self._caller(operation, request), body=None)
            answer = await store.read_by(operation.reader, functools.partial(answered, call))
            return self._response(operation, call, answer)

        def read(snapshot: database.Snapshot) -> tuple[Call[Any, Any], Answer]:
            key = authentication.verify(snapshot.read(api_keys.find, key_id), secret)
            verified.append(key)
            call = new_call(caller=authentication.caller(key), body=None)
            authentication.require_scope(call.caller, cast(authentication.Scope, operation.scope))
            return call, answered(call, snapshot)

        verified: list[api_keys.Key] = []
        try:
            with charging(self._context.limits, request):
                call, answer = await store.read_by(database.Reader.QUICK, read)
        finally:  # also where there is nothing to answer with
            for key in verified[-1:]:
                await authentication.note_use(store, key, now)
        return self._response(operation, call, answer)

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
        new_call = self._checked(operation, request, now)
        body, context = None, self._context
        if operation.body is not None:
            limits = context.body_limit, context.timing.slow_body
            with context.limits.budget.lease() as lease:
                body = await request_parsing.body(request, operation.body, *limits, lease)
        return new_call(caller=caller, body=body)

    def _checked(self, operation: Operation, request: Request, now: datetime) -> functools.partial[Call[Any, Any]]:
        """Check path and query of a request; return its Call but for the caller and the body."""
        parameters = request_parsing.parameters(request.scope["query_string"])
        return functools.partial(
            Call,
            context=self._context,
            request=request,
            now=now,
            ids=request_parsing.ids(request.path_params, operation.rest),
            query=request_parsing.query(operation.query, parameters),
            parameters=parameters,
            describe=self._describe,
        )

    async def _caller(self, operation: Operation, request: Request) -> authentication.Caller:
        given = request.headers.getlist("authorization")
        if operation.scope is None:
            is_checked = operation.identifies_caller and given
            return await self._optional_caller(given) if is_checked else authentication.ANONYMOUS
        with charging(self._context.limits, request):
            caller = await authentication.authenticate(self._context.database, given, self._context.clock())
        authentication.require_scope(caller, operation.scope)
        return caller

    async def _optional_caller(self, given: Sequence[str]) -> authentication.Caller:
        """Return the caller, or ANONYMOUS where a key that is not required cannot be checked."""
        try:
            async with asyncio.timeout(self._context.timing.readiness):
                return await authentication.authenticate(self._context.database, given, self._context.clock())
        except (errors.NotAuthenticated, storage_errors.Unavailable, TimeoutError):
            return authentication.ANONYMOUS


@contextlib.contextmanager
def charging(limits: request_limits.Limits, request: Request) -> Iterator[None]:
    """Charge the client's address for a key that is not valid. Raises TooManyFailures in place of the last."""
    try:
        yield
    except errors.NotAuthenticated as failure:
        if not failure.key_given:
            raise
        names = client_address.FORWARDING_HEADERS
        headers = {name: ",".join(request.headers.getlist(name)) for name in names}
        address = client_address.of_request(request.scope, headers, limits.trusted_proxies)
        raise limits.charge(address, failure, errors.TooManyFailures(str(failure))) from None


def without_body(send: Send) -> Send:
    """Return a `send` that drops the body: HEAD answers with the status and the headers of GET."""

    async def head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head
