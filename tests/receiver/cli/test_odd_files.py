"""Files, words and terminals that are not as they should be: one sentence, and never a traceback."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.receiver.cli.terminal import Terminal, process

CONTENTS = {
    "missing": None,
    "binary": bytes(range(256)) * 20,
    "empty": b"",
    "text": b"no store of ours\n" * 100,
    "utf16": '{"trailer": {}}\n'.encode("utf-16"),
    "lone": b'{"id": "\\ud800"}\n',
    "number": b"9" * 5000 + b"\n",
    "deep": b"[" * 100_000 + b"\n",
}


@pytest.fixture(params=[*CONTENTS, "folder"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a file that no command of ours wrote."""
    path = tmp_path / "odd"
    if request.param == "folder":
        path.mkdir()
    elif (content := CONTENTS[request.param]) is not None:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("words", ["import", "import --partial", "restore", "restore --force"])
def test_a_file_that_is_none_of_ours_is_named_in_one_sentence(terminal: Terminal, odd: Path, words: str) -> None:
    screen = terminal.type(*words.split(), str(odd))
    if (words, screen.code) == ("import --partial", 0):
        assert "0 runs were imported" in screen.out
        return
    assert (screen.code in (1, 2), screen.err.count("\n")) == (True, 1), screen.err
    assert screen.err.startswith("runledger: ")


@pytest.mark.parametrize("words", ["export --output", "export --resume", "backup"])
@pytest.mark.parametrize("place", ["there.txt/file", "nowhere/file", "folder", "x" * 300, "/proc/file"])
def test_a_place_that_takes_no_file_is_named_in_one_sentence(
    terminal: Terminal, tmp_path: Path, words: str, place: str
) -> None:
    (tmp_path / "there.txt").touch()
    (tmp_path / "folder").mkdir()
    screen = terminal.type(*words.split(), str(tmp_path / place))
    assert (screen.code in (1, 2), screen.err.count("\n")) == (True, 1), screen.err
    assert screen.err.startswith("runledger: ")


#: Words as a terminal in another encoding gives them.
ODD = "caf\udce9"


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "--agent", "agent_1", "--prompt", ODD],
        ["submit", "--agent", ODD, "--prompt", "x"],
        ["submit", "--agent", "agent_1", "--prompt", "x", "--tag", f"{ODD}={ODD}"],
        ["runs", "--agent", ODD],
        ["runs", ODD],
        ["show", ODD],
        ["sql", f"SELECT '{ODD}'"],
        ["keys", "create", ODD, "--scope", "read"],
        ["import", f"/nowhere/{ODD}"],
        ["stats", "--by", f"tag.{ODD}"],
        ["watch", ODD],
    ],
)
def test_words_that_are_no_text_are_no_traceback(terminal: Terminal, words: list[str]) -> None:
    screen = terminal.type(*words)
    assert screen.code in (0, 1, 2)
    assert (screen.code == 0) is (screen.err == "")


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii", "HOME": ""}


@pytest.mark.parametrize("words", ["runs", "show", "export --format csv -o größe.csv", "doctor --timeout 1"])
def test_what_a_terminal_cannot_show_is_no_reason_to_fail(terminal: Terminal, words: str) -> None:
    (terminal.folder.parent / ".env").write_text("# Schlüssel\nRUNLEDGER_ADOPT=all\n", encoding="utf-8")
    prompt = ["--prompt", "Größe 🎉", "--tag", "matter=Prüfung 🎉"]
    run = terminal.type("submit", "--agent", "agent_1", *prompt, "--json").object["id"]
    named = [run] if words == "show" else []
    base = {"CASEDEV_BASE_URL": "http://127.0.0.1:1"}
    done = process(*words.split(), *named, folder=terminal.folder.parent, **base, **PLAIN)
    assert b"Traceback" not in done.stderr
    assert done.returncode == (1 if words.startswith("doctor") else 0), done.stderr


def test_a_key_file_that_is_no_text_is_no_traceback(terminal: Terminal) -> None:
    (terminal.folder / "secret.key").write_bytes(secrets.token_bytes(8) + b"\xff\xfe")
    screen = terminal.type("webhooks", "status")
    assert screen.code in (0, 1)
    assert screen.err.count("\n") <= 1
