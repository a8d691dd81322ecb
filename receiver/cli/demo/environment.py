"""The servers of the demo, in one process on free ports of this machine, with its submissions and its faults."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2 as httpx
from pydantic import SecretStr

from receiver import app as receiver_app
from receiver import clock, settings, telemetry, timeouts
from receiver.cli import open_database
from receiver.cli.commands import serve
from receiver.cli.errors import CommandError
from receiver.sandbox import app as sandbox
from receiver.sandbox import faults
from receiver.server import uvicorn_server
from receiver.web import authentication
from storage.engine import urls
from storage.transitions import api_key_changes

#: The data folder unless RUNLEDGER_DATA_DIR is set.
FOLDER = Path("data/demo")
#: A file that marks a folder as made by the demo, which may empty it.
MARK = "made-by-runledger-demo"
LOG = "server.log"
RUN_SECONDS = 2.5
#: How long the link to the pages works.
LINK_LIFETIME = timedelta(hours=1)
CASEDEV_KEY = "sk_case_demo"

AGENT = {
    "name": "Legal research",
    "instructions": "You are a legal research assistant. Search vaults, find case law, compile a memo, upload it.",
    "model": "anthropic/claude-sonnet-4.6",
}


def _task(prompt: str, matter: str, kind: str, **fields: object) -> dict[str, object]:
    """Return a body of `POST /v1/runs`, but for the agent."""
    return {"prompt": prompt, "tags": {"matter": matter, "kind": kind}, **fields}


#: Parts of prompts by which faults choose runs: without callback and event, with a late callback, failing.
SILENT, LATE, FAILING = "chronology", "depositions", ("privilege log", "scanned exhibits")

#: The backend cancels the last one.
TASKS = (
    _task(
        "Search vault vault_xyz for all references to force majeure clauses and compile a summary.",
        "2026-0117",
        "search",
    ),
    _task(
        "Analyze the master services agreement in vault vault_abc",
        "2026-0142",
        "review",
        guidance="Focus on indemnification and limitation of liability. The client is in healthcare, "
        "so flag any HIPAA-related concerns.",
    ),
    _task(
        "Quick summary of document vault_abc/obj_xyz", "2026-0142", "summary", model="anthropic/claude-haiku-3.5"
    ),
    _task(
        f"Summarize the {LATE} and list every contradiction between them.",
        "2026-0117",
        "summary",
        objectIds=["obj_deposition_1", "obj_deposition_2", "obj_deposition_3"],
    ),
    _task(
        "Research employment discrimination laws relevant to the documents in vault vault_abc. Upload a report.",
        "2026-0155",
        "research",
    ),
    _task("Find case law on anticipatory repudiation in the Second Circuit since 2015.", "2026-0117", "research"),
    _task(
        "Verify every citation in the draft brief vault_xyz/obj_brief.",
        "2026-0155",
        "review",
        model="anthropic/claude-haiku-3.5",
    ),
    _task(f"Build a {SILENT} of the shipment delay from the emails in vault vault_xyz.", "2026-0117", "research"),
    _task(f"Check the {FAILING[0]} for entries without a basis.", "2026-0155", "review"),
    _task(f"Index the {FAILING[1]} in vault vault_abc by witness.", "2026-0142", "search"),
    _task(
        "List the notice periods and cure rights of the lease for Suite 410.",
        "2026-0161",
        "summary",
        model="anthropic/claude-haiku-3.5",
    ),
    _task("Draft a litigation hold notice for every custodian in vault vault_abc.", "2026-0117", "draft"),
)

#: The faults: callbacks come twice, one run has neither callback nor event, another one a late callback.
FAULTS: dict[str, object] = {
    "callback_duplicates": 1,
    "fail_prompts": FAILING,
    "script": [
        {"route": "callback", "prompt": SILENT, "action": "drop"},
        {"route": "event", "prompt": SILENT, "action": "drop"},
        {"route": "callback", "prompt": LATE, "action": "delay:0.5"},
    ],
}


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """The addresses of both servers, an API key of ours, and the server's settings."""

    sandbox: str
    server: str
    key: str
    given: settings.Settings

    @property
    def log(self) -> Path:
        return self.given.data_dir / LOG

    def backend(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return _client(self.server, self.key)

    def upstream(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return _client(self.sandbox, CASEDEV_KEY)


def _client(address: str, key: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=address, headers=headers, timeout=10, trust_env=False)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[DemoEnvironment]:
    """Run both servers for the block, on an empty database. Raise CommandError, DatabaseInUse."""
    switches = faults.merged(faults.Faults(), FAULTS)
    imitation = sandbox.Sandbox(seed=1, run_seconds=RUN_SECONDS, switches=switches)
    with (
        uvicorn_server.bind("127.0.0.1", 0) as sandbox_socket,
        uvicorn_server.bind("127.0.0.1", 0) as server_socket,
        _logging_to(folder / LOG),
    ):
        upstream, ours = uvicorn_server.url(sandbox_socket), uvicorn_server.url(server_socket)
        async with uvicorn_server.running(imitation, sandbox_socket):
            secret = await _register(upstream, f"{ours}/webhooks/case")
            given = _settings(folder, upstream, ours, secret)
            servers = DemoEnvironment(upstream, ours, await _create_key(given), given)
            # The report waits until rejected requests are stored, and shows agents by their names.
            overrides = receiver_app.Overrides(timing=timeouts.Timing(rejection_flush=0.5, new_agents=0.5))
            server = receiver_app.create_app(given, overrides=overrides, checks=serve.checks(given))
            async with uvicorn_server.running(server, server_socket):
                yield servers


def _settings(folder: Path, upstream: str, ours: str, secret: str) -> settings.Settings:
    """Return the demo's settings. The environment has no effect on them, nor has a real key in it."""
    own = {
        "data_dir": folder,
        "casedev_api_key": SecretStr(CASEDEV_KEY),
        "casedev_base_url": upstream,
        "public_url": ours,
        "webhook_secrets": secret,
        "sweep_seconds": 2.0,
        "sql": "on",
    }
    return settings.load(env_file=None, **_defaults() | own)


def _defaults() -> dict[str, object]:
    return {name: known.default for name, known in settings.Settings.model_fields.items()}


def folder() -> Path:
    """Return RUNLEDGER_DATA_DIR where it is set, else FOLDER."""
    others = {name: value for name, value in _defaults().items() if name != "data_dir"}
    given = settings.load(env_file=None, **others)
    return given.data_dir if "data_dir" in given.model_fields_set else FOLDER


def empty(folder: Path) -> None:
    """Make the folder, or remove the data of an earlier demo. Raise CommandError where it holds other data."""
    file = folder / "runledger.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and not (folder / MARK).exists():
            raise CommandError(
                f"{open_database.short_path(file)} was not made by the demo and is left alone: "
                "set RUNLEDGER_DATA_DIR to a folder that the demo may fill"
            )
        with urls.server_lock(f"sqlite:///{file.absolute()}"):
            for name in (file.name, f"{file.name}-wal", f"{file.name}-shm", LOG):
                (folder / name).unlink(missing_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise CommandError(f"{open_database.short_path(folder)} cannot be used: {error.strerror}") from None


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write the servers' log to a file, so that the terminal shows the report alone."""
    root = logging.getLogger()
    handlers = root.handlers
    with path.open("a", buffering=1, encoding="utf-8") as log:
        with contextlib.redirect_stderr(log):
            telemetry.configure("console", "info")
        try:
            yield
        finally:
            root.handlers = handlers


async def _register(upstream: str, url: str) -> str:
    """Register the endpoint for platform events, and return the secret that signs them."""
    asked = {"url": url, "eventTypeFilters": ["agent.run.*"], "description": "Runledger"}
    async with _client(upstream, CASEDEV_KEY) as client:
        made = (await client.post("/webhooks/v1/endpoints", json=asked)).raise_for_status()
    secret: str = made.json()["signingSecret"]
    return secret


async def _create_key(given: settings.Settings) -> str:
    """Return an API key for the backend, as `runledger keys create` makes one."""
    key, text = authentication.mint(
        "backend", (authentication.Scope.SUBMIT.value, authentication.Scope.READ.value), clock.now()
    )
    async with open_database.created(given) as store:
        await store.write(api_key_changes.create_key, key)
    return text
