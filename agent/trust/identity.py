"""Trusted identities: whose signatures count, by the subject of the signing certificate.

Notary Project, trust store and trust policy specification, "Trusted Identities Constraints".  An identity is a
distinguished name (RFC 4514) of single-valued, unique attributes, of which C, ST and O must be there; it matches every
subject that has all of its attributes with equal values.
"""

from typing import Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

PREFIX = "x509.subject:"
ANY = "*"

_REQUIRED = ("C", "ST", "O")
_NAMES = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.POSTAL_CODE: "POSTALCODE",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "STREET",
}
_ESCAPABLE = frozenset(' "#+,;<=>\\')
_HEX = frozenset("0123456789abcdefABCDEF")


def parse_identity(text: str) -> dict[str, str]:
    """Read the distinguished name of an identity, without its prefix: attribute -> value.

    Raises `ValueError` with what is wrong with it.
    """
    attributes: dict[str, str] = {}
    for rdn in _split(text, ","):
        if len(_split(rdn, "+")) > 1:
            raise ValueError(f"the multi-valued part {rdn.strip()!r}")
        name, equals, value = rdn.partition("=")
        name = name.strip().upper()
        name = "ST" if name == "S" else name
        if not equals or not name:
            raise ValueError(f"{rdn.strip()!r} without '='")
        if value.lstrip().startswith("#"):
            raise ValueError(f"the hexadecimal value of {name}")
        if name in attributes:
            raise ValueError(f"the attribute {name} twice")
        attributes[name] = _unescaped(value)
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    return attributes


def subject_attributes(subject: x509.Name) -> dict[str, str]:
    """The attributes of a certificate's subject, under the rules for identities.  Raises `ValueError`."""
    attributes: dict[str, str] = {}
    for rdn in subject.rdns:
        for attribute in rdn:
            name = _NAMES.get(attribute.oid)
            if len(rdn) > 1 or name is None or name in attributes or not isinstance(attribute.value, str):
                raise ValueError(f"the attribute {name or attribute.oid.dotted_string} in a form no identity can match")
            attributes[name] = attribute.value
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    return attributes


def covers(identity: Mapping[str, str], attributes: Mapping[str, str]) -> bool:
    """Whether every attribute of `identity` stands in `attributes` with an equal value."""
    return all(attributes.get(name) == value for name, value in identity.items())


def _split(text: str, separator: str) -> list[str]:
    """Split at unescaped separators."""
    parts, start, i = [], 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == separator:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    return [*parts, text[start:]]


def _unescaped(value: str) -> str:
    """A value with its escapes resolved and its unescaped outer spaces dropped (RFC 4514, section 3)."""
    out = bytearray()
    value = value.lstrip(" ")
    kept = 0  # length up to which spaces are part of the value
    i = 0
    while i < len(value):
        char = value[i]
        if char == "\\":
            following = value[i + 1 : i + 3]
            if following[:1] in _ESCAPABLE and following:
                out += following[0].encode()
                i += 2
            elif len(following) == 2 and set(following) <= _HEX:
                out.append(int(following, 16))
                i += 3
            else:
                raise ValueError(f"the escape {value[i : i + 3]!r}")
            kept = len(out)
        else:
            out += char.encode("utf-8", "surrogatepass")
            i += 1
            kept = len(out) if char != " " else kept
    try:
        return bytes(out[:kept]).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a value that is not UTF-8") from None
