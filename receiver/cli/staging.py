"""The demo's stage: a sandbox and the real server on free ports of this machine, in one process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
from pydantic import SecretStr

from receiver import access, app, backoff, clock, settings, telemetry
from receiver.cli import casework, listening, opening, sentences
from receiver.sandbox import app as sandbox
from receiver.sandbox import faults
from storage import dialect, transitions

#: Where the demo keeps its data unless RUNLEDGER_DATA_DIR says where.
FOLDER = Path("data/demo")
#: Its presence says that a folder was made by the demo, and may be emptied by it.
MARK = "made-by-runledger-demo"
LOG = "server.log"
RUN_SECONDS = 2.5
CASEDEV_KEY = "sk_case_demo"


@dataclass(frozen=True, slots=True)
class Stage:
    """What is running: two addresses, an API key of ours, and the settings of the server."""

    sandbox: str
    server: str
    key: str
    given: settings.Settings

    @property
    def log(self) -> Path:
        """Where the server's log goes."""
        return self.given.data_dir / LOG

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the server, as a backend would be."""
        headers = {"authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(base_url=self.server, headers=headers, timeout=10, trust_env=False) as client:
            yield client

    @asynccontextmanager
    async def upstream(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the sandbox, with the organisation's key."""
        headers = {"authorization": f"Bearer {CASEDEV_KEY}"}
        async with httpx.AsyncClient(
            base_url=self.sandbox, headers=headers, timeout=10, trust_env=False
        ) as client:
            yield client


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Both servers for as long as the block, on an empty database. Raises Complaint, InUse."""
    switches = faults.merged(faults.Faults(), casework.FAULTS)
    imitation = sandbox.create_app(seed=1, run_seconds=RUN_SECONDS, faults=switches)
    with (
        listening.bind("127.0.0.1", 0) as sandbox_socket,
        listening.bind("127.0.0.1", 0) as server_socket,
        _logging_to(folder / LOG),
    ):
        upstream, ours = listening.url(sandbox_socket), listening.url(server_socket)
        async with listening.running(imitation, sandbox_socket):
            secret = await _endpoint(upstream, f"{ours}/webhooks/case")
            given = _settings(folder, upstream, ours, secret)
            stage = Stage(upstream, ours, await _key(given), given)
            # Rejected requests are shown when they are in the database; the usual two seconds would be waited for.
            seams = app.Seams(timing=backoff.Timing(ring=0.5))
            async with listening.running(app.create_app(given, seams=seams), server_socket):
                yield stage


def _settings(folder: Path, upstream: str, ours: str, secret: str) -> settings.Settings:
    """The demo's own settings; what stands in the environment, a real key above all, has no part in it."""
    return settings.load(
        env_file=None,
        **_defaults()
        | {
            "data_dir": folder,
            "casedev_api_key": SecretStr(CASEDEV_KEY),
            "casedev_base_url": upstream,
            "public_url": ours,
            "webhook_secrets": secret,
            "sweep_seconds": 2.0,
        },
    )


def _defaults() -> dict[str, object]:
    return {name: known.default for name, known in settings.Settings.model_fields.items()}


def folder() -> Path:
    """RUNLEDGER_DATA_DIR where it is set, else the demo's own place."""
    others = {name: value for name, value in _defaults().items() if name != "data_dir"}
    given = settings.load(env_file=None, **others)
    return given.data_dir if "data_dir" in given.model_fields_set else FOLDER


def empty(folder: Path) -> None:
    """Makes the folder, or takes out what an earlier demo left. Raises Complaint where it holds data of others."""
    file = folder / "runledger.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and not (folder / MARK).exists():
            raise sentences.Complaint(
                f"{opening.short(file)} was not made by the demo and is left alone: "
                "set RUNLEDGER_DATA_DIR to a folder that the demo may fill"
            )
        with dialect.sole_server(f"sqlite:///{file.absolute()}"):
            for name in (file.name, f"{file.name}-wal", f"{file.name}-shm", LOG):
                (folder / name).unlink(missing_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise sentences.Complaint(f"{opening.short(folder)} cannot be used: {error.strerror}") from None


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """The servers' log lines go to a file: the screen is for the story."""
    root = logging.getLogger()
    handlers = root.handlers
    with path.open("a", buffering=1, encoding="utf-8") as log:
        with contextlib.redirect_stderr(log):
            telemetry.configure("console", "info")
        try:
            yield
        finally:
            root.handlers = handlers


async def _endpoint(upstream: str, url: str) -> str:
    """Registers where platform events go; the secret that signs them."""
    asked = {"url": url, "eventTypeFilters": ["agent.run.*"], "description": "Runledger"}
    headers = {"authorization": f"Bearer {CASEDEV_KEY}"}
    async with httpx.AsyncClient(base_url=upstream, headers=headers, trust_env=False) as client:
        made = (await client.post("/webhooks/v1/endpoints", json=asked)).raise_for_status()
    secret: str = made.json()["signingSecret"]
    return secret


async def _key(given: settings.Settings) -> str:
    """An API key for the backend, as `runledger keys create` makes one."""
    key, text = access.mint("backend", (access.Scope.SUBMIT.value, access.Scope.READ.value), clock.now())
    async with opening.made(given) as store:
        await store.write(transitions.create_key, key)
    return text
