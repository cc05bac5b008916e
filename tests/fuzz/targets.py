"""What is fuzzed: name -> function, what it may raise, valid examples to begin with.

A function takes any bytes.  Only what its docstring promises may come out; small grammars share a target, the first
byte picks one.  `MODULES` says which codec is reached by which target.
"""

import contextlib
import json
import pathlib
import socket
import tempfile
import time
from datetime import datetime, timezone
from http.client import HTTPException
from typing import Callable, Mapping, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.adapters.http_proxy import ProxySettings
from agent.adapters.http_wire import Deadline, Wire
from agent.codec import (
    cms,
    dsse,
    instances,
    manifestyaml,
    pem,
    rekorentry,
    sarif,
    signaturelines,
    signednote,
    sigstorebundle,
    simplesigning,
    spdx,
    statement,
    strictjson,
    strictyaml,
)
from agent.config import canonical
from agent.errors import Malformed, Unavailable, UsageError
from agent.formats import (
    cosign_attested,
    cosign_bundle,
    cosign_layer,
    cosign_vouchers,
    notation_cose,
    notation_envelope,
    notation_jws,
)
from agent.formats.cosign import BUNDLE_TYPE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Blob
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST, Manifest
from agent.model.reference import Reference, Repository
from agent.modes import config
from agent.registry import challenge, credentials
from agent.registry.urls import Origin, Url
from agent.rego.compiler import compile_policy
from agent.rego.evaluator import Program
from agent.rego.faults import EvaluationFault, SyntaxFault
from agent.trust import (
    chain,
    crl,
    identity,
    keyless,
    ocsp,
    publickeys,
    signedconfiguration,
    signeridentity,
    timestamp,
    transparency,
    trustedroot_document,
    trustpolicy_document,
)
from agent.trust.revocationstatus import Unusable
from tests import reports, signing_cosign
from tests import signing_sigstore as sigstore
from tests.codec import evidence
from tests.hostile import messages
from tests.rego.reports import POLICIES, REPORTS
from tests.signing import envelope, key, signature_manifest, trust_policy, usual_signer, write_config
from tests.sigstore_layers import by_layer
from tests.trust.answers import ocsp_answer, revocation_list
from tests.trust.tokens import Token, authority, token

LIMIT = 64 * 1024
_CUT = b"--cut--"
_SIGNER = usual_signer()
_AUTHORITY = authority()
_IMAGE = Descriptor(IMAGE_MANIFEST, Digest.of(b"image"), 500)
_NOW = datetime.now(timezone.utc)
_ORIGIN = Origin("https", "registry.example.com", 443)
_SIGSTORE = sigstore.instance()
_TSA = tuple(each.public_bytes(Encoding.DER) for each in _SIGSTORE.tsa.chain)
_TRUSTED_ROOT = trustedroot_document.read("fuzz", json.dumps(_SIGSTORE.trusted_root()).encode(), "fuzz")
_ROOTS = frozenset([_AUTHORITY.root.public_bytes(Encoding.DER)])


class Target(NamedTuple):
    """One thing to be fuzzed: what reads the bytes, what that may raise, and examples of good bytes."""

    read: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]


def run(target: Target, data: bytes) -> None:
    """Read `data`; whatever `target` may not raise passes through."""
    try:
        target.read(data)
    except target.raises:
        pass


def _notation_jws(data: bytes) -> None:
    notation_envelope.target_artifact(notation_envelope.checked(notation_jws.parse(data)).payload)


def _notation_cose(data: bytes) -> None:
    notation_envelope.target_artifact(notation_envelope.checked(notation_cose.parse(data)).payload)


def _cosign(data: bytes) -> None:
    """A layer and its annotations, or a bundle: whose signature it is, and what was signed."""
    content, cut, beside = data.partition(_CUT)
    annotations = strictjson.decode(beside, "fuzz", limit=LIMIT) if cut else None
    one = signing_cosign.Layer(content) if cut else signing_cosign.Layer(content, None, BUNDLE_TYPE)
    blob = Blob(signing_cosign.descriptor_of(one), content)
    signature = cosign_layer.read(blob, annotations) if cut else cosign_bundle.read(blob)
    publickeys.load(signing_cosign.public_der()).made(signature.signature, signature.signed)
    signature.read()


def _cosign_evidence() -> list[bytes]:
    layer = signing_cosign.layer(signing_cosign.payload(_IMAGE))
    return [
        layer.content + _CUT + json.dumps(layer.annotations).encode(),
        signing_cosign.bundle(signing_cosign.statement(_IMAGE)).content,
    ]


def _attested(data: bytes) -> None:
    """A layer with an attestation, and its annotations: whose it is, what vouches for it, and what it says."""
    content, cut, beside = data.partition(_CUT)
    annotations = strictjson.decode(beside, "fuzz", limit=LIMIT) if cut else None
    one = signing_cosign.Layer(content, annotations, cosign_attested.MEDIA_TYPE)
    blob = Blob(signing_cosign.descriptor_of(one), content)
    for signature in cosign_attested.read(blob, annotations, signing_cosign.PROVENANCE):
        publickeys.load(signing_cosign.public_der()).made(signature.signature, signature.signed)
        signature.read()
        signature.vouchers()


def _attested_layers() -> list[bytes]:
    layer = signing_cosign.envelope(signing_cosign.attestation(_IMAGE), ("P-256", 0), ("P-256", 1))
    return [layer.content, layer.content + _CUT + json.dumps(layer.annotations).encode()]


def _public_keys(data: bytes) -> None:
    for der in pem.public_keys(data):
        publickeys.load(der).made(b"0", b"1")


def _identity(text: str) -> None:
    with contextlib.suppress(ValueError):
        identity.parse_identity(text)


def _proxy(text: str) -> None:
    ProxySettings.from_environment({"HTTPS_PROXY": text}).proxy_for(_ORIGIN)


def _no_proxy(text: str) -> None:
    ProxySettings.from_environment({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": text}).proxy_for(_ORIGIN)


_GRAMMARS: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda text: challenge.parse(text.split("\n")), 'Bearer realm="https://a.example/t",service="x", Basic realm="y"'),
    (lambda text: Url.parse(text, "fuzz"), "https://[2001:db8::1]:8443/a/b?c=d"),
    (lambda text: Url.parse("https://example.com/a/b?c", "fuzz").join(text, "fuzz"), "/x/y?n=1&last=2"),
    (Reference.parse, "registry.example.com:5000/team/app:1.2@sha256:" + "0" * 64),
    (Reference.parse_short, "busybox:1"),
    (_proxy, "http://user:pass@proxy.example.com:3128"),
    (_no_proxy, ".example.org:8443,10.0.0.0/8,2001:db8::/32,*.example.net"),
    (_identity, "C=US, ST=WA, O=Acme\\, Inc, CN=x"),
    (Digest.parse, "sha512:" + "0" * 128),
)


def _grammar(data: bytes) -> None:
    if data:
        _GRAMMARS[data[0] % len(_GRAMMARS)][0](data[1:].decode("utf-8", "surrogateescape"))


def _registry(data: bytes) -> None:
    value = strictjson.decode(data[1:], "fuzz", limit=LIMIT)
    kind = data[0] if data else 0
    if kind % 2:
        Manifest.from_json(value, IMAGE_INDEX if kind % 4 == 1 else IMAGE_MANIFEST)
    else:
        for entry in value if isinstance(value, list) else [value]:
            Descriptor.from_json(entry, "fuzz")


def _http(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data[:LIMIT])
        theirs.shutdown(socket.SHUT_WR)
        wire = Wire(ours, Deadline(time.monotonic() + 5))
        response, _ = wire.exchange(b"GET / HTTP/1.1\r\n\r\n", 4096, "fuzz")
        assert len(response.body) <= LIMIT


def _chain(data: bytes) -> None:
    certificates = chain.parse_chain(data.split(_CUT))
    chain.check_chain(certificates)
    chain.not_valid_at(certificates, _NOW)


def _timestamp(data: bytes) -> None:
    cms.parse(data)
    timestamp.check(data, b"signature", _ROOTS)


def _keyless(data: bytes) -> None:
    """Whatever a bundle holds: its entries, its timestamps and its certificates are looked at."""
    bundle = sigstorebundle.parse(data)
    leaf = (*bundle.material.certificates, b"")[0]
    if isinstance(bundle.content, dsse.Envelope):
        signature, payload = bundle.content.signatures[0], bundle.content.payload
        signed = transparency.Signed(signature, dsse.pae(bundle.content.payload_type, payload), payload, leaf)
    else:
        signature = bundle.content.signature
        signed = transparency.Signed(signature, b"message", None, leaf)
    presented = keyless.Presented(signed, signature, (), bundle.entries, bundle.timestamps)
    anybody = signeridentity.Pattern(signeridentity.WHOLE, ".*")
    assert _TRUSTED_ROOT.root is not None
    keyless.check_signer(
        presented,
        [signeridentity.SignerIdentity(anybody, anybody)],
        keyless.Demands(),
        _TRUSTED_ROOT.root,
        _TRUSTED_ROOT.material,
        _NOW,
    )


def _keyless_bundles() -> list[bytes]:
    made = sigstore.signed_envelope(_SIGSTORE.leaf(at=_NOW), sigstore.statement("sha256:0"))
    first = sigstore.bundle(made, [_SIGSTORE.first_entry(made.first_body(), _NOW)])
    stamp = _SIGSTORE.timestamp(made.signature, Token(time=_NOW))
    return [
        json.dumps(each).encode()
        for each in (first, sigstore.bundle(made, [_SIGSTORE.second_entry(made.second_body())], [stamp]))
    ]


def _vouchers(data: bytes) -> None:
    """What stands beside a signature in cosign's older layout."""
    value = strictjson.decode(data, "fuzz", limit=LIMIT)
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        cosign_vouchers.read(value)


def _voucher_annotations() -> list[bytes]:
    made = by_layer(_SIGSTORE, _IMAGE)
    return [json.dumps(made.annotations).encode()]


def _scan(data: bytes) -> None:
    for run in sarif.parse(data):
        for rule in run.found[:100]:
            run.severities(rule)


def _instance(data: bytes) -> None:
    """Under a schema without a regular expression that hangs."""
    schema = {"type": "object", "properties": {"by": {"type": "string"}, "tags": {"uniqueItems": True}}}
    if len(data) < 4096:
        instances.check(data, schema, "fuzz")


def _checkpoints() -> list[bytes]:
    entry = _SIGSTORE.second_entry(sigstore.hashedrekord(b"", b"", b""), extra="more\n")
    checkpoint: str = entry["inclusionProof"]["checkpoint"]["envelope"]
    return [checkpoint.encode()]


def _bodies() -> list[bytes]:
    made = sigstore.signed_envelope(_SIGSTORE.leaf(), sigstore.statement("sha256:0"))
    first = [
        make(b"p", b"s", made.leaf.pem) for make in (sigstore.hashedrekord, sigstore.dsse_body, sigstore.intoto_body)
    ]
    return [*first, made.second_body()]


def _revocation(data: bytes) -> None:
    leaf, issuer = _SIGNER.chain[:2]
    if data[:1] == b"l":
        crl.status(leaf, crl.read_base(data[1:], leaf, issuer, _NOW), None, None)
    else:
        ocsp.read(data[1:], leaf, issuer, _NOW, None)


def _trust_policy(data: bytes) -> None:
    document = strictjson.decode(data, "fuzz", limit=LIMIT)
    if not trustpolicy_document.check_form(document, "fuzz"):
        assert isinstance(document, dict)
        trustpolicy_document.parse(document, "fuzz")


_DOCKER_CONFIG = {
    "auths": {
        "https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz"},
        "*.example.com:5000/team": {"username": "u", "password": "p"},
        "registry.example.net": {"identitytoken": "t"},
    },
    "credHelpers": {"gcr.io": "gcloud"},
    "credsStore": "desktop",
    "nodeseal": {"realms": {"registry.example.com": ["auth.example.net"]}},
}


def _credentials(data: bytes) -> None:
    keyring = credentials.Keyring([credentials.parse(data, "fuzz")])
    for host in ("docker.io", "a.example.com:5000", "registry.example.net"):
        keyring.credentials(Repository(host, "team/app"))
        keyring.complaint(Repository(host, "team/app"))


def _snapshots() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        found = config.read(str(write_config(pathlib.Path(folder), _SIGNER.root_pem)), folder)
        assert found.config is not None
        return [canonical.encode(found.config)]


def _jws_messages() -> list[bytes]:
    stamped = messages.stamped(_SIGNER, _IMAGE, lambda signature: token(signature, _AUTHORITY))
    return [envelope(_SIGNER, _IMAGE), stamped]


def _answers() -> list[bytes]:
    leaf, issuer = _SIGNER.chain[:2]
    return [b"l" + revocation_list(issuer, 1), b"o" + ocsp_answer(leaf, issuer, 1)]


def _public_key(kind: str) -> bytes:
    return key(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _ders() -> list[bytes]:
    return [each.public_bytes(Encoding.DER) for each in _SIGNER.chain]


def _rego(data: bytes) -> object:
    """Compile a policy and evaluate it; few steps, so that time is spent on new ones."""
    compiled = compile_policy(data.decode(errors="replace"))
    return Program(json.loads(json.dumps(compiled)), max_steps=2_000).query(
        ["ratify", "policy", "valid"], REPORTS["nested"], now_ns=0
    )


def _policies() -> list[bytes]:
    """Those that come to an answer."""
    found = []
    for each in POLICIES.values():
        with contextlib.suppress(SyntaxFault, EvaluationFault):
            _rego(each.encode())
            found.append(each.encode())
    return found


TARGETS: Mapping[str, Target] = {
    "json": Target(
        lambda data: strictjson.decode(data, "fuzz", limit=LIMIT), (Malformed,),
        lambda: [b'{"a": [1, -2.5e3, "\\ud83d\\ude00", null, true, {}]}'],
    ),
    "yaml": Target(
        lambda data: strictyaml.decode_all(data, "fuzz", limit=LIMIT), (Malformed,),
        lambda: [b'a: [1, -2.5e3, "x\\u00e9", null]\nb: |\n  two\n  lines\n---\n- {c: true}\n'],
    ),
    "pod-manifest": Target(
        manifestyaml.images, (),
        lambda: [b"spec:\n  initContainers: [{image: a/b:1}]\n  containers:\n  - &x {image: \"c@d\"}\n  - *x\n"],
    ),
    "jws": Target(_notation_jws, (Malformed,), _jws_messages),
    "cose": Target(_notation_cose, (Malformed,), lambda: [messages.cose(_SIGNER, _IMAGE)]),
    "dsse": Target(
        lambda data: dsse.parse(data, "fuzz"), (Malformed,), lambda: [json.dumps(evidence.dsse_json()).encode()],
    ),
    "bundle": Target(
        sigstorebundle.parse, (Malformed,),
        lambda: [json.dumps(each).encode() for each in (evidence.bundle(), evidence.bundle_of_version_01())],
    ),
    "statement": Target(
        statement.parse, (Malformed,), lambda: [evidence.statement(), evidence.statement(annotations={"a": 1})]
    ),
    "spdx": Target(spdx.parse, (Malformed,), lambda: [reports.spdx(), reports.spdx(creationInfo=None)]),
    "sarif": Target(_scan, (Malformed,), lambda: [reports.sarif(), reports.sarif(scanner="grype", found=[])]),
    "instance": Target(_instance, (Malformed,), lambda: [b'{"by": "a", "tags": [1, "1", [], {"x": null}]}']),
    "schema": Target(
        lambda data: instances.look_through(instances.schema(data, "fuzz"), "fuzz"),
        (Malformed,),
        lambda: [json.dumps(reports.SCHEMA).encode()],
    ),
    "checkpoint": Target(
        lambda data: signednote.parse(data.decode("utf-8", "replace")), (Malformed,), _checkpoints
    ),
    "log-entry": Target(rekorentry.parse, (Malformed,), _bodies),
    "trusted-root": Target(
        lambda data: trustedroot_document.read("fuzz", data, "fuzz"), (),
        lambda: [json.dumps(_SIGSTORE.trusted_root()).encode()],
    ),
    "cosign-vouchers": Target(_vouchers, (Malformed,), _voucher_annotations),
    "keyless": Target(_keyless, (Malformed,), _keyless_bundles),
    "timestamp-response": Target(
        lambda data: timestamp.check_by(data, b"signature", _TSA), (Malformed,),
        lambda: [_SIGSTORE.timestamp(b"signature"), _SIGSTORE.timestamp(b"signature", embedded=False)],
    ),
    "simple-signing": Target(
        simplesigning.parse, (Malformed,),
        lambda: [signing_cosign.payload("sha256:" + "0" * 64, optional={"env": "prod", "n": [1]})],
    ),
    "cosign": Target(_cosign, (Malformed,), _cosign_evidence),
    "cosign-attested": Target(_attested, (Malformed,), _attested_layers),
    "public-keys": Target(
        _public_keys, (Malformed,),
        lambda: [_public_key(kind).replace(b"\n", b"\r\n") * 2 for kind in ("P-384", "RSA-2048")],
    ),
    "pem": Target(pem.contents, (), lambda: [_SIGNER.root_pem * 2, _ders()[0]]),
    "public-key": Target(
        lambda data: signedconfiguration.signing_key(data.decode("utf-8", "replace")), (Malformed,),
        lambda: [_public_key(kind) for kind in ("P-256", "RSA-2048", "Ed25519")],
    ),
    "signature-lines": Target(
        signaturelines.decode, (Malformed,), lambda: [b"A" * 76 + b"\nAAAA\n\nQUJD RA==\r\n", b"A" * 64 + b"\n"],
    ),
    "grammars": Target(
        _grammar, (Malformed, UsageError, Unavailable),
        lambda: [bytes([number]) + example.encode() for number, (_, example) in enumerate(_GRAMMARS)],
    ),
    "manifests": Target(
        _registry, (Malformed,),
        lambda: [b"\3" + signature_manifest(_IMAGE, _IMAGE), b"\0" + json.dumps([_entry()]).encode()],
    ),
    "http": Target(
        _http, (Malformed, OSError, HTTPException),
        lambda: [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n",
            b"HTTP/1.1 307 Moved\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n{}",
        ],
    ),
    "chain": Target(_chain, (Malformed,), lambda: [_CUT.join(_ders())]),
    "timestamp": Target(_timestamp, (Malformed,), lambda: [token(b"signature", _AUTHORITY)]),
    "revocation": Target(_revocation, (Unusable,), _answers),
    "trust-policy": Target(
        _trust_policy, (Malformed,),
        lambda: [json.dumps(trust_policy(trustedIdentities=["x509.subject: C=US, ST=WA, O=Acme"])).encode()],
    ),
    "credentials": Target(_credentials, (Malformed,), lambda: [json.dumps(_DOCKER_CONFIG).encode()]),
    "rego": Target(_rego, (SyntaxFault, EvaluationFault), _policies),
    "snapshot": Target(
        lambda data: canonical.decode(data, lambda _: b""), (Malformed,), _snapshots
    ),
}  # fmt: skip

MODULES = {
    "strictjson": "json", "strictyaml": "yaml", "manifestyaml": "pod-manifest", "jose": "jws", "cose": "cose",
    "cms": "timestamp", "pem": "pem", "signaturelines": "signature-lines", "members": "log-entry",
    "dsse": "dsse", "sigstorebundle": "bundle", "statement": "statement", "simplesigning": "simple-signing",
    "signednote": "checkpoint", "rekorentry": "log-entry", "spdx": "spdx", "sarif": "sarif",
    "instances": "instance",
}  # fmt: skip


def _entry() -> dict[str, object]:
    """A listing's entry."""
    return {
        "mediaType": IMAGE_MANIFEST,
        "digest": str(_IMAGE.digest),
        "size": 5,
        "artifactType": "a/b",
        "annotations": {"a": "b"},
    }
