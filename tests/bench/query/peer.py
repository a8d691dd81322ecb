"""The peer: bare Starlette handlers over raw sqlite3, one statement each, with the rows as JSON."""

from __future__ import annotations

import json
import sqlite3
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

COLUMNS = (
    "seq, id, upstream_id, status, origin, agent_id, model, submitted_by, substr(prompt, 1, 200) AS prompt, "
    "accepted_at, created_at, settled_at, duration_ms, input_tokens, output_tokens, cost_micros, failure_reason, "
    "step_count"
)
_SAYS = (
    "seq IN (SELECT rowid / 65536 FROM passage_words WHERE passage_words MATCH :q ORDER BY rowid DESC LIMIT 400)"
)
#: What each path asks.
STATEMENTS = {
    "/newest": f"SELECT {COLUMNS} FROM runs ORDER BY seq DESC LIMIT 50",
    "/deep": f"SELECT {COLUMNS} FROM runs WHERE seq < :seq ORDER BY seq DESC LIMIT 50",
    "/agent": f"SELECT {COLUMNS} FROM runs WHERE agent_id = :q AND status = 'failed' ORDER BY seq DESC LIMIT 50",
    "/tag": f"SELECT {COLUMNS} FROM runs WHERE seq IN (SELECT run_seq FROM run_tags "
    "WHERE key = 'client' AND value = :q "
    "ORDER BY run_seq DESC LIMIT 50) ORDER BY seq DESC",
    "/cost": f"SELECT {COLUMNS} FROM runs ORDER BY cost_micros DESC LIMIT 50",
    "/word": f"SELECT {COLUMNS} FROM runs WHERE {_SAYS} ORDER BY seq DESC LIMIT 50",
    "/steps": "SELECT * FROM run_steps WHERE id >= :seq * 65536 AND id < (:seq + 1) * 65536",
}


def app(path: str) -> Starlette:
    """Return an application with a route for each statement."""
    opened = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
    opened.row_factory = sqlite3.Row

    async def ask(request: Request) -> Response:
        values = {"seq": int(request.query_params.get("seq", 0)), "q": request.query_params.get("q")}
        rows = [dict(row) for row in opened.execute(STATEMENTS[request.url.path], values)]
        return Response(json.dumps({"runs": rows}, default=str), media_type="application/json")

    return Starlette(routes=[Route(path, ask) for path in STATEMENTS])


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[2]), port=int(sys.argv[1]), log_config=None, access_log=False, ws="none")
