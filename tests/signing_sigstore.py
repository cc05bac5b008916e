"""The tests' own Sigstore: certificate authority, certificate log, both kinds of Rekor and a timestamp authority.

Everything is made here, with whatever time it is to bear: right evidence, which cosign takes as well (tests/real), and
wrong evidence, which no service would hand out.  Parts are overridable one by one.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from agent.codec import dsse
from tests.signing import Key, Profile, Signer, ca_profile, certificate, key
from tests.simulators.der import integer, sequence, text, tlv
from tests.trust import tokens

SUBJECT = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
SIGNATURE_TYPE = "https://sigstore.dev/cosign/sign/v1"
V03 = "application/vnd.dev.sigstore.bundle.v0.3+json"
ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
ARC = "1.3.6.1.4.1.57264.1."

_LONG = timedelta(days=3650)
_AGO = timedelta(days=-30)
_SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def now() -> datetime:
    """The present second."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def b64(data: bytes) -> str:
    """Padded standard base64."""
    return base64.b64encode(data).decode()


def spki(private: Key) -> bytes:
    """The public half, as DER."""
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem_of(private: Key) -> bytes:
    """The public half, as PEM."""
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(private: Key, data: bytes, digest: hashes.HashAlgorithm | None = None) -> bytes:
    """A signature as Sigstore's clients and services make it."""
    digest = digest or hashes.SHA256()
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, padding.PKCS1v15(), digest)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(data, ec.ECDSA(digest))
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    return private.sign(data)


def sha256(data: bytes) -> bytes:
    """A digest."""
    return hashlib.sha256(data).digest()


def canonical(value: object) -> bytes:
    """JSON as Rekor keeps it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def rfc3339(moment: datetime) -> str:
    """A time as trusted roots have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Leaf(NamedTuple):
    """A signing certificate and its key."""

    private: Key
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate, as Rekor's first version keeps it."""
        return self.certificate.public_bytes(Encoding.PEM)


class Sct(NamedTuple):
    """What can be said of a certificate's timestamp in a log."""

    private: Key | None = None
    log_id: bytes | None = None
    at: datetime | None = None
    extensions: bytes = b""
    flip: bool = False


class Instance:
    """One Sigstore.  `number` makes different keys; `second_log` is the kind of the second Rekor's key."""

    def __init__(self, number: int = 0, *, second_log: str = "P-256", host: str = "rekor2.example.test") -> None:
        """Everything counts since thirty days, for years."""
        keys = 1000 + 10 * number
        root_key, issuer_key = (key("P-384", keys + each).public_key() for each in (0, 1))
        self.root_profile = ca_profile(
            "Sigstore", kind="P-384", starts=_AGO, ends=_LONG, key_number=keys, extensions=_key_identifiers(root_key)
        )
        self.issuer_profile = ca_profile(
            "Sigstore intermediate", kind="P-384", path_length=0, starts=_AGO, ends=_LONG, key_number=keys + 1,
            purposes=(ExtendedKeyUsageOID.CODE_SIGNING,), extensions=_key_identifiers(issuer_key, root_key),
        )  # fmt: skip
        self.root = certificate(self.root_profile, self.root_profile)
        self.issuer = certificate(self.issuer_profile, self.root_profile)
        self.ct = key("P-256", keys + 2)
        self.rekor1 = key("P-256", keys + 3)
        self.rekor2 = key(second_log, keys + 4)
        self.host = host
        authority = tokens.TSA._replace(starts=_AGO, ends=_LONG, key_number=keys + 5)
        anchor = tokens.TSA_ROOT._replace(starts=_AGO, ends=_LONG, key_number=keys + 6)
        chain = (certificate(authority, anchor), certificate(anchor, anchor))
        self.tsa = Signer(chain, authority.kind, authority.key_number)
        self.start = now() + _AGO

    def leaf(
        self,
        *,
        kind: str = "P-256",
        public: ec.EllipticCurvePublicKey | None = None,
        at: datetime | None = None,
        life: timedelta = timedelta(minutes=10),
        names: Sequence[x509.GeneralName] | None = None,
        issuer: str = ISSUER,
        raw_issuer: str | None = None,
        encoded_issuer: bytes | None = None,
        omitted: Sequence[str] = (),
        claims: dict[str, str] | None = None,
        purposes: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.CODE_SIGNING,),
        scts: Sequence[Sct] = (Sct(),),
        issued_by: tuple[Profile, x509.Name] | None = None,
    ) -> Leaf:
        """A certificate as Fulcio issues it.

        `omitted` are last arcs of OIDs, `claims` are DER UTF8Strings by them; `public` is somebody else's key.
        """
        at = at or now() - timedelta(minutes=1)
        extensions: dict[str, bytes] = {
            "1": (raw_issuer or issuer).encode(),
            "8": encoded_issuer if encoded_issuer is not None else text(issuer),
        } | {arc: text(value) for arc, value in (claims or {}).items()}
        private = key(kind, 7000)
        issuing, issuing_name = issued_by or (self.issuer_profile, self.issuer_profile.subject)
        signing = key(issuing.kind, issuing.key_number)
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuing_name)
            .public_key(public or private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + life)
            .add_extension(_usage(), critical=True)
        )
        for identifier in _key_identifiers(public or private.public_key(), signing.public_key()):
            builder = builder.add_extension(identifier, critical=False)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        given = [x509.UniformResourceIdentifier(SUBJECT)] if names is None else names
        if given:
            builder = builder.add_extension(x509.SubjectAlternativeName(given), critical=True)
        for arc, value in extensions.items():
            if arc not in omitted:
                extension = x509.UnrecognizedExtension(ObjectIdentifier(ARC + arc), value)
                builder = builder.add_extension(extension, critical=False)
        made = builder.sign(signing, hashes.SHA384())
        if scts:
            listed = b"".join(self._sct(each, made, at, spki(signing)) for each in scts)
            value = tlv(0x04, len(listed).to_bytes(2, "big") + listed)
            made = builder.add_extension(x509.UnrecognizedExtension(_SCTS, value), critical=False).sign(
                signing, hashes.SHA384()
            )
        return Leaf(private, made)

    def _sct(self, sct: Sct, certificate_: x509.Certificate, issued: datetime, issuer_key: bytes) -> bytes:
        private = sct.private or self.ct
        time = int((sct.at or issued).timestamp() * 1000).to_bytes(8, "big")
        tbs = certificate_.tbs_certificate_bytes
        extensions = len(sct.extensions).to_bytes(2, "big") + sct.extensions
        signed = b"\0\0" + time + b"\0\1" + sha256(issuer_key) + len(tbs).to_bytes(3, "big") + tbs + extensions
        signature = sign(private, signed)
        if sct.flip:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        algorithm = b"\4\1" if isinstance(private, rsa.RSAPrivateKey) else b"\4\3"
        log_id = sct.log_id or sha256(spki(private))
        one = b"\0" + log_id + time + extensions + algorithm + len(signature).to_bytes(2, "big") + signature
        return len(one).to_bytes(2, "big") + one

    def timestamp(self, signed: bytes, made: tokens.Token | None = None, *, embedded: bool = True) -> bytes:
        """An authority's response over `signed`."""
        made = made or tokens.Token(time=now())
        made = made if embedded else made._replace(certificates=())
        return sequence(sequence(integer(0)), tokens.token(signed, self.tsa, made))

    @property
    def second_log_id(self) -> bytes:
        """What entries call the second Rekor."""
        if isinstance(self.rekor2, ed25519.Ed25519PrivateKey):
            raw = self.rekor2.public_key().public_bytes_raw()
            return sha256(self.host.encode() + b"\n\x01" + raw)[:4]
        return sha256(spki(self.rekor2))

    def proof(
        self,
        body: bytes,
        private: Key,
        signer: str,
        hint: bytes,
        at: int,
        *,
        origin: str = "",
        extra: str = "",
        witness: str = "",
        size: int = 2,
    ) -> dict[str, Any]:
        """A proof of inclusion in a tree of two entries, of which this is the one `at` 0 or 1, with its checkpoint.

        `size` is what the checkpoint says of the tree.
        """
        other, ours = sha256(b"\0another entry"), sha256(b"\0" + body)
        root = sha256(b"\1" + (other + ours if at else ours + other))
        origin = origin or signer
        note = f"{origin}\n{size}\n{b64(root)}\n{extra}"
        signature = b64(hint + sign(private, note.encode()))
        return {
            "logIndex": str(at),
            "treeSize": "2",
            "rootHash": b64(root),
            "hashes": [b64(other)],
            "checkpoint": {"envelope": f"{note}\n\u2014 {signer} {signature}\n{witness}"},
        }

    def promise(self, body: bytes, time: int, log_index: int = 0, private: Key | None = None) -> bytes:
        """A signed entry timestamp of the first Rekor."""
        log_id = sha256(spki(self.rekor1)).hex()
        value = {"body": b64(body), "integratedTime": time, "logID": log_id, "logIndex": log_index}
        return sign(private or self.rekor1, canonical(value))

    def first_entry(
        self, body: bytes, at: datetime | None = None, *, promised: bool = True, **proof: Any
    ) -> dict[str, Any]:
        """An entry of the first Rekor."""
        time = int((at or now()).timestamp())
        kind = json.loads(body)
        log_id = sha256(spki(self.rekor1))
        private = proof.pop("private", self.rekor1)
        origin = "rekor.example.test - 1193050959916656506"
        entry: dict[str, Any] = {
            "logIndex": "0",
            "logId": {"keyId": b64(log_id)},
            "kindVersion": {"kind": kind["kind"], "version": kind["apiVersion"]},
            "integratedTime": str(time),
            "inclusionProof": self.proof(body, private, "rekor.example.test", log_id[:4], 0, origin=origin, **proof),
            "canonicalizedBody": b64(body),
        }
        if promised:
            entry["inclusionPromise"] = {"signedEntryTimestamp": b64(self.promise(body, time))}
        return entry

    def second_entry(self, body: bytes, **proof: Any) -> dict[str, Any]:
        """An entry of the second Rekor, which knows no time."""
        kind = json.loads(body)
        private = proof.pop("private", self.rekor2)
        return {
            "logIndex": "1",
            "logId": {"keyId": b64(self.second_log_id)},
            "kindVersion": {"kind": kind["kind"], "version": kind["apiVersion"]},
            "inclusionProof": self.proof(body, private, self.host, self.second_log_id[:4], 1, **proof),
            "canonicalizedBody": b64(body),
        }

    def trusted_root(self, **windows: dict[str, str]) -> dict[str, Any]:
        """The instance as a file; `windows` are `validFor` of `ca`, `ct`, `rekor1`, `rekor2`, `tsa`."""
        usual = {"start": rfc3339(self.start)}

        def log(address: str, private: Key, log_id: bytes, which: str) -> dict[str, Any]:
            details = "PKIX_ED25519" if isinstance(private, ed25519.Ed25519PrivateKey) else "PKIX_ECDSA_P256_SHA_256"
            public = {"rawBytes": b64(spki(private)), "keyDetails": details, "validFor": windows.get(which, usual)}
            return {
                "baseUrl": f"https://{address}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": b64(log_id)},
            }

        def authority(address: str, chain: Sequence[x509.Certificate], which: str) -> dict[str, Any]:
            ders = [{"rawBytes": b64(each.public_bytes(Encoding.DER))} for each in chain]
            subject = {"organization": "tests", "commonName": which}
            valid = windows.get(which, usual)
            return {
                "subject": subject,
                "uri": f"https://{address}",
                "certChain": {"certificates": ders},
                "validFor": valid,
            }

        return {
            "mediaType": ROOT_TYPE,
            "tlogs": [
                log("rekor.example.test", self.rekor1, sha256(spki(self.rekor1)), "rekor1"),
                log(self.host, self.rekor2, self.second_log_id, "rekor2"),
            ],
            "certificateAuthorities": [authority("fulcio.example.test", (self.issuer, self.root), "ca")],
            "ctlogs": [log("ct.example.test", self.ct, sha256(spki(self.ct)), "ct")],
            "timestampAuthorities": [authority("tsa.example.test", self.tsa.chain, "tsa")],
        }


@functools.cache
def instance(number: int = 0, second_log: str = "P-256") -> Instance:
    """An instance, made once in a process."""
    return Instance(number, second_log=second_log)


def statement(digest: str, predicate_type: str = SIGNATURE_TYPE, **changes: Any) -> bytes:
    """What cosign signs: that the image with this digest (`sha256:...`) is signed."""
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
        "predicateType": predicate_type,
        "predicate": {},
    }
    return json.dumps({member: each for member, each in (value | changes).items() if each is not None}).encode()


def hashedrekord(message: bytes, signature: bytes, verifier: bytes) -> bytes:
    """The first Rekor's body for a signature over a message; `verifier` is PEM."""
    spec = {
        "data": {"hash": {"algorithm": "sha256", "value": sha256(message).hex()}},
        "signature": {"content": b64(signature), "publicKey": {"content": b64(verifier)}},
    }
    return canonical({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec})


def dsse_body(payload: bytes, signature: bytes, verifier: bytes) -> bytes:
    """The first Rekor's body for an envelope."""
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": sha256(b"as it was written").hex()},
        "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hex()},
        "signatures": [{"signature": b64(signature), "verifier": b64(verifier)}],
    }
    return canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})


def intoto_body(payload: bytes, signature: bytes, verifier: bytes) -> bytes:
    """The first Rekor's older body for an envelope; the signature is in base64 twice."""
    signatures = [{"publicKey": b64(verifier), "sig": b64(b64(signature).encode())}]
    content = {
        "envelope": {"payloadType": "application/vnd.in-toto+json", "signatures": signatures},
        "hash": {"algorithm": "sha256", "value": sha256(b"as it was written").hex()},
        "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hex()},
    }
    return canonical({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": content}})


def second_body(
    message: bytes, signature: bytes, verifier: dict[str, Any], digest: str = "sha256", kind: str = "hashedrekord"
) -> bytes:
    """The second Rekor's body for a signature over a message; `verifier` is a certificate or a key."""
    names = {"sha256": "SHA2_256", "sha384": "SHA2_384", "sha512": "SHA2_512"}
    spec = {
        "data": {"algorithm": names[digest], "digest": b64(hashlib.new(digest, message).digest())},
        "signature": {"content": b64(signature), "verifier": {"keyDetails": "PKIX_ECDSA_P256_SHA_256"} | verifier},
    }
    member = "hashedRekordV002" if kind == "hashedrekord" else "dsseV002"
    return canonical({"apiVersion": "0.0.2", "kind": kind, "spec": {member: spec}})


def certificate_verifier(leaf: Leaf) -> dict[str, Any]:
    """Whose signature it is, as the second Rekor has it."""
    return {"x509Certificate": {"rawBytes": b64(leaf.der)}}


class Signed(NamedTuple):
    """An envelope that somebody signed."""

    payload: bytes
    signature: bytes
    message: bytes
    leaf: Leaf

    def first_body(self) -> bytes:
        """What the first Rekor keeps of it."""
        return dsse_body(self.payload, self.signature, self.leaf.pem)

    def second_body(self, digest: str = "sha256") -> bytes:
        """What the second Rekor keeps of it."""
        return second_body(self.message, self.signature, certificate_verifier(self.leaf), digest)


def signed_envelope(leaf: Leaf, payload: bytes, digest: hashes.HashAlgorithm | None = None) -> Signed:
    """Sign a statement in an envelope."""
    message = dsse.pae("application/vnd.in-toto+json", payload)
    return Signed(payload, sign(leaf.private, message, digest), message, leaf)


def bundle(
    signed: Signed, entries: Sequence[dict[str, Any]] = (), timestamps: Sequence[bytes] = (), **changes: Any
) -> dict[str, Any]:
    """A bundle as cosign writes it; `changes` replace its members, None takes one out."""
    material: dict[str, Any] = {"certificate": {"rawBytes": b64(signed.leaf.der)}}
    if entries:
        material["tlogEntries"] = list(entries)
    if timestamps:
        stamps = [{"signedTimestamp": b64(each)} for each in timestamps]
        material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    value = {
        "mediaType": V03,
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": b64(signed.payload),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": b64(signed.signature)}],
        },
    }
    return {member: each for member, each in (value | changes).items() if each is not None}


def _key_identifiers(public: Any, issuer: Any = None) -> tuple[x509.ExtensionType, ...]:
    """What a certificate calls its own key and, but for a root, its issuer's."""
    own = x509.SubjectKeyIdentifier.from_public_key(public)
    return (own,) if issuer is None else (own, x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer))


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
