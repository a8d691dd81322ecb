"""The server of a command: what the environment says, what was stored by `login`, and which comes first."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.receiver.cli.terminal import Terminal

KEY = "rl_0123456789ab_secret"
EMPTY = {"runs": [], "hasMore": False, "nextCursor": None, "total": None, "unindexed": None, "unreadable": []}
ANSWERS = {"/v1/caller": {"name": "ci", "scopes": ["read"]}, "/v1/runs": EMPTY, "/v1/jobs": {"tasks": []}}


class OtherRelease(BaseHTTPRequestHandler):
    """A server of release 9.9 that has no runs, and knows one key."""

    def do_GET(self) -> None:
        known = self.headers["authorization"] == f"Bearer {KEY}"
        found = (
            ANSWERS.get(self.path.partition("?")[0])
            if known
            else {"type": "urn:runledger:problem:not-authenticated"}
        )
        self.send_response(200 if found and known else 404 if known else 401)
        self.send_header("runledger-release", "9.9")
        self.send_header("content-type", "application/json" if found and known else "application/problem+json")
        self.end_headers()
        self.wfile.write(json.dumps(found or {"type": "about:blank"}).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherRelease) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def here(new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("RUNLEDGER_URL", "RUNLEDGER_API_KEY", "RUNLEDGER_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return new_terminal


def _file(here: Terminal) -> Path:
    return here.folder.parent / "config" / "runledger" / "profiles.json"


def test_after_login_commands_work_on_the_server_until_logout(here: Terminal, url: str) -> None:
    done = here.type("login", url + "/", given=KEY + "\n")
    assert (
        done.out == f"Commands work on {url} from now on, with the key ci (read). `runledger logout` ends that.\n"
    )
    assert here.type("runs").out == "No runs.\n"
    assert here.type("logout").out == f"{url} is forgotten.\n"
    assert "there is no database" in here.type("runs").err


def test_the_key_is_kept_where_only_its_owner_reads_it_and_shown_nowhere(here: Terminal, url: str) -> None:
    here.type("login", url, given=KEY)
    assert stat.S_IMODE(_file(here).stat().st_mode) == 0o600
    assert json.loads(_file(here).read_text())["profiles"]["default"]["key"] == KEY
    for screen in (here.type("profiles"), here.type("profiles", "--json"), here.type("logout", "--json")):
        assert url in screen.out
        assert "secret" not in screen.out
    assert KEY not in _file(here).read_text()


@pytest.mark.parametrize(
    ("key", "said"), [("rl_wrong", "does not accept this API key"), ("\n", "there is no API key")]
)
def test_a_key_that_does_not_work_is_not_stored(here: Terminal, url: str, key: str, said: str) -> None:
    screen = here.type("login", url, given=key)
    assert screen.code != 0
    assert said in screen.err
    assert not _file(here).exists()


def test_one_of_several_servers_is_chosen_by_an_option_or_for_good(here: Terminal, url: str) -> None:
    here.type("login", url, "--profile", "one", given=KEY)
    here.type("login", url, "--profile", "two", given=KEY)
    assert [each["current"] for each in here.type("profiles", "--json").objects] == [False, True]
    assert here.type("--profile", "one", "runs").out == "No runs.\n"
    assert "there is no profile 'three'" in here.type("--profile", "three", "runs").err
    assert "there is no database" in here.type("--profile", "local", "runs").err
    here.type("profiles", "--use", "local")
    assert "there is no database" in here.type("runs").err


def test_the_environment_comes_before_what_was_stored(
    here: Terminal, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.type("login", url, given=KEY)
    monkeypatch.setenv("RUNLEDGER_URL", "http://127.0.0.1:9")
    assert "RUNLEDGER_API_KEY is empty" in here.type("runs").err
    monkeypatch.setenv("RUNLEDGER_API_KEY", "rl_other")
    screen = here.type("runs")
    assert (screen.code, screen.out) == (1, "")
    assert "http://127.0.0.1:9 cannot be reached" in screen.err
    assert "rl_other" not in screen.err


def test_a_server_of_another_release_is_named_once_in_a_sentence(here: Terminal, url: str) -> None:
    here.type("login", url, given=KEY)
    screen = here.type("runs")
    assert screen.err.count("has release 9.9 and this command line") == 1
    assert screen.code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [(["jobs"], "gave an answer of another release"), (["hold", "list"], "does not know this request")],
)
def test_what_a_server_of_another_release_lacks_is_said_in_a_sentence(
    here: Terminal, url: str, words: list[str], said: str
) -> None:
    here.type("login", url, given=KEY)
    screen = here.type(*words)
    assert (screen.code, screen.out) == (1, "")
    assert said in screen.err


def test_a_damaged_file_is_named_with_what_to_do(here: Terminal) -> None:
    _file(here).parent.mkdir(parents=True)
    _file(here).write_text("[1]")
    screen = here.type("runs")
    assert (screen.code, screen.out) == (1, "")
    assert "profiles.json is damaged: remove it" in screen.err


def test_an_address_that_is_none_is_wrong_usage(here: Terminal) -> None:
    screen = here.type("login", "ledger.example.com", given=KEY)
    assert (screen.code, screen.out) == (2, "")
    assert "must be like https://" in screen.err


@pytest.mark.parametrize("home", ["/dev/null", "/nowhere"])
def test_a_user_without_a_home_works_on_this_machine(
    here: Terminal, url: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", home)
    assert "there is no database" in here.type("runs").err
    if home == "/dev/null":
        assert "cannot be written" in here.type("login", url, given=KEY).err
