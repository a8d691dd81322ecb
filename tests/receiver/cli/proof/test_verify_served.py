"""`runledger ledger verify --url` against a real server, behind a proxy that changes what is served."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from storage.engine.database import Database
from storage.ledger import entries
from storage.migrations import schema_version
from tests import evidence_store, life, server
from tests.patience import until
from tests.receiver.cli.proof import changing_proxy
from tests.receiver.cli.terminal import Terminal


@dataclass
class Served:
    """A server with its store, and the proxy before it."""

    server: server.Server
    proxy: changing_proxy.Proxy
    size: int

    @property
    def paths(self) -> list[str]:
        """Return the paths of all tiles."""
        part = f"001.p/{self.size - 256}"
        return [*(f"tile/{row}/{tile}" for row in ("0", "entries") for tile in ("000", part)), "tile/1/000.p/1"]


async def _fill(url: str) -> None:
    async with Database(url) as database:
        await database.write(schema_version.upgrade)
        await evidence_store.settle(database)
        # So many entries that the tree has a whole tile and a part of one.
        facts: dict[str, Any] = {"hour": "2026-11-23T12:00:00.000000Z", "counts": {}}
        more = [entries.Entry(entries.Kind.REJECTIONS_COUNTED, life.NOW, None, "worker", facts)] * 290
        await database.write(entries.append, more)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    site = server.Site(tmp_path_factory.mktemp("served"))
    asyncio.run(_fill(site.url))
    running = server.Server(site, "http://127.0.0.1:9", {}, {})
    running.start()
    with contextlib.ExitStack() as stack:
        stack.callback(running.kill)
        client = stack.enter_context(running.client())

        def size() -> int:
            answer = client.get("/v1/ledger/checkpoint")
            return int(answer.text.split("\n")[1]) if answer.status_code == httpx.codes.OK else 0

        until(lambda: size() > 256 and size() == len(running.rows("SELECT seq FROM ledger_entries")))
        yield Served(running, stack.enter_context(changing_proxy.before(running.url)), size())


@pytest.fixture
def inside(served: Served, new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Return a terminal beside the store."""
    for name, value in served.server.site.environment.items():
        monkeypatch.setenv(name, value)
    yield _with_files(served, new_terminal)
    served.proxy.changes = {}


@pytest.fixture
def outside(served: Served, new_terminal: Terminal) -> Iterator[Terminal]:
    """Return a terminal without a store."""
    yield _with_files(served, new_terminal)
    served.proxy.changes = {}


def _with_files(served: Served, terminal: Terminal) -> Terminal:
    Path("key.txt").write_text(f"{served.server.key}\n")
    with served.server.client() as client:
        Path("policy.txt").write_text(client.get("/v1/ledger/policy").text)
        Path("kept.txt").write_text(client.get("/v1/ledger/checkpoint").text)
    return terminal


def _typed(served: Served, *words: str) -> list[str]:
    return ["ledger", "verify", "--url", served.proxy.url, "--key", "key.txt", *words]


OUTSIDE = ("--policy", "policy.txt")


def test_what_is_served_is_that_of_the_store(served: Served, inside: Terminal) -> None:
    served.proxy.asked.clear()
    shown = inside.type(*_typed(served))
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "Nothing is broken."), shown.out
    assert served.proxy.asked == ["checkpoint", *_in_order(served)]
    assert "5 served tiles" in shown.out


def _in_order(served: Served) -> list[str]:
    first, second, entries, more, above = served.paths
    return [entries, first, more, second, above]


def test_an_outsider_checks_what_is_served_without_a_store(served: Served, outside: Terminal) -> None:
    shown = outside.type(*_typed(served, *OUTSIDE, "--checkpoint", "kept.txt", "--json"))
    assert (shown.code, shown.object["size"], shown.object["checked"]["servedTiles"]) == (0, served.size, 5)
    assert shown.object["unchecked"] == ["the rows that entries are about: there is no store here"]
    assert not outside.folder.exists()
    assert "name the keys to trust" in outside.type(*_typed(served)).err


@pytest.mark.parametrize("place", ["inside", "outside"])
@pytest.mark.parametrize("tile", range(5))
def test_one_changed_byte_of_a_tile_is_named(
    served: Served, place: str, tile: int, request: pytest.FixtureRequest
) -> None:
    terminal: Terminal = request.getfixturevalue(place)
    at = random.randrange(32)
    served.proxy.changes = {served.paths[tile]: changing_proxy.flipped(at)}
    shown = terminal.type(*_typed(served, *OUTSIDE, "--json"))
    assert (shown.code, [*shown.object["breaksByCode"]]) == (1, ["tile_changed"]), (at, shown.out)
    first = 256 if tile % 2 and tile < 4 else 0
    assert {each["number"] for each in shown.object["listed"]} == {first}


@pytest.mark.parametrize("place", ["inside", "outside"])
@pytest.mark.parametrize(("at", "code"), [(0, "key_unknown"), (25, "signature_wrong"), (-3, "signature_wrong")])
def test_one_changed_byte_of_the_checkpoint_is_named(
    served: Served, place: str, at: int, code: str, request: pytest.FixtureRequest
) -> None:
    terminal: Terminal = request.getfixturevalue(place)
    served.proxy.changes = {"checkpoint": changing_proxy.flipped(at)}
    shown = terminal.type(*_typed(served, *OUTSIDE, "--json"))
    assert (shown.code, [*shown.object["breaksByCode"]]) == (1, [code]), shown.out
    assert "what is served: its checkpoint is not trusted" in shown.object["unchecked"]


def test_a_server_that_does_not_answer_is_no_break(served: Served, outside: Terminal) -> None:
    served.proxy.changes = {"tile/0/000": lambda _: (307, b"")}
    assert "307 for tile/0/000" in outside.type(*_typed(served, *OUTSIDE)).err
    served.proxy.changes = {"checkpoint": lambda _: (404, b"")}
    assert "serves no checkpoint" in outside.type(*_typed(served, *OUTSIDE)).err
    served.proxy.changes = {}
    refused = outside.type("ledger", "verify", "--url", served.proxy.url, *OUTSIDE)
    assert (refused.code, refused.out) == (1, "")
    assert "API key of scope read" in refused.err
