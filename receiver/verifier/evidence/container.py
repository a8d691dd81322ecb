"""The ZIP of evidence as a container: each byte belongs to a file, and each file is in the manifest.

The manifest has the SHA-256 and the size of every other file, and the SHA-256 of itself without that field.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from receiver.verifier.public_forms import Refused

#: The form of the ZIP. Another one needs the verifier that its ZIP has.
FORMAT = 1
MANIFEST = "manifest.json"
#: The date of every file, so that the same store gives the same bytes.
DATE = (1980, 1, 1, 0, 0, 0)
#: The most files, and the most bytes of one, that are read.
MOST_FILES, MOST_BYTES = 65_000, 1 << 28
#: The records of a ZIP: before each file, of each file in the directory, at the end. The version is 2.0, the
#: system Unix, the time midnight of DATE, the mode 644.
_LOCAL, _IN_DIRECTORY, _END = "<4sHHHHHLLLHH", "<4sBBHHHHHLLLHHHHHLL", "<4sHHHHLLH"
VERSION, SYSTEM, _TIME, _DAY, MODE = 20, 3, 0, 0x21, 0o644 << 16

Files = dict[str, tuple[int, str]]


class Container:
    """The files of a ZIP, whose form is checked when it is opened. Raises Refused."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise Refused(f"{path} is no readable ZIP: {error}") from None
        entries = sorted(self._zip.infolist(), key=lambda each: each.header_offset)
        self.names = [each.filename for each in entries]
        if len(entries) > MOST_FILES or len(set(self.names)) < len(entries):
            raise Refused("the ZIP has a file twice, or too many files")
        try:
            with path.open("rb") as file:
                _demand_plain(file, entries)
        except struct.error:  # a number beyond its field
            raise Refused("the ZIP is not as Runledger writes it") from None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises Refused."""
        try:
            info = self._zip.getinfo(name)
            if info.file_size > MOST_BYTES:
                raise Refused(f"{name} has more than {MOST_BYTES} bytes")
            with self._zip.open(info) as file:
                found = file.read(MOST_BYTES + 1)
        except KeyError:
            raise Refused(f"{name} is missing") from None
        except (OSError, zipfile.BadZipFile, zipfile.zlib.error, EOFError, NotImplementedError) as error:  # type: ignore[attr-defined]
            raise Refused(f"{name} cannot be read: {error}") from None
        if len(found) != info.file_size:
            raise Refused(f"{name} has another size than the ZIP says")
        return found

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _demand_plain(file: BinaryIO, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Check that the ZIP has each byte around its files that Runledger would write. Raises Refused."""
    directory = []
    for each in entries:
        at, name = file.tell(), each.filename.encode("ascii", "replace")
        about = (VERSION, 0, zipfile.ZIP_DEFLATED, _TIME, _DAY, each.CRC, each.compress_size, each.file_size)
        local = struct.pack(_LOCAL, b"PK\x03\x04", *about, len(name), 0) + name
        if file.read(len(local)) != local:
            raise Refused(f"{each.filename}: the ZIP is not as Runledger writes it; was it packed again?")
        file.seek(each.compress_size, 1)
        record = (b"PK\x01\x02", VERSION, SYSTEM, *about, len(name), 0, 0, 0, 0, MODE, at)
        directory.append(struct.pack(_IN_DIRECTORY, *record) + name)
    at, whole = file.tell(), b"".join(directory)
    end = struct.pack(_END, b"PK\x05\x06", 0, 0, len(entries), len(entries), len(whole), at, 0)
    if file.read() != whole + end:
        raise Refused("the ZIP has bytes that belong to no file")


def manifest(files: Mapping[str, tuple[int, str]], runs: Iterable[str], program: str) -> bytes:
    """Return the manifest of files, given with size and SHA-256 by their names."""
    listed = [{"name": name, "sha256": digest, "size": size} for name, (size, digest) in sorted(files.items())]
    return _sealed({"files": listed, "format": FORMAT, "program": program, "runs": list(runs)})


def _sealed(content: dict[str, Any]) -> bytes:
    own = hashlib.sha256(_text({**content, "sha256": ""})).hexdigest()
    return _text({**content, "sha256": own})


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def read_manifest(data: bytes) -> tuple[Files, list[str], str]:
    """Return the files, the runs and the program that a manifest names. Raises Refused."""
    content = strict_json(data, MANIFEST)
    if not isinstance(content, dict) or set(content) != {"files", "format", "program", "runs", "sha256"}:
        raise Refused("the manifest is not of its form")
    if content["format"] != FORMAT:
        raise Refused(f"the evidence has the form {content['format']}: take the verifier of its own release")
    if _sealed({name: value for name, value in content.items() if name != "sha256"}) != data:
        raise Refused("the manifest was changed: its own SHA-256 is another")
    try:
        files = {each["name"]: (each["size"], each["sha256"]) for each in content["files"]}
        return files, [str(each) for each in content["runs"]], str(content["program"])
    except (KeyError, TypeError):
        raise Refused("the manifest is not of its form") from None


def strict_json(data: bytes, what: str) -> Any:
    """Return JSON that all readers understand alike: no name twice, integers alone. Raises Refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name occurs twice")
        return found

    def refuse(text: str) -> Any:
        raise ValueError(f"{text[:20]} is no integer")

    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is not JSON that all read alike: {error}") from None
