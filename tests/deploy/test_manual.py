"""Commands in the documents: run where they can be, else compared with the parsers and files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from receiver import settings, signing_keys, timeouts
from receiver.streams import channels
from tests.deploy import files
from tests.laws import documents, pages

COMMANDS = dict(documents.commands())
#: Documents outside of docs/ that name commands.
OTHER_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md", "examples/README.md")
TEXTS = [pages.written(page) for page in pages.PAGES] + [
    (pages.ROOT / name).read_text() for name in OTHER_DOCUMENTS
]
BLOCKS = [block for page in pages.PAGES for block in pages.blocks(page, "sh")]
#: After these words of `docker compose` come options and services.
_COMPOSE = ("build", "up", "run", "exec", "logs", "ps")


def _typed() -> Iterator[list[str]]:
    """Return each line to be typed as words, without the content of files."""
    for block in BLOCKS:
        typed = re.sub(r"<<'?(\w+)'?\n.*?^\1$", "", block, flags=re.MULTILINE | re.DOTALL)
        for line in typed.replace("\\\n", "").splitlines():
            yield from (shlex.split(part, comments=True) for part in line.split(" && ") if part)


LINES = [words for words in _typed() if words]


def _runledger() -> Iterator[list[str]]:
    """Return the arguments of `runledger` wherever it occurs, in blocks and in the text."""
    for words in LINES:
        for at, word in enumerate(words):
            is_user = words[at - 1] in ("-u", "-g") or words[0] in ("useradd", "systemctl")
            if word.rpartition("/")[2] == "runledger" and not is_user:
                yield words[at + 1 :]
    for text in TEXTS:
        for typed in re.findall(r"`runledger ([^`]+)`", text):
            yield re.split(r"\s+", typed.strip())


@pytest.mark.parametrize("words", [words for words in _runledger() if words], ids=" ".join)
def test_a_command_that_is_given_to_be_typed_exists_with_its_options(words: list[str]) -> None:
    if words[0].startswith("-"):
        return
    name = next(name for length in (2, 1, 0) if (name := " ".join(words[:length])) in COMMANDS or length == 0)
    assert name or any(known.startswith(f"{words[0]} ") for known in COMMANDS), f"no command: {words}"
    if name:
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= known


def test_lines_for_docker_compose_name_services_that_there_are() -> None:
    lines = [words[2:] for words in LINES if words[:2] == ["docker", "compose"]]
    assert lines
    for words in lines:
        verb = next(word for word in words if word in _COMPOSE)
        rest = words[words.index(verb) + 1 :]
        named = [word for word in rest if not word.startswith("-")]
        named = named[:1] if verb in ("exec", "run") else named
        assert set(named) <= set(files.services()), words


def test_lines_for_systemd_name_units_that_there_are() -> None:
    named = {word for words in LINES if words[0] == "systemctl" for word in words[2:] if not word.startswith("-")}
    assert {f"{name}.service" for name in named} == set(files.UNITS)


def test_files_that_are_copied_are_there() -> None:
    named = {word for words in LINES for word in words if word.startswith("deploy/")}
    assert named
    assert all((files.DEPLOY.parent / name).is_file() for name in named)


def _with_key(text: str) -> str:
    """Return the text with a key in place of the placeholder, which is refused as a key."""
    assert "sk_case_…" in text
    return text.replace("sk_case_…", "sk_case_1")


def test_the_settings_for_docker_are_made_as_the_manual_says(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "postgres.env" in block]
    _pretend_docker(tmp_path / "bin")
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", _with_key(block)], cwd=tmp_path, env=path, check=True, timeout=60)
    given = settings.load(env_file=tmp_path / "runledger.env")
    (password,) = dotenv_values(tmp_path / "postgres.env").values()
    assert password
    assert password in given.url
    assert not given.is_embedded
    assert len(signing_keys.of_addresses(given)) == len(signing_keys.of_ledger(given)) == 1
    assert (tmp_path / "runledger.env").stat().st_mode & 0o077 == 0
    known = set(re.findall(r"\{\$(\w+)", files.text("Caddyfile")))
    assert set(dotenv_values(tmp_path / "caddy.env")) < known


def _pretend_docker(folder: Path) -> None:
    """Write a `docker` that runs the commands of a container on this machine."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\n[ "$1" = run ] || exit 0\nshift 3\nexec "{sys.executable}" -m receiver "$@"\n')
    program.chmod(0o755)


def test_the_settings_for_systemd_are_made_as_the_manual_says(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "useradd" in block]
    (added,) = re.findall(r"<<'SETTINGS'\n(.*?)^SETTINGS$", block, re.MULTILINE | re.DOTALL)
    (tmp_path / ".env").write_text(files.text("env.example") + _with_key(added))
    given = settings.load(env_file=tmp_path / ".env")
    assert str(given.data_dir) == f"/var/lib/{files.unit('runledger.service')['StateDirectory'][0]}"
    assert files.unit("runledger.service")["WorkingDirectory"] == ["/etc/runledger"]
    assert settings.unknown_names(tmp_path / ".env") == {}


TIMING, BOUNDS = timeouts.Timing(), channels.Bounds()


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("operate/deployment-shapes.md", f"jobs within {TIMING.lease:.0f} s"),
        ("operate/runbook.md", f"{TIMING.lease:.0f} seconds"),
        (
            "operate/sizing.md",
            f"live events: {BOUNDS.listeners} a server, {BOUNDS.channels} streams",
        ),
        ("operate/runbook.md", f"({(TIMING.hard_limit + TIMING.overdue) / 60:.0f} minutes after they began)"),
    ],
)
def test_figures_that_a_page_gives_are_those_of_the_code(page: str, sentence: str) -> None:
    assert sentence in pages.text(page)


@pytest.mark.parametrize("path", pages.documents(), ids=lambda path: str(path.relative_to(pages.ROOT)))
def test_links_lead_to_headings_and_files_that_there_are(path: Path) -> None:
    assert list(pages.broken(path)) == []
