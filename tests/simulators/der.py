"""Just enough DER to write what the tests' own authorities say, and to read what they are asked.  Values are bytes."""

from datetime import datetime

_HIGH = 0x80


def tlv(tag: int, *parts: bytes) -> bytes:
    """A value of any tag."""
    content = b"".join(parts)
    if len(content) < _HIGH:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, _HIGH | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE, or SEQUENCE OF."""
    return tlv(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF, in DER's order."""
    return tlv(0x31, *sorted(parts))


def explicit(number: int, content: bytes) -> bytes:
    """A constructed value of a context-specific tag."""
    return tlv(0xA0 | number, content)


def integer(value: int) -> bytes:
    """INTEGER."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, value)


def null() -> bytes:
    """NULL."""
    return tlv(0x05)


def text(value: str) -> bytes:
    """UTF8String."""
    return tlv(0x0C, value.encode())


def identifier(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = [int(part) for part in dotted.split(".")]
    content = b""
    for arc in (40 * first + second, *rest):
        digits = bytes([arc & 0x7F])
        while arc := arc >> 7:
            digits = bytes([_HIGH | arc & 0x7F]) + digits
        content += digits
    return tlv(0x06, content)


def time(moment: datetime) -> bytes:
    """GeneralizedTime, of whole seconds, in UTC."""
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def read(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first value, and what follows it.  For well-formed questions alone."""
    length, start = data[1], 2
    if length & _HIGH:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    return data[0], data[start : start + length], data[start + length :]


def values(content: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of every value, one after another."""
    found = []
    while content:
        tag, value, content = read(content)
        found.append((tag, value))
    return found
