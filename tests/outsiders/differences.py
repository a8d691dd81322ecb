"""Where a verifier of others says of a case of the corpus something else than the corpus, and why."""

from __future__ import annotations

#: check.go reads the first key of the policy and no more of it; witnesses are no part of `sumdb/note`.
_NO_POLICY = (
    "a quorum that is not reached",
    "a quorum without any witness",
    "a witness that says another time than it signed",
    "a witness that signed another checkpoint",
    "a policy without a quorum",
    "a policy with two quorums",
    "a policy with a word that is not known",
    "a policy with an unknown quorum",
    "a policy with one key twice",
    "a policy with a group that cannot be reached",
    "a policy with a group of none",
    "a policy with a member that is not there",
)
#: check.go does not compare the origin with the name of the key, which `note.Open` leaves to its caller.
_NO_ORIGIN = ("another origin", "a key of the policy that is not the origin")
#: `fmt.Sscanf` reads numbers loosely; a program for production would compare the text with the number.
_LOOSE_NUMBERS = (
    "a carriage return behind the index",
    "an index with a leading zero",
    "an index with a plus",
    "an index with a blank behind it",
    "a size with a leading zero",
    "a size with a plus",
)
#: Base64 whose unused bits are set is decoded.
_LOOSE_BASE64 = ("base64 with unused bits in a hash", "base64 with unused bits in the root")
#: A second signature of one key is skipped.
_DOUBLE = ("two signatures of one key",)

#: Verdicts by verifier and case.
DIFFERENCES: dict[str, dict[str, str]] = {
    "go": {
        **dict.fromkeys((*_NO_POLICY, *_NO_ORIGIN, *_LOOSE_NUMBERS, *_LOOSE_BASE64, *_DOUBLE), "accepted"),
        # What it does not know it refuses: the line of extra data, and a policy that begins with a comment.
        **dict.fromkeys(("extra data", "a policy with comments and blanks"), "refused"),
    },
    "dnsid": dict.fromkeys(
        (
            *(*_LOOSE_BASE64, *_DOUBLE),
            "base64 without padding",
            # The number of hashes is not compared with the size of the log.
            "another size",
            # The end of the last line is not demanded.
            "a blank line at the end",
            "no line feed at the end",
        ),
        "accepted",
    ),
}
