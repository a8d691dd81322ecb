"""Proofs of the ledger, good ones and each break of one, made with fixed keys: the same bytes every time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import merkle
from storage.ledger import forms, tree

ORIGIN = "runledger.example/ledger"
LEAVES = [b'{"number":%d}' % number for number in range(300)]
ROWS = [[merkle.leaf_hash(leaf) for leaf in LEAVES]]
ROWS.append([merkle.root(ROWS[0][:256])])
#: The second at which witnesses sign.
TIME = 1_795_435_200
ED25519, COSIGNATURE, ML_DSA_44 = 1, 4, 6


@dataclass(frozen=True)
class Case:
    """A leaf, a proof and a policy; `verdict` is `accepted` or `refused`."""

    name: str
    verdict: str
    leaf: bytes
    proof: bytes
    policy: bytes


@dataclass(frozen=True)
class Key:
    """A key that is made of its seed; `kind` is that of its signatures."""

    name: str
    kind: int = ED25519
    seed: str = "log"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.seed.encode()).digest())

    @property
    def public(self) -> bytes:
        return bytes([self.kind]) + self._private.public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self.public).digest()[:4]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{forms.encoded(self.public)}"

    def line(self, text: str, time: int = TIME, signed_time: int | None = None) -> str:
        """Return the line of a signature; the time is that of a witness."""
        if self.kind == ED25519:
            return forms.signature_line(self.name, self.id, self._private.sign(text.encode()))
        message = f"cosignature/v1\ntime {time if signed_time is None else signed_time}\n{text}"
        signed = time.to_bytes(8, "big") + self._private.sign(message.encode())
        return forms.signature_line(self.name, self.id, signed)


LOG, NEXT, OTHER = Key(ORIGIN), Key(ORIGIN, seed="next"), Key(ORIGIN, seed="other")
ELSEWHERE = Key("elsewhere.example/log", seed="elsewhere")
WITNESSES = [Key(f"witness{place}.example", COSIGNATURE, f"witness {place}") for place in range(3)]
POLICY = f"log {LOG.text}\nquorum none\n"
_NAMED = "".join(f"witness w{place} {key.text}\n" for place, key in enumerate(WITNESSES))
GROUP = f"log {LOG.text}\n{_NAMED}group two 2 w0 w1 w2\nquorum two\n"


def grown(size: int) -> tree.Tree:
    return tree.Tree(size, lambda row, first, count: ROWS[row][first : first + count])


def text_of(size: int, origin: str = ORIGIN) -> str:
    return forms.checkpoint_text(origin, size, grown(size).root())


def proof(index: int, size: int, lines: Sequence[str] | None = None, text: str | None = None) -> str:
    """Return a proof, signed by LOG unless lines are given."""
    text = text_of(size) if text is None else text
    note = forms.signed(text, [LOG.line(text)] if lines is None else lines)
    return forms.proof(index, grown(size).inclusion(index), note)


GOOD = proof(7, 300)


def every() -> Iterator[Case]:
    """Yield all cases."""
    for index, size in ((0, 1), (0, 7), (3, 7), (6, 7), (7, 300), (256, 300), (299, 300)):
        yield Case(
            f"entry {index} of {size}", "accepted", LEAVES[index], proof(index, size).encode(), POLICY.encode()
        )
    for name, given in {**_SIGNED, **_FORMS}.items():
        yield _case(name, "accepted", given)
    for name, given in {**_REFUSED_SIGNED, **_REFUSED_FORMS}.items():
        yield _case(name, "refused", given)
    for name, policy in _REFUSED_POLICIES.items():
        yield _case(name, "refused", (GOOD, policy))
    yield Case("another leaf", "refused", LEAVES[8], GOOD.encode(), POLICY.encode())
    yield Case("a leaf with a line feed", "refused", LEAVES[7] + b"\n", GOOD.encode(), POLICY.encode())
    yield Case("no leaf", "refused", b"", GOOD.encode(), POLICY.encode())
    raw = GOOD.encode()
    yield Case("not UTF-8", "refused", LEAVES[7], raw.replace(b"runledger", b"runledge\xff"), POLICY.encode())


def _case(name: str, verdict: str, given: str | tuple[str, str]) -> Case:
    text, policy = (given, POLICY) if isinstance(given, str) else given
    return Case(name, verdict, LEAVES[7], text.encode(), policy.encode())


TEXT = text_of(300)
_SIGNATURE = LOG.line(TEXT)
_HASHES = GOOD.split("\n\n")[0].split("\n")[2:]
_WITNESSED = [key.line(TEXT) for key in WITNESSES]
_ML_DSA = forms.signature_line(ORIGIN, b"\x01\x02\x03\x04", b"m" * 2420)
_EXTENDED = f"{TEXT}an extension\n"

_SIGNED: dict[str, str | tuple[str, str]] = {
    "two keys of the log, both in the policy": (
        proof(7, 300, [_SIGNATURE, NEXT.line(TEXT)]),
        f"log {NEXT.text}\nlog {LOG.text}\nquorum none\n",
    ),
    "two keys of the log, one in the policy": proof(7, 300, [NEXT.line(TEXT), _SIGNATURE]),
    "a signature of a key that nobody knows": proof(7, 300, [_SIGNATURE, ELSEWHERE.line(TEXT)]),
    "a signature of ML-DSA-44": proof(7, 300, [_SIGNATURE, _ML_DSA]),
    "a witness that is not in the policy": proof(7, 300, [_SIGNATURE, _WITNESSED[0]]),
    "two of three witnesses": (proof(7, 300, [_SIGNATURE, *_WITNESSED[:2]]), GROUP),
    "all witnesses, in another order": (proof(7, 300, [*_WITNESSED[::-1], _SIGNATURE]), GROUP),
    "one witness as the quorum": (
        proof(7, 300, [_SIGNATURE, _WITNESSED[0]]),
        f"log {LOG.text}\n{_NAMED}quorum w0\n",
    ),
}
_FORMS: dict[str, str | tuple[str, str]] = {
    "an extension of the checkpoint": proof(7, 300, [LOG.line(_EXTENDED)], _EXTENDED),
    "extra data": GOOD.replace("index 7\n", "extra aGk=\nindex 7\n"),
    "a policy with comments and blanks": (GOOD, f"# keys\n\nlog\t{LOG.text}\n  quorum   none\n"),
}
_ELSEWHERE = text_of(300, "other.example/log")
_WRONG_TIME = WITNESSES[1].line(TEXT, TIME, TIME + 1)
_REFUSED_SIGNED: dict[str, str | tuple[str, str]] = {
    "another key under the same name": proof(7, 300, [OTHER.line(TEXT)]),
    "another origin": proof(
        7, 300, [LOG.line(text_of(300, "other.example/log"))], text_of(300, "other.example/log")
    ),
    "a key of the policy that is not the origin": (
        proof(7, 300, [ELSEWHERE.line(TEXT)]),
        f"log {ELSEWHERE.text}\nquorum none\n",
    ),
    "the id of another key": proof(
        7, 300, [forms.signature_line(ORIGIN, OTHER.id, base64.b64decode(_SIGNATURE.split(" ")[2])[4:])]
    ),
    "a signature of another text": proof(7, 300, [LOG.line(text_of(299))]),
    "a signature that is too short": proof(7, 300, [forms.signature_line(ORIGIN, LOG.id, b"s" * 63)]),
    "no signature": f"{GOOD.partition(chr(0x2014))[0]}",
    "two signatures of one key": proof(7, 300, [_SIGNATURE, _SIGNATURE]),
    "a quorum that is not reached": (proof(7, 300, [_SIGNATURE, _WITNESSED[0]]), GROUP),
    "a quorum without any witness": (GOOD, GROUP),
    "a witness that says another time than it signed": (
        proof(7, 300, [_SIGNATURE, _WITNESSED[0], _WRONG_TIME]),
        GROUP,
    ),
    "a witness that signed another checkpoint": (
        proof(7, 300, [_SIGNATURE, _WITNESSED[0], WITNESSES[1].line(text_of(299))]),
        GROUP,
    ),
    "witnesses without the log": (proof(7, 300, _WITNESSED), GROUP),
}
_LAST = _HASHES[-1]
#: A last character whose unused bits are set.
_UNUSED = {"A": "B", "Q": "R", "g": "h", "w": "x", "E": "F", "I": "J", "M": "N", "U": "V", "Y": "Z", "c": "d"}
_UNUSED |= {"k": "l", "o": "p", "s": "t", "0": "1", "4": "5", "8": "9"}
_LOOSE = _LAST[:-2] + _UNUSED[_LAST[-2]] + "="
_ROOT = TEXT.split("\n")[2]
_LOOSE_ROOT = TEXT.replace(_ROOT, _ROOT[:-2] + _UNUSED[_ROOT[-2]] + "=")
_SIZED = {name: TEXT.replace("\n300\n", f"\n{size}\n") for name, size in {"zero": "0300", "plus": "+300"}.items()}


def _resigned(text: str) -> str:
    return proof(7, 300, [LOG.line(text)], text)


_REFUSED_FORMS: dict[str, str | tuple[str, str]] = {
    "base64 with unused bits in a hash": GOOD.replace(_LAST, _LOOSE),
    "base64 with unused bits in the root": _resigned(_LOOSE_ROOT),
    "base64 without padding": GOOD.replace(_LAST, _LAST.rstrip("=")),
    "base64 with a blank": GOOD.replace(_LAST, f"{_LAST} "),
    "base64 with a line break": GOOD.replace(_LAST, f"{_LAST[:20]}\n{_LAST[20:]}"),
    "base64 of the alphabet for addresses": GOOD.replace(_LAST, f"-_{_LAST[2:]}"),
    "carriage returns": GOOD.replace("\n", "\r\n"),
    "a carriage return behind the index": GOOD.replace("index 7\n", "index 7\r\n"),
    "an index with a leading zero": GOOD.replace("index 7\n", "index 07\n"),
    "an index with a plus": GOOD.replace("index 7\n", "index +7\n"),
    "an index with a minus": GOOD.replace("index 7\n", "index -7\n"),
    "an index in other digits": GOOD.replace("index 7\n", "index ٧\n"),
    "an index that is hexadecimal": GOOD.replace("index 7\n", "index 0x7\n"),
    "an index with a blank behind it": GOOD.replace("index 7\n", "index 7 \n"),
    "an index of 64 bits": GOOD.replace("index 7\n", f"index {7 + 2**64}\n"),
    "no index": GOOD.replace("index 7\n", ""),
    "another index": GOOD.replace("index 7\n", "index 8\n"),
    "an index beyond the log": GOOD.replace("index 7\n", "index 300\n"),
    "a size with a leading zero": _resigned(_SIZED["zero"]),
    "a size with a plus": _resigned(_SIZED["plus"]),
    "another size": _resigned(TEXT.replace("\n300\n", "\n600\n")),
    "another root": _resigned(TEXT.replace(_ROOT, text_of(299).split("\n")[2])),
    "a blank line behind the index": GOOD.replace("index 7\n", "index 7\n\n"),
    "a blank line between hashes": GOOD.replace(f"{_HASHES[1]}\n", f"{_HASHES[1]}\n\n"),
    "a blank line at the end": f"{GOOD}\n",
    "no line feed at the end": GOOD[:-1],
    "no blank line before the checkpoint": GOOD.replace("\n\n", "\n", 1),
    "a byte order mark": f"\ufeff{GOOD}",
    "another version": GOOD.replace("tlog-proof@v1", "tlog-proof@v2"),
    "no first line": GOOD.partition("\n")[2],
    "the index behind the hashes": GOOD.replace("index 7\n", "").replace(f"{_LAST}\n", f"{_LAST}\nindex 7\n"),
    "hashes in another order": GOOD.replace(_HASHES[0], "?")
    .replace(_HASHES[1], _HASHES[0])
    .replace("?", _HASHES[1]),
    "a hash too many": GOOD.replace(f"{_LAST}\n", f"{_LAST}\n{_LAST}\n"),
    "a hash too few": GOOD.replace(f"{_LAST}\n", ""),
    "a hash of 31 bytes": GOOD.replace(_LAST, forms.encoded(b"h" * 31)),
    "the first half": GOOD[: len(GOOD) // 2],
    "nothing": "",
    "a hyphen in place of the dash": GOOD.replace("\u2014 ", "- "),
    "two blanks in a line of a signature": GOOD.replace("\u2014 ", "\u2014  "),
    "a checkpoint of two lines": _resigned("\n".join(TEXT.split("\n")[:2]) + "\n"),
    "a null character": GOOD.replace("index 7\n", "index 7\n\x00"),
}
_REFUSED_POLICIES = {
    "a policy of nothing": "",
    "a policy without a quorum": f"log {LOG.text}\n",
    "a policy with two quorums": f"{POLICY}quorum none\n",
    "a policy without a log": "quorum none\n",
    "a policy with a word that is not known": f"{POLICY}trust all\n",
    "a policy with an unknown quorum": POLICY.replace("none", "nobody"),
    "a policy with one key twice": f"log {LOG.text}\n{POLICY}",
    "a policy whose key has another id": POLICY.replace(LOG.id.hex(), "00000000"),
    "a policy whose log is a witness": f"log {WITNESSES[0].text}\nquorum none\n",
    "a policy with a group that cannot be reached": GROUP.replace("group two 2", "group two 4"),
    "a policy with a group of none": GROUP.replace("group two 2", "group two 0"),
    "a policy with a member that is not there": GROUP.replace("w0 w1 w2\n", "w0 w1 w9\n"),
}
