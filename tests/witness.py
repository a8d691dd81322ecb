"""A witness of logs for tests: its key, its cosignatures, and its server (C2SP `tlog-witness`).

It checks what a witness has to check, with the verifier for auditors, and misbehaves as `fault` says.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from storage.ledger import forms
from tests.patience import until


@dataclass(frozen=True)
class Key:
    """The key of a witness."""

    name: str
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> log_keys.VerifierKey:
        """Return the public key."""
        return log_keys.VerifierKey(self.name, log_keys.COSIGNATURE + self.private.public_key().public_bytes_raw())

    @property
    def verifier_key(self) -> str:
        """Return the public key in its public form."""
        return self.public.text

    def line(self, text: str, seconds: int) -> str:
        """Return the line of a cosignature under the text of a checkpoint."""
        signature = self.private.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        return forms.signature_line(self.name, self.public.key_id, seconds.to_bytes(8, "big") + signature)


@dataclass
class Witness:
    """A witness of one log. `url` is set while it runs; `asked` has the old and the new size of each request."""

    log: log_keys.VerifierKey
    key: Key = field(default_factory=lambda: Key("witness.test/one"))
    seen: public_forms.Checkpoint | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)
    #: `down`, `slow`, `garbage`, `other key`, `long ago`, `large`, `forbidden`, `never right`.
    fault: str = ""
    #: Further lines of the answer.
    more: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def size(self) -> int:
        """Return the size of the checkpoint that it signed last."""
        return 0 if self.seen is None else self.seen.size

    async def add_checkpoint(self, request: Request) -> Response:
        """Sign a checkpoint that continues the one before."""
        head, _, note = (await request.body()).partition(b"\n\n")
        first, *lines = head.decode().split("\n")
        new, old = public_forms.parse_checkpoint(note), public_forms.number(first.removeprefix("old "), "old")
        self.asked.append((old, new.size))
        if self.fault:
            return await self._misbehave(new)
        policy = public_forms.parse_policy(f"log {self.log.text}\nquorum none\n".encode())
        if new.origin != self.log.name:
            return Response("unknown log", 404)
        try:
            public_forms.trust(new, policy, ed25519.verify)
        except public_forms.Refused:
            return Response("unknown key", 403)
        if old != self.size:
            return Response(f"{self.size}\n", 409, media_type="text/x.tlog.size")
        if self.seen is not None and new.size == old and new.root != self.seen.root:
            return Response(f"{self.size}\n", 409, media_type="text/x.tlog.size")
        try:
            hashes = [public_forms.from_base64(line, "a hash", 32) for line in lines]
            if self.seen is not None:
                public_forms.demand_consistent(self.seen, new, hashes)
        except public_forms.Refused:
            return Response("not consistent", 422)
        self.seen = new
        return self._answer(self.key.line(new.note.text, int(time.time())))

    def _answer(self, line: str) -> Response:
        return Response("".join(f"{each}\n" for each in [*self.more, line]))

    async def _misbehave(self, new: public_forms.Checkpoint) -> Response:
        text = new.note.text
        match self.fault:
            case "slow":
                await anyio.sleep(60)
            case "garbage":
                return Response(b"\xff\x00")
            case "large":
                return Response("x" * 1_000_000)
            case "other key":
                return self._answer(Key(self.key.name).line(text, int(time.time())))
            case "long ago":
                return self._answer(self.key.line(text, 1))
            case "never right":
                return Response(f"{len(self.asked) % 2}\n", 409, media_type="text/x.tlog.size")
            case "forbidden":
                return Response("unknown key", 403)
        return Response("down", 500)


@contextlib.contextmanager
def running(*witnesses: Witness) -> Iterator[None]:
    """Serve witnesses on loopback within the block, each below its number."""
    routes = [
        Route(f"/{at}/add-checkpoint", each.add_checkpoint, methods=["POST"]) for at, each in enumerate(witnesses)
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, why="the witness did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    for at, each in enumerate(witnesses):
        each.url = f"http://127.0.0.1:{port}/{at}"
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
