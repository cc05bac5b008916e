"""A Sigstore instance that is trusted: its certificate authorities, logs and timestamp authorities, each for a time.

Sigstore protobuf-specs, sigstore_trustroot.proto.  Read from `trusted_root.json` when a configuration is published
(`agent.trust.trustedroot_document`).  Several instances are never merged: a signature is verified wholly within one of
them.  Behind the pull path: bytes and times alone, no `cryptography`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast


class Window(NamedTuple):
    """When something counts: from `start` until `end`, both included, in seconds since 1970; None for no end."""

    start: float
    end: float | None

    def holds(self, moment: datetime) -> bool:
        """Whether `moment` lies in it."""
        at = moment.timestamp()
        return self.start <= at and not self.is_over(moment)

    def is_over(self, moment: datetime) -> bool:
        """Whether it ended before `moment`."""
        return self.end is not None and moment.timestamp() > self.end


class Log(NamedTuple):
    """A transparency log, for signatures or for certificates.

    `name` is the host of its address, which checkpoints of Rekor's second version begin with; `ids` are what entries
    call it; `key` is the name (SHA-256 of its DER, hexadecimal) of its public key.
    """

    name: str
    ids: tuple[bytes, ...]
    key: str
    window: Window


class Authority(NamedTuple):
    """A certificate or timestamp authority: the names of its certificates, the trusted one last, and when it counts."""

    certificates: tuple[str, ...]
    window: Window


class TrustedRoot(NamedTuple):
    """One instance.  `name` is for people; what keys and certificates are called leads to DER elsewhere."""

    name: str
    certificate_authorities: tuple[Authority, ...]
    transparency_logs: tuple[Log, ...]
    certificate_logs: tuple[Log, ...]
    timestamp_authorities: tuple[Authority, ...]

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds."""
        return {
            "name": self.name,
            "certificateAuthorities": [_authority_json(each) for each in self.certificate_authorities],
            "transparencyLogs": [_log_json(each) for each in self.transparency_logs],
            "certificateLogs": [_log_json(each) for each in self.certificate_logs],
            "timestampAuthorities": [_authority_json(each) for each in self.timestamp_authorities],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "TrustedRoot":
        """Read back what `to_json` wrote."""
        return cls(
            str(value["name"]),
            tuple(map(_authority, _list(value, "certificateAuthorities"))),
            tuple(map(_log, _list(value, "transparencyLogs"))),
            tuple(map(_log, _list(value, "certificateLogs"))),
            tuple(map(_authority, _list(value, "timestampAuthorities"))),
        )


def _authority_json(authority: Authority) -> dict[str, object]:
    return {"certificates": list(authority.certificates), "window": list(authority.window)}


def _log_json(log: Log) -> dict[str, object]:
    return {"name": log.name, "ids": [each.hex() for each in log.ids], "keys": [log.key], "window": list(log.window)}


def _authority(value: Mapping[str, object]) -> Authority:
    return Authority(tuple(cast("list[str]", value["certificates"])), _window(value))


def _log(value: Mapping[str, object]) -> Log:
    ids = tuple(bytes.fromhex(each) for each in cast("list[str]", value["ids"]))
    return Log(str(value["name"]), ids, cast("list[str]", value["keys"])[0], _window(value))


def _window(value: Mapping[str, object]) -> Window:
    return Window(*cast("tuple[float, float | None]", value["window"]))


def _list(value: Mapping[str, object], name: str) -> Sequence[Mapping[str, object]]:
    return cast("list[Mapping[str, object]]", value[name])
