"""The tests' own signer: certificate chains and Notary Project envelopes, right ones and wrong ones.

Acceptance is proved with the real `notation` (tests/real); what is made here, part by part overridable, proves
rejection, and makes the tests independent of root and Debian.
"""

import base64
import functools
import json
import pathlib
from datetime import datetime, timedelta, timezone
from typing import Any, Mapping, NamedTuple, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST
from tests.simulators.registry import RegistrySimulator

ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
ENVELOPE_TYPE = "application/jose+json"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
PREFIX = "io.cncf.notary."
EMPTY_DIGEST = str(Digest.of(b"{}"))

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey
_ALGORITHMS = {
    "RSA-2048": "PS256", "RSA-3072": "PS384", "RSA-4096": "PS512", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512",
}  # fmt: skip
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@functools.cache
def key(kind: str, number: int = 0) -> Key:
    """A private key of a kind ("RSA-2048", "P-256", "Ed25519", ...); the same for the same arguments in one process."""
    del number
    family, _, size = kind.partition("-")
    if family == "RSA":
        return rsa.generate_private_key(65537, int(size))
    if family == "P":
        curves: dict[str, ec.EllipticCurve] = {
            "192": ec.SECP192R1(), "224": ec.SECP224R1(), "256": ec.SECP256R1(), "384": ec.SECP384R1(),
            "521": ec.SECP521R1(), "256k": ec.SECP256K1(), "256b": ec.BrainpoolP256R1(),
        }  # fmt: skip
        return ec.generate_private_key(curves[size])
    if family == "DSA":
        return _dsa_parameters(int(size)).generate_private_key()
    return ed25519.Ed25519PrivateKey.generate()


@functools.cache
def _dsa_parameters(size: int) -> dsa.DSAParameters:
    """What keys of a size may share: finding it takes seconds, a key does not."""
    return dsa.generate_parameters(size)


def name(common_name: str, **attributes: str) -> x509.Name:
    """A subject with country, state and organisation, as trusted identities need them."""
    parts = {"C": "US", "ST": "WA", "O": "Acme"} | attributes
    oids = {"C": NameOID.COUNTRY_NAME, "ST": NameOID.STATE_OR_PROVINCE_NAME, "O": NameOID.ORGANIZATION_NAME,
            "OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "L": NameOID.LOCALITY_NAME}  # fmt: skip
    pairs = [x509.NameAttribute(oids[key_], value) for key_, value in parts.items() if value]
    return x509.Name([*pairs, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Profile(NamedTuple):
    """Everything that can be said of a certificate; the defaults are a good code-signing certificate's."""

    subject: x509.Name
    kind: str = "P-256"
    ca: bool | None = None
    ca_critical: bool = True
    path_length: int | None = None
    usages: tuple[str, ...] | None = ("digital_signature",)
    usage_critical: bool = True
    purposes: tuple[ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CODE_SIGNING,)
    starts: timedelta = timedelta(days=-1)
    ends: timedelta = timedelta(days=1)
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 = hashes.SHA256()
    extensions: tuple[x509.ExtensionType, ...] = ()
    critical_extensions: tuple[x509.ExtensionType, ...] = ()
    key_number: int = 0


def ca_profile(common_name: str, **changes: Any) -> Profile:
    """A good CA's profile."""
    good = Profile(name(common_name), ca=True, usages=("key_cert_sign", "crl_sign"), purposes=(), key_number=1)
    return good._replace(**changes)


def certificate(profile: Profile, issuer: Profile, issuer_kind: str = "") -> x509.Certificate:
    """A certificate for `profile`, signed by `issuer`'s key (self-signed if both are the same)."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(profile.subject)
        .issuer_name(issuer.subject)
        .public_key(key(profile.kind, profile.key_number).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + profile.starts)
        .not_valid_after(now + profile.ends)
    )
    if profile.ca is not None:
        constraints = x509.BasicConstraints(ca=profile.ca, path_length=profile.path_length)
        builder = builder.add_extension(constraints, critical=profile.ca_critical)
    if profile.usages is not None:
        usages = x509.KeyUsage(**{usage: usage in profile.usages for usage in _USAGES})
        builder = builder.add_extension(usages, critical=profile.usage_critical)
    if profile.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.purposes), critical=False)
    for extension in profile.extensions:
        builder = builder.add_extension(extension, critical=False)
    for extension in profile.critical_extensions:
        builder = builder.add_extension(extension, critical=True)
    signing_key = key(issuer_kind or issuer.kind, issuer.key_number)
    digest = None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else profile.digest
    return builder.sign(signing_key, digest)


class Signer(NamedTuple):
    """A chain, signing certificate first, and the kind and number of the signing key."""

    chain: tuple[x509.Certificate, ...]
    kind: str
    key_number: int

    @property
    def root(self) -> x509.Certificate:
        """The last certificate."""
        return self.chain[-1]

    @property
    def root_pem(self) -> bytes:
        """The last certificate, as PEM."""
        return self.root.public_bytes(serialization.Encoding.PEM)


def signer(profile: Profile | None = None, *issuers: Profile) -> Signer:
    """A signer: `profile` issued by `issuers`, from the nearest to the root; self-signed without any."""
    leaf = profile or Profile(name("build.example.com"))
    profiles = [leaf, *issuers]
    chain = [certificate(each, profiles[min(i + 1, len(profiles) - 1)]) for i, each in enumerate(profiles)]
    return Signer(tuple(chain), leaf.kind, leaf.key_number)


def usual_signer(common_name: str = "build.example.com", *, number: int = 0, **changes: Any) -> Signer:
    """A signing certificate under a root, under an intermediate CA, as companies have them."""
    return signer(
        Profile(name(common_name), key_number=10 * number)._replace(**changes),
        ca_profile(f"{common_name} Issuing CA", path_length=0, key_number=10 * number + 1),
        ca_profile(f"{common_name} Root CA", key_number=10 * number + 2),
    )


def b64url(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def descriptor_json(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor as JSON."""
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def raw_signature(kind: str, number: int, signed: bytes, algorithm: str = "") -> bytes:
    """A signature in the form that JWS demands."""
    private = key(kind, number)
    digest = _HASHES[(algorithm or _ALGORITHMS.get(kind, "ES256"))[-3:]]
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(signed, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(digest)))
        length = (private.curve.key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    if isinstance(private, dsa.DSAPrivateKey):
        return private.sign(signed, digest)
    return private.sign(signed)


def envelope(
    signed_by: Signer,
    subject: Descriptor,
    *,
    expiry: datetime | None = None,
    protected: dict[str, Any] | None = None,
    dropped: tuple[str, ...] = (),
    header: dict[str, Any] | None = None,
    payload: bytes | None = None,
    outer: dict[str, Any] | None = None,
    chain: tuple[x509.Certificate, ...] | None = None,
) -> bytes:
    """A JWS envelope as `notation` makes it.

    `protected` and `header` are added to (or replace) what is in the two headers, `dropped` names protected attributes
    to leave out; `outer` does the same for the envelope itself, after it was signed.
    """
    algorithm = _ALGORITHMS.get(signed_by.kind, "ES256")
    signing_time = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)
    critical = [PREFIX + "signingScheme"]
    attributes: dict[str, Any] = {
        "alg": algorithm,
        "cty": PAYLOAD_TYPE,
        "crit": critical,
        PREFIX + "signingScheme": "notary.x509",
        PREFIX + "signingTime": rfc3339(signing_time),
    }
    if expiry is not None:
        attributes[PREFIX + "expiry"] = rfc3339(expiry)
        critical.append(PREFIX + "expiry")
    attributes |= protected or {}
    for dropped_name in dropped:
        attributes.pop(dropped_name, None)
    body = payload if payload is not None else json.dumps({"targetArtifact": descriptor_json(subject)}).encode()
    signing_input = f"{b64url(json.dumps(attributes).encode())}.{b64url(body)}"
    certificates = chain if chain is not None else signed_by.chain
    x5c = [base64.b64encode(each.public_bytes(serialization.Encoding.DER)).decode() for each in certificates]
    value: dict[str, Any] = {
        "payload": signing_input.split(".")[1],
        "protected": signing_input.split(".")[0],
        "header": {"x5c": x5c, PREFIX + "signingAgent": "tests/1"} | (header or {}),
        "signature": b64url(raw_signature(signed_by.kind, signed_by.key_number, signing_input.encode())),
    }
    return json.dumps(value | (outer or {})).encode()


def rfc3339(moment: datetime) -> str:
    """A time as envelopes write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def trust_policy(**changes: Any) -> dict[str, Any]:
    """A trust policy document of one strict statement for everything; `changes` go into the statement."""
    statement = {
        "name": "default",
        "registryScopes": ["*"],
        "signatureVerification": {"level": "strict"},
        "trustStores": ["ca:certs"],
        "trustedIdentities": ["*"],
    }
    return {"version": "1.0", "trustPolicies": [statement | changes]}


def write_config(
    folder: pathlib.Path,
    root_pem: bytes,
    *,
    requirement: str = "any",
    paths: Sequence[str] = ("/root/.ratify/certs",),
    policy: Mapping[str, object] | None = None,
    remembers: bool = True,
    **changes: Any,
) -> pathlib.Path:
    """A configuration as Ratify users have it, over plain HTTP; returns its folder.

    `paths` are its verificationCerts, `policy` is its policy plugin if not the config policy, `changes` go into the
    statement.  One that does not remember has every pull verified anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notation = {
        "name": "notation",
        "artifactTypes": ARTIFACT_TYPE,
        "verificationCerts": list(paths),
        "trustPolicyDoc": trust_policy(**changes),
    }
    default = {"name": "configPolicy", "artifactVerificationPolicies": {ARTIFACT_TYPE: requirement}}
    config: dict[str, object] = {
        "store": {"version": "1.0.0", "plugins": [{"name": "oras", "useHttp": True}]},
        "policy": {"version": "1.0.0", "plugin": policy or default},
        "verifier": {"version": "1.0.0", "plugins": [notation]},
    }
    if not remembers:
        cache = {"allow": "0s", "deny": {"first": "0s", "max": "0s"}, "cannotTell": "0s"}
        config["nodeseal"] = {"apiVersion": "nodeseal.dev/v1alpha1", "cache": cache}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "trusted.crt").write_bytes(root_pem)
    return folder


def signature_manifest(envelope_: Descriptor, subject: Descriptor | None, **changes: Any) -> bytes:
    """The manifest under which `notation` stores an envelope; `changes` replace its members."""
    config = {"mediaType": ARTIFACT_TYPE, "digest": EMPTY_DIGEST, "size": 2}
    value = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": config,
        "layers": [descriptor_json(envelope_)],
        "subject": descriptor_json(subject) if subject else None,
    }
    return json.dumps({member: each for member, each in (value | changes).items() if each is not None}).encode()


def attach_signature(
    registry: RegistrySimulator, repository: str, subject: Descriptor, envelope_: bytes, **changes: Any
) -> Descriptor:
    """Store a signature in a simulated registry, as `notation` stores it, and list it for `subject`."""
    registry.push_blob(repository, b"{}")
    blob = registry.push_blob(repository, envelope_, ENVELOPE_TYPE)
    pushed = registry.push_manifest(repository, signature_manifest(blob, subject, **changes))
    if not registry.referrers_api:
        registry.tag_referrers(repository, subject)
    return pushed
