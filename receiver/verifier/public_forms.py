"""Decode the public forms of a transparency log, strictly, and check what they claim. Python's library alone.

An auditor gets this file with the evidence, so it imports nothing of Runledger. The forms are those of C2SP:
`signed-note` 1.0.0, `tlog-checkpoint` 1.0.0, `tlog-cosignature` 1.0.1, `tlog-proof` and `tlog-policy` as of
November 2026. The hashes are those of RFC 6962, the signatures those of RFC 8032 (Ed25519).

What two decoders could read differently is refused: base64 that is not canonical, CR, leading zeros, signs, blank
lines, characters that are not UTF-8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

#: The kinds of keys and signatures that are checked; those of other kinds are kept and count for nothing.
ED25519, COSIGNATURE = 0x01, 0x04
#: The most bytes of a text, and the most signatures, that are read.
MOST_BYTES, MOST_SIGNATURES = 1 << 20, 100
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_NAME = re.compile(r"[^\s+]+")
_PROOF = "c2sp.org/tlog-proof@v1"

#: Returns whether a signature of 64 bytes over a message was made by a public key of 32 bytes.
Check = Callable[[bytes, bytes, bytes], bool]


class Refused(Exception):
    """What was given is not of its form, or does not prove what it claims."""


@dataclass(frozen=True)
class Key:
    """A verifier key: its name, the four bytes that signatures name it by, its kind and its public key."""

    name: str
    id: bytes
    kind: int
    public: bytes


@dataclass(frozen=True)
class Signature:
    """A line below a note: the name and id of the key, and the bytes behind the id."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True)
class Note:
    """A signed text, which ends with a line feed, and its signatures."""

    text: str
    signatures: Sequence[Signature]


@dataclass(frozen=True)
class Checkpoint:
    """The size and root of a log at one time. `extensions` are lines that this program does not know."""

    origin: str
    size: int
    root: bytes
    extensions: Sequence[str]
    note: Note


@dataclass(frozen=True)
class Proof:
    """Where a leaf is in the log, the hashes from it up to the root, and the checkpoint with that root."""

    index: int
    hashes: Sequence[bytes]
    checkpoint: Checkpoint
    extra: bytes | None = None


@dataclass(frozen=True)
class Policy:
    """Which logs and witnesses are trusted. `quorum` names a witness or a group, or is `none`."""

    logs: Sequence[Key]
    witnesses: dict[str, Key]
    groups: dict[str, tuple[int, Sequence[str]]]
    quorum: str


@dataclass(frozen=True)
class Trust:
    """By whom a checkpoint is signed: keys of the log, and witnesses, each with its time in seconds since 1970."""

    logs: Sequence[str]
    witnesses: dict[str, int] = field(default_factory=dict)


def decoded(data: bytes, what: str) -> str:
    """Return bytes as a text of lines. Raises Refused."""
    if len(data) > MOST_BYTES:
        raise Refused(f"{what} has more than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{what} is not UTF-8") from None
    if "\r" in text:
        raise Refused(f"{what} has CR, as Windows ends lines: save it with LF alone")
    if any((character < " " and character != "\n") or character == "\x7f" for character in text):
        raise Refused(f"{what} contains a control character")
    return text


def from_base64(text: str, what: str, size: int | None = None) -> bytes:
    """Return the bytes of canonical standard base64, of `size` bytes where that is given. Raises Refused."""
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} is not base64") from None
    if base64.b64encode(found).decode() != text:
        raise Refused(f"{what} is not canonical base64")
    if size is not None and len(found) != size:
        raise Refused(f"{what} has {len(found)} bytes, not {size}")
    return found


def number(text: str, what: str) -> int:
    """Return a number without sign and leading zeros, below 2^63. Raises Refused."""
    if _NUMBER.fullmatch(text) is None or int(text) >= 2**63:
        raise Refused(f"{what} is not a number")
    return int(text)


def name(text: str, what: str) -> str:
    """Return the name of a key: neither blank nor plus. Raises Refused."""
    if _NAME.fullmatch(text) is None:
        raise Refused(f"{what} is not a name of a key")
    return text


def parse_key(text: str) -> Key:
    """Return the key `<name>+<id in 8 hex digits>+<base64 of its kind and its public key>`. Raises Refused."""
    parts = text.split("+", 2)
    if len(parts) != 3 or re.fullmatch(r"[0-9a-f]{8}", parts[1], re.ASCII) is None:
        raise Refused("a verifier key has the form name+id+key")
    found = from_base64(parts[2], "a verifier key")
    if not found:
        raise Refused("a verifier key is empty")
    key = Key(name(parts[0], "the name of a key"), bytes.fromhex(parts[1]), found[0], found[1:])
    if key.kind in (ED25519, COSIGNATURE) and len(key.public) != 32:
        raise Refused("an Ed25519 key has 32 bytes")
    if hashlib.sha256(key.name.encode() + b"\n" + found).digest()[:4] != key.id:
        raise Refused(f"the id of the key {key.name} is not that of its bytes")
    return key


def parse_note(data: bytes) -> Note:
    """Return a signed note, whose signatures are not checked yet. Raises Refused."""
    whole = decoded(data, "the note")
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise Refused("the note has no signatures below a blank line")
    signatures = [_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > MOST_SIGNATURES:
        raise Refused(f"the note has more than {MOST_SIGNATURES} signatures")
    if len({(each.name, each.key_id) for each in signatures}) < len(signatures):
        raise Refused("the note has two signatures of one key")
    return Note(text + "\n", signatures)


def _signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        raise Refused("a line below the note is no signature")
    found = from_base64(parts[2], "a signature")
    if len(found) < 5:
        raise Refused("a signature is too short")
    return Signature(name(parts[1], "the name of a signature"), found[:4], found[4:])


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Return a checkpoint, whose signatures are not checked yet. Raises Refused."""
    note = parse_note(data)
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise Refused("a checkpoint has three lines and no blank one: origin, size, root")
    size, root = number(lines[1], "the size of the checkpoint"), from_base64(lines[2], "the root", 32)
    if size == 0 and root != hashlib.sha256(b"").digest():
        raise Refused("the root of an empty log is the hash of nothing")
    return Checkpoint(lines[0], size, root, lines[3:], note)


def parse_proof(data: bytes) -> Proof:
    """Return a proof of inclusion, which is not checked yet. Raises Refused."""
    head, separator, note = data.partition(b"\n\n")
    lines = decoded(head, "the proof").split("\n")
    if not separator or lines[0] != _PROOF:
        raise Refused(f"the proof does not begin with {_PROOF}")
    rest, extra = lines[1:], None
    if rest and rest[0].startswith("extra "):
        extra, rest = from_base64(rest[0].removeprefix("extra "), "the extra data"), rest[1:]
    if not rest or not rest[0].startswith("index "):
        raise Refused("the proof names no index")
    index = number(rest[0].removeprefix("index "), "the index")
    hashes = [from_base64(line, "a hash of the proof", 32) for line in rest[1:]]
    checkpoint = parse_checkpoint(note)
    if index >= checkpoint.size:
        raise Refused(f"the index {index} is not below the size of the log, {checkpoint.size}")
    return Proof(index, hashes, checkpoint, extra)


def parse_policy(data: bytes) -> Policy:
    """Return a policy: lines `log`, `witness`, `group` and one `quorum`. Raises Refused."""
    logs: list[Key] = []
    witnesses: dict[str, Key] = {}
    groups: dict[str, tuple[int, Sequence[str]]] = {}
    quorums: list[str] = []
    for at, line in enumerate(decoded(data.replace(b"\t", b" "), "the policy").split("\n"), 1):
        words = [] if line.lstrip(" ").startswith("#") else [word for word in line.split(" ") if word]
        known = {*witnesses, *groups}
        # No match statement: an auditor's Python may be 3.9.
        kind, count, title = (words or [""])[0], len(words), (words[1:] or [""])[0]
        if not words:
            continue
        if kind == "log" and count in (2, 3):
            logs.append(_of_kind(parse_key(title), ED25519))
        elif kind == "witness" and count in (3, 4) and title not in {*known, "none"}:
            witnesses[title] = _of_kind(parse_key(words[2]), COSIGNATURE)
        elif kind == "group" and count > 2 and title not in {*known, "none"} and known.issuperset(words[3:]):
            groups[title] = (_least(words[2], words[3:]), words[3:])
        elif kind == "quorum" and count == 2 and title in {*known, "none"}:
            quorums.append(title)
        else:
            # Not the line: a wrong file may have a private key.
            raise Refused(f"line {at} of the policy is no line of a policy: is it the right file?")
    if not logs or len(quorums) != 1:
        raise Refused("the policy has no line `log`, or not one line `quorum`")
    _demand_distinct([*logs, *witnesses.values()])
    return Policy(logs, witnesses, groups, quorums[0])


def _of_kind(key: Key, kind: int) -> Key:
    if key.kind != kind:
        raise Refused(f"the key {key.name} is of kind {key.kind}, not {kind}")
    return key


def _least(text: str, members: Sequence[str]) -> int:
    least = {"any": 1, "all": len(members)}.get(text) or number(text, "the least number of a group")
    if not 1 <= least <= len(members) or len(set(members)) < len(members):
        raise Refused("a group names each member once, and a least number that they can reach")
    return least


def _demand_distinct(keys: Sequence[Key]) -> None:
    if len({key.public for key in keys}) < len(keys):
        raise Refused("the policy names one public key twice")


def trust(checkpoint: Checkpoint, policy: Policy, check: Check) -> Trust:
    """Return by whom a checkpoint is signed. Raises Refused where the policy demands more."""
    text = checkpoint.note.text.encode()
    logs: list[str] = []
    for key in policy.logs:
        for signature in _signatures(checkpoint.note, key):
            if key.name != checkpoint.origin or not check(key.public, text, signature.value):
                raise Refused(f"the signature of the log {key.name} is wrong")
            logs.append(key.name)
    if not logs:
        raise Refused("no key of the log in the policy has signed the checkpoint")
    witnesses = {}
    for title, key in policy.witnesses.items():
        for signature in _signatures(checkpoint.note, key):
            witnesses[title] = _cosigned(text, key, signature.value, check)
    if policy.quorum != "none" and not is_reached(policy.quorum, policy, witnesses):
        raise Refused(f"the witnesses of the quorum {policy.quorum} have not signed the checkpoint")
    return Trust(logs, witnesses)


def _signatures(note: Note, key: Key) -> list[Signature]:
    return [each for each in note.signatures if (each.name, each.key_id) == (key.name, key.id)]


def _cosigned(text: bytes, key: Key, value: bytes, check: Check) -> int:
    """Return the seconds since 1970 at which a witness says that it signed. Raises Refused."""
    seconds = int.from_bytes(value[:8], "big")
    message = b"cosignature/v1\ntime %d\n" % seconds + text
    if len(value) != 72 or not check(key.public, message, value[8:]):
        raise Refused(f"the signature of the witness {key.name} is wrong")
    return seconds


def is_reached(title: str, policy: Policy, signed: Collection[str]) -> bool:
    """Return whether the witness or group with a title in the policy has signed."""
    if title in policy.witnesses:
        return title in signed
    least, members = policy.groups[title]
    return sum(is_reached(each, policy, signed) for each in members) >= least


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def demand_included(leaf: bytes, proof: Proof) -> None:
    """Check that a leaf is at its index in the log (RFC 9162, section 2.1.3.2). Raises Refused."""
    at, last, found = proof.index, proof.checkpoint.size - 1, leaf_hash(leaf)
    for each in proof.hashes:
        if last == 0:
            raise Refused("the proof has more hashes than the log has levels")
        if at % 2 or at == last:
            found = node_hash(each, found)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            found = node_hash(found, each)
        at, last = at // 2, last // 2
    if last or found != proof.checkpoint.root:
        raise Refused(f"the leaf is not the one at index {proof.index} of the log")


def demand_consistent(old: Checkpoint, new: Checkpoint, hashes: Sequence[bytes]) -> None:
    """Check that a log only grew between two checkpoints (RFC 9162, section 2.1.4.2). Raises Refused."""
    refused = Refused(f"the log of size {new.size} does not continue that of size {old.size}")
    if old.size > new.size or (old.size == new.size and (hashes or old.root != new.root)):
        raise refused
    if old.size in (0, new.size):
        if hashes:
            raise refused
        return
    path = list(hashes)
    if old.size & (old.size - 1) == 0:
        path.insert(0, old.root)
    at, last = old.size - 1, new.size - 1
    while at % 2:
        at, last = at // 2, last // 2
    if not path:
        raise refused
    first = second = path[0]
    for each in path[1:]:
        if last == 0:
            raise refused
        if at % 2 or at == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            second = node_hash(second, each)
        at, last = at // 2, last // 2
    if last or first != old.root or second != new.root:
        raise refused
