"""Certificates in a document: one DER certificate, or a PEM bundle (RFC 7468); and public keys as PEM.

Text in front of a PEM block is allowed, as tools put explanations there; anything after the last block, a broken block
or a block of another kind spoils the document.  Private keys are told as such and never shown.  Decides nothing about
trust; runs when a configuration is published, never on a pull.
"""

import binascii
import re
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from agent.errors import Malformed

MAX_SIZE = 1024 * 1024
"""Most bytes of one document: a ConfigMap holds no more."""

MAX_CERTIFICATES = 1000
"""Most certificates in one document: the public web's roots are about 150."""

MAX_DEFECTS = 20
"""Most broken lines after which nothing more of a document is looked at."""

MAX_CERTIFICATE_SIZE = 16 * 1024
"""Most bytes of one certificate, in DER: usual ones have 2 KiB."""

MAX_KEY_SIZE = 16 * 1024
"""Most bytes of one public key, as PEM: RSA with 8192 bits has 1.5 KiB."""

MAX_KEYS = 64
"""Most public keys in one document: the old and the new ones of a team."""

_BOUNDARY = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----\Z")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CERTIFICATE = "CERTIFICATE"
PUBLIC_KEY = "PUBLIC KEY"
_CERTIFICATE_OR_KEY = "one certificate or one public key as PEM, and nothing behind it"
_RSA_PUBLIC_KEY = "RSA PUBLIC KEY"  # RFC 8017, appendix A.1.1, as OpenSSL writes it
_PRIVATE_KEY = "a private key, which belongs in no configuration"
_PUBLIC_KEYS = "public keys as PEM (BEGIN PUBLIC KEY), and nothing behind them"
_ONE_PUBLIC_KEY = "one public key as PEM (BEGIN PUBLIC KEY), and nothing behind it"


class Contents(NamedTuple):
    """What a document holds: certificates as DER, and what is wrong with it (short texts, none if it is sound)."""

    certificates: tuple[bytes, ...]
    defects: tuple[str, ...]


class _Block(NamedTuple):
    label: str
    line: int
    base64: bytes


def contents(content: bytes) -> Contents:
    """What stands in a document.  Total: whatever is wrong, limits included, is a defect in the result."""
    if len(content) > MAX_SIZE:
        return Contents((), (f"{len(content)} bytes, more than {MAX_SIZE}",))
    content = content.removeprefix(_BYTE_ORDER_MARK)
    if not content.strip():
        return Contents((), ("an empty document",))
    if b"-----BEGIN" not in content:
        defect = _defect_of(content)
        return Contents((), (defect,)) if defect else Contents((content,), ())
    blocks, defects = _blocks(content)
    if len(blocks) > MAX_CERTIFICATES:
        return Contents((), (f"{len(blocks)} certificates, more than {MAX_CERTIFICATES}",))
    found: list[bytes] = []
    for block in blocks:
        at = f" (line {block.line})"
        if block.label != CERTIFICATE:
            defects.append(_other_block(block.label) + at)
            continue
        try:
            der = binascii.a2b_base64(block.base64, strict_mode=True)
        except binascii.Error:
            defects.append("a certificate that is not base64" + at)
            continue
        defect = _defect_of(der)
        if defect:
            defects.append(defect + at)
        else:
            found.append(der)
    return Contents(tuple(found), tuple(defects))


def public_key(content: bytes) -> bytes:
    """The one public key (PEM, `PUBLIC KEY`) in `content`, as DER that nobody has looked into.  Raises `Malformed`."""
    if len(content) > MAX_KEY_SIZE:
        raise Malformed(f"got {len(content)} bytes; expected a public key of at most {MAX_KEY_SIZE}")
    blocks, defects = _blocks(content)
    others = [_other_block(block.label) for block in blocks if block.label != PUBLIC_KEY]
    if private := [each for each in (*others, *defects) if each == _PRIVATE_KEY]:
        raise Malformed(f"got {private[0]}; expected {_ONE_PUBLIC_KEY}")
    if defects or others or len(blocks) != 1:
        got = (*defects, *others, f"{len(blocks)} keys")[0] if b"-----" in content else "no PEM"
        raise Malformed(f"got {got}; expected {_ONE_PUBLIC_KEY}")
    try:
        return binascii.a2b_base64(blocks[0].base64, strict_mode=True)
    except binascii.Error:
        raise Malformed(f"got a block that is not base64; expected {_ONE_PUBLIC_KEY}") from None


def public_keys(content: bytes) -> tuple[bytes, ...]:
    """The public keys in `content`, one PEM block after another, as DER that nobody has looked into.

    Blocks are `PUBLIC KEY` or PKCS #1's `RSA PUBLIC KEY`.  Raises `Malformed`, whose message holds no private key.
    """
    if len(content) > MAX_SIZE:
        raise Malformed(f"got {len(content)} bytes; expected at most {MAX_SIZE}")
    blocks, defects = _blocks(content.removeprefix(_BYTE_ORDER_MARK))
    labels = (PUBLIC_KEY, _RSA_PUBLIC_KEY)
    others = [f"{_other_block(each.label)} (line {each.line})" for each in blocks if each.label not in labels]
    if private := [each for each in (*others, *defects) if each.startswith(_PRIVATE_KEY)]:
        raise Malformed(f"got {private[0]}; expected {_PUBLIC_KEYS}")
    if b"-----BEGIN" not in content:
        raise Malformed(f"got no PEM; expected {_PUBLIC_KEYS}")
    if defects or others:
        raise Malformed(f"got {(*defects, *others)[0]}; expected {_PUBLIC_KEYS}")
    if len(blocks) > MAX_KEYS:
        raise Malformed(f"got {len(blocks)} public keys; expected at most {MAX_KEYS} in one document")
    found = []
    for block in blocks:
        try:
            found.append(binascii.a2b_base64(block.base64, strict_mode=True))
        except binascii.Error:
            got = f"a block that is not base64 (line {block.line})"
            raise Malformed(f"got {got}; expected {_PUBLIC_KEYS}") from None
    return tuple(found)


def certificate_or_key(content: bytes) -> tuple[str, bytes]:
    """The one block in `content`, `CERTIFICATE` or `PUBLIC_KEY`, as DER that nobody has looked into.

    Raises `Malformed`.
    """
    if len(content) > MAX_CERTIFICATE_SIZE * 2:
        raise Malformed(f"got {len(content)} bytes of PEM; expected at most {MAX_CERTIFICATE_SIZE * 2}")
    blocks, defects = _blocks(content)
    if defects or len(blocks) != 1 or blocks[0].label not in (CERTIFICATE, PUBLIC_KEY):
        got = (*defects, *(_other_block(block.label) for block in blocks), "no PEM")[0]
        raise Malformed(f"got {got}; expected {_CERTIFICATE_OR_KEY}")
    try:
        return blocks[0].label, binascii.a2b_base64(blocks[0].base64, strict_mode=True)
    except binascii.Error:
        raise Malformed(f"got a block that is not base64; expected {_CERTIFICATE_OR_KEY}") from None


def _blocks(content: bytes) -> tuple[list[_Block], list[str]]:
    blocks: list[_Block] = []
    defects: list[str] = []
    label, begin, body = "", 0, [b""]
    text_at = 0
    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.strip()
        boundary = _BOUNDARY.match(line)
        if boundary and boundary[1] == b"BEGIN" and not label:
            label, begin, body, text_at = boundary[2].decode("ascii"), number, [], 0
        elif boundary and boundary[1] == b"END" and boundary[2].decode("ascii") == label:
            blocks.append(_Block(label, begin, b"".join(body)))
            label = ""
        elif line.startswith(b"-----"):
            defects.append(f"a BEGIN or END that is broken or without its counterpart (line {number})")
            if len(defects) >= MAX_DEFECTS:
                return [], defects
        elif label:
            body.append(line)
        elif line and not text_at:
            text_at = number
    if label:
        defects.append(f"a block that does not end (line {begin})")
        if "PRIVATE KEY" in label:
            defects.append(_other_block(label))
    elif text_at:
        defects.append(f"something after the last block (line {text_at})")
    return blocks, defects


def _other_block(label: str) -> str:
    if "PRIVATE KEY" in label:
        return _PRIVATE_KEY
    return f"a block {label[:40]!r}"


def _defect_of(der: bytes) -> str:
    """What keeps `der` from being one certificate; empty if nothing does."""
    if len(der) > MAX_CERTIFICATE_SIZE:
        return f"a certificate of {len(der)} bytes"
    try:
        x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        return _PRIVATE_KEY if _is_private_key(der) else "no certificate"
    return ""


def _is_private_key(der: bytes) -> bool:
    try:
        load_der_private_key(der, None)
    except TypeError:  # encrypted, and no password was given
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
