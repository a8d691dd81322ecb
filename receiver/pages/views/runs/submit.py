"""The form that submits a run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from receiver import errors
from receiver.pages import formats, requests, tag_text
from receiver.schemas import bodies
from receiver.web import run_ids, submission_values
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.query import agents, grammar
from storage.repositories import runs
from storage.stats import questions
from storage.transitions import submitting

router = requests.Router()
#: The cookie that remembers agent and model of the last submission.
_LAST = "last_submission"
_NAMES = ("agent", "prompt", "guidance", "model", "objects", "tags")
#: The field of the form for an agent that its list does not have.
_OTHER = "other_agent"
_SPLIT = re.compile(r"[\s,]+")


@router.page("GET", "/submit", Scope.SUBMIT)
async def show(given: requests.PageRequest) -> Response:
    """Show the form, filled with the parameters of the address, else with agent and model of the last time."""
    agent, _, model = given.request.cookies.get(_LAST, "").partition("|")
    values = {name: given.parameter(name) for name in _NAMES}
    values["agent"] = values["agent"] or requests.cookie_text(agent)
    values["model"] = values["model"] or requests.cookie_text(model)
    return await _page(given, values, {})


async def _page(
    given: requests.PageRequest, values: dict[str, str], faults: dict[str, str], again: str = ""
) -> Response:
    listed = _agents(given.agents, await given.read(_known), values["agent"])
    chosen = next((each.id for each in listed if values["agent"] in (each.id, each.name)), "")
    overdue = given.context.api.timing.overdue_at(given.now) - given.now
    shown: dict[str, Any] = {
        "values": values,
        "faults": faults,
        "agents": listed,
        "chosen": chosen,
        "other": values.get(_OTHER, "") or ("" if chosen else values["agent"]),
        "again": again,
        "overdue_ms": overdue.total_seconds() * 1000,
        "idempotency_key": secrets.token_urlsafe(12),
    }
    return given.page("submit.html", 422 if faults else 200, **shown)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that can be chosen, with the number of its runs."""

    id: str
    name: str
    runs: int


def _agents(names: Mapping[str, str], known: questions.Answer, first: str) -> list[Agent]:
    """Return the agents that have runs or a name here: `first`, if it is one of them, then by their names."""
    runs = {row.key: row.count for row in known.stats if row.key}
    found = [Agent(each, names.get(each, each), runs.get(each, 0)) for each in {**runs, **names}]
    return sorted(found, key=lambda each: (first not in (each.id, each.name), each.name.lower(), each.id))


def _known(store: Snapshot) -> questions.Answer:
    return store.read(questions.find, "agent", grammar.EVERYTHING)


@router.page("GET", "/runs/{id}/again", Scope.SUBMIT)
async def show_again(given: requests.PageRequest) -> Response:
    """Show the form with the content of a run, to run it again as it is or with changes."""
    run = await _of(given)
    content = (run.agent_id, run.prompt, run.guidance, run.model, "\n".join(run.object_ids or ()))
    values = dict(zip(_NAMES, (each or "" for each in (*content, tag_text.text(run.tags))), strict=True))
    return await _page(given, values, {}, run.id)


async def _of(given: requests.PageRequest) -> runs.Run:
    """Return the run that the path names. Raises NotFound, RunIsOrphan, RunPruned."""
    named = given.ids["id"]
    run = run_ids.require_exact_run(await given.database.read(runs.find, named), named)
    if run.pruned_at is not None:
        raise errors.RunPruned(run.id)
    return run


@router.page("POST", "/runs/{id}/again", Scope.SUBMIT)
async def run_again(given: requests.PageRequest) -> Response:
    """Submit the content of a run with the changes of the form, linked to that run."""
    run, values = await _of(given), _values(given)
    if mistakes := _mistakes(values):
        return await _page(given, values | {"agent": run.agent_id or ""}, mistakes, run.id)
    changes = {
        name: value for name, value in _body(values, given.agents).items() if name in bodies.Again.model_fields
    }
    try:
        body = bodies.Again.model_validate({**changes, "tags": tag_text.tags(values["tags"])})
    except ValidationError as error:
        return await _page(given, values | {"agent": run.agent_id or ""}, _faults(error), run.id)
    expected_by = given.context.api.timing.overdue_at(given.now)
    wanted, key = (
        body.model_dump(exclude_none=True) | _emptied(given),
        given.field("idempotency_key")[:100] or None,
    )
    again = submission_values.again(run.id, wanted, given.caller, given.now, expected_by, key)
    done = await given.database.write(submitting.run_again, again)
    return _accepted(given, done)


def _emptied(given: requests.PageRequest) -> dict[str, None]:
    """Return the columns whose fields were sent empty: the new run has no value there."""
    return {name: None for name in ("guidance", "model") if [each.strip() for each in given.fields(name)] == [""]}


def _accepted(given: requests.PageRequest, done: submitting.Submitted | None) -> Response:
    run = submission_values.require_same(done).run
    note = "The run is accepted. It starts in a moment."
    if not given.may(Scope.READ):
        return given.redirect(given.url("/submit"), f"{note} Its id is {run.id}.")
    return given.redirect(given.url(f"/runs/{run.id}"), note)


def _values(given: requests.PageRequest) -> dict[str, str]:
    values = {name: given.field(name).replace("\r\n", "\n") for name in (*_NAMES, _OTHER)}
    return values if values["agent"] else values | {"agent": values[_OTHER]}


@router.page("POST", "/submit", Scope.SUBMIT)
async def submit(given: requests.PageRequest) -> Response:
    """Accept the run durably and show it; a form that is sent twice is one run."""
    values = _values(given)
    if mistakes := _mistakes(values):
        return await _page(given, values, mistakes)
    try:
        body = bodies.Submission.model_validate(_body(values, given.agents))
    except ValidationError as error:
        return await _page(given, values, _faults(error))
    expected_by = given.context.api.timing.overdue_at(given.now)
    key = given.field("idempotency_key")[:100] or None
    wanted = submission_values.submission(body, given.caller, given.now, expected_by, key)
    done = await given.database.write(submitting.submit, wanted)
    response = _accepted(given, done)
    last = f"{requests.cookie_value(values['agent'])}|{requests.cookie_value(values['model'])}"
    given.set_cookie(response, _LAST, last, 90 * 86400)
    return response


def _mistakes(values: Mapping[str, str]) -> dict[str, str]:
    """Return the faults of the form that a body of the API cannot have."""
    faults = {}
    if values[_OTHER].strip() not in ("", values["agent"].strip()):
        faults["agent"] = "Two agents are given: choose one, or empty the field."
    if None in tag_text.changes(values["tags"]).values():
        faults["tags"] = "Write one a line, each with its value, as client=tidewater."
    return faults


def _body(values: dict[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the JSON body of `POST /v1/runs` has them; the name of one agent means its id."""
    agent = values["agent"].strip()
    meant = agents.by_names(names)(grammar.Value(agent))
    objects = [each for each in _SPLIT.split(values["objects"]) if each]
    optional = {
        "guidance": values["guidance"],
        "model": values["model"].strip(),
        "objectIds": objects,
        "tags": tag_text.tags(values["tags"]),
    }
    given = {name: value for name, value in optional.items() if value}
    return {"agentId": meant[0] if len(meant) == 1 else agent, "prompt": values["prompt"].strip(), **given}


#: The field of the form for each field of the body.
_FIELDS = {"agentId": "agent", "objectIds": "objects"}


def _faults(error: ValidationError) -> dict[str, str]:
    """Return the fault of each field of the form."""
    faults = {}
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0]) if fault["loc"] else "agentId"
        faults[_FIELDS.get(name, name)] = _sentence(fault["type"], fault["msg"].removeprefix("Value error, "))
    return faults


def _sentence(kind: str, message: str) -> str:
    known = {
        "too_short": "This is missing.",
        "string_pattern_mismatch": "Only letters A–Z, digits and - _ are taken here (in tags . too).",
    }
    return known.get(kind, f"{formats.capitalize_first(message)}.")
