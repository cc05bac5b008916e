"""Transparency logs: that a signature was logged, and since when.

Sigstore client specification, "Transparency Log Entry"; Rekor's API; RFC 6962, section 2.1 (proofs); RFC 8785 (what a
promise is made over).  `verify` does, for each entry of a log that is trusted:

1. find the log by its id; entries of logs that nobody trusts are left out and count for nothing
2. what was logged is this very signature: made by this key or certificate, over these bytes (CVE-2022-36056)
3. the log's promise (signed entry timestamp): only this makes the time of integration a known time
4. the proof that the entry is in the tree that the log's signed checkpoint names
5. the log's key counted at that time

Any of these that fails makes the signature invalid: a trusted log does not hand out what is wrong.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from agent.codec import rekorentry, signednote, strictjson
from agent.codec.rekorentry import Body
from agent.codec.sigstorebundle import LogEntry, Proof
from agent.errors import Code, Malformed
from agent.trust import publickeys
from agent.trust.trustedroot import Log

_SECOND_VERSION = ("hashedrekord", "0.0.2")
_LAST_SECOND = 253402300799  # of the year 9999


class NotLogged(Malformed):
    """What is said to be in a log is not, or is something else."""

    code = Code.NOT_LOGGED


class UnknownLog(NotLogged):
    """It may be in a log that nobody here knows."""


class Signed(NamedTuple):
    """What an entry must be about.

    `message` is what `signature` was made over; `payload` is an envelope's, None if there is no envelope.
    `certificate` or `key` (DER, SubjectPublicKeyInfo) is whose signature it is; the other is empty.
    """

    signature: bytes
    message: bytes
    payload: bytes | None
    certificate: bytes = b""
    key: bytes = b""


class Logged(NamedTuple):
    """What entries came to: the keys' names of the distinct `logs` that hold the signature, and times they answer for.

    Several entries of one log are one log: whoever wants two means two operators.
    """

    logs: frozenset[str]
    times: tuple[datetime, ...]


def verify(
    entries: Sequence[LogEntry],
    signed: Signed,
    logs: Sequence[Log],
    keys: Mapping[str, bytes],
    stamps: Sequence[datetime],
) -> Logged:
    """Check entries; see the module's docstring.  `keys` are DER by name, `stamps` are times known otherwise.

    Raises `NotLogged`, or whatever `Malformed` reading an entry raises.
    """
    seen = [(entry.log_id, entry.log_index) for entry in entries]
    if len(set(seen)) != len(seen):
        raise NotLogged("log entries: one stands twice; expected different ones")
    found: set[str] = set()
    times: list[datetime] = []
    for entry in entries:
        candidates = [log for log in logs if entry.log_id in log.ids]  # (1)
        if not candidates:
            continue
        body = rekorentry.parse(entry.body)
        _check_binding(entry, body, signed)  # (2)
        log, time = _first_that_holds(entry, body, candidates, keys, stamps)
        found.add(log.key)
        times += [time] if time is not None else []
    return Logged(frozenset(found), tuple(times))


def _first_that_holds(
    entry: LogEntry, body: Body, candidates: Sequence[Log], keys: Mapping[str, bytes], stamps: Sequence[datetime]
) -> tuple[Log, datetime | None]:
    """The log, and the time that it answers for, if any.  Several may have one id: the first that fits."""
    failure: Malformed | None = None
    for log in candidates:
        try:
            return log, _check_logged(entry, body, log, publickeys.load(keys[log.key]).key, stamps)
        except Malformed as error:
            failure = failure or error
    raise failure or NotLogged("log entry: of no known log")


def _check_binding(entry: LogEntry, body: Body, signed: Signed) -> None:
    """(2)"""
    if (entry.kind, entry.version) != (body.kind, body.version):
        got = ascii(f"{entry.kind} {entry.version}")[:60]
        raise NotLogged(f"log entry: kindVersion: got {got}; expected {body.kind} {body.version}, which was logged")
    covered = signed.message
    if body.of_payload:
        if signed.payload is None:
            raise NotLogged(f"log entry: got type {body.kind}; expected hashedrekord, as there is no envelope")
        covered = signed.payload
    elif signed.payload is not None and (body.kind, body.version) != _SECOND_VERSION:
        raise NotLogged(
            "log entry: got type hashedrekord 0.0.1; expected dsse 0.0.1 or hashedrekord 0.0.2 of an envelope"
        )
    if hashlib.new(body.algorithm, covered).digest() != body.digest:
        raise NotLogged("log entry: is about other content than what was signed")
    wanted = rekorentry.Recorded(signed.signature, signed.certificate, signed.key)
    if not any(each == wanted for each in body.signatures):
        raise NotLogged("log entry: is about another signature, or another signer")


def _check_logged(
    entry: LogEntry, body: Body, log: Log, key: publickeys.Key, stamps: Sequence[datetime]
) -> datetime | None:
    second = (body.kind, body.version) == _SECOND_VERSION
    time = None
    if entry.promise and not second:
        time = _promised(entry, key)  # (3)
    if entry.proof is not None:
        if second and entry.log_index != entry.proof.log_index:  # a log of one tree, in which an entry has one place
            raise NotLogged(
                f"log entry: logIndex: got {entry.log_index}; expected the proof's, {entry.proof.log_index}"
            )
        _check_included(entry.body, entry.proof)  # (4)
        _check_checkpoint(entry.proof, log, key, second=second)
    elif second or time is None:
        raise NotLogged("log entry: has neither a promise nor a proof that it is in the log")
    _check_window(log, stamps if time is None else (time,))  # (5)
    return time


def _promised(entry: LogEntry, key: publickeys.Key) -> datetime:
    """When the log says that it took the entry.  Raises `NotLogged`."""
    promise = {
        "body": b64encode(entry.body).decode("ascii"),
        "integratedTime": entry.integrated_time,
        "logID": entry.log_id.hex(),
        "logIndex": entry.log_index,
    }
    # Of integers and ASCII alone, so that our canonical form is RFC 8785's.
    if not publickeys.holds(key, entry.promise, strictjson.canonical(promise)):
        raise NotLogged("log entry: the signed entry timestamp does not hold under the log's key")
    if not 0 < entry.integrated_time <= _LAST_SECOND:
        raise NotLogged(f"log entry: integratedTime: got {entry.integrated_time}; expected seconds since 1970")
    return datetime.fromtimestamp(entry.integrated_time, timezone.utc)


def _check_included(body: bytes, proof: Proof) -> None:
    root = root_of(body, proof)
    if root != proof.root:
        raise NotLogged("log entry: the inclusion proof leads to another root hash than it names")


def root_of(body: bytes, proof: Proof) -> bytes:
    """The root hash that an entry and the hashes beside its way come to (RFC 9162, section 2.1.3.2).

    Raises `NotLogged` if there are fewer or more hashes than the way has.
    """
    at, last = proof.log_index, proof.size - 1
    if at > last:
        raise NotLogged(f"log entry: the proof's index is {at}, in a tree of {proof.size}")
    found = hashlib.sha256(b"\0" + body).digest()
    for beside in proof.hashes:
        if last == 0:
            raise NotLogged("log entry: the inclusion proof is too long for the tree's size")
        if at & 1 or at == last:
            found = hashlib.sha256(b"\1" + beside + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + beside).digest()
        at, last = at >> 1, last >> 1
    if last:
        raise NotLogged("log entry: the inclusion proof is too short for the tree's size")
    return found


def _check_checkpoint(proof: Proof, log: Log, key: publickeys.Key, *, second: bool) -> None:
    """The log has signed this root for this size.  Signatures of others (witnesses) are left alone."""
    checkpoint = signednote.parse(proof.checkpoint)
    if (checkpoint.root, checkpoint.size) != (proof.root, proof.size):
        raise NotLogged("log entry: the checkpoint is of another tree than the inclusion proof")
    if second and (not log.name or checkpoint.origin != log.name):
        got = ascii(checkpoint.origin)[:60]
        raise NotLogged(
            f"log entry: checkpoint: got origin {got}; expected {log.name or 'a log whose address is known'}"
        )
    hints = {each[: signednote.HINT_SIZE] for each in log.ids}
    ours = [each for each in checkpoint.signatures if each.hint in hints and (not second or each.name == log.name)]
    if not any(publickeys.holds(key, each.signature, checkpoint.signed) for each in ours):
        raise NotLogged("log entry: the checkpoint is not signed with the log's key")


def _check_window(log: Log, moments: Sequence[datetime]) -> None:
    """A log whose time has ended needs a known moment that lies before."""
    if not moments and log.window.end is not None:
        raise NotLogged("log entry: the log's key has an end, and no time says that the signature is older")
    for moment in moments:
        if not log.window.holds(moment):
            raise NotLogged(f"log entry: the log's key did not count at {moment:%Y-%m-%dT%H:%M:%SZ}")
