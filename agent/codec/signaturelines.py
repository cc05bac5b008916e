"""Signatures as lines of base64 (RFC 4648, section 4), as ordinary tools print them.

One signature in each line.  White space does not count.  A line of exactly as many characters as tools wrap at goes on
in the next one, unless it ends in padding; an empty line ends a signature.  What comes out is not yet believed.
"""

import binascii

from agent.errors import LimitExceeded, Malformed

MAX_SIGNATURES = 8
"""Most signatures: one for each signer, old and new keys while they are replaced."""

MAX_SIZE = 32 * 1024
"""Most bytes of all of them as text: eight of RSA with 8192 bits have 11 KiB."""

WRAPPED_AT = (64, 76)
"""Characters in a line of `openssl base64` and of `base64`.  No signature is so short that it ends just there."""


def decode(content: bytes) -> tuple[bytes, ...]:
    """The signatures, at least one.  Raises `Malformed` or `LimitExceeded`, with the line where one begins."""
    if len(content) > MAX_SIZE:
        raise LimitExceeded(f"got {len(content)} bytes; expected at most {MAX_SIZE}")
    found: list[bytes] = []
    parts: list[bytes] = []
    begin = 0
    for number, raw in enumerate((*content.split(b"\n"), b""), 1):
        line = b"".join(raw.split())
        if line:
            begin = begin if parts else number
            parts.append(line)
        if parts and (len(line) not in WRAPPED_AT or line.endswith(b"=")):
            if len(found) == MAX_SIGNATURES:
                raise LimitExceeded(f"got more than {MAX_SIGNATURES} signatures; expected at most {MAX_SIGNATURES}")
            found.append(_decoded(b"".join(parts), begin))
            parts = []
    if not found:
        raise Malformed("got an empty document; expected a signature as base64")
    return tuple(found)


def _decoded(text: bytes, line: int) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        is_secret = b"PRIVATEKEY" in text  # white space is gone
        got = "a private key, which belongs in no configuration" if is_secret else "something else than base64"
        raise Malformed(f"got {got} (line {line}); expected a signature as base64") from None
