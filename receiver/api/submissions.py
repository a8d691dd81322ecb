"""What is asked of us: submit a run, watch one, cancel, refresh. Each is one transaction; the work is a job's."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import datetime, timedelta

from receiver import access, endpoint, errors, shapes
from receiver.api import naming
from storage import errors as storage_errors
from storage import ids, merkle, notifications, runs, states, transitions

#: Seconds that a request waits at most for its run to end, and the least between two looks at it.
LONGEST_WAIT = 60
LOOK = 0.1

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r'wait\s*=\s*("?)(\d{1,9})\1', re.IGNORECASE | re.ASCII)

Submit = endpoint.Call[None, shapes.Submission]
Watch = endpoint.Call[None, shapes.WatchRequest]
Plain = endpoint.Call[None, None]


async def submit_run(call: Submit) -> endpoint.Answer:
    """Accepts a run durably, whether or not the upstream can be reached now."""
    done = await call.database.write(transitions.submit, _submission(call))
    if not done.is_same:
        raise errors.KeyReused(done.run.id, pruned=done.run.pruned_at is not None)
    seconds = wait(call.headers.getlist("prefer"))
    if seconds is None:
        return await _answer(call, done.run, 202 if done.is_new else 200)
    run = await _settled(call, done.run, seconds)
    return await _answer(call, run, 200 if run.is_terminal else 202, {"preference-applied": f"wait={seconds}"})


def _submission(call: Submit) -> runs.Submission:
    body = call.body
    return runs.Submission(
        id=ids.new(call.now),
        accepted_at=call.now,
        expected_by=_expected_by(call),
        submitted_by=call.caller.name,
        actor=call.caller.actor,
        agent_id=body.agent_id,
        prompt=body.prompt,
        guidance=body.guidance,
        instructions=body.instructions,
        model=body.model,
        object_ids=None if body.object_ids is None else tuple(body.object_ids),
        tags=body.tags or {},
        idempotency_key=_idempotency_key(call),
        request_sha256=_digest(body),
    )


def _digest(body: shapes.Submission) -> str:
    """What tells two submissions apart: the parsed content, whatever its spelling."""
    asked = body.model_dump(exclude_none=True)
    if not body.tags:
        asked.pop("tags", None)
    return hashlib.sha256(merkle.canonical(asked)).hexdigest()


def _idempotency_key(call: Submit) -> str | None:
    given = call.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or _KEY.fullmatch(given[0]) is None:
        raise errors.BadHeader("Idempotency-Key", "is one value of 1 to 255 printable ASCII characters")
    return given[0]


def _expected_by(call: Submit | Watch) -> datetime:
    return call.now + timedelta(seconds=call.timing.hard_limit + call.timing.overdue)


def wait(preferences: list[str]) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), capped; None where there is none that can be read.

    >>> wait(["respond-async, wait=10"]), wait(["wait=900"]), wait(["wait=soon"])
    (10, 60, None)
    """
    for preference in ",".join(preferences).split(","):
        found = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if found is not None:
            return min(int(found[2]), LONGEST_WAIT)
    return None


async def _settled(call: Submit, run: runs.Run, seconds: int) -> runs.Run:
    """The run once it has ended, or as it stands after `seconds`, or when client or server go away.

    It is accepted in any case: trouble while waiting must not make it look otherwise.
    """
    try:
        await _wait(call, run, seconds)
        return await call.database.read(runs.find, run.id) or run
    except storage_errors.Unavailable:
        return run


async def _wait(call: Submit, run: runs.Run, seconds: int) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while (left := until - asyncio.get_running_loop().time()) > 0 and not call.context.stopping.is_set():
        # Taken before the look, so that no commit falls between the two.
        commit = call.database.next_commit()
        status = await call.database.read(runs.status, run.id)
        if status in states.TERMINAL or await call.request.is_disconnected():
            return
        # Another replica commits unheard, so there is a look now and then in any case.
        await asyncio.wait([commit], timeout=min(left, call.timing.poll))
        await asyncio.sleep(min(left, LOOK))


async def watch_run(call: Watch) -> endpoint.Answer:
    """Takes care of a run created elsewhere; a known id answers its record, a refused one is tried again."""
    known = await call.database.read(runs.find, call.body.run_id)
    if known is not None and not known.may_reopen:
        return await _answer(call, naming.itself(known, call.body.run_id), 200)
    run, is_new = await call.database.write(transitions.adopt, _adopted(call))
    return await _answer(call, naming.itself(run, call.body.run_id), 202 if is_new else 200)


def _adopted(call: Watch) -> transitions.Adopted:
    return transitions.Adopted(
        id=ids.new(call.now),
        upstream_id=call.body.run_id,
        submitted_by=call.caller.name,
        road=states.Road.REQUEST,
        at=call.now,
        expected_by=_expected_by(call),
        actor=call.caller.actor,
    )


async def cancel_run(call: Plain) -> endpoint.Answer:
    """Notes the wish; what the run ends as, upstream says."""
    named = call.ids["id"]
    held = await call.database.write(transitions.request_cancel, named, call.caller.actor, call.now)
    run = naming.itself(held, named)
    return await _answer(call, run, 200 if run.is_terminal else 202)


async def refresh_run(call: Plain) -> endpoint.Answer:
    """Asks the upstream again, also about a run that is settled."""
    named = call.ids["id"]
    run = naming.itself(await call.database.write(transitions.request_refresh, named, call.now), named)
    if run.pruned_at is not None:
        raise errors.Pruned(run.id)
    if run.upstream_id is None:
        raise errors.NotCreatedYet(run.id)
    return await _answer(call, run, 202)


async def _answer(
    call: Submit | Watch | Plain, run: runs.Run, status: int, headers: dict[str, str] | None = None
) -> endpoint.Answer:
    location = {"location": call.address(f"/v1/runs/{run.id}")}
    told = await call.database.read(notifications.find, run.id) if run.is_terminal else None
    return endpoint.Answer(status, shapes.FullRun.of(run, told), {**location, **(headers or {})})


_PREFER = endpoint.Header(
    "Prefer", "`wait=N`: answer when the run has ended, or after N seconds.", r"^wait=\d{1,2}$"
)
_ONCE = endpoint.Header(
    "Idempotency-Key", "The same key with the same content is the same run.", r"^[!-~]([ -~]{0,253}[!-~])?$"
)
_RUN = {200: shapes.FullRun, 202: shapes.FullRun}

OPERATIONS = (
    endpoint.Operation(
        "POST",
        "/v1/runs",
        "Submit a run",
        submit_run,
        _RUN,
        access.Scope.SUBMIT,
        body=shapes.Submission,
        headers=(_ONCE, _PREFER),
        problems=(409,),
    ),
    endpoint.Operation(
        "POST",
        "/v1/watch",
        "Take care of a run that was created elsewhere",
        watch_run,
        _RUN,
        access.Scope.SUBMIT,
        body=shapes.WatchRequest,
        problems=(409,),
    ),
    endpoint.Operation(
        "POST",
        "/v1/runs/{id}/cancel",
        "Cancel a run",
        cancel_run,
        _RUN,
        access.Scope.SUBMIT,
        problems=(409,),
    ),
    endpoint.Operation(
        "POST",
        "/v1/runs/{id}/refresh",
        "Fetch a run again",
        refresh_run,
        {202: shapes.FullRun},
        access.Scope.SUBMIT,
        problems=(409, 410),
    ),
)
