"""The form that submits a run."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.schemas import bodies
from receiver.web import submission_values
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.query import agents, grammar
from storage.stats import questions
from storage.transitions import submitting

router = requests.Router()
#: The cookie that remembers agent and model of the last submission.
_LAST = "last_submission"
_NAMES = ("agent", "prompt", "guidance", "model", "objects", "tags")
_SPLIT = re.compile(r"[\s,]+")


@router.page("GET", "/submit", Scope.SUBMIT)
async def show(given: requests.PageRequest) -> Response:
    """Show the form, filled with the parameters of the address, else with agent and model of the last time."""
    agent, _, model = given.request.cookies.get(_LAST, "").partition("|")
    values = {name: given.parameter(name) for name in _NAMES}
    values["agent"] = values["agent"] or requests.cookie_text(agent)
    values["model"] = values["model"] or requests.cookie_text(model)
    return await _page(given, values, {})


async def _page(given: requests.PageRequest, values: dict[str, str], faults: dict[str, str]) -> Response:
    names = {row.key: row.key for row in (await given.read(_known)).stats if row.key} | dict(given.agents)
    shared = Counter(names.values())
    offered = [(each if shared[name] > 1 else name, each, name) for each, name in names.items()]
    typed = {each: word for word, each, _ in offered}
    shown: dict[str, Any] = {
        "values": values | {"agent": typed.get(values["agent"], values["agent"])},
        "faults": faults,
        "agents": sorted(offered, key=lambda agent: agent[2].lower()),
    }
    overdue = given.context.api.timing.overdue_at(given.now) - given.now
    shown |= {"overdue_ms": overdue.total_seconds() * 1000, "idempotency_key": secrets.token_urlsafe(12)}
    return given.page("submit.html", 422 if faults else 200, **shown)


def _known(store: Snapshot) -> questions.Answer:
    return store.read(questions.find, "agent", grammar.EVERYTHING)


@router.page("POST", "/submit", Scope.SUBMIT)
async def submit(given: requests.PageRequest) -> Response:
    """Accept the run durably and show it; a form that is sent twice is one run."""
    values = {name: given.field(name).replace("\r\n", "\n") for name in _NAMES}
    try:
        body = bodies.Submission.model_validate(_body(values, given.agents))
    except ValidationError as error:
        return await _page(given, values, _faults(error))
    expected_by = given.context.api.timing.overdue_at(given.now)
    key = given.field("idempotency_key")[:100] or None
    wanted = submission_values.submission(body, given.caller, given.now, expected_by, key)
    done = await given.database.write(submitting.submit, wanted)
    if not done.is_same:
        raise errors.IdempotencyKeyReused(done.run.id, pruned=done.run.pruned_at is not None)
    response = given.redirect(given.url(f"/runs/{done.run.id}"), "The run is accepted. It starts in a moment.")
    last = f"{requests.cookie_value(values['agent'])}|{requests.cookie_value(values['model'])}"
    given.set_cookie(response, _LAST, last, 90 * 86400)
    return response


def _body(values: dict[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the JSON body of `POST /v1/runs` has them; the name of one agent means its id."""
    agent = values["agent"].strip()
    meant = agents.by_names(names)(grammar.Value(agent))
    objects = [each for each in _SPLIT.split(values["objects"]) if each]
    pairs = [line.partition("=") for line in values["tags"].splitlines() if line.strip()]
    optional = {
        "guidance": values["guidance"],
        "model": values["model"].strip(),
        "objectIds": objects,
        "tags": {key.strip(): value.strip() for key, _, value in pairs},
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
    return known.get(kind, f"{message[:1].upper()}{message[1:]}.")
