"""The doctor next to a running deployment: it reports what is sound, and names each broken set-up."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from receiver.crypto import tokens
from receiver.sandbox import faults
from tests import sandbox_server, server
from tests.journeys import harness
from tests.journeys.conftest import Deployments, Sites
from tests.patience import until
from tests.receiver.cli.terminal import Terminal

Environment = Mapping[str, str]
#: What is broken about a set-up, for as long as the block: the environment that differs.
Break = Callable[[Path, Path], AbstractContextManager[Environment]]


@pytest.fixture
def sit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[harness.Deployment], Terminal]:
    """The doctor next to a deployment, with the settings of its server."""

    def sat(deployment: harness.Deployment) -> Terminal:
        monkeypatch.chdir(tmp_path)
        environment = {
            "CASEDEV_API_KEY": "sk_case_test",
            "CASEDEV_BASE_URL": deployment.sandbox.url,
            **deployment.server.site.environment,
            "RUNLEDGER_PUBLIC_URL": deployment.server.url,
            "RUNLEDGER_WEBHOOK_SECRETS": harness.secrets_of(deployment.secret),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Terminal(deployment.server.folder)

    return sat


@pytest.fixture(scope="module")
def deployments(sites: Sites) -> Iterator[Deployments]:
    """A deployment of its own, with an upstream that does what is documented otherwise or not at all."""
    odd = faults.Faults(event_key_encoding="hex", callback_body="data.runId", error_shape="nested")
    with harness.shared(sites, lambda site: harness.opened(site, switches=odd)) as opened:
        yield opened


@pytest.fixture
def odd(deployments: Deployments, kind: str) -> harness.Deployment:
    deployment = deployments(kind)
    until(lambda: deployment.ready()[0] == 200)
    return deployment


def test_a_sound_deployment_is_all_well(
    odd: harness.Deployment, sit: Callable[[harness.Deployment], Terminal]
) -> None:
    terminal = sit(odd)
    screen = terminal.type("doctor", "--json", "--timeout", "60")
    # The disk and the speed of the machine that runs this test are not judged.
    judged = [each for each in screen.objects if each["name"] not in ("disk space", "upstream")]
    assert [each for each in judged if each["level"] != "ok"] == []
    assert screen.code == 0


def test_a_get_on_a_callback_address_shows_whether_it_is_ours_and_stores_nothing(
    deployment: harness.Deployment,
) -> None:
    key = deployment.server.site.secret_keys
    kept = deployment.server.rows("SELECT count(*) AS n FROM deliveries")
    for keys, status in (([key], 204), (["another"], 405)):
        token = tokens.Signer(keys).token("01a20d3f-8a28-7a92-a297-cf650f2a92d0")
        assert deployment.api.get(f"/callbacks/{token}").status_code == status
    assert deployment.server.rows("SELECT count(*) AS n FROM deliveries") == kept


@contextmanager
def wrong_key(folder: Path, template: Path) -> Iterator[Environment]:
    yield {"CASEDEV_API_KEY": "no_key_of_theirs"}


@contextmanager
def withdrawn(folder: Path, template: Path) -> Iterator[Environment]:
    with sandbox_server.running(faults=faults.Faults(withdrawn=410)) as sandbox:
        yield {"CASEDEV_BASE_URL": sandbox.url}


@contextmanager
def unreachable(folder: Path, template: Path) -> Iterator[Environment]:
    yield {"CASEDEV_BASE_URL": f"http://127.0.0.1:{server.free_port()}"}


class _Yesterday(BaseHTTPRequestHandler):
    """An upstream without runs, whose clock stands."""

    def do_GET(self) -> None:
        body = b'{"runs":[],"hasMore":false,"nextCursor":null}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Mon, 23 Nov 2020 12:00:00 GMT"

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def skewed(folder: Path, template: Path) -> Iterator[Environment]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Yesterday) as upstream:
        thread = threading.Thread(target=upstream.serve_forever)
        thread.start()
        try:
            yield {"CASEDEV_BASE_URL": f"http://127.0.0.1:{upstream.server_port}"}
        finally:
            upstream.shutdown()
            thread.join()


@contextmanager
def another_page(folder: Path, template: Path) -> Iterator[Environment]:
    with sandbox_server.running() as sandbox:
        yield {"RUNLEDGER_PUBLIC_URL": sandbox.url}


@contextmanager
def another_installation(folder: Path, template: Path) -> Iterator[Environment]:
    yield {"RUNLEDGER_SECRET_KEYS": "the-key-of-another-installation"}


@contextmanager
def undecodable(folder: Path, template: Path) -> Iterator[Environment]:
    yield {"RUNLEDGER_WEBHOOK_SECRETS": "whsec_%%%"}


@contextmanager
def too_new(folder: Path, template: Path) -> Iterator[Environment]:
    file = shutil.copy(template, folder / "runledger.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    yield {"RUNLEDGER_DATA_DIR": str(folder)}


@contextmanager
def no_database(folder: Path, template: Path) -> Iterator[Environment]:
    (folder / "runledger.db").write_bytes(b"something else altogether" * 100)
    yield {"RUNLEDGER_DATA_DIR": str(folder)}


@contextmanager
def unwritable(folder: Path, template: Path) -> Iterator[Environment]:
    (folder / "file").touch()
    yield {"RUNLEDGER_DATA_DIR": str(folder / "file" / "data")}


@contextmanager
def unreadable_settings(folder: Path, template: Path) -> Iterator[Environment]:
    yield {"RUNLEDGER_WORKER_CONCURRENCY": "many"}


@contextmanager
def deaf_backend(folder: Path, template: Path) -> Iterator[Environment]:
    yield {
        "RUNLEDGER_NOTIFY_URL": f"http://127.0.0.1:{server.free_port()}/",
        "RUNLEDGER_NOTIFY_ALLOW_PRIVATE": "true",
        "RUNLEDGER_NOTIFY_SECRETS": f"whsec_{'A' * 40}",
    }


@contextmanager
def no_server(folder: Path, template: Path) -> Iterator[Environment]:
    yield {"RUNLEDGER_DATABASE_URL": f"postgresql://somebody:secret@127.0.0.1:{server.free_port()}/runledger"}


SQLITE = pytest.mark.parametrize("kind", ["sqlite"])


def _named_rightly(
    terminal: Terminal,
    folder: Path,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Break,
    name: str,
    said: str,
) -> None:
    """Of all that is looked at this one thing is a fault, and the command fails."""
    with broken(folder, template) as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        screen = terminal.type("doctor", "--json", "--timeout", "60")
    faulty = [each for each in screen.objects if each["level"] == "fault"]
    assert [each["name"] for each in faulty] == [name], screen.out
    assert said in faulty[0]["said"]
    assert faulty[0]["advice"]
    assert screen.code == 1


@pytest.mark.parametrize(
    ("broken", "name", "said"),
    [
        (wrong_key, "key", "the upstream does not accept CASEDEV_API_KEY (401)"),
        (withdrawn, "agent API", "the agent API is withdrawn: GET /agent/v1/run answers 410"),
        (unreachable, "upstream", "cannot be reached: the connection is refused"),
        (skewed, "clock", "ahead of the upstream's"),
        (another_page, "public address", "answers 401, and not as Runledger does"),
        (another_installation, "public address", "leads to another Runledger"),
        (undecodable, "webhook secrets", "a secret that is not base64"),
        (no_server, "database", "postgresql://somebody:***@127.0.0.1:"),
        (unreadable_settings, "settings", "RUNLEDGER_WORKER_CONCURRENCY: "),
        (deaf_backend, "backend", "cannot be reached: the connection is refused"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_set_up_is_named_rightly(
    deployment: harness.Deployment,
    sit: Callable[[harness.Deployment], Terminal],
    tmp_path: Path,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Break,
    name: str,
    said: str,
) -> None:
    _named_rightly(sit(deployment), tmp_path, template, monkeypatch, broken, name, said)


@SQLITE
@pytest.mark.parametrize(
    ("broken", "name", "said"),
    [
        (too_new, "schema", "the database is at schema 9999, newer than this release"),
        (no_database, "database", "cannot be opened: file is not a database"),
        (unwritable, "data folder", "cannot be written: Not a directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_rightly(
    deployment: harness.Deployment,
    sit: Callable[[harness.Deployment], Terminal],
    tmp_path: Path,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Break,
    name: str,
    said: str,
) -> None:
    _named_rightly(sit(deployment), tmp_path, template, monkeypatch, broken, name, said)


def test_an_upstream_that_never_answers_is_named_in_time(
    sit: Callable[[harness.Deployment], Terminal], deployment: harness.Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = faults.merged(faults.Faults(), {"script": [{"route": "list", "action": "hold"}]})
    with sandbox_server.running(faults=silent) as sandbox:
        terminal = sit(deployment)
        monkeypatch.setenv("CASEDEV_BASE_URL", sandbox.url)
        screen = terminal.type("doctor", "--json", "--timeout", "3")
    (finding,) = [each for each in screen.objects if each["name"] == "upstream"]
    assert finding["level"] == "fault"
    assert "in time" in finding["said"]


def test_a_live_run_tells_what_the_service_does_and_the_settings_that_follow(
    odd: harness.Deployment, sit: Callable[[harness.Deployment], Terminal]
) -> None:
    words = ["--live", odd.agent, "--yes", "--json", "--linger", "120", "--timeout", "60"]
    screen = sit(odd).type("doctor", *words)
    findings = {each["name"]: each for each in screen.objects}
    assert screen.code == 0, screen.err
    assert findings["callback names"]["said"] == "the run as data.runId"
    assert "user-agent: case-dev-sandbox" in findings["callback headers"]["said"]
    assert findings["event"]["setting"] == "RUNLEDGER_WEBHOOK_KEY_ENCODING=hex"
    assert findings["error: unknown run"]["said"].endswith('answers 404, {"error": {message, type, code}}')
    assert "a close event; then the upstream ends the stream" in findings["event stream"]["said"]
    assert "x-ratelimit-limit: 1000" in findings["rate limits"]["said"]
