"""A FastAPI backend that submits runs to Runledger and receives a notification of each end.

    LEDGER_URL=http://127.0.0.1:8080 LEDGER_KEY=rl_… NOTIFY_SECRET=whsec_… uvicorn fastapi_backend:app --port 8000

Runledger needs RUNLEDGER_NOTIFY_URL=https://…/hooks/runs and the same secret in RUNLEDGER_NOTIFY_SECRETS.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel
from standardwebhooks import Webhook, WebhookVerificationError

from receiver.client import AsyncClient, ServerUnreachable, Unavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS reviews (id TEXT PRIMARY KEY, run TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notifications (id TEXT PRIMARY KEY);
"""


class Review(BaseModel):
    """What a client of this backend asks for."""

    id: str
    agent: str
    question: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the database and one client for as long as the backend runs."""
    app.state.webhook = Webhook(os.environ["NOTIFY_SECRET"])
    app.state.database = sqlite3.connect(os.environ.get("DATABASE", "reviews.db"))
    app.state.database.executescript(SCHEMA)
    async with AsyncClient(os.environ["LEDGER_URL"], os.environ["LEDGER_KEY"]) as ledger:
        app.state.ledger = ledger
        yield
    app.state.database.close()


app = FastAPI(lifespan=lifespan)


@app.post("/reviews", status_code=202)
async def submit(review: Review) -> dict[str, str]:
    """Submit a run. The idempotency key makes a repeated request harmless, here and at Runledger."""
    key, tags = f"review-{review.id}", {"review": review.id}
    try:
        run = await app.state.ledger.submit(review.agent, review.question, tags=tags, idempotency_key=key)
    except (ServerUnreachable, Unavailable) as error:
        raise HTTPException(503, "try again", headers={"Retry-After": "5"}) from error
    row = (review.id, run["id"], "submitted")
    with app.state.database as database:
        database.execute("INSERT OR IGNORE INTO reviews VALUES (?, ?, ?)", row)
    return {"id": review.id, "run": row[1]}


@app.get("/reviews/{id}")
async def show(id: str) -> dict[str, Any]:
    """Answer what this backend knows, and the output once the run has ended."""
    row = app.state.database.execute("SELECT run, status FROM reviews WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    run, status = row
    if status == "submitted":
        return {"id": id, "status": status, "output": None}
    return {"id": id, "status": status, "output": (await app.state.ledger.run(run))["output"]}


@app.post("/hooks/runs", status_code=204)
async def receive(request: Request) -> None:
    """Verify a notification and store the end of its run, once.

    The row of the notification and its effect share a transaction: a repetition changes nothing. A notification
    may overtake the answer to the submission, so the review is taken from the tags and written whole.
    """
    try:
        notification = app.state.webhook.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        raise HTTPException(401) from None
    run = notification["data"]
    with app.state.database as database:
        seen = database.execute("INSERT OR IGNORE INTO notifications VALUES (?)", (request.headers["webhook-id"],))
        if seen.rowcount and "review" in run["tags"]:
            row = (run["tags"]["review"], run["id"], run["status"])
            database.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?)", row)
