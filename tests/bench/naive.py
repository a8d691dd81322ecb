"""The peer that people write: FastAPI and SQLModel, a session and a commit for each event, in the thread pool."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import create_engine, event
from sqlmodel import Field, Session, SQLModel

from receiver import errors
from receiver.crypto import signatures


class ReceivedEvent(SQLModel, table=True):
    """One event."""

    id: int | None = Field(default=None, primary_key=True)
    event_id: str = Field(unique=True)
    type: str
    run_id: str = Field(index=True)
    status: str
    body: str
    received_at: datetime


app = FastAPI()


async def verified_body(request: Request) -> bytes:
    """Return the body of a request whose signature is valid."""
    body = await request.body()
    check = signatures.Check(signatures.signature_headers(request.headers), [request.app.state.secret])
    check.update(body)
    try:
        check.verified(time.time())
    except errors.BadSignature:
        raise HTTPException(401) from None
    return body


def opened_session(request: Request) -> Iterator[Session]:
    """Open a session for one request."""
    with Session(request.app.state.engine) as session:
        yield session


@app.post("/webhooks/case", status_code=204)
def receive(
    body: Annotated[bytes, Depends(verified_body)], session: Annotated[Session, Depends(opened_session)]
) -> None:
    """Store an event. FastAPI runs this in a thread of its pool."""
    sent = json.loads(body)
    data = sent["data"]
    session.add(
        ReceivedEvent(
            event_id=sent["id"],
            type=sent["type"],
            run_id=data["runId"],
            status=data["status"],
            body=body.decode(),
            received_at=datetime.now(UTC),
        )
    )
    session.commit()


def _set_durable(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


if __name__ == "__main__":
    port, given, url = sys.argv[1:]
    is_file = url.startswith("sqlite")
    app.state.secret = signatures.decode(given)
    app.state.engine = create_engine(url, connect_args={"timeout": 30} if is_file else {})
    if is_file:
        event.listen(app.state.engine, "connect", _set_durable)
    SQLModel.metadata.create_all(app.state.engine, tables=[ReceivedEvent.__table__])  # type: ignore[attr-defined]
    uvicorn.run(app, port=int(port), log_config=None, access_log=False, ws="none")
