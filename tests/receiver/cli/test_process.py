"""The program as a process: exit codes, streams, colours, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import httpx2 as httpx
import pytest

from tests import server
from tests.patience import until
from tests.receiver.cli.terminal import ROOT, process


def test_help_and_version_import_no_command_and_nothing_that_is_slow(tmp_path: Path) -> None:
    slow = (
        "sqlalchemy",
        "pydantic",
        "starlette",
        "httpx2",
        "structlog",
        "asyncio",
        "rich",
        "receiver.cli.commands",
    )
    typed = f"""import sys
from receiver.cli import main
main.app(["--help"], standalone_mode=False)
print([name for name in {slow} if name in sys.modules])"""
    found = subprocess.run(
        [sys.executable, "-c", typed], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    assert found.stdout.splitlines()[-1] == "[]"
    assert "  webhooks    Register for" in found.stdout
    assert process("--version", folder=tmp_path).stdout.startswith(b"runledger ")


@pytest.mark.parametrize("command", ["runs", "stats", "jobs", "export", "keys", "prune"])
def test_the_help_of_a_command_loads_no_database_library(command: str) -> None:
    typed = """import atexit, sys
from receiver.cli import main
atexit.register(lambda: print("sqlalchemy" in sys.modules))
main.main()"""
    found = subprocess.run(
        [sys.executable, "-c", typed, command, "--help"],
        capture_output=True, text=True, check=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert found.stdout.splitlines()[-1] == "False"


def test_exit_codes_distinguish_success_failure_and_wrong_usage(tmp_path: Path) -> None:
    made = process("keys", "create", "ci", "--scope", "read", "--json", folder=tmp_path)
    assert (made.returncode, made.stderr) == (0, b"")
    assert json.loads(made.stdout)["key"].startswith("rl_")
    failed = process("show", "nowhere", folder=tmp_path)
    assert (failed.returncode, failed.stderr) == (1, b"runledger: there is no run with that id\n")
    assert process("runs", "--limit", "0", folder=tmp_path).returncode == 2


def test_a_missing_database_is_one_sentence_on_stderr(tmp_path: Path) -> None:
    shown = process("runs", folder=tmp_path)
    assert (shown.returncode, shown.stdout) == (1, b"")
    assert shown.stderr.startswith(b"runledger: there is no database at data/runledger.db yet")
    assert shown.stderr.count(b"\n") == 1


def test_serve_prints_its_address_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    port = server.free_port()
    log = tmp_path / "log"
    with log.open("wb") as out, _served(tmp_path, port, out) as running:
        until(lambda: b"listens on" in log.read_bytes() and _is_healthy(port))
        second = process("serve", "--port", "0", folder=tmp_path, CASEDEV_API_KEY="sk_case_x")
        taken = process("serve", "--port", str(port), folder=tmp_path, CASEDEV_API_KEY="sk_case_x")
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    output = log.read_text()
    assert f"Runledger listens on http://127.0.0.1:{port}" in output
    assert "sweep only" in output
    assert "RUNLEDGER_DATADIR is no setting; did you mean RUNLEDGER_DATA_DIR?" in output
    assert "Traceback" not in output
    assert second.returncode == taken.returncode == 1
    assert second.stderr.startswith(b"runledger: another Runledger server is running on")
    assert second.stderr.count(b"\n") == 1
    assert taken.stderr.endswith(b"Address already in use; choose another --port\n")


def _served(folder: Path, port: int, out: BinaryIO) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNLEDGER_")}
    environment |= {"RUNLEDGER_DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    environment["RUNLEDGER_DATADIR"] = "a name that means nothing"
    # Nothing listens there: the upstream is away, which is no reason not to start.
    environment |= {"CASEDEV_API_KEY": "sk_case_x", "CASEDEV_BASE_URL": "http://127.0.0.1:9"}
    words = [sys.executable, "-W", "error", "-m", "receiver", "serve", "--port", str(port)]
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=out)


def _is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_serve_without_a_key_names_the_setting(tmp_path: Path) -> None:
    shown = process("serve", "--port", "0", folder=tmp_path)
    assert shown.returncode == 1
    assert shown.stderr.startswith(b"runledger: CASEDEV_API_KEY is empty")
    assert shown.stderr.count(b"\n") == 1


def test_the_sandbox_stays_on_this_machine_unless_that_is_allowed(tmp_path: Path) -> None:
    shown = process("sandbox", "--host", "0.0.0.0", folder=tmp_path)
    assert shown.returncode == 2
    assert b"--allow-public" in shown.stderr


def test_the_sandbox_prints_its_address_as_json(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", "-m", "receiver", "sandbox", "--port", "0", "--seed", "7", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        output = json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        assert (running.wait(60), running.stdout.read()) == (0, b"")
    assert output["seed"] == 7
    assert output["journal"] == f"{output['address']}/sandbox/journal"


def test_the_sandbox_lists_its_switches_and_refuses_an_unknown_one(tmp_path: Path) -> None:
    assert b"callback_duplicates" in process("sandbox", "--list-faults", folder=tmp_path).stdout
    wrong = process("sandbox", "--fault", "callback_duplicate=2", folder=tmp_path)
    assert wrong.returncode == 2
    assert b"did you mean 'callback_duplicates'?" in wrong.stderr


def test_the_sandbox_names_a_file_that_it_cannot_record_to(tmp_path: Path) -> None:
    shown = process("sandbox", "--record", "no/such/folder/exchanges.jsonl", folder=tmp_path)
    assert shown.returncode == 1
    assert shown.stderr.startswith(b"runledger: --record no/such/folder/exchanges.jsonl cannot be written: ")
