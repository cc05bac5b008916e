"""Digests: the identity of everything that is verified.

Grammar and registered algorithms: OCI image specification, descriptor.md, section "Digests".
"""

import hashlib
import re
from typing import NamedTuple

from agent.errors import UsageError

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_LOWER_HEX = re.compile(r"[0-9a-f]+\Z")


class Digest(NamedTuple):
    """A content digest.  `algorithm` is sha256 or sha512, `encoded` its lower-case hexadecimal value."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read `algorithm:hex`.  Raises `UsageError` on anything else, upper-case hexadecimal included."""
        algorithm, _, encoded = text.partition(":")
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            raise UsageError(f"digest: got algorithm {algorithm[:32]!r}; expected one of {', '.join(_HEX_LENGTH)}")
        if len(encoded) != length or not _LOWER_HEX.match(encoded):
            raise UsageError(
                f"digest: got {encoded[:80]!r} ({len(encoded)} characters); "
                f"expected {length} lower-case hexadecimal digits for {algorithm}"
            )
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> "Digest":
        """The digest of `content`."""
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def matches(self, content: bytes) -> bool:
        """Whether `content` is what this digest names."""
        return Digest.of(content, self.algorithm) == self

    def __str__(self) -> str:
        """`algorithm:hex`."""
        return f"{self.algorithm}:{self.encoded}"
