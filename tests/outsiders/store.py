"""A real store with settled runs, its real server, and the receipts that its command writes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2 as httpx

from storage.engine.database import Database
from storage.ledger import entries
from storage.migrations import schema_version
from tests import evidence_store, server
from tests.deploy.check import tools
from tests.patience import until
from tests.vectors.ledger.cases import Case

#: So many runs that the tree has a whole tile and a part of one.
RUNS = 60
_PROGRAM = (sys.executable, "-m", "receiver")


class Store:
    """The data folder, and commands on it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, server.free_port()
        self.size = asyncio.run(_filled(f"sqlite:///{self._data / 'runledger.db'}", self._data))

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _environment(self) -> Mapping[str, str]:
        return tools.environment(
            PYTHONPATH=str(tools.ROOT),
            RUNLEDGER_DATA_DIR=str(self._data),
            RUNLEDGER_LEDGER="open",
            CASEDEV_API_KEY="sk_case_1",
            CASEDEV_BASE_URL="http://127.0.0.1:9",
        )

    @property
    def url(self) -> str:
        """Return the address of the log."""
        return f"http://127.0.0.1:{self._port}/v1/ledger"

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Run the server, which signs, for the block."""
        typed = [*_PROGRAM, "serve", "--port", str(self._port)]
        with tools.started(typed, self._folder / "server.log", self._environment, self._folder):
            until(self._is_signed, "the server signs no checkpoint")
            yield

    def _is_signed(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{self.url}/checkpoint")
            return answer.status_code == httpx.codes.OK and int(answer.text.split("\n")[1]) >= self.size
        return False

    def receipt(self, run: str) -> list[Case]:
        """Return the leaves and proofs of a run's receipt."""
        folder = self._folder / f"receipt-{run}"
        tools.run([*_PROGRAM, "receipt", run, "--to", folder], cwd=self._folder, **self._environment)
        policy = (folder / "policy.txt").read_bytes()
        return [
            Case(
                f"{run}, entry {path.stem}", "accepted",
                (folder / f"leaf-{path.stem}.json").read_bytes(), path.read_bytes(), policy,
            )
            for path in sorted(folder.glob("*.tlog-proof"))
        ]  # fmt: skip

    def download(self, folder: Path) -> None:
        """Write checkpoint and tiles into a folder, as the log serves them."""
        whole, rest = divmod(self.size, 256)
        names = ["checkpoint", *(f"tile/{row}/{place:03}" for row in ("0", "entries") for place in range(whole))]
        names += [f"tile/{row}/{whole:03}.p/{rest}" for row in ("0", "entries")] if rest else []
        names += [f"tile/1/000.p/{whole}"]
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(httpx.get(f"{self.url}/{name}").raise_for_status().content)


async def _filled(url: str, folder: Path) -> int:
    """Make a store with runs; return how many entries it has."""
    folder.mkdir()
    async with Database(url) as database:
        await database.write(schema_version.upgrade)
        for number in range(RUNS):
            await evidence_store.settle(database, f"run_{number}")
        return await database.read(entries.last_number) + 1
