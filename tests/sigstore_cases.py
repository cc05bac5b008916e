"""Evidence of keyless signatures, right and wrong, each by what is right or wrong with it, and whether it counts.

A case says what Nodeseal must answer, and what cosign answers where that is known to differ; tests/real asks it.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.trust.keyless import Demands
from tests import signing_sigstore as sigstore
from tests import sigstore_notes as notes
from tests.signing import ca_profile, key, name
from tests.signing_sigstore import Instance, Leaf, Sct, Signed, b64, bundle, rfc3339
from tests.simulators.der import integer, sequence, text
from tests.trust import tokens
from tests.trust.tokens import Token

DIGEST = "sha256:" + "5" * 64
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EVIL = "https://evil.example/" + sigstore.SUBJECT
NO_LOG = Demands(logs=0)
DIFFERENCES: Mapping[str, str] = MappingProxyType({
    "present": "the present is no time of signing unless the configuration says so",
    "future": "a time in the future is refused",
    "witness": "a witness's signature on a checkpoint is passed over",
    "unwanted": "a log entry is verified even where none is asked for",
    "proof": "a proof's index and size are those of the entry and of the checkpoint",
    "kind": "a log entry is of the type that was logged",
    "extension": "an issuer in either extension counts",
    "spelling": "a log's id is in lower case",
    "issuers": "two issuers in one certificate must be equal",
    "subject": "a certificate has one subject",
    "purpose": "a certificate is for signing code",
    "many": "at most 16 SCTs are in one certificate",
    "ended": "a log counts until its end, whatever its version",
})  # fmt: skip
"""Where the two differ on purpose: by name, the words of docs/keyless.md under "Deviations on purpose"."""

_NONE: Mapping[str, dict[str, str]] = MappingProxyType({})


class Made(NamedTuple):
    """A bundle, when parts of the instance counted if not always, and how much is asked for."""

    bundle: dict[str, Any]
    windows: Mapping[str, dict[str, str]] = _NONE
    demands: Demands = Demands()


class Case(NamedTuple):
    """One piece of evidence; `difference` is a key of `DIFFERENCES` where cosign answers otherwise."""

    make: Callable[[Instance], Made]
    counts: bool
    difference: str = ""


def signed(leaf: Leaf, digest: hashes.HashAlgorithm | None = None) -> Signed:
    """The statement that the image is signed, signed."""
    return sigstore.signed_envelope(leaf, sigstore.statement(DIGEST), digest)


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """`value` with another member at `path`, below others; None takes it out."""
    *outer, last = path.split(".")
    at = value
    for part in outer:
        at = at[part]
    if new is None:
        del at[last]
    else:
        at[last] = new
    return value


def flipped(encoded: str) -> str:
    """Base64 of the same bytes but for one bit."""
    data = bytearray(base64.b64decode(encoded))
    data[-1] ^= 1
    return b64(bytes(data))


def _first(i: Instance, leaf: Leaf | None = None, at: datetime | None = None, **proof: Any) -> Made:
    made = signed(leaf or i.leaf())
    return Made(bundle(made, [i.first_entry(made.first_body(), at, **proof)]))


def _first_but(path: str, change: Any) -> Callable[[Instance], Made]:
    """The usual evidence of the first Rekor, with its entry changed."""

    def make(i: Instance) -> Made:
        made = signed(i.leaf())
        entry = i.first_entry(made.first_body())
        new = change(_at(entry, path)) if callable(change) else change
        return Made(bundle(made, [changed(entry, path, new)]))

    return make


def _second(i: Instance, leaf: Leaf | None = None, at: datetime | None = None, **proof: Any) -> Made:
    made = signed(leaf or i.leaf())
    token = i.timestamp(made.signature, Token(time=at or sigstore.now()))
    return Made(bundle(made, [i.second_entry(made.second_body(), **proof)], [token]))


def _second_but(path: str, change: Any) -> Callable[[Instance], Made]:
    """The usual evidence of the second Rekor, with its entry changed."""

    def make(i: Instance) -> Made:
        made = _second(i)
        entry = made.bundle["verificationMaterial"]["tlogEntries"][0]
        changed(entry, path, change(_at(entry, path)) if callable(change) else change)
        return made

    return make


def _at(value: dict[str, Any], path: str) -> Any:
    for part in path.split("."):
        value = value[part]
    return value


def _other_body(first: bool, make: Callable[[Instance, Signed], bytes]) -> Callable[[Instance], Made]:
    """A genuine entry of the log about something else."""

    def case(i: Instance) -> Made:
        made = signed(i.leaf())
        body = make(i, made)
        entry = i.first_entry(body) if first else i.second_entry(body)
        return Made(bundle(made, [entry], () if first else [i.timestamp(made.signature)]))

    return case


def _with_leaf(**options: Any) -> Callable[[Instance], Made]:
    return lambda i: _first(i, i.leaf(**options))


def _ago(start: timedelta, signed_after: timedelta, make: Callable[..., Made]) -> Callable[[Instance], Made]:
    """A certificate of ten minutes from the past, and a signature so long after it began."""

    def case(i: Instance) -> Made:
        at = sigstore.now() - start
        return make(i, i.leaf(at=at), at + signed_after)

    return case


def _ended(which: str, make: Callable[[Instance], Made]) -> Callable[[Instance], Made]:
    """A part of the instance counted until yesterday."""

    def case(i: Instance) -> Made:
        window = {"start": rfc3339(i.start), "end": rfc3339(sigstore.now() - DAY)}
        return make(i)._replace(windows={which: window})

    return case


def _stamped(*make: Callable[[Instance, Signed], bytes]) -> Callable[[Instance], Made]:
    """The usual evidence of the second Rekor, with other timestamps."""

    def case(i: Instance) -> Made:
        made = signed(i.leaf())
        return Made(bundle(made, [i.second_entry(made.second_body())], [each(i, made) for each in make]))

    return case


def _kind(kind: str, digest: hashes.HashAlgorithm | None = None) -> Callable[[Instance], Made]:
    def case(i: Instance) -> Made:
        made = signed(i.leaf(kind=kind), digest)
        return Made(bundle(made, [i.first_entry(made.first_body())]))

    return case


def _stamp(i: Instance, made: Signed) -> bytes:
    return i.timestamp(made.signature)


def _both(i: Instance, *, token_at: timedelta, promised_at: timedelta = MINUTE) -> Made:
    at = sigstore.now() - DAY
    made = signed(i.leaf(at=at))
    entry = i.first_entry(made.first_body(), at + promised_at)
    return Made(bundle(made, [entry], [i.timestamp(made.signature, Token(time=at + token_at))]))


def _another_tree(first: bool) -> Callable[[Instance], Made]:
    """A tree that was made up, and a checkpoint that the log did sign, of another one."""

    def case(i: Instance) -> Made:
        made = _first(i) if first else _second(i)
        entry = made.bundle["verificationMaterial"]["tlogEntries"][0]
        genuine = (
            i.first_entry(b'{"kind": "", "apiVersion": ""}')
            if first
            else i.second_entry(b'{"kind": "", "apiVersion": ""}')
        )
        entry["inclusionProof"]["checkpoint"] = genuine["inclusionProof"]["checkpoint"]
        return made

    return case


def _duplicate(i: Instance) -> Made:
    made = signed(i.leaf())
    entry = i.first_entry(made.first_body())
    return Made(bundle(made, [entry, entry]))


def _without(log: bool, token: bool, demands: Demands) -> Callable[[Instance], Made]:
    def case(i: Instance) -> Made:
        made = signed(i.leaf())
        entries = [i.second_entry(made.second_body())] if log else []
        return Made(bundle(made, entries, [_stamp(i, made)] if token else []), demands=demands)

    return case


def _forged(i: Instance) -> Made:
    made = signed(i.leaf())
    entry = changed(i.second_entry(made.second_body()), "inclusionProof.rootHash", b64(b"x" * 32))
    return Made(bundle(made, [entry], [_stamp(i, made)]), demands=NO_LOG)


def _promise_by_another(i: Instance) -> Made:
    made = signed(i.leaf())
    body, at = made.first_body(), sigstore.now()
    entry = i.first_entry(body, at)
    promise = i.promise(body, int(at.timestamp()), private=key("P-256", 9001))
    return Made(bundle(made, [changed(entry, "inclusionPromise.signedEntryTimestamp", b64(promise))]))


def _promised_at(seconds: int) -> Callable[[Instance], Made]:
    """An entry that the log did promise, at what may be no time."""

    def case(i: Instance) -> Made:
        made = signed(i.leaf())
        body = made.first_body()
        entry = changed(i.first_entry(body), "integratedTime", str(seconds))
        promise = b64(i.promise(body, seconds))
        return Made(bundle(made, [changed(entry, "inclusionPromise.signedEntryTimestamp", promise)]))

    return case


def _in_a_later_shard(i: Instance) -> Made:
    """The first Rekor counts over all of its trees, and each tree by itself."""
    made = signed(i.leaf())
    body, at = made.first_body(), sigstore.now()
    entry = changed(i.first_entry(body, at), "logIndex", "4711")
    promise = b64(i.promise(body, int(at.timestamp()), 4711))
    return Made(bundle(made, [changed(entry, "inclusionPromise.signedEntryTimestamp", promise)]))


def _promised_by_second(i: Instance) -> Made:
    """The second Rekor knows no time, whatever stands beside its entry."""
    made = signed(i.leaf())
    body, time = made.second_body(), int(sigstore.now().timestamp())
    promised = {"body": b64(body), "integratedTime": time, "logID": i.second_log_id.hex(), "logIndex": 1}
    promise = {"signedEntryTimestamp": b64(sigstore.sign(i.rekor2, sigstore.canonical(promised)))}
    return Made(bundle(made, [{**i.second_entry(body), "integratedTime": str(time), "inclusionPromise": promise}]))


def _tsa_end(i: Instance) -> Made:
    at = sigstore.now()
    made = signed(i.leaf())
    window = {"start": rfc3339(i.start), "end": rfc3339(at)}
    token = i.timestamp(made.signature, Token(time=at))
    return Made(bundle(made, [i.second_entry(made.second_body())], [token]), {"tsa": window})


def _message_in_first(i: Instance, made: Signed) -> bytes:
    return sigstore.hashedrekord(made.message, made.signature, made.leaf.pem)


def _lying_kind(i: Instance) -> Made:
    made = signed(i.leaf())
    entry = changed(i.second_entry(made.second_body()), "kindVersion.kind", "dsse")
    return Made(bundle(made, [entry], [_stamp(i, made)]))


def _other_authority(i: Instance) -> Made:
    return _first(i, Instance(5).leaf())


def _other_timestamps(i: Instance, made: Signed) -> bytes:
    return Instance(5).timestamp(made.signature)


def _other_key(i: Instance, made: Signed) -> bytes:
    """A token that names the authority's certificate, and that another key signed."""
    token = tokens.token(made.signature, i.tsa._replace(key_number=9003), Token(time=sigstore.now()))
    return sequence(sequence(integer(0)), token)


def _twice_stamped(i: Instance) -> Made:
    made = signed(i.leaf())
    stamp = _stamp(i, made)
    return Made(bundle(made, [i.second_entry(made.second_body())], [stamp, stamp]))


_USER = x509.OtherName(ObjectIdentifier(sigstore.ARC + "7"), text(sigstore.SUBJECT))
_NO_USER = x509.OtherName(ObjectIdentifier(sigstore.ARC + "8"), text(sigstore.SUBJECT))
_TWO = [x509.RFC822Name("a@example.test"), x509.UniformResourceIdentifier(sigstore.SUBJECT)]
_SELF = (ca_profile("Sigstore intermediate", kind="P-384", key_number=9002), name("Sigstore intermediate"))
_OWN = (ca_profile("itself", key_number=7000), x509.Name([]))
_CHECKPOINT = "inclusionProof.checkpoint.envelope"
_P384 = hashes.SHA384()

CASES: Mapping[str, Case] = {
    # Whole evidence
    "first Rekor, dsse": Case(_first, True),
    "first Rekor, in a later shard": Case(_in_a_later_shard, True),
    "first Rekor, intoto": Case(
        _other_body(True, lambda i, m: sigstore.intoto_body(m.payload, m.signature, m.leaf.pem)), True
    ),
    "second Rekor, with a timestamp": Case(_second, True),
    "no log, timestamp, none asked for": Case(_without(False, True, NO_LOG), True),
    "no log, no time, valid now, now counts": Case(_without(False, False, Demands(logs=0, now_counts=True)), True),
    "P-384 with SHA-384": Case(_kind("P-384", _P384), True),
    "P-384 with SHA-256": Case(_kind("P-384"), True),
    "P-521 with SHA-512": Case(_kind("P-521", hashes.SHA512()), True),
    "RSA-2048": Case(_kind("RSA-2048"), True),
    "Ed25519": Case(_kind("Ed25519"), True),
    # Times
    "second Rekor, no timestamp": Case(_without(True, False, Demands()), False),
    "second Rekor, promised": Case(_promised_by_second, False),
    "no log, no time, valid now": Case(_without(False, False, NO_LOG), False, "present"),
    "proof with a time that nobody promised": Case(lambda i: _first(i, promised=False), False),
    "old certificate, promise inside": Case(_ago(3 * DAY, MINUTE, _first), True),
    "old certificate, timestamp inside": Case(_ago(3 * DAY, MINUTE, _second), True),
    "timestamp at the very end": Case(_ago(DAY, 10 * MINUTE, _second), True),
    "promise at the very end": Case(_ago(DAY, 10 * MINUTE, _first), True),
    "timestamp at the authority's very end": Case(_tsa_end, True),
    "old certificate, promise after it": Case(_ago(3 * DAY, 11 * MINUTE, _first), False),
    "old certificate, timestamp after it": Case(_ago(3 * DAY, 11 * MINUTE, _second), False),
    "promise before the certificate": Case(_ago(DAY, -MINUTE, _first), False),
    "timestamp before the certificate": Case(_ago(DAY, -MINUTE, _second), False),
    "promise fits, timestamp does not": Case(lambda i: _both(i, token_at=timedelta(hours=1)), False),
    "timestamp fits, promise does not": Case(
        lambda i: _both(i, token_at=MINUTE, promised_at=timedelta(hours=1)), False
    ),
    "promise and timestamp fit": Case(lambda i: _both(i, token_at=2 * MINUTE), True),
    "promise in the future": Case(_ago(-2 * DAY, MINUTE, _first), False, "future"),
    # The log's word
    "integrated time changed": Case(_first_but("integratedTime", lambda t: str(int(t) + 1)), False),
    "promised at no time": Case(_promised_at(0), False),
    "promised before all times": Case(_promised_at(-1), False),
    "promised after the last day": Case(_promised_at(253402300800), False),
    "promised when no calendar reaches": Case(_promised_at(2**63 - 1), False),
    "promise flipped": Case(_first_but("inclusionPromise.signedEntryTimestamp", flipped), False),
    "promise by another key": Case(_promise_by_another, False),
    "checkpoint by another key": Case(lambda i: _first(i, private=key("P-256", 9001)), False),
    "second checkpoint by another key": Case(lambda i: _second(i, private=key("P-256", 9001)), False),
    "checkpoint of another tree": Case(_another_tree(True), False),
    "second checkpoint of another tree": Case(_another_tree(False), False),
    "checkpoint of a tree of another size": Case(lambda i: _first(i, size=3), False, "proof"),
    "second checkpoint of a tree of another size": Case(lambda i: _second(i, size=3), False),
    "checkpoint with a line that nobody signed": Case(_first_but(_CHECKPOINT, notes.longer), False),
    "second checkpoint with a line that nobody signed": Case(_second_but(_CHECKPOINT, notes.longer), False),
    "checkpoint renamed": Case(_first_but(_CHECKPOINT, notes.renamed), False),
    "second checkpoint renamed": Case(_second_but(_CHECKPOINT, notes.renamed), False),
    "checkpoint with another key's hint": Case(_first_but(_CHECKPOINT, notes.other_hint), False),
    "second checkpoint with another key's hint": Case(_second_but(_CHECKPOINT, notes.other_hint), False),
    "second checkpoint signed under another name": Case(_second_but(_CHECKPOINT, notes.other_name), False),
    "checkpoint missing": Case(_first_but("inclusionProof.checkpoint", None), False),
    "proof missing": Case(_first_but("inclusionProof", None), False),
    "root flipped": Case(_first_but("inclusionProof.rootHash", flipped), False),
    "first: hash flipped": Case(_first_but("inclusionProof.hashes", lambda h: [flipped(h[0])]), False),
    "hash flipped": Case(_second_but("inclusionProof.hashes", lambda h: [flipped(h[0])]), False),
    "size changed": Case(_second_but("inclusionProof.treeSize", "3"), False, "proof"),
    "index changed": Case(_second_but("inclusionProof.logIndex", "0"), False, "proof"),
    "first: size changed": Case(_first_but("inclusionProof.treeSize", "3"), False),
    "first: index changed": Case(_first_but("inclusionProof.logIndex", "1"), False),
    "first: index outside": Case(_first_but("inclusionProof.logIndex", "2"), False),
    "index of the entry alone changed": Case(_second_but("logIndex", "0"), False),
    "index outside": Case(_second_but("inclusionProof.logIndex", "2"), False, "proof"),
    "proof too short": Case(_second_but("inclusionProof.hashes", lambda h: h[1:]), False),
    "proof too long": Case(_second_but("inclusionProof.hashes", lambda h: h * 2), False),
    "first Rekor with a witness": Case(lambda i: _first(i, witness=notes.WITNESS), True, "witness"),
    "second Rekor with a witness": Case(lambda i: _second(i, witness=notes.WITNESS), True),
    "second Rekor with more lines": Case(lambda i: _second(i, extra="more\n"), True),
    "unknown log": Case(_first_but("logId.keyId", b64(b"x" * 32)), False),
    "no entries": Case(_without(False, True, Demands()), False),
    "entry twice": Case(_duplicate, False),
    "negative index": Case(_second_but("logIndex", "-1"), False),
    "index left out": Case(_first_but("logIndex", None), True),
    "forged entry, none asked for": Case(_forged, False, "unwanted"),
    # What was logged
    "another signature": Case(
        _other_body(True, lambda i, m: sigstore.dsse_body(m.payload, b"another", m.leaf.pem)), False
    ),
    "another certificate": Case(
        _other_body(True, lambda i, m: sigstore.dsse_body(m.payload, m.signature, i.leaf().pem)), False
    ),
    "a key instead of the certificate": Case(
        _other_body(True, lambda i, m: sigstore.dsse_body(m.payload, m.signature, sigstore.pem_of(m.leaf.private))),
        False,
    ),
    "another payload": Case(
        _other_body(True, lambda i, m: sigstore.dsse_body(b"another", m.signature, m.leaf.pem)), False
    ),
    "message instead of envelope": Case(_other_body(True, _message_in_first), False),
    "second: another signature": Case(
        _other_body(
            False, lambda i, m: sigstore.second_body(m.message, b"another", sigstore.certificate_verifier(m.leaf))
        ),
        False,
    ),
    "second: another certificate": Case(
        _other_body(
            False, lambda i, m: sigstore.second_body(m.message, m.signature, sigstore.certificate_verifier(i.leaf()))
        ),
        False,
    ),
    "second: another message": Case(
        _other_body(
            False, lambda i, m: sigstore.second_body(m.payload, m.signature, sigstore.certificate_verifier(m.leaf))
        ),
        False,
    ),
    "second: dsse 0.0.2": Case(
        _other_body(
            False,
            lambda i, m: sigstore.second_body(
                m.payload, m.signature, sigstore.certificate_verifier(m.leaf), kind="dsse"
            ),
        ),
        False,
    ),
    "kind is not what was logged": Case(_lying_kind, False, "kind"),
    # Timestamps
    "timestamp of other bytes": Case(_stamped(lambda i, m: i.timestamp(b"other bytes")), False),
    "timestamp by another authority": Case(_stamped(_other_timestamps), False),
    "timestamp in the authority's name by another key": Case(_stamped(_other_key), False),
    "timestamp flipped": Case(_stamped(lambda i, m: i.timestamp(m.signature, Token(flip=True))), False),
    "timestamp without certificates": Case(_stamped(lambda i, m: i.timestamp(m.signature, embedded=False)), True),
    "a wrong and a right timestamp": Case(_stamped(_other_timestamps, _stamp), True),
    "the same timestamp twice": Case(_twice_stamped, True),
    "timestamp that is none": Case(_stamped(lambda i, m: b"none"), False),
    # The certificate
    "another subject": Case(_with_leaf(names=[x509.UniformResourceIdentifier(EVIL)]), False),
    "another issuer": Case(_with_leaf(issuer="https://evil.example"), False),
    "no issuer": Case(_with_leaf(omitted=("1", "8")), False),
    "issuers that differ": Case(_with_leaf(raw_issuer="https://evil.example"), False, "issuers"),
    "issuer in the old extension alone": Case(_with_leaf(omitted=("8",)), True),
    "issuer in the new extension alone": Case(_with_leaf(omitted=("1",)), True),
    "issuer with bytes behind it": Case(_with_leaf(encoded_issuer=text(sigstore.ISSUER) + b"x", omitted=("1",)), False),
    "subject of another kind": Case(_with_leaf(names=[x509.DNSName("github.com")]), False),
    "no subject": Case(_with_leaf(names=()), False),
    "two subjects, the second as wanted": Case(_with_leaf(names=_TWO), False, "subject"),
    "subject as a user name": Case(_with_leaf(names=[_USER]), True),
    "subject of another kind than a user name": Case(_with_leaf(names=[_NO_USER]), False),
    "no SCT": Case(_with_leaf(scts=()), False),
    "SCT of an unknown log": Case(_with_leaf(scts=[Sct(private=key("P-256", 9001))]), False),
    "SCT with a log's id by another key": Case(
        lambda i: _first(i, i.leaf(scts=[Sct(key("P-256", 9001), sigstore.sha256(sigstore.spki(i.ct)))])), False
    ),
    "SCT of the log under another id": Case(
        lambda i: _first(i, i.leaf(scts=[Sct(i.ct, sigstore.sha256(b"another log"))])), False
    ),
    "SCT flipped": Case(_with_leaf(scts=[Sct(flip=True)]), False),
    "SCT that can't be read": Case(_with_leaf(scts=[Sct(log_id=b"short")]), False),
    "as many SCTs as may be": Case(_with_leaf(scts=[Sct()] * 16), True),
    "too many SCTs": Case(_with_leaf(scts=[Sct()] * 17), False, "many"),
    "SCT with extensions": Case(_with_leaf(scts=[Sct(extensions=b"more")]), True),
    "not for signing code": Case(_with_leaf(purposes=[ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
    "for nothing": Case(_with_leaf(purposes=()), False, "purpose"),
    "another certificate authority": Case(_other_authority, False),
    "signed by itself": Case(lambda i: _first(i, i.leaf(issued_by=_OWN)), False),
    "another authority of the same name": Case(_with_leaf(issued_by=_SELF), False),
    # Times of the instance
    "certificate log ended": Case(_ended("ct", _first), False),
    "certificate authority ended": Case(_ended("ca", _first), False),
    "first Rekor ended": Case(_ended("rekor1", _first), False),
    "second Rekor ended": Case(_ended("rekor2", _second), False, "ended"),
    "timestamp authority ended": Case(_ended("tsa", _second), False),
    "first Rekor ended, signed before": Case(_ended("rekor1", _ago(3 * DAY, MINUTE, _first)), True),
    "second Rekor ended, signed before": Case(_ended("rekor2", _ago(3 * DAY, MINUTE, _second)), True),
}
