"""Files of runs at the terminal: whole under their names, gone on with where they were cut, read back."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.engine.database import Database
from storage.repositories import runs
from tests import life
from tests.receiver.cli.terminal import ROOT, Terminal
from tests.receiver.export import files


@pytest.fixture
def full(terminal: Terminal) -> Terminal:
    """Return a terminal with runs of every kind."""
    terminal.in_database(files.populated)
    return terminal


def anew(terminal: Terminal, template: Path) -> None:
    """Replace the store by an empty one."""
    for each in terminal.folder.glob("runledger.db*"):
        each.unlink()
    shutil.copy(template, terminal.folder / "runledger.db")


def test_a_file_comes_back_and_goes_out_again_as_the_same_bytes(full: Terminal, template: Path) -> None:
    assert full.type("export", "status:completed,failed", "--documents", "-o", "one.jsonl").code == 0
    anew(full, template)
    assert full.type("import", "one.jsonl", "--json").object["imported"] == 13
    assert full.type("import", "one.jsonl", "--json").object["same"] == 13
    full.type("export", "--documents", "-o", "two.jsonl")
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()


def test_what_was_cut_off_anywhere_is_gone_on_with(full: Terminal) -> None:
    full.type("export", "-o", "whole.jsonl")
    whole = Path("whole.jsonl").read_bytes()
    for cut in (0, 10, len(whole) // 2, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 1):
        Path("cut.jsonl.part").write_bytes(whole[:cut])
        assert full.type("export", "--resume", "cut.jsonl").code == 0
        assert Path("cut.jsonl").read_bytes() == whole
        assert not Path("cut.jsonl.part").exists()


def test_a_complete_file_is_not_resumed(full: Terminal) -> None:
    full.type("export", "-o", "whole.jsonl")
    screen = full.type("export", "--resume", "whole.jsonl")
    assert (screen.code, screen.err) == (1, "runledger: the file is complete: there is nothing to resume\n")


def test_a_file_that_was_cut_off_is_refused_unless_a_part_is_wanted(full: Terminal) -> None:
    full.type("export", "-o", "whole.jsonl")
    whole = Path("whole.jsonl").read_bytes()
    Path("cut.jsonl").write_bytes(whole[: len(whole) // 2])
    refused = full.type("import", "cut.jsonl")
    assert refused.code == 1
    assert "it was cut off" in refused.err
    assert full.type("import", "--partial", "cut.jsonl", "--json").object["same"] > 0


def test_csv_for_excel_begins_with_a_byte_order_mark_that_its_digest_covers(full: Terminal) -> None:
    full.type("export", "--format", "csv", "--bom", "-o", "marked.csv")
    output = Path("marked.csv").read_bytes()
    assert output.startswith(codecs.BOM_UTF8)
    assert Path("marked.csv.sha256").read_text().splitlines()[1].split()[0] == hashlib.sha256(output).hexdigest()


def test_csv_has_its_digest_beside_it_and_no_formulas_in_it(full: Terminal) -> None:
    full.type("export", "--format", "csv", "-o", "runs.csv")
    output = Path("runs.csv").read_bytes()
    digest, name = Path("runs.csv.sha256").read_text().splitlines()[1].split()
    assert (digest, name) == (hashlib.sha256(output).hexdigest(), "runs.csv")
    rows = list(csv.DictReader(io.StringIO(output.decode(), newline="")))
    prompts = [row["prompt"] for row in rows][: len(files.HOSTILE)]
    assert prompts == [f"'{each}" if each[0] in "=+-@\t\r\n" else each for each in files.HOSTILE]


def test_a_file_that_is_there_is_not_written_over(full: Terminal) -> None:
    Path("mine").write_text("mine")
    assert full.type("export", "-o", "mine").code == 2
    assert Path("mine").read_text() == "mine"
    assert full.type("export", "-o", "mine", "--force").code == 0


def test_stdout_takes_the_lines_and_the_trailer(full: Terminal) -> None:
    *lines, last = full.type("export", "status:completed").objects
    assert {line["status"] for line in lines} == {"completed"}
    assert last["trailer"]["records"] == len(lines)


def test_a_file_that_cannot_be_written_is_named_in_one_line(full: Terminal) -> None:
    screen = full.type("export", "-o", "nowhere/runs.jsonl")
    assert (screen.code, screen.err) == (1, "runledger: nowhere/runs.jsonl.part: No such file or directory\n")


def test_a_mistake_in_the_question_leaves_no_file(full: Terminal) -> None:
    assert full.type("export", "colour:red", "-o", "runs.jsonl").code == 2
    assert list(Path.cwd().glob("runs*")) == []


def test_a_run_is_counted_whose_key_another_run_has(full: Terminal, template: Path) -> None:
    full.type("export", "-o", "runs.jsonl")
    anew(full, template)

    async def taken(database: Database) -> runs.Run:
        return await life.accepted(database, idempotency_key="k-1")

    full.in_database(taken)
    assert "1 were left out: their idempotency key" in full.type("import", "runs.jsonl").out


def test_parquet_without_its_package_is_a_sentence_that_installs_it(full: Terminal) -> None:
    screen = full.type("export", "--format", "parquet", "-o", "runs.parquet")
    assert (screen.code, screen.err) == (
        1,
        "runledger: Parquet needs a package that is not installed here: pip install 'runledger[parquet]'\n",
    )
    assert list(Path.cwd().glob("runs*")) == []


def test_programs_get_a_summary_of_the_file(full: Terminal) -> None:
    output = full.type("export", "--format", "csv", "-o", "runs.csv", "--json").object
    digest = hashlib.sha256(Path("runs.csv").read_bytes()).hexdigest()
    assert output == {"file": "runs.csv", "runs": 14, "sha256": digest, "unindexed": None}


@pytest.mark.parametrize(
    "words",
    [
        ["--resume", "a", "-o", "b"],
        ["--resume", "a", "--format", "csv"],
        ["--json"],
        ["--format", "xls"],
        ["--format", "csv", "--documents"],
    ],
)
def test_what_does_not_fit_together_is_wrong_usage(full: Terminal, words: list[str]) -> None:
    assert full.type("export", *words).code == 2


def test_a_full_disk_behind_stdout_is_a_sentence(full: Terminal) -> None:
    words = [sys.executable, "-W", "error", "-m", "receiver", "export"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RUNLEDGER_DATA_DIR": str(full.folder)}
    with open("/dev/full", "wb") as disk:
        ended = subprocess.run(
            words, env=environment, stdout=disk, stderr=subprocess.PIPE, timeout=120, check=False
        )
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert b"standard output: No space left on device" in ended.stderr


def test_import_takes_no_other_file(full: Terminal) -> None:
    for output in ("", "x", "{}\n", json.dumps({"trailer": {"records": 1, "sha256": "0"}}) + "\n"):
        Path("other.jsonl").write_text(output)
        assert full.type("import", "other.jsonl").code == 1


def test_a_run_that_cannot_be_taken_is_named_and_the_others_are_imported(full: Terminal, template: Path) -> None:
    full.type("export", "status:completed,failed", "-o", "runs.jsonl")
    lines = [json.loads(line) for line in Path("runs.jsonl").read_text().splitlines()[:-1]]
    lines[0]["model"], lines[1]["outputTokens"], lines[2]["createdAt"] = "m" * 201, 1 << 63, "0001-01-01T00:00:00Z"
    Path("hand.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    anew(full, template)
    screen = full.type("import", "--partial", "hand.jsonl", "--json")
    assert (screen.code, screen.object["imported"], screen.object["refused"]) == (1, len(lines) - 2, 2)
    for at, message in ((0, "model: has 201 characters"), (1, "outputTokens: is out of range"), (2, "createdAt")):
        assert f"line {at + 1}: run {lines[at]['id']}: {message}" in screen.err
    assert "runs that were refused: 2; the others are imported" in screen.err
