"""`trusted_root.json`: read when a configuration is published, never on a pull.

Sigstore protobuf-specs, sigstore_trustroot.proto, in proto3's JSON form.  Members that nobody here knows are ignored;
what is read must be whole: a key or an authority without a beginning of its time is an error, as guessing one would
trust it for ever.  A key or a certificate of a kind that is not read here is left out with a warning.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ed25519

from agent.codec import strictjson
from agent.codec.jose import base64_either
from agent.errors import Malformed, Problem
from agent.trust import chain as chains
from agent.trust import publickeys
from agent.trust.trustedroot import Authority, Log, TrustedRoot, Window

USUAL_NAME = "trusted_root.json"
"""What Sigstore calls it everywhere; verifiers mean it where they name none."""

MAX_SIZE = 1024 * 1024
"""Most bytes of such a file: a ConfigMap holds no more; the public instance's has 10 KiB."""

MAX_MEMBERS = 64
"""Most logs, or authorities, of one kind; the public instance has two or three."""

MEDIA_TYPES = (
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
)

_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # of the calendar: 0001-01-01 and 9999-12-31T23:59:59, in UTC
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_HINT_SIZE = 4
_ED25519 = b"\x01"  # C2SP signed-note: the type of a key, in what its hint is made of
_Made = TypeVar("_Made")


class Read(NamedTuple):
    """What a file came to: None for the root if a problem is fatal; keys and certificates are DER by their SHA-256."""

    root: TrustedRoot | None
    material: Mapping[str, bytes]
    problems: tuple[Problem, ...]


class _Unused(Exception):
    """A member of a kind that is not read here; the text says which."""


def read(name: str, content: bytes, where: str) -> Read:
    """Read the file called `name`.  Whatever is wrong, limits included, is a problem in the result."""
    material: dict[str, bytes] = {}
    problems: list[Problem] = []
    try:
        root = _Reader(material, where, problems).root(name, strictjson.decode(content, where, limit=MAX_SIZE))
    except Malformed as error:
        got, _, expected = error.message.removeprefix(f"{where}: ").partition("; expected ")
        problem = Problem(where, got.removeprefix("got "), expected or "a Sigstore trusted root")
        return Read(None, {}, (*problems, problem))
    return Read(root, material, tuple(problems))


class _Reader:
    def __init__(self, material: dict[str, bytes], where: str, problems: list[Problem]) -> None:
        """`material` and `problems` are added to."""
        self._material = material
        self._where = where
        self._problems = problems

    def root(self, name: str, value: object) -> TrustedRoot:
        """The whole file.  Raises `Malformed`."""
        root = self._object(value, "trusted root")
        media_type = root.get("mediaType")
        if media_type not in MEDIA_TYPES:
            got, known = "none" if media_type is None else ascii(media_type)[:80], ", ".join(MEDIA_TYPES)
            raise Malformed(f"{self._where}: got mediaType {got}; expected one of {known}")
        found = TrustedRoot(
            name,
            self._members(root, "certificateAuthorities", self._authority),
            self._members(root, "tlogs", self._log),
            self._members(root, "ctlogs", self._log),
            self._members(root, "timestampAuthorities", self._authority),
        )
        if not any(found[1:]):
            raise Malformed(f"{self._where}: got neither authorities nor logs; expected a Sigstore trusted root")
        return found

    def _members(
        self, root: Mapping[str, object], name: str, make: Callable[[Mapping[str, object], str], _Made]
    ) -> tuple[_Made, ...]:
        given = root.get(name, [])
        if not isinstance(given, list) or len(given) > MAX_MEMBERS:
            raise Malformed(f"{self._where}: got {name} that is no list, or too long; expected up to {MAX_MEMBERS}")
        found = []
        for i, each in enumerate(given):
            try:
                found.append(make(self._object(each, f"{name}[{i}]"), f"{name}[{i}]"))
            except _Unused as unused:
                expected = f"{publickeys.EXPECTED}; left out"
                self._problems.append(Problem(f"{self._where}.{name}[{i}]", str(unused), expected, fatal=False))
        return tuple(found)

    def _authority(self, value: Mapping[str, object], at: str) -> Authority:
        chain = self._object(value.get("certChain"), f"{at}.certChain").get("certificates")
        if not isinstance(chain, list) or not 0 < len(chain) <= chains.MAX_CERTIFICATES:
            raise Malformed(f"{self._where}: got {at}.certChain without certificates; expected at least one")
        ders = [self._bytes(self._object(each, at), "rawBytes", at) for each in chain]
        try:
            chains.parse_chain(ders)
        except Malformed as error:
            raise Malformed(f"{self._where}: got {at} with {error.message}; expected certificates, DER") from None
        return Authority(tuple(map(self._keep, ders)), self._window(value, at))

    def _log(self, value: Mapping[str, object], at: str) -> Log:
        public = self._object(value.get("publicKey"), f"{at}.publicKey")
        window = self._window(public, f"{at}.publicKey")
        log_id = self._object(value.get("logId", {}), f"{at}.logId")
        given = self._bytes(log_id, "keyId", at) if log_id.get("keyId") else b""
        given_key = self._bytes(public, "rawBytes", at)
        try:
            key = publickeys.load(given_key).key
        except Malformed as error:
            raise _Unused(error.message.removeprefix("got ").partition("; expected ")[0]) from None
        der = publickeys.encoded(key)
        address = value.get("baseUrl") or ""
        name = _host(address) if isinstance(address, str) else ""
        ids = [given, sha256(der).digest()]
        if isinstance(key, ed25519.Ed25519PublicKey) and name:
            # C2SP signed-note; entries call the log by all of it, or by the four bytes that checkpoints hold
            note = sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()
            ids += [note, note[:_HINT_SIZE]]
        return Log(name, tuple(dict.fromkeys(filter(None, ids))), self._keep(der), window)

    def _window(self, value: Mapping[str, object], at: str) -> Window:
        window = self._object(value.get("validFor"), f"{at}.validFor")
        start, end = window.get("start"), window.get("end")
        if start is None:
            raise Malformed(f"{self._where}: got {at}.validFor without a start; expected a time")
        return Window(self._time(start, at), None if end is None else self._time(end, at))

    def _time(self, text: object, at: str) -> float:
        if isinstance(text, str) and _TIME.match(text):
            whole, fraction, zone = re.split(r"(\.\d+)?(?=Z|[+-]\d\d:\d\d\Z)", text, maxsplit=1)
            try:
                found = datetime.fromisoformat(whole + zone).timestamp() + float(fraction or 0)
                return min(max(found, _FIRST), _LAST)  # a zone or a fraction may lead to where no dates are
            except (ValueError, OverflowError):
                pass
        raise Malformed(f"{self._where}: got the time {ascii(text)[:40]} in {at}; expected RFC 3339")

    def _keep(self, der: bytes) -> str:
        name = sha256(der).hexdigest()
        self._material[name] = der
        return name

    def _bytes(self, value: Mapping[str, object], name: str, at: str) -> bytes:
        text = value.get(name)
        if not isinstance(text, str):
            raise Malformed(f"{self._where}: got {at} without {name}; expected base64")
        return base64_either(text, f"{self._where}: {at}.{name}")

    def _object(self, value: object, at: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise Malformed(f"{self._where}: got {type(value).__name__} for {at}; expected an object")
        return value


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
