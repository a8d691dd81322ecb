"""The runs of one night, as the stories find them: some failed, one answered, one still waits for a backend."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

from storage import results, states
from storage.engine.database import Database
from storage.repositories import jobs
from storage.tables.jobs import JOBS
from tests import life

AGENT = "agent_night"
REASON = "The vault did not answer."
ERROR = "The vault is closed until Monday"
#: The errors of the jobs that wait for an operator, one a run.
JOB_ERRORS = ("The backend answered 500", "The certificate of the backend has expired")
_ANSWER = (
    "# Opinion\n\nThe lease is **void**, since *Marlowe v. Tidewater*, 88 F.3d 12, controls.\n\n"
    "- Notice was late.\n- The cap does not hold.\n\n| Clause | Holds |\n|---|---|\n| 14.2 | no |\n"
)


@dataclass(frozen=True)
class Night:
    """The ids of its runs."""

    failed: str
    tested: str
    answered: str


async def plant(store: Database) -> Night:
    """Store the runs of a night. No server may run."""
    failed = life.result(
        states.FAILED,
        b'{"status":"failed"}',
        steps=_steps(),
        measures=life.measures(output=None, summary=None, failure_reason=REASON, failure_source="steps"),
    )
    answered = life.result(
        body=b'{"status":"completed","citation":"88 F.3d 12"}', measures=life.measures(output=_ANSWER)
    )
    stories = (
        (failed, AGENT, "prod", None),
        (failed, AGENT, "test", None),
        (answered, AGENT, "prod", "Cite each case."),
        (failed, "agent_day", "prod", None),
    )
    ids = []
    for result, agent, env, guidance in stories:
        texts: dict[str, Any] = {
            "agent_id": agent,
            "guidance": guidance,
            "prompt": "Summarise the deposition of Varga.",
        }
        ids.append((await life.settled_run(store, result=result, tags={"env": env}, **texts)).id)
    await store.write(_fail_jobs, ids[:2])
    return Night(*ids[:3])


def _steps() -> list[results.Step]:
    first, second, third = life.steps(3)
    wrong = dataclasses.replace(second, tool_name="read_vault", tool_output={"error": ERROR})
    return [first, wrong, third]


def _fail_jobs(connection: Connection, run_ids: list[str]) -> None:
    later = life.at(86400 * 3650)
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.NOTIFY, each, later) for each in run_ids])
    for run_id, error in zip(run_ids, JOB_ERRORS, strict=True):
        dead = {"last_error": error, "last_error_at": life.NOW, "failures": 9, "dead_at": life.NOW}
        connection.execute(update(JOBS).where(JOBS.c.run_id == run_id).values(dead))
