"""A deployed server: the operations of its API over HTTP, with the answers and the errors of the handlers here."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from receiver import client, errors
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.remote import profiles
from receiver.cli.render import format as render_format
from receiver.client import calls, exchange
from receiver.schemas import query_parameters
from receiver.web import operations
from storage import errors as storage_errors
from storage.repositories import stream_events


class Server:
    """A server that a command asks in place of a database."""

    def __init__(self, profile: profiles.Profile) -> None:
        try:
            self.client = client.AsyncClient(profile.url, profile.key, timeout=60)
        except ValueError as error:
            raise CommandError(f"{profile.url!r}: {error}", USAGE) from None
        self.url = profile.url.rstrip("/")
        self._has_warned = False

    async def call(
        self,
        operation: operations.Operation,
        path_id: str | None,
        query: query_parameters.Query | None,
        body: BaseModel | None,
        headers: Mapping[str, str],
    ) -> operations.Answer:
        """Return the answer of an operation. Raises the errors that its handler raises, and CommandError."""
        given = dict(headers)
        names = {each.name.lower() for each in operation.headers}
        if "idempotency-key" in names and "idempotency-key" not in given:
            given["idempotency-key"] = exchange.new_key()
        path = operation.path if path_id is None else operation.path.replace("{id}", path_id)
        sent = None if body is None else _fields(body)
        ask: exchange.Ask[Any] = exchange.Ask(
            operation.method, path, spelled(query), sent, given, accepts=frozenset(operation.answers)
        )
        try:
            response = await self.client.send(ask)
        except client.RunledgerError as failure:
            self._raise(failure, query, body)
        self.compare(response.headers.get(exchange.RELEASE))
        return operations.Answer(response.status_code, response.content, dict(response.headers))

    async def events(self, run: str) -> AsyncIterator[stream_events.Event]:
        """Yield the events of a run's stream. Raises CommandError."""
        try:
            async for each in self.client.events(run):
                yield stream_events.Event(int(each.id or 0), each.event, each.data)
        except client.RunledgerError as failure:
            self._raise(failure, None, None)

    async def changes(self, query: query_parameters.RunFilter, number: int | None) -> AsyncIterator[Any]:
        """Yield changes of runs, without end. Raises CommandError."""
        given: Any = spelled(query) | ({} if number is None else {"after": str(number)})
        try:
            async for each in self.client.follow(**given):
                if each["run"] is not None:
                    yield each
        except client.RunledgerError as failure:
            self._raise(failure, query, None)

    @asynccontextmanager
    async def export(self, query: query_parameters.Query) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an export. Raises CommandError."""
        given: Any = spelled(query)
        try:
            async with self.client.export(**given) as pieces:
                yield pieces
        except client.RunledgerError as failure:
            self._raise(failure, query, None)

    async def readiness(self) -> Any:
        """Return what the server says of its state. Raises CommandError."""
        try:
            return (await self.client.send(calls.readiness())).json()
        except client.RunledgerError as failure:
            self._raise(failure, None, None)

    def compare(self, release: str | None) -> None:
        """Print a warning, once, where the server has another release than this command."""
        mine = metadata.version("runledger")
        if release == mine or self._has_warned:
            return
        self._has_warned = True
        what = "an older release" if release is None else f"release {render_format.line(release)[:40]}"
        print(
            f"runledger: {self.url} has {what} and this command line {mine}: "
            "what one of them does not know is missing or refused",
            file=sys.stderr,
        )

    def _raise(
        self, failure: client.RunledgerError, query: query_parameters.Query | None, body: BaseModel | None
    ) -> NoReturn:
        if isinstance(failure, client.Problem):
            if isinstance(failure, client.NotFound) and not failure.name:
                raise CommandError(
                    f"{self.url} does not know this request: it has an older release, or is no Runledger"
                ) from None
            raise _as_here(failure, query, body, self.url) from None
        raise CommandError(str(failure)) from None


def spelled(query: query_parameters.Query | None) -> dict[str, str]:
    """Return the parameters that were given as the query string spells them."""
    if query is None:
        return {}
    return exchange.parameters(query.model_dump(mode="json", exclude_unset=True))


def _fields(body: BaseModel) -> dict[str, Any]:
    return {to_camel(name): each for name, each in body.model_dump(mode="json", exclude_unset=True).items()}


def _as_here(
    problem: client.Problem, query: query_parameters.Query | None, body: BaseModel | None, url: str
) -> Exception:
    """Return the error that a handler raises where the server answers with this problem."""
    fields, detail = problem.fields, problem.detail or problem.title
    match problem.name:
        case "bad-cursor":
            return storage_errors.BadCursor(detail)
        case "bad-parameter":
            name = str(fields.get("parameter"))
            return storage_errors.BadFilter(name, detail.removeprefix(f"{name}: "), problem.did_you_mean)
        case "bad-header":
            name = str(fields.get("header"))
            return errors.BadHeader(name, detail.removeprefix(f"{name}: "))
        case "bad-question":
            text = getattr(query, "q", None) or getattr(body, "q", None) or getattr(body, "target", "")
            return storage_errors.BadQuery(str(text), int(fields.get("position") or 0), detail)
        case "bad-statement":
            return storage_errors.BadStatement(str(getattr(body, "sql", "")), detail, fields.get("position"))
        case "not-readable":
            return storage_errors.NotReadable(detail)
        case "unusable-key":
            return errors.InvalidKeyRequest(detail)
        case "invalid-body":
            faults = [errors.Fault(str(each["pointer"]), str(each["detail"])) for each in fields.get("errors", ())]
            return errors.InvalidBody(faults)
        case "not-authenticated":
            return CommandError(f"{url} does not accept the API key: `runledger login {url}` takes another one")
    code = USAGE if isinstance(problem, client.InvalidRequest) else 1
    return CommandError(detail if problem.status < 500 else f"{url}: {detail}", code)
