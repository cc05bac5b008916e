"""Encodings, hashes, versions, units, networks."""

import base64
import binascii
import hashlib
import json
import re

from agent.rego.builtins import Context
from agent.rego.builtins import arguments as take
from agent.rego.faults import EvaluationFault
from agent.rego.values import Object, Value, decimal, number, to_json

_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?", re.ASCII)
_UNITS = {"": 1, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"ki": 10, "mi": 20, "gi": 30, "ti": 40, "pi": 50, "ei": 60}


def base64_encode(_: Context, text: Value) -> Value:
    return base64.b64encode(take.text(text).encode()).decode()


def base64_decode(_: Context, text: Value) -> Value:
    return _text_of(_base64(take.text(text), text))


def base64_is_valid(_: Context, text: Value) -> Value:
    try:
        _base64(take.text(text), text)
    except EvaluationFault:
        return False
    return True


def base64url_encode(_: Context, text: Value) -> Value:
    return base64.urlsafe_b64encode(take.text(text).encode()).decode()


def base64url_encode_no_pad(_: Context, text: Value) -> Value:
    return base64.urlsafe_b64encode(take.text(text).encode()).decode().rstrip("=")


def base64url_decode(_: Context, text: Value) -> Value:
    plain = take.text(text)
    if "+" in plain or "/" in plain:
        raise take.wrong(text, "base64url")
    padded = plain if plain.endswith("=") else plain + "=" * (-len(plain) % 4)
    return _text_of(_base64(padded.replace("-", "+").replace("_", "/"), text))


def _base64(plain: str, shown: Value) -> bytes:
    try:
        return base64.b64decode(plain.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise take.wrong(shown, "base64") from None


def _text_of(data: bytes) -> str:
    return data.decode(errors="replace")


def hex_encode(_: Context, text: Value) -> Value:
    return take.text(text).encode().hex()


def hex_decode(_: Context, text: Value) -> Value:
    try:
        return _text_of(binascii.unhexlify(take.text(text)))
    except (binascii.Error, ValueError):
        raise take.wrong(text, "hexadecimal digits") from None


def urlquery_encode(_: Context, text: Value) -> Value:
    from urllib.parse import quote_plus

    return quote_plus(take.text(text), safe="-_.~")


def urlquery_decode(_: Context, text: Value) -> Value:
    from urllib.parse import unquote_plus

    if re.search(r"%(?![0-9A-Fa-f]{2})", take.text(text)):
        raise take.wrong(text, "percent signs with two hexadecimal digits")
    return unquote_plus(text)


def json_marshal(_: Context, value: Value) -> Value:
    text = json.dumps(to_json(value), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    for character, escape in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, escape)
    return text


def json_unmarshal(_: Context, text: Value) -> Value:
    return _json(take.text(text))


def json_is_valid(_: Context, text: Value) -> Value:
    try:
        _json(take.text(text))
    except EvaluationFault:
        return False
    return True


def _json(text: str) -> Value:
    try:
        return _from(json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        raise take.wrong(text, "JSON") from None


class _Number(str):
    """A number as JSON writes it."""

    __slots__ = ()


def _no_constant(_: str) -> object:
    raise ValueError("NaN and Infinity are no JSON")


def _from(value: object) -> Value:
    if isinstance(value, _Number):
        return decimal(value)
    if isinstance(value, dict):
        return Object((key, _from(each)) for key, each in value.items())
    return tuple(map(_from, value)) if isinstance(value, list) else value


def crypto_md5(_: Context, text: Value) -> Value:
    return hashlib.md5(take.text(text).encode(), usedforsecurity=False).hexdigest()


def crypto_sha1(_: Context, text: Value) -> Value:
    return hashlib.sha1(take.text(text).encode(), usedforsecurity=False).hexdigest()


def crypto_sha256(_: Context, text: Value) -> Value:
    return hashlib.sha256(take.text(text).encode()).hexdigest()


def semver_is_valid(_: Context, text: Value) -> Value:
    return isinstance(text, str) and _SEMVER.fullmatch(text) is not None


def semver_compare(_: Context, left: Value, right: Value) -> Value:
    """-1, 0 or 1, by Semantic Versioning 2.0.0, section 11."""
    a, b = _precedence(left), _precedence(right)
    return (a > b) - (a < b)


def _precedence(value: Value) -> tuple[object, ...]:
    match = _SEMVER.fullmatch(take.text(value))
    if match is None:
        raise take.wrong(value, "a semantic version")
    major, minor, patch, pre, _ = match.groups()
    parts = [(0, int(each), "") if each.isdigit() else (1, 0, each) for each in pre.split(".")] if pre else []
    return int(major), int(minor), int(patch), not pre, parts


def units_parse(_: Context, text: Value) -> Value:
    """Decimal and binary units of Kubernetes' quantities; `m` is a thousandth, `M` a million."""
    amount, unit = _quantity(text)
    if unit.lower() in _BINARY:
        return number(amount * 2 ** _BINARY[unit.lower()])
    power = _UNITS.get(unit, _UNITS.get(unit.upper() if unit.upper() != "K" else "k"))
    if power is None:
        raise take.wrong(text, "a number with a unit")
    from fractions import Fraction

    return number(Fraction(amount) * Fraction(10) ** power)


def units_parse_bytes(_: Context, text: Value) -> Value:
    amount, unit = _quantity(text)
    unit = unit.lower().removesuffix("b")
    if unit in _BINARY:
        return int(amount * 2 ** _BINARY[unit])
    powers = {"": 0, "k": 3, "m": 6, "g": 9, "t": 12, "p": 15, "e": 18}
    if unit not in powers:
        raise take.wrong(text, "a number with a unit of bytes")
    return int(amount * 10 ** powers[unit])


def _quantity(text: Value) -> tuple[Value, str]:
    match = re.fullmatch(r'"?([-+]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)([A-Za-z]*)"?', take.text(text), re.ASCII)
    if match is None:
        raise take.wrong(text, "a number with a unit")
    return decimal(match.group(1).lstrip("+")), match.group(2)


def net_cidr_contains(_: Context, network: Value, part: Value) -> Value:
    import ipaddress

    try:
        whole = ipaddress.ip_network(take.text(network), strict=False)
        inner = ipaddress.ip_network(take.text(part), strict=False)
    except ValueError:
        raise take.wrong(part, "a network and an address or a network") from None
    return whole.version == inner.version and inner.subnet_of(whole)  # type: ignore[arg-type]
