"""What a server serves is compared with a store's entries, or with itself, and differences are named."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from receiver.verifier.served import comparison, fetching, tiles
from receiver.verifier.store import breaks, signatures
from storage import merkle
from storage.ledger import forms
from tests.tamper import opened
from tests.witness import Key

SIZE = 66_000  # four rows of tiles: some whole ones, a part of each
BODIES = [b"entry %d" % number for number in range(SIZE)]


def signed(bodies: Sequence[bytes], signer: log_keys.Signer = opened.SIGNER) -> public_forms.Checkpoint:
    text = forms.checkpoint_text(signer.name, len(bodies), merkle.root([*map(merkle.leaf_hash, bodies)]))
    return public_forms.parse_checkpoint(forms.signed(text, [signer.line(text)]).encode())


def served(bodies: Sequence[bytes]) -> dict[str, bytes]:
    """Return all tiles of a log by their paths."""
    found, row, name = dict[str, bytes](), [*map(merkle.leaf_hash, bodies)], 0
    for number, first in enumerate(range(0, len(bodies), 256)):
        bundle = bodies[first : first + 256]
        data = b"".join(struct.pack(">H", len(body)) + body for body in bundle)
        found[tiles.path("entries", number, len(bundle))] = data
    while row:
        parts = [row[first : first + 256] for first in range(0, len(row), 256)]
        found |= {tiles.path(str(name), number, len(part)): b"".join(part) for number, part in enumerate(parts)}
        row, name = [merkle.root(part) for part in parts if len(part) == 256], name + 1
    return found


@pytest.fixture(scope="module")
def log() -> dict[str, bytes]:
    return served(BODIES)


def found(
    log: dict[str, bytes],
    bodies: Sequence[bytes] | None,
    checkpoint: public_forms.Checkpoint,
    *kept: public_forms.Checkpoint,
) -> breaks.Report:
    report = breaks.Report()
    numbered: Iterator[tuple[int, bytes]] | None = None if bodies is None else iter([*enumerate(bodies)])
    comparison.compare(lambda path, _: log.get(path), checkpoint, report, bodies=numbered, kept=kept)
    return report


@pytest.mark.parametrize("bodies", [BODIES, None])
def test_a_large_log_is_read_once_and_fits(log: dict[str, bytes], bodies: Sequence[bytes] | None) -> None:
    report = found(log, bodies, signed(BODIES))
    assert (report.breaks, report.unchecked) == ([], [])
    assert report.checked["servedTiles"] == len(log) == 258 * 2 + 2 + 1


@pytest.mark.parametrize("bodies", [BODIES, None])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257])
def test_logs_of_each_shape_fit(bodies: Sequence[bytes] | None, size: int) -> None:
    mine = BODIES[:size]
    assert found(served(mine), None if bodies is None else mine, signed(mine), signed(mine)).breaks == []


@pytest.mark.parametrize("bodies", [BODIES, None])
def test_another_history_is_named_whatever_its_signature(
    log: dict[str, bytes], bodies: list[bytes] | None
) -> None:
    other = signed([*BODIES[:-1], b"another one"])
    report = found(log, bodies, other)
    assert report.breaks_by_code == {"history_rewritten": 1}


def test_a_log_that_was_made_anew_is_not_that_of_the_store_nor_of_a_kept_checkpoint() -> None:
    made, mine = [*BODIES[:99], b"another one", *BODIES[100:400]], BODIES[:400]
    report = found(served(made), mine, signed(made))
    assert report.counts.keys() == {"history_rewritten", "tile_changed"}
    assert {each.number for each in report.breaks if each.code == "tile_changed"} == {0, 99}
    kept = signed(mine[:300])
    assert found(served(made), None, signed(made), kept).breaks_by_code == {"history_rewritten": 1}
    assert found(served(made), None, signed(made), signed(made[:300])).is_ok


def test_a_log_that_is_longer_or_shorter_than_what_is_known_is_named() -> None:
    mine = BODIES[:400]
    report = found(served(mine), mine[:390], signed(mine))
    assert [(each.code, each.number) for each in report.breaks] == [("older_copy", 390)]
    assert "from entry 256 on" in report.unchecked[0]
    assert found(served(mine), None, signed(mine), signed(BODIES[:500])).breaks_by_code == {"older_copy": 1}


@pytest.mark.parametrize("bodies", [BODIES[:400], None])
def test_tiles_that_are_not_served_or_have_another_form_are_named(bodies: list[bytes] | None) -> None:
    log = served(BODIES[:400])
    for path in log:
        for data in (None, b"", log[path] + b"x", log[path][:-1], b"\xff" * 20_000):
            changed = log | ({path: data} if data is not None else {})
            if data is None:
                del changed[path]
            report = found(changed, bodies, signed(BODIES[:400]))
            assert report.breaks_by_code == {"tile_changed": 1}, (path, data)


def test_a_comparison_ends_after_a_hundred_differences(log: dict[str, bytes]) -> None:
    asked = list[str]()

    def fetch(path: str, _: int) -> bytes | None:
        asked.append(path)
        return bytes(len(log[path]))

    report = breaks.Report()
    comparison.compare(fetch, signed(BODIES), report, bodies=iter([*enumerate(BODIES)]))
    assert len(asked) == 2
    assert "after 100 differences" in report.unchecked[0]


def test_a_wrong_signature_of_a_witness_is_named() -> None:
    witness, report = Key("witness.test/one"), breaks.Report()
    policy = f"log {opened.SIGNER.verifier_key}\nwitness one {witness.verifier_key}\nquorum none\n"
    trusted = signatures.Trusted(public_forms.parse_policy(policy.encode()), ed25519.verify)
    text = signed(BODIES[:3]).note.text
    for line, count in ((witness.line(text, 1), 0), (witness.line(text + "x", 1), 1)):
        note = forms.signed(text, [opened.SIGNER.line(text), line]).encode()
        assert comparison.checkpoint(lambda *_, note=note: note, trusted, report) is not None
        assert report.counts.total() == count


@pytest.mark.parametrize(
    "url",
    ["runs.example.com", "file:///etc/passwd", "ftp://a", "https://", "https://a:x", "https://a?b", "https://u@a"],
)
def test_an_address_of_no_server_is_refused(url: str) -> None:
    with pytest.raises(fetching.NotServed, match="must be that of a server"):
        fetching.Client(url)


def test_a_key_is_not_sent_in_the_clear() -> None:
    with pytest.raises(fetching.NotServed, match="https alone"):
        fetching.Client("http://runs.example.com", "rl_1_2")
    with pytest.raises(fetching.NotServed, match="no API key"):
        fetching.Client("https://runs.example.com", "a b")


def test_an_auditor_needs_no_more_than_pythons_library() -> None:
    code = "import sys, receiver.verifier.served.comparison as c; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in done.stdout.split()} - {"receiver", "__main__"}
    assert names <= sys.stdlib_module_names
