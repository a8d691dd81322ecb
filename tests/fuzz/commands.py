"""Commands of the product as an operator runs them, and what their output must not contain."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds in which every command must end.
PATIENCE = 60.0
#: A part of every secret that is used.
CANARY = "c4n4ry"
ROOT = Path(__file__).parent.parent.parent
_PLACE = re.compile(r"((?:receiver|storage)/[\w/]+\.py)\D{1,12}(\d+)")


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and its exit code; None where it did not end."""

    code: int | None
    text: str


async def run(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> CommandResult:
    """Run `runledger` with these arguments."""
    bare = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "runledger"), *command, env={**bare, **environment}, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()
        return CommandResult(None, "")
    return CommandResult(process.returncode, output.decode("utf-8", "replace"))


def wrong_with(result: CommandResult) -> str | None:
    """Return what is wrong with a command's output, None for nothing."""
    if result.code is None:
        return f"does not end within {PATIENCE:.0f} s"
    if "Traceback" in result.text:
        places, last = _PLACE.findall(result.text), result.text.strip().splitlines()[-1]
        return f"traceback at {':'.join(places[-1]) if places else '?'}: {last[:100]}"
    if CANARY in result.text:
        return "prints a secret"
    return f"ended by signal {-result.code}" if result.code < 0 else None


async def configured(command: Sequence[str], asked: Mapping[str, Any]) -> CommandResult:
    """Run a command with the settings of a case, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="runledger-fuzz-env-") as folder:
        if asked["file"]:
            (Path(folder) / ".env").write_bytes(bytes.fromhex(asked["file"]))
        try:
            return await run(command, asked["environment"], Path(folder))
        except (ValueError, UnicodeEncodeError):  # what no environment can hold
            return CommandResult(0, "")


class Reader:
    """A process that reads settings, one case after the other; it is restarted where it did not answer."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()

    async def read(self, asked: Mapping[str, Any]) -> dict[str, str]:
        """Return the outcome of these settings."""
        async with self._turn:
            try:
                return await asyncio.wait_for(asyncio.to_thread(self._answer, asked), PATIENCE)
            except TimeoutError:
                self.close()
                return {"outcome": "slow", "text": f"nothing for {PATIENCE:.0f} s"}

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, str]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.fuzz.surfaces.configuration"]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=ROOT)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            return {"outcome": "broke", "text": "the process ended"}
        found: dict[str, str] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
