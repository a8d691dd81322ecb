"""Every command gives the same output on a store and on the server of that store, or says that it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.remote import reach
from receiver.cli.remote.reach import Reach
from tests.laws import documents
from tests.receiver.cli.remote import store
from tests.receiver.cli.terminal import Screen

COMMANDS = dict(documents.commands())
#: What is typed behind each command that works on a server, a line for each call. Names in braces are the store's.
TYPED: dict[str, list[str]] = {
    "submit": ["--agent agent_1 --prompt Review.", "--agent agent_1 --prompt Review. --wait 0"],
    "watch": ["run_2"],
    "cancel": ["{run}", "nothing_that_is"],
    "refresh": ["{run}"],
    "again": ["{run} --model m-2"],
    "notify": ["{run}", "{open}"],
    "tag": ["{run} reviewed=yes", "{run} --remove client"],
    "review": ["{run} approved", "{open} approved"],
    "reviews": ["{run}"],
    "bulk": ["", "--limit 1"],
    "bulk start": ["cancel status:lost --dry-run", "tag status:completed --set a=b --yes --no-wait"],
    "bulk show": ["{bulk}"],
    "bulk stop": ["{bulk}"],
    "views list": [""],
    "views save": ["Failed status:failed", "Failed status:lost --private"],
    "views delete": ["Nothing"],
    "runs": ["", "--status completed --count", "--limit 1", "cost:>", "--cursor x", "--all --limit 1", "lease"],
    "stats": ["", "--by agent", "--by modl"],
    "deliveries": ["", "--run {run}", "{delivery}", "{delivery} --process", "x.y"],
    "show": ["{run}", "{open}", "run_1", "nothing_that_is"],
    "steps": ["{run}", "{run} --limit 2"],
    "timeline": ["{run}"],
    "document": ["{run}", "{run} --version 9"],
    "sql": ["SELECT_id_FROM_runs_ORDER_BY_id", "SELECT", "DELETE_FROM_runs"],
    "jobs": ["", "--by cause", "--state dead"],
    "jobs retry": ["{job}", "--kind notify --dry-run"],
    "keys create": ["ci --scope read", "ü --scope read"],
    "keys list": [""],
    "keys revoke": ["ci", "nobody"],
    "receipt": ["{run}"],
    "hold place": ["--tag a=b --reason Case", "--run nothing_that_is --reason Case"],
    "hold list": ["", "--released"],
    "hold release": ["{hold}"],
    "ledger key": [""],
    "ledger policy": [""],
    "ledger checkpoint": [""],
}
CALLS = [(name, words) for name, lines in TYPED.items() for words in lines]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[store.Store]:
    with store.served(tmp_path_factory.mktemp("served"), template) as made:
        yield made


def _masked(text: str) -> str:
    """Return a text without what differs between two calls: ids, instants, ages, and who has called."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])", "ID", text)
    text = re.sub(r"rl_ID_[\w-]+|(?<=sign-in/)[\w-]+", "KEY", text)
    text = re.sub(r"[0-9a-f]{64}", "SHA", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z|\b\d\d-\d\d \d\d:\d\d:\d\dZ", "AT", text)
    text = re.sub(r"\b(in )?(\d+[dhm] )*[\d.]+(ms|[dhms])( ago)?\b|\bnow\b", "AGE", text)
    text = re.sub(r"key:cli|operator", "WHO", text)
    # A submission over HTTP has a key of its own, and each call asks for a job once more.
    text = re.sub(r'"idempotencyKey":("ID"|null)|"requested":\d+', "-", text)
    return re.sub(r"[ ─]+", " ", text)


def _shown(screen: Screen) -> tuple[int, str, str]:
    return screen.code, _masked(screen.out), _masked(screen.err)


def _words(name: str, line: str) -> list[str]:
    typed = [word.replace("_", " ") if word.isupper() or "_FROM_" in word else word for word in line.split()]
    return [*name.split(), *typed]


@pytest.mark.parametrize("form", ["people", "programs"])
@pytest.mark.parametrize(("name", "line"), CALLS)
def test_a_command_gives_the_same_on_the_store_and_on_its_server(
    held: store.Store, name: str, line: str, form: str
) -> None:
    json = ["--json"] if form == "programs" and name != "document" else []
    words = [*_words(name, line), *json]
    here, there = held.type(*words, remote=False), held.type(*words, remote=True)
    assert _shown(here) == _shown(there)


def test_a_view_is_replaced_and_deleted_on_either(held: store.Store) -> None:
    shown = []
    for remote in (False, True):
        lines = ("views save Old status:lost", "views save Old status:failed", "views delete Old")
        shown += [_shown(held.type(*line.split(), "--json", remote=remote)) for line in lines]
    assert shown[:3] == shown[3:]
    assert "failed" in shown[1][1]


def test_open_leads_to_the_page_of_the_run_on_either(held: store.Store) -> None:
    here, there = (held.type("open", "{run}", "--json", remote=remote).object for remote in (False, True))
    page = f"/runs/{held.names['run']}"
    assert here["address"].endswith(f"?next={page}")
    assert (there["address"], there["key"]) == (held.url + page, None)


def _all(of: Reach) -> list[str]:
    return [name for name in COMMANDS if reach.of(name) is of]


def test_every_command_works_on_a_server_or_says_what_it_needs() -> None:
    assert {*TYPED, "open"} == set(_all(Reach.SERVER))
    assert set(COMMANDS) >= reach.MACHINE | reach.ANYWHERE


def _least(command: Any) -> list[str]:
    """Return the least that a command takes."""
    needed = [each for each in command.params if each.required]
    return [word for each in needed for word in ([each.opts[0], "1"] if each.opts[0].startswith("-") else ["1"])]


@pytest.mark.parametrize("name", _all(Reach.MACHINE))
def test_a_command_that_needs_the_machine_says_so_in_one_sentence(held: store.Store, name: str) -> None:
    screen = held.type(*name.split(), *_least(COMMANDS[name]), remote=True)
    assert (screen.code, screen.out) == (2, "")
    begins = f"runledger: `runledger {name}` works on the machine of the server alone, and {held.url} is chosen: "
    assert screen.err == begins + "run it there, or choose this machine's store by `runledger --profile local`\n"
